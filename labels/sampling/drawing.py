"""The strategies: each makes a plan of what to draw, from the store alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from labels.environment.settings import command
from labels.errors import InputError, did_you_mean
from labels.sampling.allocation import audit_shares
from labels.sampling.clusters import representatives
from labels.sampling.model_coders import disputed_sentences, model_coder
from labels.store import DrawItem, Frame, Store, Uncertainty
from labels.unicode import fold

AUDIT_EDGES = (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0)
"""Bounds of the audit strata: a sentence belongs to a stratum by its highest label probability."""

_POOL = 4000
"""Number of randomly chosen sentences that `diverse` clusters; limits the time needed for large stores."""
_UNCERTAIN_POOL = 10
"""`uncertain-diverse` clusters this many sentences per sentence to draw."""
_TERM = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True)
class DrawRequest:
    """The options of a draw.

    Args:
        strategy: one of `STRATEGIES`.
        size: the number of sentences to draw if no draw is unfinished; 0 for the default of `default_size`.
        share: for `also-by`, the share (0 to 1) of the other annotator's sentences to draw, instead of `size`.
        coders: the number of annotators who label each sentence of an overlap draw.
        seed: the seed for all random choices.
        overlap: the share (0 to 1) of a random draw that several annotators label without suggestions.
        model_id: the model whose scores are used (`uncertainty`, `diverse`, `uncertain-diverse`, `likely`, `audit`). An
            `audit` without a model is a simple random sample.
        by: the measure of uncertainty.
        query: words or quoted phrases for `search`; the other annotator's name for `also-by`; a label for `likely`; the
            name of a model coder for `disputed-by`.
        retest_after: the minimum age of decisions that `retest` draws.
        planted: the share (0 to less than 1) of sentences with known answers, see `labels.sampling.planting`.
        must_plant: refuse a draw in which no sentence can be planted.
        experts: annotators whose decisions alone are known answers.
        without: ids of documents from which the strategies that choose by scores draw nothing.
    """

    strategy: str = "random"
    size: int = 100
    share: float | None = None
    coders: int = 2
    seed: int = 13
    overlap: float = 0.0
    model_id: str = ""
    by: Uncertainty = "entropy"
    query: str = ""
    retest_after: timedelta = timedelta(hours=24)
    planted: float = 0.0
    must_plant: bool = False
    experts: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()


@dataclass
class Plan:
    """A planned draw: items by strategy, and the overlap sentences already drawn for another annotator."""

    items: dict[str, list[DrawItem]]
    frame: Frame | None = None
    second_readings: list[str] = field(default_factory=list)


def _random(store: Store, annotator: str, request: DrawRequest, generator: Random) -> Plan:
    """A simple random sample of the frame, of which a random share is labelled by several annotators.

    The share consists of overlap sentences that another annotator already has. If there are too few, some of the new
    sentences become overlap sentences, which other annotators can draw as well.
    """
    frame = store.unseen.frame()
    # If no new sentence is free, the whole draw can be second readings.
    shared = round(request.overlap * request.size) if frame.size or not request.overlap else request.size
    candidates = store.draws.overlap_candidates(annotator, coders=request.coders) if shared else []
    second_readings = generator.sample(candidates, min(shared, len(candidates)))
    ids = store.unseen.random(request.size - len(second_readings), generator, last=frame.last)
    fresh = _sampled(ids, frame.size)
    # A share of the drawn sentences, not of `size`: otherwise the last few sentences of a store would all be overlap.
    opened = max(0, round(request.overlap * (len(second_readings) + len(fresh))) - len(second_readings))
    kinds = {item.sentence_id: "overlap" for item in [*second_readings, *fresh[:opened]]}
    mixed = [*second_readings, *fresh]
    generator.shuffle(mixed)
    items: dict[str, list[DrawItem]] = {"random": [], "overlap": []}
    for position, item in enumerate(mixed):
        items[kinds.get(item.sentence_id, "random")].append(replace(item, position=position))
    return Plan(items, frame, [item.sentence_id for item in second_readings])


def _sampled(ids: Sequence[str], size: int, stratum: str = "") -> list[DrawItem]:
    """The items of a simple random sample from a stratum of this size."""
    # Reservations may have ended since the size was read, and a probability must not exceed 1.
    size = max(size, len(ids))
    return [DrawItem(one, len(ids) / size, stratum, stratum_size=size) for one in ids]


def _overlap(store: Store, annotator: str, request: DrawRequest, generator: Random) -> Plan:
    """A random sample of the overlap sentences that wait for another annotator; no new sentences."""
    waiting = store.draws.overlap_candidates(annotator, coders=request.coders)
    chosen = generator.sample(waiting, min(request.size, len(waiting)))
    return Plan({"overlap": chosen}, second_readings=[item.sentence_id for item in chosen])


def _also_by(store: Store, annotator: str, request: DrawRequest, generator: Random) -> Plan:
    """A simple random sample of the sentences that another annotator has decided and `annotator` has not.

    The frame is these sentences, and the inclusion probability refers to it. With `share`, sentences that both have
    decided already count towards the share.
    """
    other = _other_annotator(store, annotator, request)
    decided = store.draws.decided_by(other)
    seen = store.draws.seen_by(annotator)
    frame = [identifier for identifier in decided if identifier not in seen]
    wanted = request.size
    if request.share is not None:
        wanted = max(0, round(request.share * len(decided)) - (len(decided) - len(frame)))
    ids = generator.sample(frame, min(wanted, len(frame)))
    frame_hash = hashlib.sha256("\n".join(frame).encode()).hexdigest()[:16]
    return Plan({"also-by": _sampled(ids, len(frame))}, Frame(len(frame), frame_hash))


def _other_annotator(store: Store, annotator: str, request: DrawRequest) -> str:
    """The annotator whose sentences are drawn.

    Raises:
        InputError: no name is given, the name is the annotator's own, or the store has no decisions under it.
    """
    name, names = request.query, store.events.annotators()
    if not name:
        raise InputError("strategy 'also-by' needs the name of an annotator. Add the name, e.g. --also-by ana.")
    if name == annotator:
        raise InputError(
            f"'{name}' is the annotator who labels now. Give the name of another annotator, or label your own "
            "sentences again with --retest."
        )
    if name not in names:
        raise InputError(
            f"'{name}' has no decisions in {store.name}{did_you_mean(name, names)}. "
            f"Annotators: {', '.join(names) or 'none'}."
        )
    return name


def _skipped(store: Store, annotator: str, request: DrawRequest, generator: Random) -> Plan:
    """A random sample of the sentences that someone skipped and nobody has decided on."""
    waiting = store.waiting.skipped(annotator)
    ids = generator.sample(waiting, min(request.size, len(waiting)))
    return Plan({"skipped": _sampled(ids, len(waiting))}, Frame(len(waiting), ""))


def _document(store: Store, _: str, request: DrawRequest, generator: Random) -> Plan:
    """A cluster sample: articles drawn at random, each with all of its free sentences, in the order of the text.

    The number of articles is fixed before the draw, so that together they have about `size` sentences. All articles
    with free sentences have the same inclusion probability, and so have their sentences. The versions of an article
    are drawn together.
    """
    frame = store.unseen.frame()
    free, first = store.unseen.by_document(), store.documents.first_versions()
    articles: dict[str, list[str]] = {}
    for document in free:
        articles.setdefault(first.get(document, document), []).append(document)
    total = sum(free.values())
    if not total:
        return Plan({})
    count = min(len(articles), max(1, round(request.size * len(articles) / total)))
    chosen = generator.sample(sorted(articles), count)
    items = [
        DrawItem(one, count / len(articles), stratum_size=len(articles), cluster=article)
        for article in chosen
        for one in store.unseen.of_documents(articles[article])
    ]
    return Plan({"document": items}, frame)


def _uncertainty(store: Store, _: str, request: DrawRequest, __: Random) -> Plan:
    """The sentences with the highest model uncertainty."""
    found = store.unseen.uncertain(request.model_id, request.by, request.size, without=request.without)
    return Plan({"uncertainty": [DrawItem(identifier, stratum=request.by) for identifier, _ in found]})


def _likely(store: Store, _: str, request: DrawRequest, __: Random) -> Plan:
    """The sentences that most likely have one label, to find positives of a rare label."""
    position = _label_position(store, request)
    found = store.unseen.likely(request.model_id, position, request.size, without=request.without)
    return Plan({"likely": [DrawItem(identifier, stratum=f"{chance:.3f}") for identifier, chance in found]})


def _label_position(store: Store, request: DrawRequest) -> int:
    """The position of the label among the labels of the model.

    Raises:
        InputError: no label is given, or the model does not have it.
    """
    names = next(model.labels for model in store.scores.models() if model.id == request.model_id)
    if not request.query:
        raise InputError(f"strategy 'likely' needs a label. Add one, e.g. --strategy 'likely {names[-1]}'.")
    if request.query not in names:
        raise InputError(
            f"strategy 'likely': model {request.model_id} has no label '{request.query}'"
            f"{did_you_mean(request.query, names)}. Its labels: {', '.join(names)}."
        )
    return names.index(request.query)


def _diverse(store: Store, _: str, request: DrawRequest, generator: Random) -> Plan:
    """Cluster representatives of a random subset of the unseen sentences."""
    vectors = store.scores.embeddings(request.model_id, store.unseen.random(_POOL, generator))
    return _clusters(store, request, vectors, None)


def _uncertain_diverse(store: Store, _: str, request: DrawRequest, __: Random) -> Plan:
    """Cluster representatives of the most uncertain sentences, weighted by uncertainty."""
    pool = _UNCERTAIN_POOL * request.size
    found = dict(store.unseen.uncertain(request.model_id, request.by, pool, without=request.without))
    vectors = store.scores.embeddings(request.model_id, found)
    # A small margin means high uncertainty, but a small entropy means low uncertainty.
    uncertainty = [1 - found[key] if request.by == "margin" else found[key] for key in vectors]
    return _clusters(store, request, vectors, uncertainty)


def _clusters(store: Store, request: DrawRequest, vectors: dict[str, bytes], weights: Sequence[float] | None) -> Plan:
    if not vectors and store.unseen.frame().size:
        raise InputError(
            f"{store.name}: strategy '{request.strategy}' needs embeddings by model {request.model_id}, but no unseen "
            f"sentence has one. Write embeddings with `{command('score', 'ARTEFACT', '--embed', store=store.name)}`."
        )
    ids = list(vectors)
    chosen = representatives(list(vectors.values()), request.size, weights=weights, seed=request.seed)
    return Plan({request.strategy: [DrawItem(ids[position]) for position in chosen]})


def search_terms(query: str) -> list[str]:
    """The words and quoted phrases of a search."""
    # Folded: typographic quotes enclose a phrase too.
    return [phrase or word for phrase, word in _TERM.findall(fold(query))]


def _search(store: Store, _: str, request: DrawRequest, __: Random) -> Plan:
    """Sentences that contain all words of the query."""
    words = search_terms(request.query)
    if not words:
        raise InputError("strategy 'search' needs search words. Add words, e.g. --strategy 'search air defence'.")
    return Plan({"search": [DrawItem(found) for found in store.unseen.matching(words, request.size)]})


def _audit(store: Store, _: str, request: DrawRequest, generator: Random) -> Plan:
    """A stratified probability sample of all sentences with a score, labelled or not.

    Strata are bands of the largest probability of any label. Half of the draw is divided in proportion to the sizes of
    the strata, and half equally, so that rare labels are drawn too. The inclusion probability of an item is the number
    drawn from its stratum divided by the stratum's size. Without a model, the audit has one stratum. The sentences that
    a model coder could not answer are a stratum.
    """
    if not request.model_id:
        return _simple_audit(store, request, generator)
    bands = [(f"{low:g}-{high:g}", low, high) for low, high in pairwise(AUDIT_EDGES)]
    strata = {name: store.scores.numbers_by_top(request.model_id, low, high) for name, low, high in bands}
    strata["no answer"] = _unanswered(store, request.model_id)
    items: list[DrawItem] = []
    for (name, numbers), share in zip(
        strata.items(), audit_shares([len(one) for one in strata.values()], request.size), strict=True
    ):
        ids = store.documents.ids_of_numbers(generator.sample(list(numbers), share))
        items += _sampled(ids, len(numbers), name)
    generator.shuffle(items)
    return Plan({"audit": items}, store.unseen.whole())


def _unanswered(store: Store, model_id: str) -> list[int]:
    """The numbers of the sentences without a score, if all of them are those that a model coder could not answer.

    Raises:
        InputError: other sentences have no score either.
    """
    missing = store.scores.count_unscored(model_id)
    if not missing:
        return []
    coder = model_coder(store, model_id)
    unscored = store.scores.unscored(model_id, missing)
    if coder is not None and {one.id for one in unscored} <= coder.without_score:
        return [one.number for one in unscored]
    score = command("llm", "code") if coder is not None else command("score", "ARTEFACT", store=store.name)
    raise InputError(
        f"{store.name}: sentences without a score by model {model_id}: {missing}. An audit must be able to "
        f"draw every sentence. Run `{score}` first."
    )


def _simple_audit(store: Store, request: DrawRequest, generator: Random) -> Plan:
    """A simple random sample of all sentences to label, decided or not."""
    frame = store.unseen.whole()
    ids = store.unseen.random(request.size, generator, decided=True, last=frame.last)
    return Plan({"audit": _sampled(ids, frame.size)}, frame)


def _retest(store: Store, annotator: str, request: DrawRequest, generator: Random) -> Plan:
    """A random sample of the annotator's own earlier decisions, to be decided again without changing gold."""
    before = (datetime.now(UTC) - request.retest_after).isoformat(timespec="microseconds")
    own = store.draws.own_decisions(annotator, before=before)
    ids = generator.sample(own, min(request.size, len(own)))
    return Plan({"retest-only": _sampled(ids, len(own))}, Frame(len(own), ""))


def _relabel(store: Store, annotator: str, request: DrawRequest, _: Random) -> Plan:
    """The queued sentences for relabelling, oldest first."""
    found = {entry.sentence_id: entry for entry in store.relabelling.waiting(annotator, request.size)}
    return Plan({"relabel": [DrawItem(key, None, entry.reason, entry.previous) for key, entry in found.items()]})


def _disputed_by(store: Store, annotator: str, request: DrawRequest, generator: Random) -> Plan:
    """A random sample of the decided sentences to which a model coder gave other labels than a person."""
    waiting = disputed_sentences(store, request.query, annotator)
    return Plan({"disputed-by": [DrawItem(one) for one in generator.sample(waiting, min(request.size, len(waiting)))]})


PLANS: dict[str, Callable[[Store, str, DrawRequest, Random], Plan]] = {
    "random": _random,
    "document": _document,
    "overlap": _overlap,
    "also-by": _also_by,
    "skipped": _skipped,
    "uncertainty": _uncertainty,
    "diverse": _diverse,
    "uncertain-diverse": _uncertain_diverse,
    "likely": _likely,
    "search": _search,
    "audit": _audit,
    "retest": _retest,
    "relabel": _relabel,
    "disputed-by": _disputed_by,
}
