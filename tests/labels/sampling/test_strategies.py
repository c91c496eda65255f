from __future__ import annotations

import math
import shutil
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.errors import InputError, StoreError
from labels.records import Annotation, Sentence
from labels.sampling.drawing import AUDIT_EDGES, PLANS, DrawRequest
from labels.sampling.strategies import LEASE, Assignment, next_assignment
from labels.store import Draw, DrawItem, Frame, Store, Uncertainty, now
from tests.labels.store.builders import PAST, decision, embed_all, model, score_all, vector


def texts(n: int, document: str = "d1") -> list[Sentence]:
    return [Sentence(document, 10 * i, 10 * i + 9, f"Text {i:04d}") for i in range(n)]


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store of twenty sentences to label and five of boilerplate."""
    with Store(url) as opened:
        opened.add_annotated(texts(20), [])
        opened.add_annotated([Sentence("d2", i, i + 1, "x", boilerplate="mark") for i in range(5)], [])
        yield opened


def assigned(store: Store, annotator: str, request: DrawRequest) -> Assignment:
    assignment = next_assignment(store, annotator, request)
    assert assignment is not None
    return assignment


def items(assignment: Assignment) -> list[DrawItem]:
    """The items in the order of the draws."""
    return [item for draw in assignment.draws for item in draw.items]


def drawn(store: Store, annotator: str, size: int = 5, strategy: str = "random", **more: object) -> list[str]:
    request = DrawRequest(**{"strategy": strategy, "size": size, "seed": 1, **more})  # type: ignore[arg-type]
    return [item.sentence_id for item in items(assigned(store, annotator, request))]


def by_strategy(assignment: Assignment) -> dict[str, list[DrawItem]]:
    return {draw.strategy: list(draw.items) for draw in assignment.draws}


def decide(store: Store, assignment: Assignment, ids: Sequence[str] | None = None, *, created_at: str = "") -> None:
    """Decide as the assignment's annotator, on all of it and now unless told otherwise."""
    for draw in assignment.draws:
        for item in draw.items:
            if ids is None or item.sentence_id in ids:
                moment = created_at or now()
                store.events.add([decision(item.sentence_id, draw.annotator, draw_id=draw.id, created_at=moment)])


def expired_draw(store: Store, annotator: str, ids: list[str], strategy: str = "random") -> Draw:
    made = Draw(
        f"old {annotator}", strategy, annotator, "f", len(ids), 1, PAST, tuple(DrawItem(found, 1.0) for found in ids)
    )
    assert store.draws.add([made], expires_at=PAST)
    return made


# -- at random


def test_a_draw_says_how_it_was_made(store: Store) -> None:
    frame, free = store.unseen.frame(), set(store.unseen.ids())

    assignment = assigned(store, "ana", DrawRequest(size=5, seed=3))

    (draw,) = assignment.draws
    assert (draw.strategy, draw.annotator, draw.seed, draw.query) == ("random", "ana", 3, "")
    assert Frame(draw.frame_size or 0, draw.frame_hash) == frame == Frame(20, frame.hash)
    assert {item.inclusion_probability for item in draw.items} == {5 / 20}
    assert len(assignment.pending) == 5
    assert {item.sentence_id for item in draw.items} == assignment.pending <= free


def test_the_probability_is_that_of_the_frame_that_was_left(store: Store) -> None:
    drawn(store, "ana", 5)
    store.events.add([decision(store.unseen.ids()[0], "ben")])

    (draw,) = assigned(store, "eva", DrawRequest(size=7)).draws

    assert draw.frame_size == 14
    assert {item.inclusion_probability for item in draw.items} == {7 / 14}


def test_a_draw_larger_than_the_frame_takes_all_of_it_for_certain(store: Store) -> None:
    (draw,) = assigned(store, "ana", DrawRequest(size=100)).draws

    assert len({item.sentence_id for item in draw.items}) == 20
    assert {item.inclusion_probability for item in draw.items} == {1.0}


def test_seed_annotator_and_frame_decide_the_sample() -> None:
    samples = []
    for name, annotator, seed in (("1", "ana", 1), ("2", "ana", 1), ("3", "ana", 2), ("4", "ben", 1)):
        with Store(f"{name}.db") as store:
            store.add_annotated(texts(40), [])
            samples.append(drawn(store, annotator, 10, seed=seed))

    assert samples[0] == samples[1]
    assert len({tuple(sample) for sample in samples}) == 3


