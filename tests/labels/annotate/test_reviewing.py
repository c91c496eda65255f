"""Looking at one's own decisions: which are found, corrected, and shown beside those of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labels.annotate.prompt import run_prompt
from labels.annotate.reviewing import Filters, ReviewSession
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook
from labels.errors import InputError
from labels.records import Annotation, State
from labels.sampling.drawing import DrawRequest
from labels.store import Store
from tests.labels.annotate.conftest import OpenScreen
from tests.labels.store.builders import decision

GIVEN: list[tuple[str, State, tuple[str, ...], str]] = [
    ("Talks began", "reviewed", (), ""),
    ("Norland pledged", "reviewed", ("aid",), "40 trucks: sure?"),
    ("The envoy", "reviewed", ("truce",), ""),
    ("Rain kept", "skipped", (), "what rain"),
    ("Norland will", "reviewed", ("aid", "truce"), ""),
]


@pytest.fixture
def decided(store: Store, ids: dict[str, str]) -> Store:
    """Ana has decided on five sentences, one a day; ben on all of them."""
    for day, (key, state, labels, note) in enumerate(GIVEN, start=1):
        moment = f"2026-03-0{day}T12:00:00+00:00"
        own = decision(ids[key], "ana", state=state, labels=labels, note=note, created_at=moment)
        store.events.add([own, decision(ids[key], "ben", labels=("truce",), note="mine")])
    return store


def session(store: Store, codebook: Codebook, unblind: bool = False, **filters: object) -> ReviewSession:
    return ReviewSession(store, codebook, "ana", Filters(**filters), unblind=unblind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "days"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"label": "aid"}, [5, 2]),
        ({"label": "none"}, [1]),
        ({"state": "skipped"}, [4]),
        ({"noted": True}, [4, 2]),
        ({"words": "NORLAND"}, [5, 2]),
        ({"words": '"what rain"'}, [4]),
        ({"since": "2026-03-03T12:00:00+00:00"}, [5, 4, 3]),
        ({"label": "truce", "words": "envoy"}, [3]),
        ({"label": "truce", "noted": True}, []),
    ],
)
def test_filters_choose_among_ones_own_decisions(
    decided: Store, codebook: Codebook, filters: dict[str, object], days: list[int]
) -> None:
    rows = session(decided, codebook, **filters).rows()

    assert [row.created_at[:10] for row in rows] == [f"2026-03-0{day}" for day in days]
    assert all(row.others == () for row in rows)


def test_a_label_that_the_codebook_lacks_is_named(decided: Store, codebook: Codebook) -> None:
    with pytest.raises(InputError, match=r"no label 'trce' \(did you mean 'truce'\?\)"):
        session(decided, codebook, label="trce")


def draw_and_decide(store: Store, codebook: Codebook) -> Annotation:
    first = LabellingSession(store, codebook, "ana", DrawRequest(size=1))
    first.review(["aid"], "then")
    return store.events.all()[-1]


def test_a_correction_is_a_new_event_of_the_same_draw(store: Store, codebook: Codebook) -> None:
    before = draw_and_decide(store, codebook)
    review = session(store, codebook)

    review.review(["truce"], "now")

    kept, correction = store.events.all()
    assert kept == before
    assert (correction.labels, correction.note, correction.informed) == (("truce",), "now", False)
    assert (correction.draw_id, correction.strategy) == (before.draw_id, "random")
    assert correction.inclusion_probability == before.inclusion_probability
    item = review.current()
    assert item is not None
    assert item.decision is not None
    assert (item.decision.labels, item.news) == (("truce",), "Corrected.")


def test_only_corrections_are_undone(store: Store, codebook: Codebook) -> None:
    before = draw_and_decide(store, codebook)
    review = session(store, codebook)
    assert not review.undo()

    review.review([])
    assert review.undo()
    assert not review.undo()

    assert [event.event for event in store.events.all()] == ["annotate", "annotate", "undo"]
    assert [row.said for row in session(store, codebook).rows()] == ["aid"]
    assert store.events.all()[0] == before


def test_a_look_at_others_marks_later_decisions_there(decided: Store, codebook: Codebook, ids: dict[str, str]) -> None:
    review = session(decided, codebook, unblind=True, label="aid")
    shown = {row.text.split()[1]: row.others for row in review.rows()}
    assert shown == {"will": ("ben: truce",), "pledged": ("ben: truce",)}

    review.review([])
    assert decided.events.all()[-1].informed
    (skipped,) = session(decided, codebook, unblind=True, state="skipped").rows()
    assert skipped.others == (), "who skips has not decided"
    decided.events.add([replace(decision(ids["The envoy"]), created_at="2999-01-01T00:00:00+00:00")])
    assert not decided.events.all()[-1].informed


def test_the_screen_corrects_and_stays(decided: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(session(decided, codebook))
    assert screen.text("top").startswith("ana · reviewing")
    assert "[x] aid" in screen.text("choices")
    assert "ben" not in screen.text("remarks")

    screen.press("f4")
    assert screen.shows("2 s Rain kept the ferries in port.")
    screen.press("end", "enter", "t", "enter")
    assert screen.text("remarks").split("\n") == ["Corrected.", "Your earlier decision: truce"]
    screen.press("left")
    assert screen.text("sentence").startswith("Norland pledged")
    assert "! 40 trucks: sure?" in screen.text("remarks")


def test_plain_mode_goes_to_a_decision_by_its_number(
    decided: Store, codebook: Codebook, typing: Callable[..., Callable[[str], str]]
) -> None:
    said: list[str] = []
    run_prompt(session(decided, codebook), codebook, typing(":9", ":4", "T", "q"), said.append)

    assert "There is no sentence 9 in this draw." in said
    (correction,) = decided.events.all()[10:]
    assert decided.documents.sentences([correction.sentence_id])[0].text.startswith("Norland pledged")
    assert correction.labels == ("truce",)


@pytest.fixture
def typing() -> Callable[..., Callable[[str], str]]:
    """Makes a function that returns typed lines one by one."""

    def make(*lines: str) -> Callable[[str], str]:
        rest = iter(lines)
        return lambda _: next(rest)

    return make


def test_confirming_what_stands_records_nothing(decided: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    events = decided.events.all()
    review = session(decided, codebook)
    screen = open_screen(review)
    screen.press("enter", "right", "enter")

    assert review.corrected == 0
    assert len(decided.events.all()) == len(events)
