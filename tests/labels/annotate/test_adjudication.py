from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from labels.annotate.adjudication import LOOK, AdjudicationSession
from labels.annotate.items import Item
from labels.codebook.changes import Step
from labels.codebook.reading import Reading
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError, DecidedMeanwhileError
from labels.gold import resolve, standing
from labels.records import Annotation
from labels.store import Draft, Store
from labels.store.codebook_migration import apply_migration, plan_migration
from tests.labels.store.builders import PAST, added, decision


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store."""
    with Store("store.db") as opened:
        yield opened


@pytest.fixture
def disputed(store: Store) -> list[str]:
    """Ids of six sentences: ana and ben differ on the second, fourth and fifth."""
    ids = added(store, 6)
    given: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        (("aid",), ("aid",)),
        (("aid",), ()),
        ((), ()),
        (("aid", "truce"), ("truce",)),
        (("truce",), ("aid",)),
    ]
    for sentence, (by_ana, by_ben) in zip(ids, given, strict=False):
        store.events.add([decision(sentence, "ben", labels=by_ben, note="by Ben")])
        store.events.add([decision(sentence, "ana", labels=by_ana)])
    store.events.add([decision(ids[5], "ana", labels=("aid",))])
    return ids


@pytest.fixture
def session(store: Store, codebook: Codebook, disputed: list[str]) -> AdjudicationSession:
    """Eva decides."""
    return AdjudicationSession(store, codebook, "eva")


def shown(session: AdjudicationSession) -> Item:
    item = session.current()
    assert item is not None
    return item


def rest(session: AdjudicationSession) -> list[str]:
    """Ids of the sentences that are shown when each is decided as none."""
    found = []
    while (item := session.current()) is not None:
        found.append(item.sentence.id)
        session.review([])
    return found


def gold(store: Store, codebook: Codebook) -> dict[str, tuple[str, ...]]:
    return resolve(store.events.all(), codebook, store.codebooks.history()).gold


def test_disputes_come_in_the_order_of_the_text(session: AdjudicationSession, disputed: list[str]) -> None:
    assert (session.task, session.total, session.remaining) == ("adjudicating", 3, 3)
    assert rest(session) == [disputed[1], disputed[3], disputed[4]]
    assert (session.decided, session.remaining) == (3, 0)


def test_all_opinions_are_shown_by_name_skips_and_notes_too(
    store: Store, codebook: Codebook, disputed: list[str]
) -> None:
    store.events.add([decision(disputed[1], "zoe", state="skipped")])
    item = shown(AdjudicationSession(store, codebook, "eva"))

    opinions = [(opinion.annotator, opinion.state, opinion.labels, opinion.note) for opinion in item.opinions]
    assert opinions == [
        ("ana", "reviewed", ("aid",), ""),
        ("ben", "reviewed", (), "by Ben"),
        ("zoe", "skipped", (), ""),
    ]
    assert item.suggestion is None


def test_a_skip_against_a_review_is_no_dispute(store: Store, codebook: Codebook) -> None:
    (sentence,) = added(store, 1)
    store.events.add([decision(sentence, "ana", labels=("aid",)), decision(sentence, "ben", state="skipped")])

    assert AdjudicationSession(store, codebook, "eva").total == 0


def test_what_was_undone_is_no_opinion(store: Store, codebook: Codebook, disputed: list[str]) -> None:
    store.events.add([decision(disputed[1], "ben", "undo")])

    assert rest(AdjudicationSession(store, codebook, "eva")) == [disputed[3], disputed[4]]


def test_a_decision_is_an_adjudication_in_the_store(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    before = store.events.all()

    session.review(["truce", "aid"], "both clauses")

    *earlier, event = store.events.all()
    assert earlier == before
    assert (event.sentence_id, event.annotator, event.event) == (disputed[1], "eva", "adjudicate")
    assert (event.state, event.labels, event.note) == ("reviewed", ("aid", "truce"), "both clauses")
    assert (event.codebook_hash, event.suggestion, event.draw_id) == (codebook.hash, None, "")


def test_the_time_of_an_adjudication_is_recorded(store: Store, codebook: Codebook, disputed: list[str]) -> None:
    times = iter([0.0, 10.0, 17.5])
    session = AdjudicationSession(store, codebook, "eva", clock=lambda: next(times))

    session.current()
    session.review([])

    assert store.events.all()[-1].seconds == 7.5


def test_annotations_stay_as_they_were(store: Store, session: AdjudicationSession) -> None:
    before = standing(store.events.all()).annotations

    rest(session)

    assert standing(store.events.all()).annotations == before


def test_adjudications_decide_the_gold(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    agreed = {disputed[0]: ("aid",), disputed[2]: (), disputed[5]: ("aid",)}
    assert gold(store, codebook) == agreed

    session.review(["truce"])
    session.review([])

    assert gold(store, codebook) == agreed | {disputed[1]: ("truce",), disputed[3]: ()}
    assert resolve(store.events.all(), codebook).disputed == (disputed[4],)


def test_a_skipped_dispute_stays_disputed(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    before = store.events.all()
    session.skip("cannot tell")
    assert store.events.all() == before
    assert shown(session).sentence.id == disputed[3]

    session.review([])
    session.review([])
    assert shown(session).sentence.id == disputed[1]

    session.skip()
    assert session.current() is None
    assert (session.decided, session.remaining) == (2, 1)
    assert rest(AdjudicationSession(store, codebook, "eva")) == [disputed[1]]


def test_leaving_goes_over_what_is_decided(session: AdjudicationSession, disputed: list[str]) -> None:
    session.go_to(2)
    session.review([])
    session.go_to(1)

    session.skip()

    assert shown(session).sentence.id == disputed[4]


def test_leaving_all_ends(session: AdjudicationSession) -> None:
    for _ in range(3):
        assert session.current() is not None
        session.skip()

    assert session.current() is None
    session.go_on()
    assert shown(session).position == 1


def test_undo_makes_a_sentence_disputed_again(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    session.review(["aid"])

    assert session.undo()

    assert shown(session).sentence.id == disputed[1]
    assert [(event.event, event.annotator) for event in store.events.all()[-2:]] == [
        ("adjudicate", "eva"),
        ("undo", "eva"),
    ]
    assert disputed[1] in resolve(store.events.all(), codebook).disputed
    assert not session.undo()


def test_undoing_an_adjudication_keeps_the_own_annotation(
    store: Store, codebook: Codebook, disputed: list[str]
) -> None:
    session = AdjudicationSession(store, codebook, "ana")
    session.review(["truce"])

    session.undo()

    annotations = standing(store.events.all()).annotations
    assert annotations[disputed[1], "ana"].labels == ("aid",)


def test_deciding_again_counts_the_last_decision(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    session.review(["aid"])
    session.go_to(1)
    assert shown(session).decision == store.events.all()[-1]

    session.review(["truce"])

    assert gold(store, codebook)[disputed[1]] == ("truce",)
    assert session.decided == 1


def test_labels_that_the_codebook_lacks_are_refused(store: Store, session: AdjudicationSession) -> None:
    before: list[Annotation] = store.events.all()

    with pytest.raises(CodebookError, match="label 'trce'"):
        session.review(["trce"])
    assert store.events.all() == before


def test_a_draft_is_shown_in_the_next_session(store: Store, codebook: Codebook, session: AdjudicationSession) -> None:
    session.keep_draft(["truce"], "ask")

    assert shown(AdjudicationSession(store, codebook, "eva")).draft == Draft(("truce",), "ask")
    assert shown(AdjudicationSession(store, codebook, "mia")).draft == Draft()


def test_without_a_dispute_there_is_nothing_to_do(store: Store, codebook: Codebook) -> None:
    ids = added(store, 2)
    store.events.add([decision(ids[0], "ana"), decision(ids[0], "ben"), decision(ids[1], "ana", labels=("aid",))])

    session = AdjudicationSession(store, codebook, "eva")

    assert session.current() is None
    assert (session.total, session.decided) == (0, 0)
    assert not session.undo()


def test_opinions_are_read_under_the_codebook_in_use(store: Store, codebook: Codebook) -> None:
    (sentence,) = added(store, 1)
    then = {"codebook_hash": codebook.hash}
    store.events.add([decision(sentence, name, labels=("truce",), **then) for name in ("ana", "ben")])
    store.events.add([decision(sentence, "cleo", labels=("aid", "truce"), **then)])
    labels = [{"name": name} for name in ("loan", "gift", "ceasefire")]
    book = codebook_from_dict({"name": "small", "version": "2", "labels": labels}, "small")
    steps = [Step("split", ("aid",), ("loan", "gift")), Step("rename", ("truce",), ("ceasefire",))]
    apply_migration(store, plan_migration(store, codebook, book, steps))
    store.events.add([decision(sentence, "ben", codebook_hash=book.hash)])

    opinions = shown(AdjudicationSession(store, book, "eva")).opinions

    assert [(opinion.annotator, opinion.labels) for opinion in opinions] == [
        ("ana", ("ceasefire",)),
        ("ben", ()),
        ("cleo", ("aid", "truce")),
    ]
    assert [opinion.reading for opinion in opinions] == [
        Reading(("ceasefire",), changes=1),
        Reading(()),
        Reading(("ceasefire",), ("loan", "gift"), changes=1),
    ]


def test_a_label_of_another_codebook_is_refused_at_the_start(store: Store, disputed: list[str]) -> None:
    book = codebook_from_dict({"name": "other", "labels": [{"name": "aid"}]}, "other")

    with pytest.raises(CodebookError, match="truce"):
        AdjudicationSession(store, book, "eva")


# -- several adjudicators at once


@pytest.fixture
def another(store: Store, codebook: Codebook, disputed: list[str]) -> AdjudicationSession:
    """Mia decides at the same time."""
    return AdjudicationSession(store, codebook, "mia")


def test_two_who_adjudicate_at_once_share_the_disputes(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    assert shown(session).sentence.id == disputed[1]
    another = AdjudicationSession(store, codebook, "mia")
    assert shown(another).sentence.id == disputed[3]

    session.review(["aid"])
    assert shown(session).sentence.id == disputed[4]
    another.review([])
    assert shown(another).sentence.id == disputed[4], "what is looked at is handed out when nothing else is left"

    session.review(["truce"])
    assert (session.current(), session.decided, session.remaining) == (None, 3, 0)
    assert session.decided_by_others == 1
    assert gold(store, codebook)[disputed[3]] == ()


def test_a_sentence_is_kept_for_who_looks_at_it_for_some_minutes(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession
) -> None:
    shown(session)
    assert store.draws.held_by_others("mia") == {disputed[1]}
    assert store.draws.held_by_others("eva") == set()

    assert timedelta(minutes=5) <= LOOK <= timedelta(minutes=30)
    store.draws.reserve(disputed[1], "eva", "", expires_at=PAST)
    assert shown(AdjudicationSession(store, codebook, "mia")).sentence.id == disputed[1]


def test_disputes_decided_by_others_are_passed_over(
    disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    another.go_to(2)
    another.review(["truce"])

    session.review([])
    item = shown(session)

    assert (item.sentence.id, item.decision) == (disputed[4], None)
    assert item.news == "Disputed sentences that mia decided in the meantime: 1. They are not shown again."
    assert (session.decided, session.decided_by_others) == (2, 1)
    session.go_to(1)
    assert shown(session).news == ""


def test_leaving_passes_over_what_another_has_decided(
    disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    another.go_to(2)
    another.review(["truce"])

    session.skip()

    assert shown(session).sentence.id == disputed[4]


def test_going_to_a_decided_dispute_shows_it_for_overruling(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    another.review(["truce"])

    session.go_to(1)
    (*_, verdict) = shown(session).opinions
    assert (verdict.annotator, verdict.event, verdict.labels) == ("mia", "adjudicate", ("truce",))

    session.review(["aid"])
    assert gold(store, codebook)[disputed[1]] == ("aid",)


def test_a_concurrent_decision_is_refused_once(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    shown(session)
    another.review(["truce"])
    before = store.events.all()

    with pytest.raises(DecidedMeanwhileError, match=r"^mia decided this sentence in the meantime: truce\. Your"):
        session.review(["aid"])
    assert store.events.all() == before
    verdict = shown(session).opinions[-1]
    assert (verdict.annotator, verdict.event, verdict.labels) == ("mia", "adjudicate", ("truce",))

    session.review(["aid"])
    assert store.events.all()[-1].labels == ("aid",)
    assert gold(store, codebook)[disputed[1]] == ("aid",)


def test_a_decision_at_the_very_moment_of_anothers_is_refused_too(
    store: Store,
    disputed: list[str],
    session: AdjudicationSession,
    another: AdjudicationSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown(session)
    add = store.events.add

    def add_after_another(*arguments: Any, **options: Any) -> int:
        monkeypatch.setattr(store.events, "add", add)
        another.review(["truce"])
        return add(*arguments, **options)

    monkeypatch.setattr(store.events, "add", add_after_another)

    with pytest.raises(DecidedMeanwhileError, match="mia decided"):
        session.review(["aid"])
    assert (store.events.all()[-1].annotator, session.decided) == ("mia", 1)
    assert shown(session).sentence.id == disputed[1]


def test_a_concurrent_adjudication_can_be_left(
    store: Store, codebook: Codebook, disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    another.review(["truce"])
    with pytest.raises(DecidedMeanwhileError):
        session.review(["aid"])

    session.skip()

    assert shown(session).sentence.id == disputed[3]
    assert session.decided == 1
    assert gold(store, codebook)[disputed[1]] == ("truce",)


def test_an_undone_adjudication_blocks_no_annotator(
    store: Store, disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    another.review(["truce"])
    another.undo()

    session.review(["aid"])

    assert store.events.all()[-1].labels == ("aid",)


def test_an_overruling_is_shown_before_it_is_overruled(
    store: Store, disputed: list[str], session: AdjudicationSession, another: AdjudicationSession
) -> None:
    session.review(["aid"])
    session.go_to(1)
    another.go_to(1)
    another.review(["truce"])

    with pytest.raises(DecidedMeanwhileError):
        session.review(["aid"])


def test_an_adjudication_left_undecided_by_a_change_blocks_no_annotator(store: Store, codebook: Codebook) -> None:
    (sentence,) = added(store, 1)
    labels = [{"name": name} for name in ("loan", "gift", "truce")]
    book = codebook_from_dict({"name": "small", "version": "2", "labels": labels}, "small")
    apply_migration(store, plan_migration(store, codebook, book, [Step("split", ("aid",), ("loan", "gift"))]))
    store.events.add(
        [
            decision(sentence, "mia", "adjudicate", labels=("aid",), codebook_hash=codebook.hash),
            decision(sentence, "ana", labels=("loan",), codebook_hash=book.hash),
            decision(sentence, "ben", labels=("gift",), codebook_hash=book.hash),
        ]
    )
    session = AdjudicationSession(store, book, "eva")

    assert rest(session) == [sentence]
    assert session.decided_by_others == 0
