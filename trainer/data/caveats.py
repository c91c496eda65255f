"""Caveats in words: what the gold of a store leaves out, and what distorts the figures of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from labels.codebook.reading import VersionReader
from labels.codebook.schema import Codebook
from labels.environment.settings import relabel_command
from labels.errors import counted
from labels.gold import Resolution, resolve
from labels.records import Example
from trainer.data.splits import Parts, leaked_examples

if TYPE_CHECKING:
    from labels.store import Store


def resolution_notes(resolution: Resolution, codebook: Codebook, store: str) -> Iterator[str]:
    """Yield the caveats about excluded sentences and annotations made under other versions."""
    version = f"{codebook.name} {codebook.version}"
    for what, left_out in (("disagree", resolution.disputed), ("skipped it", resolution.skipped)):
        if left_out:
            whose = counted(len(left_out), "sentence was left out: its", "sentences were left out: their")
            yield f"{whose} annotators {what if len(left_out) == 1 else what.replace('it', 'them')}"
    if outside := len(resolution.not_sentences):
        whose = counted(outside, "sentence was left out: its", "sentences were left out: their")
        yield f"{whose} annotators marked {'it' if outside == 1 else 'them'} as not a sentence"
    if resolution.undecided:
        following = relabel_command(store=store, codebook=f"{codebook.name}@{codebook.hash}")
        yield (
            f"{counted(len(resolution.undecided), 'sentence')} must be relabelled under codebook {version}: "
            f"run `{following}`"
        )
    if resolution.migrated:
        converted = counted(resolution.migrated, "annotation was", "annotations were")
        yield f"{converted} converted to codebook {version} using the recorded label changes"
    if resolution.reworded:
        made = f"{counted(resolution.reworded, 'annotation was', 'annotations were')} made"
        yield f"{made} under another wording of codebook {version} with the same labels"


def only_undecided(store: Store, codebook: Codebook, undecided: int) -> str:
    """Why the store has no gold under a new codebook version, how to get gold, and what still trains."""
    history, events = store.codebooks.history(), store.events.all()
    reader = VersionReader(codebook, history)
    made = {event.codebook_hash for event in events if event.event != "undo"}
    new = sorted({name for one in made for name in reader.added(one)})
    rows = counted(undecided, "labelled sentence")
    why = f"nobody has decided on the new labels {', '.join(new)} for" if new else "a codebook change reopened"
    again = relabel_command(store=store.name, codebook=f"{codebook.name}@{codebook.hash}")
    message = (
        f"{store.name}: no sentence has gold under codebook '{codebook.name}' {codebook.version}: "
        f"{why} {rows}. Label them again with `{again}`."
    )
    older = [history.versions[one] for one in made if one in history.versions and one != codebook.hash]
    for book in older:
        if resolve(events, book, history).gold:
            reference = f"{book.name}@{book.hash}"
            return f"{message} Until then, train under version {book.version}: add `--set data.codebook={reference}`."
    return message


def reasons_without_gold(resolution: Resolution) -> dict[str, str]:
    """Return the reason for which a sentence with annotations has no gold, by sentence id."""
    kinds = {
        "disputed": resolution.disputed,
        "skipped": resolution.skipped,
        "not a sentence": resolution.not_sentences,
        "undecided under this codebook": resolution.undecided,
    }
    return {sentence: reason for reason, sentences in kinds.items() for sentence in sentences}


def draw_notes(test: Sequence[Example]) -> Iterator[str]:
    """Yield a warning if test examples were not drawn at random: their figures do not describe the corpus."""
    picked = Counter(example.drawn for example in test if example.drawn not in ("", "random"))
    if picked:
        by = ", ".join(f"{strategy} {n}" for strategy, n in picked.most_common())
        yield (
            f"{picked.total()} of {counted(len(test), 'test sentence')} "
            f"{'was' if picked.total() == 1 else 'were'} not drawn at random ({by}): the figures describe "
            "the drawn sentences, not the corpus"
        )


def contradiction_notes(examples: Iterable[Example]) -> Iterator[str]:
    """Yield a warning if the same text has different labels: no classifier can be right on all rows with this text."""
    readings: dict[str, set[frozenset[str]]] = {}
    for example in examples:
        readings.setdefault(example.text, set()).add(frozenset(example.labels))
    disputed = [text for text, found in readings.items() if len(found) > 1]
    if disputed:
        yield (
            f"{counted(len(disputed), 'text occurs', 'texts occur')} more than once, with different labels, e.g. "
            f"'{disputed[0][:60]}': choose one label set per text"
        )


def leak_notes(parts: Parts, *, divided: bool) -> Iterator[str]:
    """Yield a warning if test rows also occur in train or validation.

    If the rows were `divided` by `make_split`, near-duplicates share a part, but equal short texts may not.
    """
    learned, test = [*parts["train"], *parts["validation"]], parts["test"]
    if divided:
        known = {example.text for example in learned}
        leaked, what = [example for example in test if example.text in known], "occur word for word among the"
    else:
        leaked, what = leaked_examples(learned, test), "are near-duplicates of"
    if leaked:
        yield (
            f"{len(leaked)} of {counted(len(test), 'test row')} {what} train or validation rows, e.g. "
            f"'{leaked[0].text[:60]}'"
        )
