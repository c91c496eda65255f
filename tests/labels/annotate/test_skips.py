"""Skipped sentences come back, and spans that are not sentences leave the corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.prompt import NOT_A_SENTENCE, run_prompt
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError
from labels.gold import resolve
from labels.records import State
from labels.sampling.drawing import DrawRequest
from labels.store import Store
from tests.labels.annotate.conftest import OpenScreen
from tests.labels.store.builders import decision

ALL = DrawRequest(size=6)


def session(store: Store, codebook: Codebook, annotator: str = "ana", request: DrawRequest = ALL) -> LabellingSession:
    return LabellingSession(store, codebook, annotator, request)


def states(store: Store, annotator: str = "ana") -> list[State | None]:
    return [event.state for event in store.events.all(annotator=annotator)]


def typed(made: LabellingSession | AdjudicationSession, codebook: Codebook, *lines: str) -> list[str]:
    """What the prompt said."""
    answers, said = iter(lines), list[str]()

    def ask(prompt: str) -> str:
        said.append(prompt)
        if (answer := next(answers, None)) is None:
            raise EOFError
        return answer

    run_prompt(made, codebook, ask, said.append)
    return said


# -- skips


def test_skipped_sentences_come_back_once_at_the_end_of_the_draw(store: Store, codebook: Codebook) -> None:
    said = typed(session(store, codebook), codebook, "s", "n", "n", "s", "n", "n", "a", "s")

    assert sum("You skipped this sentence." in line for line in said) == 2
    assert Counter(states(store)) == {"skipped": 3, "reviewed": 5}
    assert "All sentences of this draw are decided." in said[-1]


def test_a_skip_that_is_taken_back_at_the_end_stands_again(store: Store, codebook: Codebook) -> None:
    made = session(store, codebook)
    made.skip()
    for _ in range(5):
        made.review([])
    item = made.current()
    assert item is not None
    assert (item.position, item.news.startswith("You skipped")) == (1, True)
    made.review(["aid"])
    assert made.undo()
    assert store.waiting.skipped() == [item.sentence.id]


def test_others_are_offered_what_someone_skipped(store: Store, codebook: Codebook) -> None:
    typed(session(store, codebook), codebook, "s", "n", "s", "n", "n", "n", "s", "s")

    made = session(store, codebook, "ben", DrawRequest("skipped"))
    assert made.total == 2
    assert session(store, codebook, "eva", DrawRequest("skipped")).total == 0  # reserved for ben
    typed(made, codebook, "t", "t")

    assert store.waiting.skipped() == []
    assert set(resolve(store.events.all(), codebook).gold.values()) == {(), ("truce",)}


def test_a_sentence_skipped_twice_is_left_to_others(store: Store, codebook: Codebook) -> None:
    typed(session(store, codebook), codebook, "s", *"nnnnn", "s")
    typed(session(store, codebook, "ana", DrawRequest("skipped")), codebook, "s", "s")

    assert session(store, codebook, "ana", DrawRequest("skipped")).total == 0
    assert session(store, codebook, "ben", DrawRequest("skipped")).total == 1


# -- not a sentence


def test_the_prompt_marks_a_span_as_not_a_sentence_and_undoes_it(store: Store, codebook: Codebook) -> None:
    said = typed(session(store, codebook), codebook, NOT_A_SENTENCE, "u", "!a caption", NOT_A_SENTENCE)

    assert any(f"[{NOT_A_SENTENCE}] not a sentence" in line for line in said)
    events = store.events.all()
    assert [(one.event, one.state, one.note) for one in events] == [
        ("annotate", "not_a_sentence", ""),
        ("undo", None, ""),
        ("annotate", "not_a_sentence", "a caption"),
    ]


@pytest.mark.parametrize("key", ["ctrl+n", "f9"])
def test_a_key_of_the_screen_marks_a_span_as_not_a_sentence(
    store: Store, codebook: Codebook, open_screen: OpenScreen, key: str
) -> None:
    screen = open_screen(session(store, codebook))
    first = screen.text("sentence")
    screen.press(key)
    assert states(store) == ["not_a_sentence"]
    assert screen.text("sentence") != first
    screen.press("left")
    assert screen.shows("Your earlier decision: not a sentence")
    screen.press("?")
    assert screen.shows("F9, Ctrl-N not a sentence")


@pytest.mark.parametrize("key", ["ctrl+n", ":n", "^n"])
def test_no_codebook_can_claim_the_key(key: str) -> None:
    with pytest.raises(CodebookError):
        codebook_from_dict({"name": "x", "labels": [{"name": "aid", "key": key}]}, "x")


def test_a_span_that_all_call_no_sentence_has_no_gold(codebook: Codebook) -> None:
    found = resolve(
        [
            decision("all", "ana", state="not_a_sentence"),
            decision("all", "ben", state="not_a_sentence"),
            decision("all", "eva", state="skipped"),
            decision("one", "ana", state="not_a_sentence"),
            decision("one", "ben", labels=("aid",)),
            decision("told", "ana", labels=("aid",)),
            decision("told", "ben"),
            decision("told", "eva", "adjudicate", state="not_a_sentence"),
            decision("back", "ana", state="not_a_sentence"),
            decision("back", "eva", "adjudicate", labels=("truce",)),
        ],
        codebook,
    )

    assert found.gold == {"back": ("truce",)}
    assert found.disputed == ("one",)
    assert set(found.not_sentences) == {"all", "told"}
    assert found.skipped == ()


def test_an_adjudicator_can_decide_that_it_is_not_a_sentence(
    store: Store, codebook: Codebook, ids: dict[str, str]
) -> None:
    store.events.add(
        [decision(ids["Rain kept"], "ana", state="not_a_sentence"), decision(ids["Rain kept"], "ben", labels=("aid",))]
    )
    said = typed(AdjudicationSession(store, codebook, "eva"), codebook, NOT_A_SENTENCE)

    assert "    [1] ana: not a sentence" in said
    assert resolve(store.events.all(), codebook).not_sentences == (ids["Rain kept"],)
    assert AdjudicationSession(store, codebook, "eva").total == 0


def test_the_rules_for_boilerplate_stay_as_they_are(store: Store, codebook: Codebook, isolated: Path) -> None:
    before = store.documents.sentences()
    made = session(store, codebook)
    for _ in range(6):
        made.mark_not_a_sentence()

    assert store.documents.sentences() == before
    assert store.counts.texts().boilerplate == 0
