from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.items import Item
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, InputError
from labels.gold import not_undone, standing
from labels.records import Annotation, Document, Sentence
from labels.sampling.drawing import DrawRequest
from labels.sampling.suggestions import Suggester
from labels.store import Draft, Draw, DrawItem, Store, last_midnight
from tests.labels.store.builders import PAST, added, decision, model, score_all


@dataclass
class Clock:
    """Seconds that pass when told to."""

    time: float = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def store() -> Iterator[Store]:
    """One document of four sentences, the third of them boilerplate."""
    text = "One here. Two here.\nShare this. Three here."
    document = Document("paper", text, title="The title", date="2026-02-03")
    spans = [(0, 9, ""), (10, 19, ""), (20, 31, "share line"), (32, 43, "")]
    rows = [Sentence(document.id, a, b, text[a:b], boilerplate=why) for a, b, why in spans]
    with Store("store.db") as opened:
        opened.documents.add([(document, rows)])
        yield opened


def current(session: LabellingSession) -> Item:
    item = session.current()
    assert item is not None
    return item


def stored(store: Store) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(event.event, event.state, event.labels) for event in store.events.all()]


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
    assert LabellingSession(store, codebook, "ana", DrawRequest(size=2)).remaining == 2


def test_an_item_shows_what_surrounds_it(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    items = {}
    while (item := session.current()) is not None:
        before = [sentence.text for sentence in item.context.before]
        after = [sentence.text for sentence in item.context.after]
        items[item.sentence.text] = (before, after, item.breaks)
        assert (item.context.title, item.context.date) == ("The title", "2026-02-03")
        session.skip()

    assert items["One here."] == ([], ["Two here.", "Share this."], (False, True))
    assert items["Two here."] == (["One here."], ["Share this.", "Three here."], (False, True, False))
    assert items["Three here."] == (["Two here.", "Share this."], [], (True, False))


def test_a_sentence_whose_document_is_elsewhere_has_no_title(codebook: Codebook) -> None:
    with Store("other.db") as store:
        store.add_annotated([Sentence("elsewhere", 0, 4, "One.")], [])

        item = current(LabellingSession(store, codebook, "ana"))

    assert (item.sentence.text, item.context.title, item.context.date, item.breaks) == ("One.", "", "", ())


def test_without_anything_to_label_there_is_no_item(codebook: Codebook) -> None:
    with Store("other.db") as store:
        session = LabellingSession(store, codebook, "ana")

        assert session.current() is None
        assert (session.remaining, session.decided) == (0, 0)
        assert not session.undo()


def test_a_review_is_stored_whole_before_it_returns(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", DrawRequest(seed=5), clock=clock)
    sentence = current(session).sentence
    clock.time += 2.5
    session.review(["truce", "aid", "truce"], "a note")

    with Store("store.db") as another:
        (event,) = another.events.all()
        assert another.codebooks.all()[event.codebook_hash] == codebook
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


def test_reviewed_none_differs_from_skipped(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.review([])
    session.skip("cut off")

    assert stored(store) == [("annotate", "reviewed", ()), ("annotate", "skipped", ())]
    assert [event.note for event in store.events.all()] == ["", "cut off"]


def test_an_unknown_label_changes_nothing(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    before = session.current()

    with pytest.raises(CodebookError, match=r"label 'trce'.*did you mean 'truce'\?"):
        session.review(["trce"])

    assert store.events.all() == []
    assert session.current() == before
    assert session.remaining == 3


def test_a_set_that_an_exclusive_codebook_forbids_is_refused(store: Store, exclusive_codebook: Codebook) -> None:
    session = LabellingSession(store, exclusive_codebook, "ana")

    with pytest.raises(CodebookError, match="exclusive"):
        session.review(["aid", "threat"])
    assert store.events.all() == []


def test_decision_time_counts_from_showing_the_sentence(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", clock=clock)
    for seconds in (1.0, 4.0):
        session.current()
        clock.time += seconds
        session.review([])
        clock.time += 10

    assert [event.seconds for event in store.events.all()] == [1.0, 4.0]


def test_showing_a_sentence_again_does_not_restart_its_time(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", clock=clock)
    for seconds in (30.0, 2.0):
        session.current()
        clock.time += seconds
    session.review([])

    assert [event.seconds for event in store.events.all()] == [32.0]


def test_undo_goes_back_decision_by_decision(store: Store, codebook: Codebook) -> None:
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
    assert [event.sentence_id for event in store.events.all()] == [*shown, *reversed(shown)]


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

    second = LabellingSession(store, codebook, "ana", DrawRequest(seed=99))

    assert (second.decided, second.remaining) == (2, 1)
    assert current(second).sentence.id == following
    assert second.undo()
    assert current(second).sentence.id == shown[1]


def test_a_resumed_session_undoes_in_order(store: Store, codebook: Codebook) -> None:
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

    assert [event.sentence_id for event in store.events.all()[-2:]] == [shown[1], shown[0]]


def test_two_annotators_are_never_handed_the_same_sentence(store: Store, codebook: Codebook) -> None:
    ana = LabellingSession(store, codebook, "ana", DrawRequest(size=2))
    ben = LabellingSession(store, codebook, "ben", DrawRequest(size=2))
    seen = []
    for session in (ana, ben, ana):
        seen.append(current(session).sentence.id)
        session.review([])

    assert len(set(seen)) == 3
    assert ana.current() is None
    assert ben.current() is None


def test_an_undone_sentence_stays_reserved(store: Store, codebook: Codebook) -> None:
    ana = LabellingSession(store, codebook, "ana", DrawRequest(size=3))
    ana.review(["aid"])
    ana.undo()

    ben = LabellingSession(store, codebook, "ben")

    assert ana.remaining == 3
    assert ben.remaining == 0


def test_who_resumes_an_old_draw_shares_no_sentence_with_the_next(store: Store, codebook: Codebook) -> None:
    ids = store.unseen.ids()
    old = Draw("old", "random", "ana", "f", 3, 1, PAST, tuple(DrawItem(identifier, 1.0) for identifier in ids))
    store.draws.add([old], expires_at=PAST)

    ana = LabellingSession(store, codebook, "ana")
    ben = LabellingSession(store, codebook, "ben")

    assert ana.remaining == 3
    assert ben.remaining == 0


def test_decisions_of_other_draws_and_people_are_not_counted(store: Store, codebook: Codebook) -> None:
    imported = Annotation("e1", store.unseen.ids()[0], "ana", "annotate", "reviewed", (), "hash", PAST)
    store.events.add([imported, replace(imported, event_id="e2", annotator="ben")])

    session = LabellingSession(store, codebook, "ana")

    assert (session.decided, session.remaining) == (0, 2)
    assert not session.undo()


@pytest.mark.parametrize("come_back", [True, False])
def test_undo_takes_back_the_shown_label_not_a_later_adjudication(
    store: Store, codebook: Codebook, come_back: bool
) -> None:
    ana = LabellingSession(store, codebook, "ana")
    sentence = current(ana).sentence.id
    ana.review(["aid"])
    store.events.add([decision(sentence, "ben", codebook_hash=codebook.hash)])
    verdicts = AdjudicationSession(store, codebook, "ana")
    verdicts.review(["truce"])
    if come_back:
        ana = LabellingSession(store, codebook, "ana")

    assert ana.undo()

    assert (current(ana).sentence.id, ana.decided) == (sentence, 0)
    stands = standing(store.events.all())
    assert list(stands.annotations) == [(sentence, "ben")]
    assert stands.adjudications[sentence].labels == ("truce",)
    assert store.counts.label_sets() == {(): 1}
    assert verdicts.undo()
    assert standing(store.events.all()).adjudications == {}


def test_undo_takes_back_the_shown_label_not_its_retest(store: Store, codebook: Codebook) -> None:
    first = LabellingSession(store, codebook, "ana")
    first.review(["aid"])
    retest = LabellingSession(store, codebook, "ana", DrawRequest("retest", retest_after=timedelta(0)))
    retest.review(["truce"])

    assert LabellingSession(store, codebook, "ana").undo()

    assert [event.strategy for event in not_undone(store.events.all())] == ["retest-only"]
    assert standing(store.events.all()).annotations == {}  # a retest only measures


# -- moving


def many(store: Store, n: int = 12) -> Store:
    """A store with more to label."""
    added(store, n - 3, "another document")
    return store


def position(session: LabellingSession) -> int:
    return current(session).position


def test_one_can_move_within_the_draw_but_not_beyond_its_ends(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(many(store), codebook, "ana")
    seen = [position(session)]
    moves = [session.move(step) for step in (-1, 3, -2, 10, 11)]
    seen.append(position(session))

    assert moves == [False, True, True, True, False]
    assert seen == [1, 12]


def test_one_can_go_to_any_sentence_by_its_position(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(many(store), codebook, "ana")
    first = current(session)

    assert session.go_to(7)
    assert position(session) == 7
    assert not session.go_to(0)
    assert not session.go_to(13)
    assert position(session) == 7
    assert session.go_to(1)
    assert current(session) == first


def test_from_the_end_one_can_move_back_to_the_last_sentence(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    for _ in range(3):
        session.review(["aid"])
    assert session.current() is None
    assert not session.move(1)

    assert session.move(-1)
    item = current(session)
    assert item.position == 3
    assert item.decision is not None
    assert item.decision.labels == ("aid",)


def test_a_decision_moves_to_the_next_undecided_sentence(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(many(store, 4), codebook, "ana")
    session.go_to(3)
    seen = []
    while (item := session.current()) is not None:
        seen.append(item.position)
        session.review([])

    assert seen == [3, 4, 1, 2]


def test_going_on_passes_over_what_is_decided_on(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(many(store, 5), codebook, "ana")
    for place in (2, 3):
        session.go_to(place)
        session.review([])
    session.go_to(2)
    session.go_on()
    assert position(session) == 4

    session.go_to(5)
    session.review([])
    session.go_to(5)
    session.go_on()
    assert position(session) == 1


def test_find_goes_to_the_next_match_and_wraps(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    found = []
    for _ in range(3):
        assert session.find("T")
        found.append(current(session).sentence.text)

    assert set(found) == {"Two here.", "Three here."}
    assert found[0] == found[2] != found[1]
    assert session.find("ONE HERE")
    assert current(session).sentence.text == "One here."
    assert session.find("one")
    assert current(session).sentence.text == "One here."


def test_find_ignores_the_typography(store: Store, codebook: Codebook) -> None:
    typed = "They won’t keep the cease\u2011ﬁre\u00a0now."
    store.documents.add([(Document("x", typed), [Sentence("x", 0, len(typed), typed)])])
    session = LabellingSession(store, codebook, "ana")

    for words in ("won't keep", "WON’T", "cease-fire now"):
        session.go_to(1)
        assert session.find(words)
        assert current(session).sentence.text == typed
    assert not session.find("\u200b")


def test_find_stays_where_it_is_when_nothing_holds_the_words(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.go_to(2)

    assert not session.find("Share this")  # boilerplate is not in the draw
    assert not session.find("nowhere")
    assert position(session) == 2


# -- drafts


def test_what_was_typed_survives_moving_and_a_new_session(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.keep_draft(["truce"], "unsure")
    assert current(session).draft == Draft(("truce",), "unsure")
    session.move(1)
    assert current(session).draft == Draft()
    session.move(-1)
    assert current(session).draft == Draft(("truce",), "unsure")

    with Store("store.db") as another:
        item = current(LabellingSession(another, codebook, "ana"))
    assert (item.position, item.draft) == (1, Draft(("truce",), "unsure"))
    assert store.events.all() == []


@pytest.mark.parametrize("skipped", [True, False])
def test_a_decision_ends_the_draft(store: Store, codebook: Codebook, skipped: bool) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.keep_draft(["truce"], "unsure")
    if skipped:
        session.skip()
    else:
        session.review(["aid"])
    session.undo()

    # After the undo, the decision is the draft, and not what was typed before it.
    assert current(session).draft == Draft(() if skipped else ("aid",))


# -- deciding anew


def test_a_decided_sentence_can_be_decided_again(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.review(["aid"])
    session.go_to(1)
    before = current(session).decision
    session.review(["truce"], "better so")
    session.go_to(1)

    assert before is not None
    assert before.labels == ("aid",)
    assert (session.decided, session.remaining) == (1, 2)
    item = current(session)
    assert item.decision is not None
    assert (item.decision.labels, item.decision.note) == (("truce",), "better so")
    assert stored(store) == [("annotate", "reviewed", ("aid",)), ("annotate", "reviewed", ("truce",))]


@pytest.mark.parametrize("come_back", [True, False])
def test_undoing_a_new_decision_lets_the_first_stand_again(store: Store, codebook: Codebook, come_back: bool) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.review(["aid"])
    session.review([])
    session.go_to(1)
    session.review(["truce"])
    if come_back:
        session = LabellingSession(store, codebook, "ana")

    assert session.undo()
    item = current(session)
    assert (item.position, session.decided) == (1, 2)
    assert item.decision is not None
    assert item.decision.labels == ("aid",)
    assert store.counts.reviewed() == (2, 0)

    undone = []
    while session.undo():
        undone.append(position(session))
    assert undone == [2, 1]
    assert (session.decided, store.counts.reviewed()) == (0, (0, 0))


@pytest.mark.parametrize("seed", range(3))
def test_every_decision_can_be_undone_over_several_sessions(store: Store, codebook: Codebook, seed: int) -> None:
    many(store, 6)
    generator, session = Random(seed), LabellingSession(store, codebook, "ana")
    expected: list[tuple[int, str]] = []
    for number in range(40):
        action = generator.choice(["decide", "decide anew", "undo", "come back"])
        if action == "undo" and session.undo():
            assert position(session) == expected.pop()[0]
        elif action == "come back":
            session = LabellingSession(store, codebook, "ana")
            if not session.remaining:
                break
        elif action == "decide anew" or (action == "decide" and session.current() is not None):
            if action == "decide anew":
                session.go_to(generator.randint(1, 6))
            expected.append((position(session), f"note {number}"))
            session.review([], f"note {number}")

        last = dict(expected)
        assert session.decided == len(last)
        for place, note in last.items():
            session.go_to(place)
            decided = current(session).decision
            assert decided is not None
            assert decided.note == note


# -- how far and how fast


def test_today_counts_decisions_since_midnight_without_undone_ones(store: Store, codebook: Codebook) -> None:
    midnight = datetime.fromisoformat(last_midnight())
    for name, moment in (("s1", midnight), ("s2", midnight - timedelta(seconds=1))):
        store.events.add([decision(name, created_at=moment.isoformat(timespec="microseconds"))])
    store.events.add([decision("s3", "ben", created_at=midnight.isoformat(timespec="microseconds"))])
    session = LabellingSession(store, codebook, "ana")
    assert session.today == 1
    session.review([])
    session.skip()
    session.undo()

    assert session.today == LabellingSession(store, codebook, "ana").today == 2


def test_midnight_is_past_and_less_than_a_day_and_an_hour_ago() -> None:
    midnight = datetime.fromisoformat(last_midnight())

    assert midnight.astimezone().time().isoformat() == "00:00:00"
    assert timedelta(0) <= datetime.now(UTC) - midnight < timedelta(hours=25)


def test_seconds_are_the_median_of_this_sessions_decisions(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", clock=clock)
    medians = [session.seconds]
    for seconds in (1.0, 8.0, 2.0):
        session.current()
        clock.time += seconds
        session.review([])
        medians.append(session.seconds)

    assert medians == [None, 1.0, 4.5, 2.0]
    assert LabellingSession(store, codebook, "ana").seconds is None


def test_looking_at_another_sentence_restarts_the_time(store: Store, codebook: Codebook) -> None:
    clock = Clock()
    session = LabellingSession(store, codebook, "ana", clock=clock)
    for step, seconds in ((1, 5.0), (-1, 7.0)):
        session.current()
        clock.time += seconds
        session.move(step)
    session.current()
    clock.time += 2.0
    session.review([])

    assert [event.seconds for event in store.events.all()] == [2.0]


# -- suggestions


def suggested(store: Store, request: DrawRequest, share: float, codebook: Codebook) -> list[tuple[bool, Annotation]]:
    """Whether the suggestion was shown, and what was recorded, for each sentence of a draw."""
    session = LabellingSession(store, codebook, "ana", request, suggester=Suggester(store, model(), "ana", share))
    shown = []
    while (item := session.current()) is not None:
        shown.append(item.suggestion is not None)
        session.review([])
    return list(zip(shown, store.events.all()[-len(shown) :], strict=True))


def test_what_a_model_suggests_is_shown_and_recorded(store: Store, codebook: Codebook) -> None:
    score_all(store, [0.75])
    session = LabellingSession(store, codebook, "ana", suggester=Suggester(store, model("m"), "ana", 0.0))
    suggestion = current(session).suggestion
    session.review(["truce"])

    assert suggestion is not None
    assert (suggestion.labels, suggestion.model_id, suggestion.blind) == (("aid",), "m", False)
    assert suggestion.probabilities == {"aid": 0.75, "truce": 0.0}
    (event,) = store.events.all()
    assert (event.suggestion, event.blind, event.labels) == (("aid",), False, ("truce",))


def test_withheld_suggestions_are_recorded_as_blind(store: Store, codebook: Codebook) -> None:
    score_all(many(store, 60), [0.75])

    found = suggested(store, DrawRequest(), 0.5, codebook)

    assert all(shown is not event.blind for shown, event in found)
    assert {event.suggestion for _, event in found} == {("aid",)}
    assert 15 <= sum(event.blind for _, event in found) <= 45


def test_overlap_is_labelled_blind_and_the_rest_of_its_draw_is_not(store: Store, codebook: Codebook) -> None:
    score_all(many(store), [0.75])

    found = suggested(store, DrawRequest(overlap=0.5), 0.0, codebook)

    assert len(found) == 12
    assert all(shown is (event.strategy == "random") for shown, event in found)
    assert all(event.blind is not shown for shown, event in found)
    assert sum(event.strategy == "overlap" for _, event in found) == 6


@pytest.mark.parametrize(("strategy", "blind"), [("audit", True), ("retest", True), ("search", False)])
def test_what_is_to_measure_is_labelled_blind(store: Store, codebook: Codebook, strategy: str, blind: bool) -> None:
    score_all(store, [0.75])
    if strategy == "retest":
        first = LabellingSession(store, codebook, "ana")
        while first.current() is not None:
            first.review([])
    words = "here" if strategy == "search" else ""
    request = DrawRequest(strategy, model_id="m", query=words, retest_after=timedelta(0))

    found = suggested(store, request, 0.0, codebook)

    assert len(found) == 3
    assert {(shown, event.blind, event.suggestion) for shown, event in found} == {(not blind, blind, ("aid",))}


def test_an_unscored_sentence_has_no_suggestion(store: Store, codebook: Codebook) -> None:
    found = suggested(store, DrawRequest(), 1.0, codebook)

    assert {(shown, event.blind, event.suggestion) for shown, event in found} == {(False, False, None)}


def test_an_undo_records_no_suggestion(store: Store, codebook: Codebook) -> None:
    score_all(store, [0.75])
    session = LabellingSession(store, codebook, "ana", suggester=Suggester(store, model(), "ana", 1.0))
    session.review([])
    session.undo()

    undo = store.events.all()[-1]
    assert (undo.event, undo.suggestion, undo.blind, undo.seconds) == ("undo", None, False, None)


# -- other strategies


def test_relabelling_shows_reason_and_earlier_labels(store: Store, codebook: Codebook) -> None:
    ids = store.unseen.ids()
    store.relabelling.add([(ids[1], "doubt: aid 0.93", ("aid", "truce")), (ids[0], "new rule", ())], source="doubts")
    session = LabellingSession(store, codebook, "ana", DrawRequest("relabel"))
    seen = []
    while (item := session.current()) is not None:
        seen.append((item.sentence.id, item.reason, item.previous))
        session.review(["aid"])

    assert seen == [(ids[1], "doubt: aid 0.93", ("aid", "truce")), (ids[0], "new rule", ())]
    assert session.task == "relabel"
    assert store.relabelling.waiting() == []
    session.undo()
    assert [entry.sentence_id for entry in store.relabelling.waiting()] == [ids[0]]


def test_only_what_is_labelled_again_has_a_reason(store: Store, codebook: Codebook) -> None:
    score_all(store, [0.5])
    item = current(LabellingSession(store, codebook, "ana", DrawRequest("audit", model_id="m")))

    assert (item.reason, item.previous) == ("", None)


def test_overlap_looks_like_the_rest(store: Store, codebook: Codebook) -> None:
    tasks = [
        LabellingSession(many(store), codebook, name, DrawRequest(overlap=overlap)).task
        for name, overlap in (("ana", 1.0), ("ben", 0.5))
    ]

    assert tasks == ["random", "random"]


def test_the_order_of_a_draw_is_the_same_when_one_comes_back(store: Store, codebook: Codebook) -> None:
    def order() -> list[str]:
        session = LabellingSession(store, codebook, "ana", DrawRequest(overlap=0.4))
        found = []
        for place in range(1, session.total + 1):
            session.go_to(place)
            found.append(current(session).sentence.id)
        return found

    many(store)
    first = order()

    assert len(set(first)) == 12
    assert order() == first


def test_what_cannot_be_drawn_is_an_input_error_and_leaves_nothing(store: Store, codebook: Codebook) -> None:
    with pytest.raises(InputError, match="did you mean 'audit'"):
        LabellingSession(store, codebook, "ana", DrawRequest("audits"))

    assert store.counts.strategies() == []
