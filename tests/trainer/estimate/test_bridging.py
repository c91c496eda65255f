"""Bridging a change of model or codebook, and multiple imputation over coders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from labels.errors import DataError, InputError
from labels.store import Store, now
from tests.labels.store.builders import decision
from tests.trainer.estimate.test_sources import (
    BOOK,
    assigned,
    corpus,
    decide,
    predictions_of,
    sampled,
    store,
    write,
)
from trainer.cli import app
from trainer.estimate.combined.bridging import bridge
from trainer.estimate.combined.imputation import combined_figure
from trainer.estimate.given.compared import Coding, read_coding
from trainer.estimate.published.saving import save_estimate
from trainer.estimate.results import Figure
from trainer.estimate.sources import estimate

__all__ = ["store"]


def coding(values: np.ndarray, *, size: int = 5, label: str = "aid") -> Coding:
    ids = [f"s{i}" for i in range(len(values))]
    documents = [f"d{i // size}" for i in range(len(values))]
    return Coding((label,), ids, documents, values.reshape(-1, 1).astype(float), np.ones(len(values)), label)


def test_the_interval_of_the_shift_holds() -> None:
    truth, covered = 0.0, 0
    for number in range(300):
        generator = np.random.default_rng(number)
        share = np.clip(generator.beta(1, 4, 80), 0, 1).repeat(5)  # documents differ
        old = generator.random(400) < share
        new = np.where(old, generator.random(400) < 0.9, generator.random(400) < 0.04)
        truth = -0.1 * 0.2 + 0.04 * 0.8
        found = bridge(coding(old), coding(new)).shifts[0].difference
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 300 <= 0.995


def test_an_overlap_without_any_difference_still_has_an_interval() -> None:
    values = np.arange(200) % 5 == 0
    found = bridge(coding(values), coding(values))
    own = found.shifts[0].difference
    assert own.low is not None
    assert own.high is not None
    assert own.low < 0 == own.share < own.high
    assert "coded differently" in found.notes[0]


def series(by: str = "month") -> tuple[Any, Any]:
    """Estimates of the first two months, and of the last one."""
    rows, gold = corpus()
    sample = write("sample.csv", sampled(gold))
    whole = estimate(write("all.csv", rows), sample=sample, by=by)

    def only(groups: set[str]) -> Any:
        cells = [one for one in whole.cells if one.group in groups or not one.group]
        return whole.model_copy(update={"groups": tuple(sorted(groups)), "cells": cells})

    return only({"2026-01", "2026-02"}), only({"2026-03"})


@pytest.mark.parametrize("link", ["ratio", "difference"])
def test_earlier_figures_are_moved_to_the_new_level(isolated: Path, link: Any) -> None:
    before, after = series()
    old = np.arange(400) % 4 == 0
    new = old & (np.arange(400) % 8 != 0)  # half of them
    found = bridge(coding(old), coding(new), before=before, after=after, link=link)
    assert [(one.period, one.shifted) for one in found.points] == [
        ("2026-01", True), ("2026-02", True), ("2026-03", False),
    ]  # fmt: skip
    for one in found.points[:2]:
        assert one.figure.share is not None
        assert one.figure.low is not None
        assert one.figure.high is not None
        assert one.unshifted.share is not None
        expected = one.unshifted.share / 2 if link == "ratio" else one.unshifted.share - 0.125
        assert one.figure.share == pytest.approx(expected)
        assert one.figure.low < one.figure.share < one.figure.high
    unshifted = found.points[0].unshifted
    if link == "difference":
        assert unshifted.high is not None
        assert unshifted.low is not None
        assert found.points[0].figure.high is not None
        assert found.points[0].figure.low is not None
        assert found.points[0].figure.high - found.points[0].figure.low > unshifted.high - unshifted.low
    assert found.points[2].figure == after.cell("aid", "2026-03").published


def test_the_command_reads_predictions_and_writes_the_series(isolated: Path) -> None:
    rows, _ = corpus()
    old = write("old.csv", rows)
    changed = [row | {"labels": "" if i % 10 == 0 else row["labels"]} for i, row in enumerate(rows)]
    new = write("new.csv", changed)
    before, after = series()
    save_estimate(before, Path("before"))
    save_estimate(after, Path("after"))
    arguments = ["bridge", str(old), str(new), "--before", "before", "--after", "after", "--out", "bridged"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "2026-03" in done.output
    assert sorted(path.name for path in Path("bridged").iterdir()) == [
        "bridge.json", "shifts.csv", "spliced.csv", "spliced.png",
    ]  # fmt: skip


def test_a_coded_sample_is_read_with_its_weights(isolated: Path) -> None:
    _, gold = corpus()
    rows = sampled(gold)
    old = read_coding(write("old.csv", rows))
    new = read_coding(write("new.csv", [row | {"labels": row["labels"].replace("aid", "pledge")} for row in rows]))
    found = bridge(old, new, renamed={"aid": "pledge"})
    assert [(one.old, one.new) for one in found.shifts] == [("aid", "pledge"), ("truce", "truce")]
    assert found.shifts[0].before == pytest.approx(gold[:, 0].mean(), abs=0.1)
    with pytest.raises(DataError, match="nor a column `inclusion_probability`"):
        read_coding(write("bare.csv", [{"sentence_id": "s1", "labels": "aid"}]))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda new: replace(new, ids=[f"x{one}" for one in new.ids]), {}, "no sentence in common"),
        (lambda new: replace(new, labels=("pledge",)), {}, "no label in common"),
        (lambda new: new, {"renamed": {"aid": "pledge"}}, "has no label 'pledge'"),
    ],
)
def test_what_does_not_fit_is_refused(change: Any, options: dict[str, Any], message: str) -> None:
    old = coding(np.arange(50) % 2 == 0)
    with pytest.raises(InputError, match=message):
        bridge(old, change(old), **options)


def test_series_by_other_periods_are_refused(isolated: Path) -> None:
    before, after = series()
    old = coding(np.arange(50) % 2 == 0)
    with pytest.raises(InputError, match="both must be grouped by the same period"):
        bridge(old, old, before=before, after=after.model_copy(update={"by": "week"}))
    with pytest.raises(InputError, match="so there is nothing to move"):
        bridge(old, old, before=after, after=after)


# -- multiple imputation over coders


def test_rubins_rules() -> None:
    found = [Figure(share=0.10, low=0.05, high=0.17), Figure(share=0.12, low=0.07, high=0.19)] * 5
    made = combined_figure(found, 0.95)
    assert made.share == pytest.approx(0.11)
    within = 0.05**2 / 1.959964**2
    between = 1.1 * np.var([0.10, 0.12] * 5, ddof=1)
    freedom = 9 * (1 + within / between) ** 2
    from scipy.stats import t

    assert made.low == pytest.approx(0.11 - t.ppf(0.975, freedom) * np.sqrt(within + between), abs=1e-6)
    same = combined_figure(found[:1] * 5, 0.95)
    assert (same.share, same.low, same.high) == pytest.approx((0.10, 0.05, 0.17))


def second_coder(opened: Store, share: float) -> None:
    """A second coder decides on the same sentences and finds aid in fewer of them."""
    for draw in assigned(opened, 100, "random"):
        decide(opened, draw, 0)
        for number, item in enumerate(draw.items):
            (sentence,) = opened.documents.sentences([item.sentence_id])
            place = sentence.start // 13
            labels = ("aid",) if place % 2 == 0 and number % 10 >= 10 * share else ()
            opened.events.add(
                [
                    decision(
                        item.sentence_id,
                        "eva",
                        draw_id=draw.id,
                        created_at=now(),
                        labels=labels,
                        codebook_hash=BOOK.hash,
                    )
                ]
            )


def test_coders_who_disagree_widen_the_intervals(store: Store) -> None:
    second_coder(store, 0.4)
    predictions = predictions_of(store)
    found = estimate(predictions, store=store, impute_coders=10)
    own = found.cell("aid").published
    assert own.low is not None
    assert own.high is not None
    # One coder finds half of them, the other a third.
    assert 0.3 < (own.share or 0) < 0.5
    assert found.missing == {}
    assert any("Rubin's rules" in note for note in found.notes)
    alone = estimate(predictions, store=store, impute_coders=10, seed=14).cell("aid").published
    assert alone.share == pytest.approx(own.share, abs=0.05)
    save_estimate(found, Path("imputed"))


def test_imputation_needs_several_coders_and_imputations(store: Store) -> None:
    for draw in assigned(store, 60, "random"):
        decide(store, draw, 0)
    with pytest.raises(InputError, match="by several coders"):
        estimate(predictions_of(store), store=store, impute_coders=10)
    with pytest.raises(InputError, match="choose at least 5"):
        estimate(predictions_of(store), store=store, impute_coders=2)


# -- spans that are not sentences


def test_spans_that_are_not_sentences_leave_the_corpus(isolated: Path) -> None:
    rows, gold = corpus()
    predictions = write("predictions.csv", rows)
    plain = estimate(predictions, sample=write("plain.csv", sampled(gold)))
    marked = sampled(gold)
    for number, row in enumerate(marked):
        row["state"] = "reviewed"
        if row["labels"] == "" and number % 4 == 0:
            row["state"] = "not_a_sentence"
    n = sum(row["state"] == "not_a_sentence" for row in marked)
    found = estimate(predictions, sample=write("marked.csv", marked))
    assert found.missing == {}
    assert found.not_sentences is not None
    assert found.not_sentences.share == pytest.approx(n / len(marked))
    kept = 1 - n / len(marked)
    own, before = found.cell("aid"), plain.cell("aid")
    for method in ("sample", "difference", "ppi"):
        assert own.figures[method].share == pytest.approx((before.figures[method].share or 0) / kept, rel=0.02)
    assert own.size == pytest.approx(before.size * kept)
    assert own.size * (own.figures["sample"].share or 0) == pytest.approx(
        before.size * (before.figures["sample"].share or 0)
    )
    save_estimate(found, Path("out"))
    from trainer.estimate.published import recompute

    assert recompute.main(Path("out")) == 0
