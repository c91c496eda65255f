from __future__ import annotations

from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.records import Document, Sentence
from labels.store import Store
from labels.store.ingestion import ingest
from labels.store.texts.overlaps import REPLACED_SPAN
from labels.text.sentences import split_sentences
from tests.labels.store.builders import FUTURE, decision, draw, score_all

_numbers = count()
QUOTE = "“We reject the offer. It is a trap for our army,” he said."
ARTICLE = f"Rain fell on Oslo. {QUOTE} The envoy left."


@pytest.fixture
def article(isolated: Path) -> Path:
    path = isolated / "article.txt"
    path.write_text(ARTICLE, encoding="utf-8")
    return path


def offered(store: Store) -> list[str]:
    """The texts of the sentences without a decision that can be drawn, in order."""
    ids = set(store.unseen.ids())
    assert store.unseen.frame().size == len(ids)
    return [one.text for one in store.documents.sentences() if one.id in ids]


def named(store: Store, text: str) -> str:
    """The id of the sentence with this text."""
    (identifier,) = [one.id for one in store.documents.sentences() if one.text == text]
    return identifier


def test_a_stored_document_keeps_its_spans(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    before = store.documents.sentences()

    report = ingest(store, [article])

    assert report.sentences_added == 0
    assert store.documents.sentences() == before


def test_spans_without_a_decision_are_replaced_on_demand(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    assert offered(store) == ["Rain fell on Oslo.", QUOTE, "The envoy left."]
    frame = store.unseen.frame_hash()

    report = ingest(store, [article], resplit=True)

    assert (report.resplit.documents, report.resplit.added, report.resplit.replaced) == (1, 2, 1)
    assert offered(store) == [
        "Rain fell on Oslo.",
        "“We reject the offer.",
        "It is a trap for our army,” he said.",
        "The envoy left.",
    ]
    assert store.unseen.frame_hash() != frame


def test_splitting_again_with_the_same_rules_changes_nothing(store: Store, article: Path) -> None:
    ingest(store, [article])
    before = store.documents.sentences()
    report = ingest(store, [article], resplit=True)
    assert report.resplit.documents == 0
    assert store.documents.sentences() == before


def test_replaced_spans_return_with_their_rules(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    before = offered(store)
    ingest(store, [article], resplit=True)
    ingest(store, [article], keep_quotes=True, resplit=True)
    assert offered(store) == before


def test_a_labelled_span_stays_and_its_passage_is_not_offered_again(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    store.events.add([decision(named(store, QUOTE))])

    report = ingest(store, [article], resplit=True)

    assert (report.resplit.added, report.resplit.replaced, report.resplit.kept) == (0, 0, 1)
    assert offered(store) == ["Rain fell on Oslo.", "The envoy left."]
    (kept,) = store.documents.sentences([named(store, QUOTE)])
    assert kept.boilerplate == ""


def test_the_context_has_each_passage_once(store: Store, article: Path) -> None:
    ingest(store, [article])
    ingest(store, [article], keep_quotes=True, resplit=True)
    (last,) = store.documents.sentences([named(store, "The envoy left.")])
    assert [one.text for one in store.documents.context(last).before] == ["Rain fell on Oslo.", QUOTE]
    (first,) = store.documents.sentences([named(store, "Rain fell on Oslo.")])
    assert [one.text for one in store.documents.context(first).after] == [QUOTE, "The envoy left."]


def test_the_context_fills_gaps_beside_a_labelled_span(store: Store, article: Path) -> None:
    ingest(store, [article])
    store.events.add([decision(named(store, "“We reject the offer."))])
    ingest(store, [article], keep_quotes=True, resplit=True)
    (last,) = store.documents.sentences([named(store, "The envoy left.")])
    assert [one.text for one in store.documents.context(last).before] == [
        "“We reject the offer.",
        "It is a trap for our army,” he said.",
    ]


def test_a_replaced_span_leaves_open_draws_and_scores(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    ids = store.unseen.ids()
    score_all(store, [0.9])
    mine = draw("ana", ids)
    store.draws.add([mine], expires_at=FUTURE)

    ingest(store, [article], resplit=True)

    gone = named(store, QUOTE)
    assert store.draws.hold_pending([mine], expires_at=FUTURE) == set(ids) - {gone}
    assert store.scores.count_unscored("m") == 2
    assert gone not in [identifier for identifier, _ in store.unseen.uncertain("m", "entropy", 10)]


def test_a_decision_on_a_replaced_span_brings_it_back(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    ingest(store, [article], resplit=True)

    store.events.add([decision(named(store, QUOTE))])

    assert offered(store) == ["Rain fell on Oslo.", "The envoy left."]
    (found,) = store.documents.sentences([named(store, QUOTE)])
    assert found.boilerplate == ""


def test_imported_spans_replace_those_of_the_splitter(store: Store, article: Path) -> None:
    ingest(store, [article])
    (document_id,) = {one.document_id for one in store.documents.sentences()}
    start = ARTICLE.index(QUOTE)
    other = Sentence(document_id, start, start + len(QUOTE), QUOTE)

    store.add_annotated([other], [decision(other.id)])

    assert offered(store) == ["Rain fell on Oslo.", "The envoy left."]


def test_spans_imported_before_their_document_stay(store: Store, article: Path) -> None:
    with Store("other.db") as other:
        ingest(other, [article], keep_quotes=True)
        (quote,) = [one for one in other.documents.sentences() if one.text == QUOTE]
    store.add_annotated([quote], [decision(quote.id)])

    ingest(store, [article])

    assert offered(store) == ["Rain fell on Oslo.", "The envoy left."]


def test_a_sentence_of_two_versions_is_offered_once(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    article.write_text(f"{ARTICLE} He came back. Snow fell.", encoding="utf-8")
    (version,) = ingest(store, [article], keep_quotes=True).versions
    assert (version.unchanged, version.new) == (3, 2)

    ingest(store, [article], resplit=True)

    assert sorted(offered(store)) == sorted([
        "Rain fell on Oslo.",
        "“We reject the offer.",
        "It is a trap for our army,” he said.",
        "The envoy left.",
        "He came back.",
        "Snow fell.",
    ])  # fmt: skip


def test_a_decision_on_an_earlier_version_keeps_the_passage_of_the_later(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    store.events.add([decision(named(store, QUOTE))])
    article.write_text(f"{ARTICLE} He came back. Snow fell.", encoding="utf-8")
    ingest(store, [article], keep_quotes=True)

    ingest(store, [article], resplit=True)

    assert sorted(offered(store)) == ["He came back.", "Rain fell on Oslo.", "Snow fell.", "The envoy left."]


def test_removed_documents_are_not_split_again(store: Store, article: Path) -> None:
    ingest(store, [article], keep_quotes=True)
    (document_id,) = {one.document_id for one in store.documents.sentences()}
    store.removals.remove([document_id])
    before = store.documents.sentences()
    ingest(store, [article], resplit=True)
    assert store.documents.sentences() == before
    assert offered(store) == []


def test_headings_are_stored_and_marked_when_a_document_is_split_again(store: Store, isolated: Path) -> None:
    text = "Oslo calls for truce\n\nThe envoy told the council on Tuesday that both sides had agreed to meet."
    document = Document("made up", text)
    old = [Sentence(document.id, 0, 20, text[:20]), Sentence(document.id, 22, len(text), text[22:])]
    store.documents.add([(document, old)])
    assert not any(one.heading for one in store.documents.sentences())

    store.documents.resplit([document], split_sentences)

    assert [one.text for one in store.documents.sentences() if one.heading] == ["Oslo calls for truce"]
    assert len(offered(store)) == 2


def cut_at(text: str, ends: set[int]) -> list[tuple[int, int]]:
    points = sorted({0, len(text), *ends})
    return list(pairwise(points))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_passage_is_offered_twice(data: st.DataObject, isolated: Path) -> None:
    text = "abcdefghijkl"
    document = Document("made up", text)
    ends = st.sets(st.integers(1, len(text) - 1))

    def cut(_: Document) -> list[Sentence]:
        return [Sentence(document.id, left, right, text[left:right]) for left, right in cut_at(text, own)]

    with Store(isolated / f"{next(_numbers)}.db") as store:
        own = data.draw(ends)
        store.documents.add([(document, cut(document))])
        for _ in range(3):
            free = store.unseen.ids()
            chosen = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
            store.events.add([decision(identifier) for identifier in chosen])
            own = data.draw(ends)
            store.documents.resplit([document], cut)
            used = [one for one in store.documents.sentences() if one.boilerplate != REPLACED_SPAN]
            assert all(left.end <= right.start for left, right in pairwise(used))
            decided = {event.sentence_id for event in store.events.all()}
            assert decided <= {one.id for one in used}
