"""Leakage between files or parts: sentences of a later one that an earlier one already contains.

A model trained on the earlier one has seen answers of the later one, so its figures there are too good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import DataError, InputError
from labels.records import Example
from labels.text.documents import read_file
from labels.text.duplicates import has_few_words, known_near_duplicates, words_of
from labels.text.examples import read_unlabelled
from labels.text.rows import ROW_SUFFIXES
from labels.text.sentences import split_sentences
from trainer.data.extra import SEEDS
from trainer.data.splits import Split, by_any_id, missing_examples
from trainer.environment import STARTER_CODEBOOK

SHORT = "short"
KINDS = {
    "exact": "the same text",
    "same words": "differs only in case, punctuation, white space or typography",
    "near-duplicate": "at least 8 words, word 3-shingle Jaccard of at least 0.6",
    "same document": "another sentence of a document that is in both",
    SHORT: "the same words, but fewer than 8 of them: common phrases, which count only with --short",
}
"""The kinds of leaks in the order in which they are looked for: a sentence has the first that applies."""


@dataclass(frozen=True)
class Leak:
    """A sentence of the later part, at `position`, and the sentence of the earlier part from which it is known."""

    kind: str
    position: int
    example: Example
    known: Example


@dataclass(frozen=True)
class Pair:
    """The leaks between two parts.

    Attributes:
        first, second: their names.
        n: number of sentences of the second.
        leaks: at most one per sentence of the second, in order.
    """

    first: str
    second: str
    n: int
    leaks: tuple[Leak, ...]

    def counted(self, *, short: bool) -> tuple[Leak, ...]:
        """Return the leaks that count; short ones only if `short`."""
        return tuple(leak for leak in self.leaks if short or leak.kind != SHORT)

    @property
    def counts(self) -> dict[str, int]:
        """Number of leaks of each kind."""
        found = Counter(leak.kind for leak in self.leaks)
        return {kind: found[kind] for kind in KINDS}


def find_leaks(parts: Mapping[str, Sequence[Example]]) -> list[Pair]:
    """Compare each part with each earlier part.

    Args:
        parts: examples by the name of their part or file, at least two.
    """
    return [
        Pair(first, second, len(parts[second]), tuple(_leaks(parts[first], parts[second])))
        for first, second in combinations(parts, 2)
    ]


def _leaks(first: Sequence[Example], second: Sequence[Example]) -> list[Leak]:
    texts = {example.text: example for example in reversed(first)}
    words = {found: example for example in reversed(first) if (found := words_of(example.text))}
    documents = {example.document_id: example for example in reversed(first)}
    near = known_near_duplicates([example.text for example in second], [example.text for example in first])
    leaks = []
    for position, example in enumerate(second):
        same = texts.get(example.text) or words.get(words_of(example.text))
        if same is not None and not has_few_words(example.text):
            kind, known = "exact" if same.text == example.text else "same words", same
        elif position in near:
            kind, known = "near-duplicate", first[near[position]]
        elif example.document_id in documents:
            kind, known = "same document", documents[example.document_id]
        elif same is not None:
            kind, known = SHORT, same
        else:
            continue
        leaks.append(Leak(kind, position, example, known))
    return leaks


# -- reading


def read_parts(paths: Sequence[Path], manifest: Path | None = None, text_column: str = "") -> dict[str, list[Example]]:
    """Read the parts to compare: one per file, or those of a split manifest of one file of rows, or of the starter.

    Articles are split into sentences without boilerplate.

    Raises:
        InputError: there are fewer than two parts, or a file is named twice.
        DataError, ExperimentError: a file or the manifest cannot be read, or an example of the manifest is missing.
    """
    if manifest is not None:
        if len(paths) != 1:
            raise InputError(
                f"--split divides the rows of one file: name exactly one, or `{SEEDS}` for the starter corpus."
            )
        own = is_starter(paths[0])
        return _divided(starter_examples() if own else read_sentences_of(paths[0], "train", text_column), manifest)
    if len(paths) < 2:
        raise InputError("name at least two files, or one file with --split SPLIT.JSON, which divides it.")
    if repeated := next((path for path in paths if paths.count(path) > 1), None):
        raise InputError(f"{repeated}: this file is named twice. Name each file once.")
    return {part_name(path, paths): read_sentences_of(path, str(path), text_column) for path in paths}


def is_starter(path: Path) -> bool:
    """Return whether a path is the name of the starter corpus, and not a file."""
    return str(path) == SEEDS and not path.is_file()


def starter_examples(codebook: Codebook | None = None) -> list[Example]:
    """Return the examples of the starter corpus, with their gold under a codebook, by default its own."""
    # Imported here, so that a comparison of files does not load the label store.
    from trainer.data.corpus import seed_examples

    return seed_examples(codebook or load_codebook(STARTER_CODEBOOK)).examples


def part_name(path: Path, paths: Sequence[Path]) -> str:
    """Return the name of a file, with its folders if another file has the same name."""
    return path.name if [other.name for other in paths].count(path.name) == 1 else str(path)


def read_sentences_of(path: Path, part: str, text_column: str = "") -> list[Example]:
    """Read the rows of a table, or the sentences of an article, as examples without labels."""
    if path.suffix.lower() in ROW_SUFFIXES:
        found = read_unlabelled(path, part, text_column)
    else:
        problems: list[str] = []
        found = [
            Example(sentence.id, document.id, sentence.text)
            for document in read_file(path, problems.append)
            for sentence in split_sentences(document)
            if not sentence.boilerplate
        ]
        if problems:
            raise DataError(problems[0])
    if not found:
        raise DataError(f"{path}: the file has no sentences. Name another file.")
    return found


def _divided(examples: Sequence[Example], manifest: Path) -> dict[str, list[Example]]:
    split = Split.load(manifest)
    parts = {f"fold {name}": ids for name, ids in split.folds.items()} or split.parts
    by_id = by_any_id(examples, {})
    for name, ids in parts.items():
        if missing := [one for one in ids if one not in by_id]:
            raise missing_examples(missing, name, str(manifest))
    return {name: [by_id[one] for one in ids] for name, ids in parts.items() if ids}
