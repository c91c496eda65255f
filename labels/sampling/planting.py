"""Plant sentences with known answers in a draw, so that their annotator cannot tell them from the others."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from labels.records import PLANTED
from labels.sampling.drawing import DrawRequest, Plan
from labels.store import DrawItem, Store

PLANTABLE = frozenset(
    {"random", "uncertainty", "diverse", "uncertain-diverse", "search", "overlap", "also-by", "audit", "likely"}
)
"""Strategies in whose draws sentences can be planted: those that show sentences new to the annotator, in any order."""


def planted(store: Store, annotator: str, request: DrawRequest, generator: Random) -> list[str]:
    """Ids of a random sample of sentences with known answers, of the size that `request.planted` asks for."""
    wanted = round(request.planted * request.size) if request.strategy in PLANTABLE else 0
    if not wanted:
        return []
    known = store.planted.candidates(annotator, request.experts)
    return generator.sample(known, min(wanted, len(known)))


def with_planted(plan: Plan, ids: list[str], share: float, generator: Random) -> Plan:
    """The plan with these sentences at random places; at most `share` of the draw, and none in an empty draw."""
    ordered = _in_order(plan)
    if not (ids and ordered):
        return plan
    # Fewer sentences than asked for may have been free.
    most = round(share / (1 - share) * len(ordered))
    drawn = {item.sentence_id for _, item in ordered}
    for identifier in [one for one in ids if one not in drawn][:most]:
        ordered.insert(generator.randint(0, len(ordered)), (PLANTED, DrawItem(identifier)))
    items: dict[str, list[DrawItem]] = {strategy: [] for strategy in (*plan.items, PLANTED)}
    for position, (strategy, item) in enumerate(ordered):
        items[strategy].append(replace(item, position=position))
    return Plan(items, plan.frame, plan.second_readings)


def _in_order(plan: Plan) -> list[tuple[str, DrawItem]]:
    """The strategies and items of a plan in the order in which the annotator would see them."""
    pairs = [(strategy, item) for strategy, items in plan.items.items() for item in items]
    if all(item.position is not None for _, item in pairs):
        pairs.sort(key=lambda pair: pair[1].position or 0)
    return pairs