def test_every_sentence_of_the_frame_is_as_likely_to_be_drawn() -> None:
    with Store("template.db") as template:
        template.add_annotated(texts(6), [])
    counts: Counter[str] = Counter()
    for seed in range(60):
        shutil.copy("template.db", f"{seed}.db")
        with Store(f"{seed}.db") as store:
            counts.update(drawn(store, "ana", 2, seed=seed))

    # 60 draws of 2 from 6: each sentence 20 times, with a standard deviation of 3.7.
    assert len(counts) == 6
    assert all(8 <= count <= 32 for count in counts.values())


def test_two_annotators_never_draw_the_same_sentence(store: Store) -> None:
    samples = [drawn(store, annotator, 6) for annotator in ("ana", "ben", "eva")]

    assert len({identifier for sample in samples for identifier in sample}) == 18
    assert len(drawn(store, "zoe", 6)) == 2
    assert next_assignment(store, "max", DrawRequest(size=6)) is None


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_nothing_is_drawn_where_nothing_is_left(overlap: float) -> None:
    with Store("empty.db") as store:
        assert next_assignment(store, "ana", DrawRequest(overlap=overlap)) is None


class Growing(Store):
    """A store to which someone adds a document whenever its frame has just been counted."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.added = 0
        self.count, self.unseen.frame = self.unseen.frame, self.frame  # type: ignore[method-assign]

    def frame(self) -> Frame:
        found = self.count()
        self.added += 1
        self.add_annotated(texts(3, f"new {self.added}"), [])
        return found


def test_a_probability_is_at_most_one_while_the_store_grows() -> None:
    with Growing("growing.db") as store:
        probabilities = {item.inclusion_probability for item in items(assigned(store, "ana", DrawRequest(size=100)))}

    assert probabilities == {1.0}


class Contested(Store):
    """A store in which someone else draws everything just before each draw is kept, for so many times."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.rivals = 0
        self.keep, self.draws.add = self.draws.add, self.add  # type: ignore[method-assign]

    def add(
        self, draws: Sequence[Draw], *, expires_at: str, second_readings: Collection[str] = (), coders: int = 2
    ) -> bool:
        if self.rivals:
            self.rivals -= 1
            taken = tuple(DrawItem(item.sentence_id) for draw in draws for item in draw.items)
            rival = Draw(f"rival {self.rivals}", "random", f"rival {self.rivals}", "f", None, None, now(), taken)
            assert self.keep([rival], expires_at=expires_at)
        return self.keep(draws, expires_at=expires_at, second_readings=second_readings, coders=coders)


def test_who_was_too_late_draws_again_from_what_is_left() -> None:
    with Contested("contested.db") as store:
        store.add_annotated(texts(20), [])
        store.rivals = 3
        (draw,) = assigned(store, "ana", DrawRequest(size=4)).draws

        assert draw.frame_size == 8
        assert {item.inclusion_probability for item in draw.items} == {4 / 8}


def test_losing_every_race_for_sentences_is_an_error() -> None:
    with Contested("contested.db") as store:
        store.add_annotated(texts(20), [])
        store.rivals = 100
        with pytest.raises(
            StoreError,
            match=r"other annotators reserved the sentences first, 10 times in a row\.",
        ):
            next_assignment(store, "ana", DrawRequest(size=1))


# -- overlap


