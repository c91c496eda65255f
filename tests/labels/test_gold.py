from __future__ import annotations

import copy

import pytest

from labels.codebook.changes import Step
from labels.codebook.reading import CodebookHistory, Edge
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError
from labels.gold import Resolution, resolve
from labels.records import Annotation, EventKind, State


def event(
    annotator: str,
    *labels: str,
    sentence: str = "s1",
    kind: EventKind = "annotate",
    state: State | None = "reviewed",
    made: str = "hash",
) -> Annotation:
    return Annotation(f"{annotator}-{kind}-{labels}", sentence, annotator, kind, state, labels, made, "2026-01-01")


def test_agreed_labels_are_gold(codebook: Codebook) -> None:
    resolution = resolve([event("ana", "aid"), event("ben", "aid")], codebook)

    assert resolution.gold == {"s1": ("aid",)}
    assert resolution.disputed == resolution.skipped == ()


def test_one_reviewer_is_enough(codebook: Codebook) -> None:
    assert resolve([event("ana", "truce")], codebook).gold == {"s1": ("truce",)}


def test_label_order_does_not_matter(codebook: Codebook) -> None:
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


def test_a_skip_neither_agrees_nor_disputes(codebook: Codebook) -> None:
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


def test_an_exclusive_codebook_refuses_two_labels(exclusive_codebook: Codebook) -> None:
    with pytest.raises(CodebookError, match="exclusive"):
        resolve([event("ana", "aid", "threat")], exclusive_codebook)


def test_resolving_alters_no_annotation(codebook: Codebook) -> None:
    rows = [event("ana", "truce", "aid"), event("ben"), event("eva", "aid", kind="adjudicate")]
    before = copy.deepcopy(rows)

    resolve(rows, codebook)

    assert rows == before


# -- several versions of the codebook


def version(number: str, labels: str) -> Codebook:
    rows = [{"name": label} for label in labels.split()]
    return codebook_from_dict({"name": "small", "version": number, "labels": rows}, "small")


FIRST, SECOND, THIRD = version("1", "aid truce"), version("2", "loan gift truce"), version("3", "loan gift halt")
V1, V2, V3 = FIRST.hash, SECOND.hash, THIRD.hash
HISTORY = CodebookHistory(
    {book.hash: book for book in (FIRST, SECOND, THIRD)},
    (
        Edge(V1, V2, (Step("split", ("aid",), ("loan", "gift")),)),
        Edge(V2, V3, (Step("rename", ("truce",), ("halt",)),)),
    ),
)


def under_third(*events: Annotation) -> Resolution:
    return resolve(events, THIRD, HISTORY)


def test_earlier_annotations_are_read_through_recorded_changes() -> None:
    resolution = under_third(event("ana", "truce", made=V1), event("ben", "halt", made=V3))

    assert resolution.gold == {"s1": ("halt",)}
    assert (resolution.migrated, resolution.reworded) == (1, 0)


def test_a_sentence_that_a_change_leaves_undecided_has_no_gold() -> None:
    resolution = under_third(
        event("ana", "aid", made=V1), event("ben", "aid", made=V1), event("ana", made=V1, sentence="s2")
    )

    assert resolution.undecided == ("s1",)
    assert resolution.gold == {"s2": ()}
    assert (resolution.disputed, resolution.skipped) == ((), ())


@pytest.mark.parametrize("made", [V2, V3])
def test_a_decision_under_the_new_version_replaces_undecided_ones(made: str) -> None:
    rows = [event("ana", "aid", made=V1), event("ben", "aid", made=V1), event("eva", "loan", made=made)]

    for order in (rows, rows[::-1]):
        assert under_third(*order).gold == {"s1": ("loan",)}


def test_a_complete_annotation_of_the_same_version_wins_no_dispute() -> None:
    resolution = under_third(event("ana", "aid", made=V1), event("ben", made=V1))

    assert (resolution.gold, resolution.disputed, resolution.undecided) == ({}, (), ("s1",))


def test_a_complete_old_annotation_disputes_a_new_one() -> None:
    resolution = under_third(
        event("ana", "aid", made=V1), event("ben", "truce", made=V1), event("eva", "loan", made=V2)
    )

    assert (resolution.disputed, resolution.undecided) == (("s1",), ())


def test_relabelling_replaces_ones_own_annotation() -> None:
    assert under_third(event("ana", "aid", made=V1), event("ana", "gift", made=V3)).gold == {"s1": ("gift",)}


def test_a_skip_does_not_decide_what_is_undecided() -> None:
    rows = [event("ana", "aid", made=V1), event("ben", state="skipped", made=V3)]

    assert under_third(*rows).undecided == ("s1",)


def test_an_adjudication_of_an_earlier_version_counts_where_it_decides() -> None:
    rows = [
        event("ana", "halt", made=V3),
        event("ben", made=V3),
        event("eva", "truce", made=V1, kind="adjudicate"),
    ]

    assert under_third(*rows).gold == {"s1": ("halt",)}


def test_an_undecided_adjudication_gives_way_only_to_newer_decisions() -> None:
    overruled = event("ben", "truce", made=V1)
    verdict = event("eva", "aid", made=V1, kind="adjudicate")

    assert under_third(overruled, verdict).undecided == ("s1",)
    assert under_third(overruled, verdict, event("ana", "loan", made=V2)).gold == {"s1": ("loan",)}
    newer = (event("ana", "loan", made=V2), event("pia", "gift", made=V3))
    assert under_third(overruled, verdict, *newer).disputed == ("s1",)


def test_rewording_changes_nothing_and_is_counted() -> None:
    reworded = version("1.1", "truce aid")
    resolution = resolve([event("ana", "aid", made=V1), event("ben", "aid", made=reworded.hash)], reworded, HISTORY)

    assert resolution.gold == {"s1": ("aid",)}
    assert (resolution.migrated, resolution.reworded) == (0, 1)


def test_an_old_version_stays_usable_beside_annotations_of_a_newer_one() -> None:
    rows = [event("ana", "loan", made=V2), event("ben", "aid", "truce", made=V1, sentence="s2")]

    assert resolve(rows, FIRST, HISTORY).gold == {"s1": ("aid",), "s2": ("aid", "truce")}


def test_annotations_without_a_recorded_change_are_refused() -> None:
    other = version("9", "threat")
    rows = [event("ana", "aid", made=V1), event("ben", made=V1), event("ben", made=V1, kind="undo", state=None)]
    with pytest.raises(CodebookError, match=rf"\n  1 annotation was made under 'small' 1 \({V1}\)"):
        resolve(rows, other, HISTORY)
    assert resolve([event("ana", state="skipped", made=V1)], other, HISTORY).skipped == ("s1",)
