"""Moving from one version of a codebook to another: what that does to the annotations of a store, and recording it.

Recording keeps the steps, and queues the sentences that they leave undecided to be labelled again, under the version
that `awaited_codebooks` names. No annotation is altered: `labels.codebook.reading` reads them under the new version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from labels.codebook.changes import Step, check_steps, shape, titled
from labels.codebook.reading import CodebookHistory, Edge, Reading, Reread, VersionReader, reread
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import resolve, standing
from labels.records import Annotation
from labels.settings import relabel_command
from labels.store import CodebookMigration, QueuedSentence, Store, now

_EXAMPLES = 3
"""How many example sentences a plan has for each outcome but "unchanged"."""

Outcome = Literal["unchanged", "changed", "undecided"]


@dataclass(frozen=True)
class StepEffect:
    """What one step does by itself: how many annotations, by how many annotators, it changes or leaves undecided."""

    step: Step
    changed: int
    undecided: int
    annotators: int


@dataclass(frozen=True)
class Moved:
    """A standing annotation as it reads under the old version and under the new one."""

    annotation: Annotation
    before: Reading
    after: Reading

    @property
    def outcome(self) -> Outcome:
        """What the change does to it."""
        return _outcome(self.before.labels, self.after)


@dataclass(frozen=True)
class MigrationPlan:
    """What moving from `old` to `new` does to the standing annotations and adjudications made up to `old`.

    - `effects`: what each step does by itself
    - `moved`: every annotation that the change concerns
    - `adopted`: how many annotations were made under versions that the store does not have, with labels that all are in
      `old`; from now on they are read as if made under `old`
    - `relabel`: the sentences without gold under `new` because they are undecided
    - `examples`: pairs of a sentence's text and an annotation of it that is changed or undecided
    - `edges`: what is to be recorded; `recorded`: whether the steps are recorded already
    """

    old: Codebook
    new: Codebook
    effects: tuple[StepEffect, ...]
    moved: tuple[Moved, ...]
    adopted: int
    relabel: tuple[QueuedSentence, ...]
    examples: tuple[tuple[str, Moved], ...]
    edges: tuple[Edge, ...]
    recorded: bool

    @property
    def annotators(self) -> int:
        """How many annotators made the annotations."""
        return len({moved.annotation.annotator for moved in self.moved})

    def count(self, outcome: Outcome) -> int:
        """How many annotations have this outcome."""
        return sum(moved.outcome == outcome for moved in self.moved)


def plan_migration(store: Store, old: Codebook, new: Codebook, steps: Sequence[Step]) -> MigrationPlan:
    """What the change from `old` to `new` by `steps` would do; nothing is written.

    Raises:
        CodebookError: only wording differs, the steps do not explain the change, or other steps are recorded for it.
    """
    if shape(old) == shape(new) and not steps:
        raise CodebookError(f"{titled(old)} and {titled(new)} have the same labels and flags: leave them as they are.")
    check_steps(steps, old, new)
    decisions = standing(store.events.all()).with_labels
    kept = store.codebooks.history()
    # Neither version needs to be in the store yet: planning writes nothing.
    versions = {**kept.versions, old.hash: old, new.hash: new}
    adopted = _adopted(decisions, versions, kept.edges, old)
    before = CodebookHistory(versions, (*kept.edges, *(Edge(unknown, old.hash) for unknown in sorted(adopted))))
    change = Edge(old.hash, new.hash, tuple(steps))
    # Every annotation is read twice, without the change and with it: the plan is the difference.
    readers = VersionReader(old, before), VersionReader(new, CodebookHistory(versions, (*before.edges, change)))
    recorded = _is_recorded(change, before.edges, readers[0])
    moved = tuple(
        Moved(decision, readers[0].read(decision), readers[1].read(decision))
        for decision in decisions
        if _leads_along(change, readers[1], decision.codebook_hash)
    )
    return MigrationPlan(
        old=old,
        new=new,
        effects=tuple(_effect(step, moved, old) for step in steps),
        moved=moved,
        adopted=sum(decision.codebook_hash in adopted for decision in decisions),
        relabel=_relabel(decisions, moved, readers, steps),
        examples=_examples(store, moved),
        edges=(*before.edges[len(kept.edges) :], *(() if recorded else (change,))),
        recorded=recorded,
    )


def apply_migration(store: Store, plan: MigrationPlan) -> int:
    """Record both versions and the steps, and queue what is undecided to be labelled again.

    Applying a plan again, for instance after an interruption, adds only what is missing.

    Returns:
        How many sentences are new in the queue.
    """
    # Several transactions, the versions before the edges that need them: after an interruption the rest can be added.
    for codebook in (plan.old, plan.new):
        store.codebooks.add(codebook)
    for edge in plan.edges:
        steps = tuple(step.to_json() for step in edge.steps)
        store.codebooks.add_migration(CodebookMigration(edge.old_hash, edge.new_hash, steps, now()))
    return store.relabelling.add(plan.relabel, source="migrate")


def _adopted(
    decisions: Iterable[Annotation], versions: Mapping[str, Codebook], edges: Iterable[Edge], old: Codebook
) -> set[str]:
    """Versions that are not in the store, and whose annotations have only label sets that `old` allows.

    So far they were read as if made under the codebook in use. Under the new version, that would take them for
    decisions on labels that their annotators never saw.
    """
    placed = {edge.old_hash for edge in edges}  # an earlier migration has adopted these
    sets: dict[str, set[tuple[str, ...]]] = {}
    for decision in decisions:
        if decision.codebook_hash not in versions and decision.codebook_hash not in placed:
            sets.setdefault(decision.codebook_hash, set()).add(decision.labels)
    return {unknown for unknown, found in sets.items() if all(_allows(old, labels) for labels in found)}


def _allows(codebook: Codebook, labels: tuple[str, ...]) -> bool:
    try:
        codebook.check_labels(labels, "")
    except CodebookError:
        return False
    return True


def _is_recorded(change: Edge, edges: Iterable[Edge], reader: VersionReader) -> bool:
    """Whether the change is recorded, between these versions or others that differ from them in wording only.

    Raises:
        CodebookError: it is recorded with other steps.
    """
    ends = reader.canonical(change.old_hash), reader.canonical(change.new_hash)
    same = [edge for edge in edges if (reader.canonical(edge.old_hash), reader.canonical(edge.new_hash)) == ends]
    for edge in same:
        if set(edge.steps) != set(change.steps):
            steps = " ".join(str(step) for step in edge.steps) or "none"
            raise CodebookError(
                f"the change from {change.old_hash} to {change.new_hash} is already recorded with other steps: "
                f"{steps}. Annotations are read by these steps. To change how they read, make a further version."
            )
    return bool(same)


def _leads_along(change: Edge, reader: VersionReader, codebook_hash: str) -> bool:
    ends = reader.canonical(change.old_hash), reader.canonical(change.new_hash)
    return any((edge.old_hash, edge.new_hash) == ends for edge in reader.route(codebook_hash) or ())


def _outcome(before: Sequence[str], after: Reading | Reread) -> Outcome:
    if after.undecided:
        return "undecided"
    return "unchanged" if set(before) == set(after.labels) else "changed"


def _effect(step: Step, moved: Iterable[Moved], old: Codebook) -> StepEffect:
    outcomes = [(_outcome_of_step(step, one.before, old), one.annotation.annotator) for one in moved]
    return StepEffect(
        step,
        changed=sum(outcome == "changed" for outcome, _ in outcomes),
        undecided=sum(outcome == "undecided" for outcome, _ in outcomes),
        annotators=len({annotator for outcome, annotator in outcomes if outcome != "unchanged"}),
    )


def _outcome_of_step(step: Step, before: Reading, old: Codebook) -> Outcome:
    read = reread(before.labels, [step])
    if old.exclusive and before.labels and not read.labels:
        return "undecided"  # its only label is retired: see `reread_between`
    return _outcome(before.labels, read)


def _relabel(
    decisions: Sequence[Annotation],
    moved: Sequence[Moved],
    readers: tuple[VersionReader, VersionReader],
    steps: Sequence[Step],
) -> tuple[QueuedSentence, ...]:
    """The sentences that the change leaves undecided, why, and their old gold (else the last annotation's labels)."""
    open_now: dict[str, list[Moved]] = {}
    for one in moved:
        if one.outcome == "undecided":
            open_now.setdefault(one.annotation.sentence_id, []).append(one)
    old, new = (
        # A store can hold annotations of unrelated codebooks, which cannot be read here.
        resolve(
            [one for one in decisions if reader.route(one.codebook_hash) is not None], reader.codebook, reader.history
        )
        for reader in readers
    )
    return tuple(
        QueuedSentence(
            sentence,
            _reason(open_now[sentence], readers, steps),
            old.gold.get(sentence, open_now[sentence][-1].annotation.labels),
        )
        for sentence in new.undecided
        if sentence in open_now
    )


def _reason(open_now: Sequence[Moved], readers: tuple[VersionReader, VersionReader], steps: Sequence[Step]) -> str:
    old, new = (reader.codebook for reader in readers)
    undeciding = [
        step.meaning
        for step in steps
        if any(_outcome_of_step(step, one.before, old) == "undecided" for one in open_now)
    ]
    # No single step: the new flags do not allow the set that the steps lead to.
    return "; ".join(undeciding) or f"version {new.version} of the codebook allows other sets of labels"


def _examples(store: Store, moved: Sequence[Moved]) -> tuple[tuple[str, Moved], ...]:
    chosen = [
        one
        for outcome in ("changed", "undecided")
        for one in islice((one for one in moved if one.outcome == outcome), _EXAMPLES)
    ]
    texts = {
        sentence.id: sentence.text
        for sentence in store.documents.sentences({one.annotation.sentence_id for one in chosen})
    }
    return tuple((texts[one.annotation.sentence_id], one) for one in chosen if one.annotation.sentence_id in texts)


# -- the queue that migrations fill


def awaited_codebooks(store: Store, queued: Collection[str]) -> dict[str, Codebook]:
    """The codebook versions under which queued sentences are undecided, by NAME@HASH.

    Only versions that a recorded change led to and none has replaced count.
    """
    history = store.codebooks.history()
    known = history.versions
    changes = [
        (known[e.old_hash], known[e.new_hash]) for e in history.edges if {e.old_hash, e.new_hash} <= known.keys()
    ]
    replaced = {shape(old) for old, _ in changes}
    newest = {new.hash: new for _, new in changes if shape(new) not in replaced}
    stands = standing(store.events.all(sentence_ids=queued) if newest else [])
    decisions = [*stands.annotations.values(), *stands.adjudications.values()]
    return {f"{book.name}@{book.hash}": book for book in newest.values() if _leaves_open(decisions, book, history)}


def _leaves_open(decisions: Iterable[Annotation], codebook: Codebook, history: CodebookHistory) -> bool:
    """Whether the decisions leave a sentence undecided; those under unrelated codebooks do not count."""
    reader = VersionReader(codebook, history)
    related = (decision for decision in decisions if reader.route(decision.codebook_hash) is not None)
    return bool(resolve(related, codebook, history).undecided)


def refuse_replaced(store: Store, used: Codebook, annotator: str) -> None:
    """Refuse to label the queue under a version whose decisions would leave it undecided under the awaited one.

    Raises:
        CodebookError: with the command that uses the awaited version.
    """
    awaited = awaited_codebooks(store, {entry.sentence_id for entry in store.relabelling.waiting(annotator)})
    if awaited and shape(used) not in map(shape, awaited.values()):
        reference, wanted = next(iter(awaited.items()))
        raise CodebookError(
            f"{store.name}: queued sentences are undecided under codebook {titled(wanted)}, and decisions under "
            f"{titled(used)} would leave them undecided. "
            f"Use `{relabel_command(annotator, store=store.name, codebook=reference)}`."
        )
