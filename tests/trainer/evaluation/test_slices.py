from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labels.records import Example
from tests.lazy import Lazy
from trainer.calibration.calibration import Bools
from trainer.evaluation.comparison import holm_adjusted
from trainer.evaluation.failures.slices import SliceSettings, describe_examples, form_of, slice_figures
from trainer.evaluation.report import Outcome, Report, build_report
from trainer.evaluation.report_tables import remarks

sk = Lazy("sklearn.metrics")
HOW = SliceSettings(confidence=0.95, min_groups=20)


def sliced(n: int = 600, *, worse: float = 0.5, seed: int = 1) -> tuple[Bools, Bools, list[int], list[str]]:
    """Two labels; in the source "b", a share of `worse` of the decisions is drawn at random. Three rows a group."""
    generator = np.random.default_rng(seed)
    gold = generator.random((n, 2)) < 0.4
    source = np.where(np.arange(n) // 3 % 3 == 0, "b", "a")
    noise = generator.random((n, 2)) < np.where(source == "b", worse, 0.1)[:, None]
    predicted = np.where(noise, generator.random((n, 2)) < 0.5, gold)
    return gold, predicted, (np.arange(n) // 3).tolist(), source.tolist()


def test_figures_of_a_slice_are_those_of_scikit_learn_on_its_rows() -> None:
    gold, predicted, groups, source = sliced()
    found = slice_figures(gold, predicted, groups, {"source": source}, HOW)
    assert [(own.by, own.value, own.n, own.n_groups) for own in found] == [
        ("source", "a", 399, 133),
        ("source", "b", 201, 67),
    ]
    for own in found:
        rows = np.array(source) == own.value
        assert own.micro_f1 == pytest.approx(sk.f1_score(gold[rows], predicted[rows], average="micro"))
        assert own.exact_match == pytest.approx(sk.accuracy_score(gold[rows], predicted[rows]))
        assert own.labelled == pytest.approx(gold[rows].any(axis=1).mean())
        assert own.intervals["micro_f1"].low < own.micro_f1 < own.intervals["micro_f1"].high
    first, second = found
    assert first.difference == pytest.approx(-(second.difference or 0))
    assert (first.worse, second.worse) == (False, True)


def test_a_slice_that_is_no_worse_is_seldom_flagged() -> None:
    flagged = 0
    for seed in range(60):
        gold, predicted, groups, source = sliced(240, worse=0.1, seed=seed)
        form = np.random.default_rng(seed).choice(["x", "y"], 240).tolist()
        found = slice_figures(gold, predicted, groups, {"source": source, "form": form}, HOW)
        flagged += any(own.worse for own in found)
    assert flagged <= 5  # nominally at most 5% of 60, one-sided half of it


def test_p_values_are_corrected_for_the_number_of_slices() -> None:
    gold, predicted, groups, source = sliced()
    alone = slice_figures(gold, predicted, groups, {"source": source}, HOW)
    columns = {"source": source} | {
        f"c{i}": np.random.default_rng(i).choice(["x", "y"], 600).tolist() for i in range(9)
    }
    many = slice_figures(gold, predicted, groups, columns, HOW)
    assert many[1].p == alone[1].p
    assert (many[1].adjusted_p or 0) > (alone[1].adjusted_p or 0)
    assert holm_adjusted([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]


def test_rare_values_are_pooled_and_columns_without_two_frequent_values_left_out() -> None:
    gold, predicted, groups, source = sliced()
    rare = [f"title {i}" if i % 10 == 0 else own for i, own in enumerate(source)]
    unique = [str(i) for i in range(600)]
    found = slice_figures(gold, predicted, groups, {"source": rare, "url": unique, "language": ["en"] * 600}, HOW)
    assert [(own.value, own.n) for own in found] == [("a", 360), ("b", 180), ("other values (60)", 60)]


def test_slices_without_an_interval_or_a_label_say_why() -> None:
    gold, predicted, groups, _ = sliced(120)
    few = ["few"] * 21 + ["many"] * 60 + ["empty"] * 39
    gold[81:] = False
    found = {own.value: own for own in slice_figures(gold, predicted, groups, {"by": few}, HOW)}
    assert found["few"].reason == "7 test groups, fewer than 10"
    assert found["few"].p is None
    assert (found["empty"].micro_f1, found["empty"].reason) == (None, "no sentence has a label")
    assert found["many"].p is not None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Who will pay for it?", "question"),
        ("“We shall not leave the valley,” the mayor said.", "quotation"),
        ('He wrote: "This war has to end."', "quotation"),
        ("Norway pledges more aid for the island", "headline"),
        ("The minister said that talks would go on.", "reported speech"),
        ("The road is open.", "statement"),
    ],
)
def test_the_form_of_a_sentence(text: str, form: str) -> None:
    assert form_of(text) == form


def test_examples_are_described_by_date_length_form_and_metadata() -> None:
    one = Example("1", "d", "The road is open.", date="2024-05-03T10:00", metadata={"source": "wire", "month": "May"})
    other = replace(one, date="spring", text=" ".join(["word"] * 50), metadata={"language": "en"})
    assert describe_examples([one, other]) == {
        "source": ["wire", "not stated"],
        "language": ["not stated", "en"],
        "month": ["2024-05", "not stated"],
        "length": ["1 to 10 words", "46 or more words"],
        "form": ["statement", "statement"],
    }


def test_a_reliably_worse_slice_is_a_remark_of_the_report() -> None:
    gold, predicted, groups, source = sliced()
    outcome = Outcome(("aid", "truce"), False, gold, predicted, predicted.astype(float), groups, np.array([0.5, 0.5]))
    slices = slice_figures(gold, predicted, groups, {"source": source}, HOW)
    report = build_report(outcome, confidence=0.95, min_groups=20).extended(slices=slices)
    (remark,) = [line for line in remarks(report) if "source" in line]
    assert remark.startswith("Warning: worse where source is 'b' (201 sentences): micro-F1 0.")
    assert Report.model_validate(report.to_dict()).slices == slices