class Emptied(Store):
    """A store that someone else draws empty, all for overlap, while the next looks for overlap for the first time."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.rival = "eva"
        self.find, self.draws.overlap_candidates = self.draws.overlap_candidates, self.candidates  # type: ignore[method-assign]

    def candidates(self, annotator: str = "", *, coders: int = 2) -> list[DrawItem]:
        found = self.find(annotator, coders=coders)
        if self.rival and annotator != self.rival:
            rival, self.rival = self.rival, ""
            assigned(self, rival, DrawRequest(size=100, overlap=1.0))
        return found


def test_overlap_opened_concurrently_is_drawn() -> None:
    with Emptied("emptied.db") as store:
        store.add_annotated(texts(20), [])

        assert len(assigned(store, "ana", DrawRequest(size=5, overlap=1.0)).pending) == 5


@pytest.mark.parametrize(("overlap", "shared"), [(0.0, 0), (0.3, 3), (1.0, 10)])
def test_a_share_of_a_random_draw_is_overlap(store: Store, overlap: float, shared: int) -> None:
    found = by_strategy(assigned(store, "ana", DrawRequest(size=10, overlap=overlap)))

    assert {strategy: len(drawn) for strategy, drawn in found.items()} == {
        strategy: n for strategy, n in (("random", 10 - shared), ("overlap", shared)) if n
    }
    assert {item.inclusion_probability for drawn in found.values() for item in drawn} == {10 / 20}


def test_overlap_is_mixed_among_the_rest(store: Store) -> None:
    found = by_strategy(assigned(store, "ana", DrawRequest(size=20, overlap=0.5)))

    positions = {strategy: {item.position for item in drawn} for strategy, drawn in found.items()}
    assert positions["overlap"] | positions["random"] == set(range(20))
    assert positions["overlap"] not in ({*range(10)}, {*range(10, 20)})


def test_overlap_goes_to_a_second_annotator_and_never_a_third(store: Store) -> None:
    request = DrawRequest(size=5, overlap=0.4)
    ana = by_strategy(assigned(store, "ana", request))
    ben = by_strategy(assigned(store, "ben", request))
    eva = by_strategy(assigned(store, "eva", request))

    def ids(found: dict[str, list[DrawItem]]) -> set[str]:
        return {item.sentence_id for item in found["overlap"]}

    assert ids(ana) == ids(ben)
    assert not ids(ana) & ids(eva)
    everything = Counter(item.sentence_id for found in (ana, ben, eva) for drawn in found.values() for item in drawn)
    assert Counter(everything.values()) == {2: 2, 1: 11}


def test_who_reads_second_keeps_the_probability_of_the_first(store: Store) -> None:
    assigned(store, "ana", DrawRequest(size=5, overlap=0.4))
    found = by_strategy(assigned(store, "ben", DrawRequest(size=12, overlap=2 / 12)))

    assert {item.inclusion_probability for item in found["overlap"]} == {5 / 20}
    assert {item.inclusion_probability for item in found["random"]} == {10 / 15}


def test_what_the_others_left_open_is_made_up_with_new_overlap(store: Store) -> None:
    (opened,) = by_strategy(assigned(store, "ana", DrawRequest(size=5, overlap=0.2)))["overlap"]
    found = by_strategy(assigned(store, "ben", DrawRequest(size=6, overlap=0.5)))

    ids = {item.sentence_id for item in found["overlap"]}
    assert len(ids) == 3
    assert opened.sentence_id in ids
    assert len(found["random"]) == 3


def test_the_share_is_that_of_what_is_left_where_that_is_little(store: Store) -> None:
    drawn(store, "ana", 10)

    found = by_strategy(assigned(store, "ben", DrawRequest(size=100, overlap=0.2)))

    assert (len(found["overlap"]), len(found["random"])) == (2, 8)


def test_overlap_may_be_all_that_is_left_for_the_second_reader(store: Store) -> None:
    ana = assigned(store, "ana", DrawRequest(size=20, overlap=0.25))
    decide(store, ana)

    ben = assigned(store, "ben", DrawRequest(size=20, overlap=0.25))

    assert list(by_strategy(ben)) == ["overlap"]
    assert len(ben.pending) == 5
    decide(store, ben)
    assert next_assignment(store, "ben", DrawRequest(size=20, overlap=0.25)) is None
    assert next_assignment(store, "eva", DrawRequest(size=20, overlap=0.25)) is None


def test_which_part_is_overlap_is_a_matter_of_chance() -> None:
    with Store("template.db") as template:
        template.add_annotated(texts(4), [])
    counts: Counter[str] = Counter()
    for seed in range(30):
        shutil.copy("template.db", f"{seed}.db")
        with Store(f"{seed}.db") as store:
            found = by_strategy(assigned(store, "ana", DrawRequest(size=4, overlap=0.5, seed=seed)))
            counts.update(item.sentence_id for item in found["overlap"])

    # 30 times 2 of 4: each sentence 15 times, with a standard deviation of 2.7.
    assert len(counts) == 4
    assert all(5 <= count <= 25 for count in counts.values())


# -- going on


def test_an_unfinished_draw_comes_before_a_new_one(store: Store) -> None:
    first = assigned(store, "ana", DrawRequest(size=4, overlap=0.5))
    ids = sorted(first.pending)
    decide(store, first, ids[:2])

    again = assigned(store, "ana", DrawRequest(size=10, seed=99))

    assert again.pending == set(ids[2:])
    assert {draw.id for draw in again.draws} == {draw.id for draw in first.draws}
    assert {item.sentence_id for item in items(again)} == set(ids)


def test_a_finished_draw_is_followed_by_a_new_one(store: Store) -> None:
    first = assigned(store, "ana", DrawRequest(size=4))
    decide(store, first)

    second = assigned(store, "ana", DrawRequest(size=4))

    assert len(second.pending) == 4
    assert not first.pending & second.pending


def test_a_draw_is_reserved_for_the_time_of_the_lease(store: Store) -> None:
    before = datetime.now(UTC)
    ids = drawn(store, "ana", 20)
    after = datetime.now(UTC)

    just_held = before + LEASE - timedelta(microseconds=1)
    just_free = after + LEASE + timedelta(microseconds=1)
    assert store.unseen.ids(at=just_held.isoformat(timespec="microseconds")) == []
    assert store.unseen.ids(at=just_free.isoformat(timespec="microseconds")) == sorted(ids)


def test_others_draw_sentences_after_their_reservation(store: Store) -> None:
    ids = store.unseen.ids()
    expired_draw(store, "ana", ids)

    assert sorted(drawn(store, "ben", 20)) == ids
    assert next_assignment(store, "ana", DrawRequest(size=20)) is None


def test_resuming_after_the_reservation_shares_no_sentence(store: Store) -> None:
    expired_draw(store, "ana", store.unseen.ids())

    assert len(drawn(store, "ana", 5)) == 20
    assert next_assignment(store, "ben", DrawRequest(size=5)) is None


@pytest.mark.parametrize(
    ("request_", "other"),
    [
        (DrawRequest("uncertainty", 3, model_id="m"), DrawRequest("search", 3, query="text")),
        (DrawRequest("search", 3, query="text"), DrawRequest("search", 3, query="text 00")),
        (DrawRequest("diverse", 3, model_id="m"), DrawRequest("diverse", 3, model_id="n")),
        (DrawRequest("uncertain-diverse", 3, model_id="m"), DrawRequest("uncertainty", 3, model_id="m")),
        (DrawRequest("audit", 3, model_id="m"), DrawRequest("audit", 3, model_id="n")),
        (DrawRequest("relabel", 3), DrawRequest(size=3)),
    ],
    ids=lambda request: str(request.strategy),
)
def test_each_kind_of_draw_is_gone_on_with_apart(store: Store, request_: DrawRequest, other: DrawRequest) -> None:
    for name in ("m", "n"):
        score_all(store, [0.1, 0.5, 0.8], name)
        embed_all(store, [vector(1, 0), vector(0, 1), vector(-1, 0), vector(0.6, 0.8)], name)
    store.relabelling.add([(identifier, "doubt", ()) for identifier in store.unseen.ids()], source="doubts")
    first = assigned(store, "ana", request_)
    decide(store, first, sorted(first.pending)[:1])

    elsewhere = assigned(store, "ana", other)
    again = assigned(store, "ana", request_)

    assert {draw.id for draw in again.draws} == {draw.id for draw in first.draws}
    assert again.pending == first.pending - {sorted(first.pending)[0]}
    assert not {draw.id for draw in elsewhere.draws} & {draw.id for draw in first.draws}


# -- by a model's scores

TOPS = [0.05, 0.45, 0.95, 0.6, 0.2]


@pytest.mark.parametrize("by", ["entropy", "margin"])
def test_uncertainty_draws_what_the_model_is_least_sure_of(store: Store, by: Uncertainty) -> None:
    tops = score_all(store, [i / 20 for i in range(20)])

    assignment = assigned(store, "ana", DrawRequest("uncertainty", 4, model_id="m", by=by))

    (draw,) = assignment.draws
    nearest = [tops[item.sentence_id] for item in draw.items]
    assert nearest[0] == 0.5
    assert sorted(nearest[1:3]) == [0.45, 0.55]
    assert nearest[3] in (0.4, 0.6)
    assert (draw.strategy, draw.model_id, draw.items[0].stratum) == ("uncertainty", "m", by)
    assert draw.items[0].inclusion_probability is None


def test_entropy_and_margin_differ(store: Store) -> None:
    ids = store.scores.unscored("m")
    store.scores.add_model(model())
    store.scores.add("m", [(found.number, (0.5,), number, number, 0.5) for number, found in enumerate(ids)])

    assert drawn(store, "ana", 1, "uncertainty", model_id="m", by="entropy") == [ids[-1].id]
    assert drawn(store, "ben", 1, "uncertainty", model_id="m", by="margin") == [ids[0].id]


@given(
    chances=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20),
    position=st.sampled_from([0, 1]),
    size=st.integers(1, 8),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_likely_draws_the_free_sentences_with_the_highest_probability_of_the_label(
    tmp_path: Path, chances: list[tuple[int, int]], position: int, size: int
) -> None:
    with Store(tmp_path / f"{uuid.uuid4()}.db") as store:
        store.add_annotated(texts(20), [])
        store.scores.add_model(model())
        scores = {one.id: chances[one.number % len(chances)] for one in store.scores.unscored("m")}
        rows = [
            (one.number, [chance / 20 for chance in scores[one.id]], 0.5, 0.5, max(scores[one.id]) / 20)
            for one in store.scores.unscored("m")
        ]
        store.scores.add("m", rows)
        taken = drawn(store, "ben", 4)

        found = drawn(store, "ana", size, "likely", model_id="m", query=model().labels[position])

    wanted = sorted((scores[one][position] for one in scores if one not in taken), reverse=True)
    assert [scores[one][position] for one in found] == wanted[:size]
    assert not set(found) & set(taken)


@pytest.mark.parametrize("strategy", ["uncertainty", "uncertain-diverse", "likely"])
def test_nothing_is_drawn_by_scores_from_documents_that_are_left_out(store: Store, strategy: str) -> None:
    store.add_annotated(texts(6, "held"), [])
    score_all(store, [0.5, 0.4])
    embed_all(store, [vector(1, 0)])
    more = {"query": "truce" if strategy == "likely" else "", "without": frozenset({"d1"})}

    found = drawn(store, "ana", 10, strategy, model_id="m", **more)

    assert {one.document_id for one in store.documents.sentences(found)} == {"held"}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", r"needs a label. Add one, e.g. --strategy 'likely truce'"),
        ("truse", "did you mean 'truce'.*Its labels: aid, truce"),
    ],
)
def test_likely_needs_a_label_of_the_model(store: Store, query: str, message: str) -> None:
    score_all(store, [0.5])
    with pytest.raises(InputError, match=message):
        next_assignment(store, "ana", DrawRequest("likely", 3, model_id="m", query=query))


def test_uncertainty_goes_on_below_what_was_drawn(store: Store) -> None:
    score_all(store, [i / 20 for i in range(20)])

    samples = [set(drawn(store, name, 8, "uncertainty", model_id="m")) for name in ("ana", "ben", "eva")]

    assert [len(sample) for sample in samples] == [8, 8, 4]
    assert len(set.union(*samples)) == 20
    assert next_assignment(store, "zoe", DrawRequest("uncertainty", 8, model_id="m")) is None


def clusters(n: int) -> list[bytes]:
    """Vectors of length 1 around `n` corners of a circle, 20 in all."""
    corners = [2 * math.pi * (number % n) / n + 0.01 * (number // n) for number in range(20)]
    return [vector(math.cos(corner), math.sin(corner)) for corner in corners]


def corner_of(given: bytes, n: int) -> int:
    return clusters(n)[:n].index(min(clusters(n)[:n], key=lambda corner: _distance(corner, given)))


def _distance(one: bytes, two: bytes) -> float:
    import numpy as np

    return float(np.linalg.norm(np.frombuffer(one, "<f2").astype(float) - np.frombuffer(two, "<f2").astype(float)))


@pytest.mark.parametrize("strategy", ["diverse", "uncertain-diverse"])
def test_diverse_strategies_draw_one_of_each_cluster(store: Store, strategy: str) -> None:
    score_all(store, TOPS)
    vectors = embed_all(store, clusters(5))

    assignment = assigned(store, "ana", DrawRequest(strategy, 5, model_id="m"))

    assert {corner_of(vectors[identifier], 5) for identifier in assignment.pending} == set(range(5))
    assert {draw.strategy for draw in assignment.draws} == {strategy}


def test_uncertain_diverse_clusters_only_uncertain_sentences(store: Store) -> None:
    store.add_annotated(texts(20, "d3"), [])
    tops = score_all(store, [i / 40 for i in range(40)])
    embed_all(store, clusters(4))

    ids = drawn(store, "ana", 2, "uncertain-diverse", model_id="m")

    # Ten times two are clustered: the twenty nearest to 0.5.
    assert len(ids) == 2
    assert all(0.25 <= tops[identifier] <= 0.75 for identifier in ids)


@pytest.mark.parametrize("strategy", ["diverse", "uncertain-diverse"])
def test_diverse_strategies_take_all_if_fewer_are_left(store: Store, strategy: str) -> None:
    score_all(store, TOPS)
    embed_all(store, clusters(5))

    assert len(drawn(store, "ana", 50, strategy, model_id="m")) == 20
    assert next_assignment(store, "ben", DrawRequest(strategy, 5, model_id="m")) is None


@pytest.mark.parametrize("strategy", ["diverse", "uncertain-diverse"])
def test_diverse_strategies_need_embeddings(store: Store, strategy: str) -> None:
    score_all(store, TOPS)

    with pytest.raises(InputError, match=rf"'{strategy}' needs embeddings by model m.*score ARTEFACT --embed"):
        next_assignment(store, "ana", DrawRequest(strategy, 5, model_id="m"))


# -- search


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("air defence", {"Kyiv wants air defence.", "Defence by AIR."}),
        ('"air defence"', {"Kyiv wants air defence."}),
        ('kyiv "air defence"', {"Kyiv wants air defence."}),
        ("DEFENCE", {"Kyiv wants air defence.", "Defence by AIR."}),
        ("100%", {"Up by 100% now."}),
    ],
)
def test_search_draws_what_holds_all_words_and_phrases(store: Store, query: str, found: set[str]) -> None:
    rows = ["Kyiv wants air defence.", "Defence by AIR.", "Up by 100% now.", "Up by 1000 now."]
    store.add_annotated([Sentence(text, 0, len(text), text) for text in rows], [])

    assignment = assigned(store, "ana", DrawRequest("search", query=query))

    assert {sentence.text for sentence in store.documents.sentences(assignment.pending)} == found
    (draw,) = assignment.draws
    assert (draw.strategy, draw.query) == ("search", query)
    assert {item.inclusion_probability for item in draw.items} == {None}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("won't", {"They won’t sign the “cease\u2011ﬁre”."}),
        ("WON’T", {"They won’t sign the “cease\u2011ﬁre”."}),
        ("cease-fire", {"They won’t sign the “cease\u2011ﬁre”."}),
        ("“sign the”", {"They won’t sign the “cease\u2011ﬁre”."}),
        ("“the sign”", set()),
        ("«40 million»", {"Oslo gave 40\u00a0mil\u00adlion to\nLwo\u0301w."}),
        ("Lwów", {"Oslo gave 40\u00a0mil\u00adlion to\nLwo\u0301w."}),
        ('"to lwów"', {"Oslo gave 40\u00a0mil\u00adlion to\nLwo\u0301w."}),
        ("ＡＩＤ", {"More ａｉｄ for the Straße of Σάμος."}),
        ("strasse", {"More ａｉｄ for the Straße of Σάμος."}),
        ("ΣΆΜΟΣ", {"More ａｉｄ for the Straße of Σάμος."}),
        ("humanitarian", {"Long-\r\nterm hu- \n manitarian talks -\nwhich fail."}),
        ('"long-term"', {"Long-\r\nterm hu- \n manitarian talks -\nwhich fail."}),
        ('"talks - which"', {"Long-\r\nterm hu- \n manitarian talks -\nwhich fail."}),
    ],
)
def test_search_finds_words_however_they_are_typed(store: Store, query: str, found: set[str]) -> None:
    rows = [
        "They won’t sign the “cease\u2011ﬁre”.",
        "Oslo gave 40\u00a0mil\u00adlion to\nLwo\u0301w.",
        "More ａｉｄ for the Straße of Σάμος.",
        "Long-\r\nterm hu- \n manitarian talks -\nwhich fail.",
    ]
    store.add_annotated([Sentence(text, 0, len(text), text) for text in rows], [])

    assignment = next_assignment(store, "ana", DrawRequest("search", query=query))

    pending = assignment.pending if assignment else ()
    assert {sentence.text for sentence in store.documents.sentences(pending)} == found


def test_search_draws_no_more_than_asked_for_and_nothing_twice(store: Store) -> None:
    samples = [set(drawn(store, name, 15, "search", query="text")) for name in ("ana", "ben")]

    assert [len(sample) for sample in samples] == [15, 5]
    assert len(set.union(*samples)) == 20
    assert next_assignment(store, "eva", DrawRequest("search", query="text")) is None
    assert next_assignment(store, "eva", DrawRequest("search", query="nowhere")) is None


@pytest.mark.parametrize("query", ["", "  ", "\u200b \u00ad"])
def test_search_needs_words(store: Store, query: str) -> None:
    with pytest.raises(InputError, match="'search' needs search words"):
        next_assignment(store, "ana", DrawRequest("search", query=query))


# -- audit


def test_an_audit_draws_from_every_stratum(store: Store) -> None:
    tops = score_all(store, [0.0, 0.0, 0.01, 0.05, 0.2, 0.4, 0.7, 0.7, 0.95, 1.0])

    (draw,) = assigned(store, "ana", DrawRequest("audit", 12, model_id="m")).draws

    strata: dict[str, list[DrawItem]] = {}
    for item in draw.items:
        strata.setdefault(item.stratum, []).append(item)
    sizes = {"0-0.02": 6, "0.02-0.1": 2, "0.1-0.3": 2, "0.3-0.6": 2, "0.6-0.9": 4, "0.9-1": 4}
    numbers = {"0-0.02": 3, "0.02-0.1": 1, "0.1-0.3": 1, "0.3-0.6": 1, "0.6-0.9": 3, "0.9-1": 3}
    assert {stratum: len(found) for stratum, found in strata.items()} == numbers
    for stratum, found in strata.items():
        low, high = map(float, stratum.split("-"))
        assert {item.inclusion_probability for item in found} == {numbers[stratum] / sizes[stratum]}
        assert all(low <= tops[item.sentence_id] < high or tops[item.sentence_id] == high == 1 for item in found)
    assert (draw.frame_size, draw.model_id) == (20, "m")
    assert {item.position for item in draw.items} == {None}


def test_an_audit_takes_all_of_a_small_stratum(store: Store) -> None:
    score_all(store, [0.5, *[0.0] * 19])

    (draw,) = assigned(store, "ana", DrawRequest("audit", 10, model_id="m")).draws

    found = Counter((item.stratum, item.inclusion_probability) for item in draw.items)
    assert found == {("0.3-0.6", 1.0): 1, ("0-0.02", 9 / 19): 9}


def test_the_weights_of_an_audit_add_up_to_the_store(store: Store) -> None:
    store.add_annotated(texts(200, "d3"), [])
    score_all(store, [0.0] * 50 + [0.15] * 9 + [0.5, 0.99])

    (draw,) = assigned(store, "ana", DrawRequest("audit", 60, model_id="m")).draws

    assert len(draw.items) == 60
    assert sum(1 / (item.inclusion_probability or 0) for item in draw.items) == pytest.approx(220)


def test_an_audit_includes_what_is_labelled_and_what_others_hold(store: Store) -> None:
    score_all(store, TOPS)
    decide(store, assigned(store, "ana", DrawRequest(size=10)))
    assigned(store, "ben", DrawRequest(size=10))

    for annotator in ("ana", "eva"):
        assert len(drawn(store, annotator, 20, "audit", model_id="m")) == 20


def test_an_audit_needs_every_sentence_scored(store: Store) -> None:
    score_all(store, TOPS)
    store.add_annotated(texts(3, "d3"), [])

    with pytest.raises(InputError, match=r"sentences without a score by model m: 3.*Run `communique score ARTEFACT"):
        next_assignment(store, "ana", DrawRequest("audit", 5, model_id="m"))


def test_the_strata_of_an_audit_cover_all_probabilities() -> None:
    assert list(AUDIT_EDGES) == sorted(set(AUDIT_EDGES))
    assert (AUDIT_EDGES[0], AUDIT_EDGES[-1]) == (0, 1)


# -- retest

LONG_AGO = "2026-01-01T00:00:00.000000+00:00"


def test_a_retest_draws_own_random_decisions_that_are_old_enough(store: Store) -> None:
    score_all(store, TOPS)
    ana = assigned(store, "ana", DrawRequest(size=6, overlap=0.5))
    first, *rest = sorted(ana.pending)
    decide(store, ana, rest, created_at=LONG_AGO)
    decide(store, ana, [first])
    decide(store, assigned(store, "ben", DrawRequest(size=3)), created_at=LONG_AGO)
    decide(store, assigned(store, "ana", DrawRequest("uncertainty", 3, model_id="m")), created_at=LONG_AGO)

    (draw,) = assigned(store, "ana", DrawRequest("retest", 100)).draws

    assert {item.sentence_id for item in draw.items} == set(rest)
    assert {item.inclusion_probability for item in draw.items} == {1.0}
    assert (draw.strategy, draw.frame_size) == ("retest-only", 5)


def test_a_retest_is_a_random_part_with_its_probability(store: Store) -> None:
    decide(store, assigned(store, "ana", DrawRequest(size=20)), created_at=LONG_AGO)

    assignment = assigned(store, "ana", DrawRequest("retest", 5))

    assert {item.inclusion_probability for item in items(assignment)} == {5 / 20}


def test_what_was_retested_is_not_asked_for_again(store: Store) -> None:
    decide(store, assigned(store, "ana", DrawRequest(size=8)), created_at=LONG_AGO)
    first = assigned(store, "ana", DrawRequest("retest", 5))
    assert assigned(store, "ana", DrawRequest("retest", 5)).pending == first.pending
    decide(store, first)

    second = assigned(store, "ana", DrawRequest("retest", 5, retest_after=timedelta(0)))

    assert len(second.pending) == 3
    assert not first.pending & second.pending


@pytest.mark.parametrize(("hours", "found"), [(1, True), (3, False)])
def test_how_old_a_decision_must_be_is_part_of_the_request(store: Store, hours: int, found: bool) -> None:
    two_hours_ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat(timespec="microseconds")
    decide(store, assigned(store, "ana", DrawRequest(size=2)), created_at=two_hours_ago)

    assignment = next_assignment(store, "ana", DrawRequest("retest", retest_after=timedelta(hours=hours)))

    assert (assignment is not None) is found


# -- relabel


def test_relabel_draws_the_queue_oldest_first(store: Store) -> None:
    ids, long = store.unseen.ids(), "the model doubts it " * 8
    store.relabelling.add([(ids[5], long, ("aid", "truce")), (ids[2], "new rule", ())], source="x")
    store.relabelling.add([(ids[1], "new rule", ("aid",))], source="y")
    decide(store, assigned(store, "ben", DrawRequest(size=20)))

    (draw,) = assigned(store, "ana", DrawRequest("relabel", 2)).draws

    assert draw.items == (
        DrawItem(ids[5], None, long, ("aid", "truce")),
        DrawItem(ids[2], None, "new rule", ()),
    )


def test_two_people_relabel_different_sentences_until_none_is_left(store: Store) -> None:
    ids = store.unseen.ids()[:5]
    store.relabelling.add([(identifier, "doubt", ()) for identifier in ids], source="doubts")

    ana = assigned(store, "ana", DrawRequest("relabel", 3))
    ben = assigned(store, "ben", DrawRequest("relabel", 3))

    assert ana.pending == set(ids[:3])
    assert ben.pending == set(ids[3:])
    decide(store, ana)
    decide(store, ben)
    assert next_assignment(store, "ana", DrawRequest("relabel", 3)) is None


# -- what cannot be drawn


@pytest.mark.parametrize(("strategy", "hint"), [("uncertanty", "did you mean 'uncertainty'"), ("xyz", "")])
def test_an_unknown_strategy_names_the_nearest_and_all(store: Store, strategy: str, hint: str) -> None:
    with pytest.raises(InputError, match=rf"unknown strategy '{strategy}'.*{hint}.*Use one of random, .*relabel"):
        next_assignment(store, "ana", DrawRequest(strategy))
    assert not store.draws.last("ana", (strategy,))


def test_an_imported_decision_makes_no_draw_to_go_on_with(store: Store) -> None:
    identifier = store.unseen.ids()[0]
    imported = Annotation("e1", identifier, "ana", "annotate", "reviewed", (), "h", PAST, strategy="random")
    store.events.add([imported, decision(identifier, "ana", "undo")])

    assert len(drawn(store, "ana", 5)) == 5


@pytest.mark.parametrize("strategy", ["random", "audit", "relabel"])
def test_words_are_for_search_alone(store: Store, strategy: str) -> None:
    with pytest.raises(InputError, match=rf"strategy '{strategy}' does not use search words \('truce'\)"):
        next_assignment(store, "ana", DrawRequest(strategy, query="truce"))


# -- whole articles


def test_a_document_draw_has_whole_articles_in_the_order_of_their_text(store: Store) -> None:
    for number in range(3, 9):
        store.add_annotated(texts(10, f"d{number}"), [])
    held = drawn(store, "ben", 2, "random")

    assignment = assigned(store, "ana", DrawRequest("document", size=25, seed=1))

    ids = [item.sentence_id for item in items(assignment)]
    found = {sentence.id: sentence for sentence in store.documents.sentences()}
    documents = list(dict.fromkeys(found[one].document_id for one in ids))
    # 78 free sentences in seven articles: two articles are nearest to 25 sentences.
    assert len(documents) == 2
    expected = [
        one.id for name in documents for one in store.documents.sentences(document_id=name) if one.id not in held
    ]
    assert ids == [one for one in expected if not found[one].boilerplate]
    assert {item.inclusion_probability for item in items(assignment)} == {2 / 7}
    assert {draw.frame_size for draw in assignment.draws} == {78}


def test_document_draws_choose_all_articles_equally_often_whatever_their_length() -> None:
    counts: Counter[str] = Counter()
    with Store("sqlite://") as store:
        for number, length in enumerate((1, 2, 40, 3), start=1):
            store.add_annotated(texts(length, f"d{number}"), [])
        for seed in range(400):
            plan = PLANS["document"](store, "ana", DrawRequest("document", size=12, seed=seed), Random(seed))
            found = store.documents.sentences(item.sentence_id for item in plan.items["document"])
            counts.update({sentence.document_id for sentence in found})

    assert counts.total() == 400  # one of four articles each time
    assert all(70 < counts[f"d{number}"] < 130 for number in (1, 2, 3, 4))


def test_a_document_draw_goes_on_where_it_ended_and_ends(store: Store) -> None:
    request = DrawRequest("document", size=5)
    first = assigned(store, "ana", request)
    decide(store, first, [items(first)[0].sentence_id])

    assert assigned(store, "ana", request).pending == {item.sentence_id for item in items(first)[1:]}
    decide(store, first)
    assert next_assignment(store, "ana", request) is None
