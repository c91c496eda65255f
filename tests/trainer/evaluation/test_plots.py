from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.evaluation.plots import _most_frequent, draw_plots
from trainer.evaluation.report import Outcome, build_report

WITHOUT_CONFUSION = ["f1_per_label.png", "precision_recall.png", "reliability.png"]
PLOTS = sorted([*WITHOUT_CONFUSION, "confusion.png"])


def outcome(n_labels: int = 3, *, exclusive: bool = False, n: int = 60, unseen: bool = False) -> Outcome:
    """`unseen`: the last label neither occurs nor is predicted."""
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.ones(n_labels + 1), n)[:, :n_labels]
    gold = generator.integers(0, n_labels + 1, n)[:, None] == np.arange(n_labels)
    predicted = probabilities == probabilities.max(axis=1, keepdims=True)
    if unseen:
        gold[:, -1] = predicted[:, -1] = False
    labels = tuple(f"label-{i}" for i in range(n_labels))
    return Outcome(labels, exclusive, gold, predicted, probabilities, list(range(n)), np.full(n_labels, 0.5))


def draw(of: Outcome, folder: str = "plots", **more: Any) -> dict[str, Path]:
    Path(folder).mkdir()
    report = build_report(of, **({"confidence": 0.95, "min_groups": 20} | more))
    return {path.name: path for path in draw_plots(of, report, Path(folder))}


def height(path: Path) -> int:
    with Image.open(path) as image:
        return image.height


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("drawn", "names"),
    [
        (outcome(), PLOTS),
        (outcome(exclusive=True), PLOTS),
        (outcome(41, exclusive=True, n=200), WITHOUT_CONFUSION),
        (outcome(unseen=True), PLOTS),
        (outcome(15, n=100), PLOTS),
    ],
    ids=["multi-label", "exclusive", "too many classes for a confusion", "an unseen label", "many labels"],
)
def test_the_plots_that_fit_are_written_as_png(drawn: Outcome, names: list[str]) -> None:
    paths = draw(drawn)
    assert sorted(paths) == names
    assert sorted(path.name for path in Path("plots").iterdir()) == names
    for path in paths.values():
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert len(set(pixels(path))) > 5  # something is drawn


def test_the_same_outcome_is_drawn_alike_to_the_byte() -> None:
    first, second = draw(outcome(), "first"), draw(outcome(), "second")
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]


def test_intervals_are_drawn_where_there_are_any() -> None:
    with_lines, without = draw(outcome(), "with"), draw(outcome(), "without", min_groups=1000)
    blue = bytes([0x2B, 0x5C, 0x8A])
    assert blue in pixels(with_lines["f1_per_label.png"])
    assert blue not in pixels(without["f1_per_label.png"])


def test_more_labels_make_a_taller_picture_of_f1() -> None:
    few, many = (draw(outcome(n, n=100), f"{n}")["f1_per_label.png"] for n in (3, 30))
    assert height(many) > 1.5 * height(few)


def test_labels_beyond_what_a_picture_holds_are_left_out_the_rarest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.evaluation.plots._MOST_BARS", 15)
    fewer, full = outcome(30, n=300), draw(outcome(15), "full")["f1_per_label.png"]
    assert height(draw(fewer, "many")["f1_per_label.png"]) == height(full)
    report = build_report(fewer, confidence=0.95, min_groups=20)
    kept = _most_frequent(report)
    assert kept == sorted(kept, key=report.labels.index)
    support = {label: figures.support for label, figures in report.per_label.items()}
    assert min(support[label] for label in kept) >= max(support[label] for label in set(support) - set(kept))


def test_a_confusion_has_a_row_for_none_only_where_it_occurs() -> None:
    """Three right classes fill a third of a 3 x 3 field, four a quarter of a 4 x 4 one."""
    made = outcome(exclusive=True)
    with_none = replace(made, predicted=made.gold)
    rows = made.gold.any(axis=1)
    without = replace(
        made,
        gold=made.gold[rows],
        predicted=made.gold[rows],
        probabilities=made.probabilities[rows],
        groups=list(range(int(rows.sum()))),
    )
    dark = bytes([0x08, 0x30, 0x6B])
    areas = [pixels(draw(each, name)["confusion.png"]).count(dark) for each, name in ((without, "3"), (with_none, "4"))]
    assert areas[0] / areas[1] == pytest.approx(4 / 3, abs=0.1)


@pytest.mark.parametrize("predicted", [False, True], ids=["nothing predicted", "one false positive"])
def test_a_test_set_without_any_label_is_drawn_too(predicted: bool) -> None:
    made = outcome()
    said = np.zeros_like(made.gold)
    said[0, 0] = predicted
    bare = replace(made, gold=np.zeros_like(made.gold), predicted=said)
    assert sorted(draw(bare)) == PLOTS
