from __future__ import annotations

from typing import Any

import pytest

from labels.agreement.coefficients import Bootstrap
from labels.agreement.suggestion_effect import SuggestionEffect, suggestion_effect
from labels.codebook.changes import Step
from labels.codebook.reading import CodebookHistory, Edge
from labels.codebook.schema import codebook_from_dict
from labels.errors import DataError
from labels.records import Annotation, Sentence
from tests.labels.agreement.builders import review

SENTENCES = [Sentence(f"d{number:02}", number, number + 1, f"Sentence {number}.") for number in range(50)]
BY_ID = {sentence.id: sentence for sentence in SENTENCES}
BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]}, "small")
OLD_BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "help"}, {"name": "call"}]}, "small")


def says(sentence: int, *labels: str, annotator: str = "x", **fields: Any) -> Annotation:
    """A review of a sentence for which `aid` was suggested and shown, unless `fields` say otherwise."""
    return review(annotator, SENTENCES[sentence], labels, **({"suggestion": ("aid",)} | fields))


def effect(*events: Annotation, **options: Any) -> SuggestionEffect:
    return suggestion_effect(events, BY_ID, BOOK, bootstrap=Bootstrap(**({"draws": 100} | options)))


def test_shares_are_of_shown_and_withheld_suggestions() -> None:
    found = effect(says(0, "aid"), says(1, "aid"), says(2), says(3, "aid", blind=True), says(4, blind=True)).exact

    assert (found.n_shown, found.n_blind) == (3, 2)
    assert found.shown == pytest.approx(2 / 3)
    assert found.blind == 0.5
    assert found.difference.value == pytest.approx(2 / 3 - 1 / 2)


def test_the_whole_set_must_be_as_suggested_in_any_order() -> None:
    both = ("truce", "aid")

    found = effect(says(0, "aid", suggestion=both), says(1, "aid", "truce", suggestion=both))

    assert found.exact.shown == 0.5


def test_nothing_suggested_is_a_suggestion_too() -> None:
    found = effect(says(0, suggestion=()), says(1, "aid", suggestion=())).exact

    assert (found.n_shown, found.shown) == (2, 0.5)


def test_labels_are_split_by_whether_they_were_suggested() -> None:
    found = effect(says(0, "aid"), says(1, "truce"), says(2, "aid", blind=True, suggestion=("truce",)))

    aid, truce = found.per_label["aid"], found.per_label["truce"]
    assert (aid.suggested.n_shown, aid.suggested.shown, aid.suggested.n_blind) == (2, 0.5, 0)
    assert (aid.not_suggested.n_shown, aid.not_suggested.n_blind, aid.not_suggested.blind) == (0, 1, 1)
    assert (truce.suggested.n_blind, truce.suggested.blind) == (1, 0)
    assert (truce.not_suggested.n_shown, truce.not_suggested.shown) == (2, 0.5)


@pytest.mark.parametrize(("blind", "missing"), [(False, "withheld"), (True, "shown")])
def test_without_both_kinds_there_is_no_difference(blind: bool, missing: str) -> None:
    found = effect(says(0, "aid", blind=blind)).exact

    assert (found.blind if blind else found.shown) == 1
    assert (found.shown if blind else found.blind) is None
    assert found.difference.value is None
    assert found.difference.undefined == f"there is no decision of this kind with a {missing} suggestion"


def test_without_suggestions_figures_are_undefined() -> None:
    for events in ([], [says(0, suggestion=None)], [says(0, state="skipped")]):
        found = effect(*events)

        assert (found.exact.n_shown, found.exact.n_blind, found.n_documents) == (0, 0, 0)
        assert (found.exact.shown, found.exact.difference.value) == (None, None)


def test_undone_and_replaced_decisions_do_not_count() -> None:
    undone = [says(0), says(0, event="undo", state=None)]
    replaced = [says(1), says(1, "aid"), says(1, suggestion=None)]

    found = effect(*undone, *replaced).exact

    assert (found.n_shown, found.shown) == (1, 1)


@pytest.mark.parametrize("strategy", ["retest", "audit"])
def test_what_was_shown_once_is_not_withheld_from_a_later_decision(strategy: str) -> None:
    again = {"blind": True, "strategy": strategy}

    found = effect(says(0, "aid"), says(1, "aid"), says(0, **again), says(1, **again)).exact

    assert (found.n_shown, found.n_blind, found.shown) == (2, 0, 1)


