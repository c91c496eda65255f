from __future__ import annotations

import copy

import pytest

from labels.codebook import Codebook
from labels.errors import CodebookError
from labels.records import Annotation, EventKind, State
from labels.resolve import resolve


def event(
    annotator: str,
    *labels: str,
    sentence: str = "s1",
    kind: EventKind = "annotate",
    state: State | None = "reviewed",
) -> Annotation:
    return Annotation(f"{annotator}-{kind}-{labels}", sentence, annotator, kind, state, labels, "hash", "2026-01-01")


def test_what_all_reviewers_gave_is_gold(codebook: Codebook) -> None:
    resolution = resolve([event("ana", "aid"), event("ben", "aid")], codebook)

    assert resolution.gold == {"s1": ("aid",)}
    assert resolution.disputed == resolution.skipped == ()


def test_one_reviewer_is_enough(codebook: Codebook) -> None:
    assert resolve([event("ana", "truce")], codebook).gold == {"s1": ("truce",)}


def test_label_sets_are_compared_without_order_and_given_in_codebook_order(codebook: Codebook) -> None:
    resolution = resolve([event("ana", "truce", "aid"), event("ben", "aid", "truce", "aid")], codebook)

    assert resolution.gold == {"s1": ("aid", "truce")}


def test_reviewed_none_is_gold_and_not_unseen(codebook: Codebook) -> None:
    assert resolve([event("ana"), event("ben")], codebook).gold == {"s1": ()}


def test_reviewers_who_differ_dispute_the_sentence(codebook: Codebook) -> None:
    resolution = resolve([event("ana", "aid"), event("ben"), event("ana", "aid", sentence="s2")], codebook)

    assert resolution.disputed == ("s1",)
    assert resolution.gold == {"s2": ("aid",)}


@pytest.mark.parametrize("verdict", [("truce",), ()])
def test_an_adjudication_settles_a_dispute(codebook: Codebook, verdict: tuple[str, ...]) -> None:
    rows = [event("ana", "aid"), event("ben"), event("eva", *verdict, kind="adjudicate")]

    resolution = resolve(rows, codebook)

    assert resolution.gold == {"s1": verdict}
    assert resolution.disputed == ()


def test_an_adjudication_overrules_annotators_who_agree(codebook: Codebook) -> None:
    rows = [event("eva", "truce", "aid", kind="adjudicate"), event("ana", "aid"), event("ben", "aid")]

    assert resolve(rows, codebook).gold == {"s1": ("aid", "truce")}


def test_someone_who_skips_neither_agrees_nor_disputes(codebook: Codebook) -> None:
    resolution = resolve([event("ana", state="skipped"), event("ben", "aid")], codebook)

    assert resolution.gold == {"s1": ("aid",)}
    assert resolution.skipped == ()


def test_a_sentence_that_all_skipped_has_no_gold(codebook: Codebook) -> None:
    resolution = resolve([event("ana", state="skipped"), event("ben", state="skipped")], codebook)

    assert resolution.gold == {}
    assert resolution.skipped == ("s1",)


def test_an_undone_decision_counts_nowhere(codebook: Codebook) -> None:
    resolution = resolve([event("ana", "retired_label"), event("ana", kind="undo", state=None)], codebook)

    assert (resolution.gold, resolution.disputed, resolution.skipped) == ({}, (), ())


@pytest.mark.parametrize("kind", ["annotate", "adjudicate"])
def test_an_unknown_label_is_refused_with_sentence_annotator_and_near_label(
    codebook: Codebook, kind: EventKind
) -> None:
    with pytest.raises(CodebookError, match=r"sentence s9, annotator 'ana': label 'trce'.*did you mean 'truce'\?"):
        resolve([event("ana", "trce", sentence="s9", kind=kind)], codebook)


def test_two_labels_are_refused_where_the_codebook_is_exclusive(exclusive_codebook: Codebook) -> None:
    with pytest.raises(CodebookError, match="exclusive"):
        resolve([event("ana", "aid", "threat")], exclusive_codebook)


def test_resolving_alters_no_annotation(codebook: Codebook) -> None:
    rows = [event("ana", "truce", "aid"), event("ben"), event("eva", "aid", kind="adjudicate")]
    before = copy.deepcopy(rows)

    resolve(rows, codebook)

    assert rows == before
