"""Plant sentences with known answers in a draw, so that their annotator cannot tell them from the others."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from labels.errors import InputError, counted
from labels.records import PLANTED
from labels.sampling.drawing import DrawRequest, Plan
from labels.store import DrawItem, Store
from labels.unicode import search_form

PLANTABLE = frozenset(
    {"random", "uncertainty", "diverse", "uncertain-diverse", "search", "overlap", "also-by", "audit", "likely"}
)
"""Strategies in whose draws sentences can be planted: those that show sentences new to the annotator, in any order."""


def planted(store: Store, annotator: str, request: DrawRequest, generator: Random) -> list[str]:
    """Ids of sentences with known answers in random order, of which a draw takes `to_plant`."""
    if request.strategy not in PLANTABLE or not round(request.planted * request.size):
        return []
    known = store.planted.candidates(annotator, request.experts)
    return generator.sample(known, len(known))


def to_plant(request: DrawRequest, known: list[str]) -> int:
    """The number of sentences to plant in a draw if these answers are known."""
    return min(round(request.planted * request.size), len(known))


def check_plantable(store: Store, annotator: str, request: DrawRequest) -> None:
    """Check that at least one sentence can be planted.

    Raises:
        InputError: the share is less than one sentence, or no sentence new to the annotator has a known answer.
    """
    if not request.planted:
        return
    if not round(request.planted * request.size):
        size = counted(request.size, "sentence")
        raise InputError(
            f"--planted {request.planted:g} of {size} is less than one sentence. Increase --planted or --size."
        )
    if not store.planted.candidates(annotator, request.experts):
        raise InputError(
            f"{store.name} has no sentence with a known answer that is new to {annotator}, so nothing can be planted. "
            "Answers are known if they were adjudicated, if two annotators gave the same labels, or if an expert gave "
            "them. Let a second annotator label with --also-by NAME, resolve disputes with `communique adjudicate`, or "
            "name `experts` under [team] in communique.toml. To draw without known answers, remove --planted."
        )


def with_planted(plan: Plan, known: list[str], request: DrawRequest, store: Store, generator: Random) -> Plan:
    """The plan with the first of the known sentences at random places; none in an empty draw.

    A sentence is not planted if the draw already has its words: seeing them twice would give it away.
    """
    ordered = _in_order(plan)
    if not (known and ordered):
        return plan
    # Fewer sentences than asked for may have been free.
    most = min(to_plant(request, known), round(request.planted / (1 - request.planted) * len(ordered)))
    for identifier in _of_other_words([item.sentence_id for _, item in ordered], known, store)[:most]:
        ordered.insert(generator.randint(0, len(ordered)), (PLANTED, DrawItem(identifier)))
    items: dict[str, list[DrawItem]] = {strategy: [] for strategy in (*plan.items, PLANTED)}
    for position, (strategy, item) in enumerate(ordered):
        items[strategy].append(replace(item, position=position))
    return Plan(items, plan.frame, plan.second_readings)


def _of_other_words(drawn: list[str], ids: list[str], store: Store) -> list[str]:
    """The ids among `ids` whose words neither a drawn sentence nor an earlier one of them has."""
    words = {one.id: " ".join(search_form(one.text).split()) for one in store.documents.sentences([*drawn, *ids])}
    seen = {words[identifier] for identifier in drawn}
    first = {words[identifier]: identifier for identifier in reversed(ids)}
    return [one for one in ids if words[one] not in seen and first[words[one]] == one]


def _in_order(plan: Plan) -> list[tuple[str, DrawItem]]:
    """The strategies and items of a plan in the order in which the annotator would see them."""
    pairs = [(strategy, item) for strategy, items in plan.items.items() for item in items]
    if all(item.position is not None for _, item in pairs):
        pairs.sort(key=lambda pair: pair[1].position or 0)
    return pairs
