"""Plan and record the change from one codebook version to another, with its effects on the annotations of a store.

Applying a plan records the steps, and queues the sentences that the steps leave undecided or that revised rules
concern. Undecided sentences must be labelled again under the version that `awaited_codebooks` returns. No annotation is
altered: `labels.codebook.reading` reads annotations under the new version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from labels.codebook.changes import Step, check_steps, shape, titled
from labels.codebook.cues import Cue
from labels.codebook.reading import CodebookHistory, Edge, Reading, Reread, VersionReader, reread
from labels.codebook.schema import Codebook
from labels.environment.settings import relabel_command
from labels.errors import CodebookError
from labels.gold import resolve, standing
from labels.records import Annotation
from labels.store import CodebookMigration, QueuedSentence, Store, now
from labels.unicode import Folded

_EXAMPLES = 3
"""Number of example sentences in a plan for each of the outcomes "changed" and "undecided"."""

Outcome = Literal["unchanged", "changed", "undecided"]


@dataclass(frozen=True)
class StepEffect:
    """The effect of one step alone: which annotations it changes or leaves undecided, and by how many annotators."""

    step: Step
    changed: int
    undecided: int
    annotators: int


@dataclass(frozen=True)
class Moved:
    """A standing annotation, read under the old version and under the new version."""

    annotation: Annotation
    before: Reading
    after: Reading

    @property
    def outcome(self) -> Outcome:
        """How the change affects the annotation."""
        return _outcome(self.before.labels, self.after)


@dataclass(frozen=True)
class MigrationPlan:
    """The effects of moving from `old` to `new` on standing annotations and adjudications made under `old` or earlier.

    - `effects`: the effect of each step alone
    - `moved`: every annotation that the change concerns
    - `adopted`: number of annotations made under versions that are not in the store; once the plan is applied, they are
      read as if made under `old`. A version is adopted only if `old` allows all its label sets.
    - `relabel`: the sentences that have no gold under `new` because they are undecided, and the sentences to check
      because the rules of a label were revised
    - `examples`: pairs of a sentence's text and its changed or undecided annotation
    - `edges`: the changes to record
    - `recorded`: whether the steps are already recorded
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
        """The number of annotators who made the annotations in `moved`."""
        return len({moved.annotation.annotator for moved in self.moved})

    def count(self, outcome: Outcome) -> int:
        """Return the number of annotations with this outcome."""
        return sum(moved.outcome == outcome for moved in self.moved)


def plan_migration(store: Store, old: Codebook, new: Codebook, steps: Sequence[Step]) -> MigrationPlan:
    """Plan the change from `old` to `new` by `steps`, without writing to the store.

    Raises:
        CodebookError: the versions differ only in wording, the steps do not explain the change, or other steps are
            already recorded for the change.
    """
    if shape(old) == shape(new) and not steps:
        raise CodebookError(f"{titled(old)} and {titled(new)} have the same labels and flags. No migration is needed.")
    check_steps(steps, old, new)
    decisions = standing(store.events.all()).with_labels
    kept = store.codebooks.history()
    # Neither version needs to be in the store yet: planning writes nothing.
    versions = {**kept.versions, old.hash: old, new.hash: new}
    adopted = _adopted(decisions, versions, kept.edges, old)
    before = CodebookHistory(versions, (*kept.edges, *(Edge(unknown, old.hash) for unknown in sorted(adopted))))
    change = Edge(old.hash, new.hash, tuple(steps))
    # Every annotation is read twice, without and with the change. The plan contains the differences.
    readers = VersionReader(old, before), VersionReader(new, CodebookHistory(versions, (*before.edges, change)))
    recorded = _is_recorded(change, before.edges, readers[0])
    moved = tuple(
        Moved(decision, readers[0].read(decision), readers[1].read(decision))
        for decision in decisions
        if _leads_along(change, readers[1], decision.codebook_hash)
    )
    undecided = _relabel(decisions, moved, readers, steps)
    judged = {decision.codebook_hash for decision in decisions} - {one.annotation.codebook_hash for one in moved}
    known = {entry.sentence_id for entry in undecided} | store.relabelling.labelled_under(judged)
    return MigrationPlan(
        old=old,
        new=new,
        effects=tuple(_effect(step, moved, old) for step in steps),
        moved=moved,
        adopted=sum(decision.codebook_hash in adopted for decision in decisions),
        relabel=(*undecided, *_to_check(store, moved, steps, (old, new), known)),
        examples=_examples(store, moved),
        edges=(*before.edges[len(kept.edges) :], *(() if recorded else (change,))),
        recorded=recorded,
    )


def apply_migration(store: Store, plan: MigrationPlan, *, coders: int = 1) -> int:
    """Record both versions and the steps, and queue the undecided sentences for `coders` annotators to label again.

    Applying a plan a second time adds only the missing entries. Returns the number of sentences added to the queue.
    """
    # These are several transactions, so versions come before the edges that need them. After an interruption, a second
    # call adds the rest.
    for codebook in (plan.old, plan.new):
        store.codebooks.add(codebook)
    for edge in plan.edges:
        steps = tuple(step.to_json() for step in edge.steps)
        store.codebooks.add_migration(CodebookMigration(edge.old_hash, edge.new_hash, steps, now()))
    return store.relabelling.add(plan.relabel, source="migrate", coders=coders)