def test_a_retest_does_not_replace_the_first_decision() -> None:
    found = effect(says(0, "aid", blind=True), says(0, blind=True, strategy="retest")).exact

    assert (found.n_shown, found.n_blind, found.blind) == (0, 1, 1)


@pytest.mark.parametrize("strategy", ["audit", "overlap", "retest"])
def test_draws_that_withhold_every_suggestion_are_no_control_group(strategy: str) -> None:
    by_chance = [says(number, "aid", blind=number % 5 == 0, strategy="uncertainty") for number in range(20)]
    always = [says(number, blind=True, strategy=strategy) for number in range(20, 50)]

    found = effect(*by_chance, *always)

    assert (found.exact.n_shown, found.exact.n_blind, found.always_blind) == (16, 4, 30)
    assert found.exact.difference.value == 0


def test_only_what_has_no_other_decision_is_counted_as_left_out() -> None:
    found = effect(says(0, "aid"), says(0, blind=True, strategy="audit"), says(1, suggestion=None, strategy="audit"))

    assert (found.exact.n_shown, found.always_blind) == (1, 0)


def test_suggestions_in_other_words_are_left_out_and_counted() -> None:
    found = effect(says(0, suggestion=("threat",)), says(1, "threat"), says(2, "aid"))

    assert found.unreadable == 2
    assert found.exact.n_shown == 1


def changed(*steps: Step) -> CodebookHistory:
    return CodebookHistory({OLD_BOOK.hash: OLD_BOOK, BOOK.hash: BOOK}, (Edge(OLD_BOOK.hash, BOOK.hash, steps),))


def test_decisions_and_suggestions_of_an_older_codebook_are_read() -> None:
    then = {"suggestion": ("help",), "codebook_hash": OLD_BOOK.hash}
    events = [says(0, "help", **then), says(1, "call", blind=True, **then)]
    history = changed(Step("rename", ("help",), ("aid",)), Step("rename", ("call",), ("truce",)))

    found = suggestion_effect(events, BY_ID, BOOK, history, Bootstrap(draws=1))

    assert found.unreadable == 0
    assert (found.exact.shown, found.exact.blind) == (1, 0)
    assert found.per_label["aid"].suggested.n_blind == 1
    assert found.per_label["truce"].not_suggested.blind == 1


def test_undecided_decisions_are_left_out_and_counted() -> None:
    then = {"codebook_hash": OLD_BOOK.hash}
    events = [
        says(0, "help", suggestion=(), **then),
        says(1, suggestion=("help",), **then),
        says(2, suggestion=(), **then),
    ]
    history = changed(Step("split", ("help",), ("aid", "truce")), Step("retire", ("call",), ()))

    found = suggestion_effect(events, BY_ID, BOOK, history, Bootstrap(draws=1))

    assert (found.unreadable, found.exact.n_shown) == (2, 1)


def test_the_interval_of_a_difference_resamples_documents() -> None:
    events = [
        event
        for number in range(40)
        for event in (
            says(number, *["aid"] * (number % 10 < 9)),
            says(number, *["aid"] * (number % 2), annotator="y", blind=True),
        )
    ]

    difference = effect(*events, seed=1).exact.difference

    assert difference.value == pytest.approx(0.9 - 0.5)
    assert difference.low is not None
    assert difference.high is not None
    assert 0 < difference.low < 0.4 < difference.high < 0.8
    assert effect(*events, seed=1).exact.difference == difference
    assert effect(*events, seed=2).exact.difference != difference


def test_both_kinds_need_twenty_documents_for_an_interval() -> None:
    shown = [says(number, "aid") for number in range(30)]
    blind = [says(number, annotator="y", blind=True) for number in range(20)]

    assert effect(*shown, *blind[:19]).exact.difference.no_interval == "fewer than 20 documents: 19"
    assert effect(*shown, *blind).exact.difference.no_interval == ""


def test_a_sentence_without_its_text_is_an_error() -> None:
    with pytest.raises(DataError, match=SENTENCES[0].id):
        suggestion_effect([says(0)], {}, BOOK)
