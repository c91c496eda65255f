from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from labels.codebook import Codebook
from labels.errors import CodebookError
from labels.records import Annotation, Document, Sentence
from labels.session import Item, LabellingSession
from labels.store import Draw, Store

PAST = "2001-01-01T00:00:00.000000+00:00"


@dataclass
class Clock:
    """Seconds that pass when told to."""

    time: float = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def store() -> Iterator[Store]:
    """One document of four sentences, the third of them page furniture."""
    text = "One here. Two here. Share this. Three here."
    document = Document("paper", text, title="The title")
    spans = [(0, 9, ""), (10, 19, ""), (20, 31, "share line"), (32, 43, "")]
    rows = [Sentence(document.id, a, b, text[a:b], boilerplate=why) for a, b, why in spans]
    with Store("store.db") as opened:
        opened.add_documents([(document, rows)])
        yield opened


def current(session: LabellingSession) -> Item:
    item = session.current()
    assert item is not None
    return item


def stored(store: Store) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(event.event, event.state, event.labels) for event in store.events()]


def test_the_draw_is_handed_out_one_by_one_to_the_end(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    texts, counts = [], []
    while (item := session.current()) is not None:
        texts.append(item.sentence.text)
        counts.append((session.decided, session.remaining))
        session.review([])

    assert sorted(texts) == ["One here.", "Three here.", "Two here."]
    assert counts == [(0, 3), (1, 2), (2, 1)]
    assert (session.decided, session.remaining) == (3, 0)


def test_only_as_many_sentences_are_drawn_as_asked_for(store: Store, codebook: Codebook) -> None:
    assert LabellingSession(store, codebook, "ana", size=2).remaining == 2


def test_an_item_shows_the_neighbours_and_the_title(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    items = {}
    while (item := session.current()) is not None:
        items[item.sentence.text] = (item.before, item.after, item.title)
        session.skip()

    assert items["One here."] == ("", "Two here.", "The title")
    assert items["Two here."] == ("One here.", "Share this.", "The title")
    assert items["Three here."] == ("Share this.", "", "The title")


def test_a_sentence_whose_document_is_elsewhere_has_no_title(codebook: Codebook) -> None:
    with Store("other.db") as store:
        store.add_sentences([Sentence("elsewhere", 0, 4, "One.")])

        item = current(LabellingSession(store, codebook, "ana"))

    assert (item.sentence.text, item.before, item.after, item.title) == ("One.", "", "", "")


def test_without_anything_to_label_there_is_no_item(codebook: Codebook) -> None:
    with Store("other.db") as store:
        session = LabellingSession(store, codebook, "ana")

        assert session.current() is None
        assert (session.remaining, session.decided) == (0, 0)
        assert not session.undo()


def test_a_review_is_stored_whole_before_it_returns(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", seed=5, clock=clock)
    sentence = current(session).sentence
    clock.time += 2.5
    session.review(["truce", "aid", "truce"], "a note")

    with Store("store.db") as another:
        (event,) = another.events()
        assert another.codebook(event.codebook_hash) == codebook
    assert event == replace(
        event,
        sentence_id=sentence.id,
        annotator="ana",
        event="annotate",
        state="reviewed",
        labels=("aid", "truce"),
        codebook_hash=codebook.hash,
        note="a note",
        seconds=2.5,
        suggestion=None,
        blind=False,
        strategy="random",
        inclusion_probability=1.0,
    )


def test_reviewed_none_and_skipped_are_told_apart(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.review([])
    session.skip("cut off")

    assert stored(store) == [("annotate", "reviewed", ()), ("annotate", "skipped", ())]
    assert [event.note for event in store.events()] == ["", "cut off"]


def test_a_label_that_the_codebook_lacks_leaves_everything_as_it_was(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    before = session.current()

    with pytest.raises(CodebookError, match=r"label 'trce'.*did you mean 'truce'\?"):
        session.review(["trce"])

    assert store.events() == []
    assert session.current() == before
    assert session.remaining == 3


def test_a_set_that_an_exclusive_codebook_forbids_is_refused(store: Store, exclusive_codebook: Codebook) -> None:
    session = LabellingSession(store, exclusive_codebook, "ana")

    with pytest.raises(CodebookError, match="exclusive"):
        session.review(["aid", "threat"])
    assert store.events() == []


def test_the_time_of_each_decision_counts_from_when_its_sentence_was_shown(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", clock=clock)
    for seconds in (1.0, 4.0):
        session.current()
        clock.time += seconds
        session.review([])
        clock.time += 10

    assert [event.seconds for event in store.events()] == [1.0, 4.0]


def test_showing_a_sentence_again_does_not_restart_its_time(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", clock=clock)
    for seconds in (30.0, 2.0):
        session.current()
        clock.time += seconds
    session.review([])

    assert [event.seconds for event in store.events()] == [32.0]


def test_undo_takes_decisions_back_one_by_one_and_shows_their_sentences(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    shown = []
    for _ in range(2):
        shown.append(current(session).sentence.id)
        session.review(["aid"])

    assert session.undo()
    assert current(session).sentence.id == shown[1]
    assert session.undo()
    assert current(session).sentence.id == shown[0]
    assert (session.decided, session.remaining) == (0, 3)
    assert not session.undo()
    assert stored(store)[2:] == [("undo", None, ()), ("undo", None, ())]
    assert [event.sentence_id for event in store.events()] == [*shown, *reversed(shown)]


def test_a_decision_after_an_undo_stands(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.review(["aid"])
    session.undo()
    session.review(["truce"])

    assert stored(store) == [
        ("annotate", "reviewed", ("aid",)),
        ("undo", None, ()),
        ("annotate", "reviewed", ("truce",)),
    ]
    assert (session.decided, session.remaining) == (1, 2)


def test_who_comes_back_goes_on_where_they_stopped_and_can_undo(store: Store, codebook: Codebook) -> None:
    first = LabellingSession(store, codebook, "ana")
    shown = []
    for _ in range(2):
        shown.append(current(first).sentence.id)
        first.review([])
    following = current(first).sentence.id

    second = LabellingSession(store, codebook, "ana", seed=99)

    assert (second.decided, second.remaining) == (2, 1)
    assert current(second).sentence.id == following
    assert second.undo()
    assert current(second).sentence.id == shown[1]


def test_decisions_are_undone_in_the_order_in_which_they_stand_after_coming_back(
    store: Store, codebook: Codebook
) -> None:
    first = LabellingSession(store, codebook, "ana")
    shown = []
    for _ in range(2):
        shown.append(current(first).sentence.id)
        first.review([])
    first.undo()
    first.review(["aid"])

    second = LabellingSession(store, codebook, "ana")
    second.undo()
    second.undo()

    assert [event.sentence_id for event in store.events()[-2:]] == [shown[1], shown[0]]


def test_two_annotators_are_never_handed_the_same_sentence(store: Store, codebook: Codebook) -> None:
    ana = LabellingSession(store, codebook, "ana", size=2)
    ben = LabellingSession(store, codebook, "ben", size=2)
    seen = []
    for session in (ana, ben, ana):
        seen.append(current(session).sentence.id)
        session.review([])

    assert len(set(seen)) == 3
    assert ana.current() is None
    assert ben.current() is None


def test_a_sentence_whose_decision_was_undone_is_handed_to_nobody_else(store: Store, codebook: Codebook) -> None:
    ana = LabellingSession(store, codebook, "ana", size=3)
    ana.review(["aid"])
    ana.undo()

    ben = LabellingSession(store, codebook, "ben")

    assert ana.remaining == 3
    assert ben.remaining == 0


def test_who_resumes_an_old_draw_shares_no_sentence_with_the_next(store: Store, codebook: Codebook) -> None:
    ids = store.unseen()
    old = Draw("old", "random", "ana", "f", 3, 1, PAST, tuple((identifier, 1.0) for identifier in ids))
    store.add_draw(old, expires_at=PAST)

    ana = LabellingSession(store, codebook, "ana")
    ben = LabellingSession(store, codebook, "ben")

    assert ana.remaining == 3
    assert ben.remaining == 0


def test_decisions_of_other_draws_and_people_are_not_counted(store: Store, codebook: Codebook) -> None:
    imported = Annotation("e1", store.unseen()[0], "ana", "annotate", "reviewed", (), "hash", PAST)
    store.append([imported, replace(imported, event_id="e2", annotator="ben")])

    session = LabellingSession(store, codebook, "ana")

    assert (session.decided, session.remaining) == (0, 2)
    assert not session.undo()