def _adopted(
    decisions: Iterable[Annotation], versions: Mapping[str, Codebook], edges: Iterable[Edge], old: Codebook
) -> set[str]:
    """Return the hashes of versions that are not in the store and whose annotations only have label sets of `old`.

    Annotations under unknown versions are read as if made under the codebook in use. Under the new version, such a
    reading would invent decisions on labels that the annotators never saw.
    """
    placed = {edge.old_hash for edge in edges}  # adopted by an earlier migration
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
    """Return whether the change is recorded between these versions, or between versions that differ only in wording.

    Raises:
        CodebookError: the change is recorded with other steps.
    """
    ends = reader.canonical(change.old_hash), reader.canonical(change.new_hash)
    if ends[0] == ends[1]:  # all versions with these labels have the same canonical hash
        same = [edge for edge in edges if (edge.old_hash, edge.new_hash) == (change.old_hash, change.new_hash)]
    else:
        same = [edge for edge in edges if (reader.canonical(edge.old_hash), reader.canonical(edge.new_hash)) == ends]
    for edge in same:
        if set(edge.steps) != set(change.steps):
            steps = " ".join(str(step) for step in edge.steps) or "none"
            raise CodebookError(
                f"the change from {change.old_hash} to {change.new_hash} is already recorded with other steps: "
                f"{steps}. Annotations are read with these steps. To read annotations differently, create another "
                "version."
            )
    return bool(same)


def _leads_along(change: Edge, reader: VersionReader, codebook_hash: str) -> bool:
    ends = reader.canonical(change.old_hash), reader.canonical(change.new_hash)
    if ends[0] == ends[1]:
        return codebook_hash != change.new_hash and reader.canonical(codebook_hash) == ends[0]
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
    """Return the sentences that the change leaves undecided, with the reason and their old gold.

    A sentence without old gold gets the labels of its last annotation instead.
    """
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
    # If no single step is the reason, the new flags do not allow the set that results from the steps.
    return "; ".join(undeciding) or f"version {new.version} of the codebook allows other sets of labels"


def _to_check(
    store: Store,
    moved: Sequence[Moved],
    steps: Sequence[Step],
    books: tuple[Codebook, Codebook],
    known: Collection[str],
) -> Iterator[QueuedSentence]:
    """Yield the sentences, except the `known` ones, that the revised rules of a label may concern.

    These have the label, or a cue of the label that only the new version has.
    """
    revised = {name for step in steps if step.kind == "revise" for name in step.new}
    old, new = ({label.name: label for label in book.labels} for book in books)
    added = {name: [Cue(cue) for cue in new[name].cues if cue not in old[name].cues] for name in sorted(revised)}
    given: dict[str, set[str]] = {}
    for one in moved if revised else ():
        given.setdefault(one.annotation.sentence_id, set()).update(one.after.labels)
    for sentence in store.documents.sentences(given.keys() - known) if revised else ():
        text = Folded(sentence.text)
        own = given[sentence.id]
        reasons = [name for name, cues in added.items() if name in own or any(cue.is_in(text) for cue in cues)]
        if reasons:
            names = ", ".join(f"'{name}'" for name in reasons)
            previous = tuple(name for name in books[1].label_names if name in own)
            yield QueuedSentence(sentence.id, f"the rules of {names} have changed", previous)


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
    """Return the codebook versions under which queued sentences are undecided, by NAME@HASH.

    Only the newest versions count: those to which a recorded change leads, and which no recorded change replaces.
    """
    history = store.codebooks.history()
    known = history.versions
    changes = [
        (known[e.old_hash], known[e.new_hash]) for e in history.edges if {e.old_hash, e.new_hash} <= known.keys()
    ]
    changes = [(old, new) for old, new in changes if shape(old) != shape(new)]  # revised rules leave nothing undecided
    replaced = {shape(old) for old, _ in changes}
    newest = {new.hash: new for _, new in changes if shape(new) not in replaced}
    stands = standing(store.events.all(sentence_ids=queued) if newest else [])
    decisions = [*stands.annotations.values(), *stands.adjudications.values()]
    return {f"{book.name}@{book.hash}": book for book in newest.values() if _leaves_open(decisions, book, history)}


def _leaves_open(decisions: Iterable[Annotation], codebook: Codebook, history: CodebookHistory) -> bool:
    """Return whether the decisions leave a sentence undecided. Decisions under unrelated codebooks do not count."""
    reader = VersionReader(codebook, history)
    related = (decision for decision in decisions if reader.route(decision.codebook_hash) is not None)
    return bool(resolve(related, codebook, history).undecided)


def refuse_replaced(store: Store, used: Codebook, annotator: str) -> None:
    """Check that the queue is labelled under a version that `awaited_codebooks` returns.

    Decisions under another version would leave the sentences undecided.

    Raises:
        CodebookError: `used` is not such a version; the message contains the command to use instead.
    """
    awaited = awaited_codebooks(store, {entry.sentence_id for entry in store.relabelling.waiting(annotator)})
    if awaited and shape(used) not in map(shape, awaited.values()):
        reference, wanted = next(iter(awaited.items()))
        raise CodebookError(
            f"{store.name}: queued sentences are undecided under codebook {titled(wanted)}, and decisions under "
            f"{titled(used)} would leave them undecided. "
            f"Use `{relabel_command(annotator, store=store.name, codebook=reference)}`."
        )
