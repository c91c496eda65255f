"""Division of examples into train, validation and test.

Parts are grouped by document and near-duplicates, stratified, seeded, and recorded in a manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.errors import DataError, ExperimentError, counted
from labels.output.drafts import write_whole
from labels.records import Example
from labels.text.duplicates import near_duplicate_clusters, near_duplicate_pairs, near_duplicates_of
from labels.unicode import read_text
from trainer.evaluation.metrics import group_sums

PERMUTATIONS = 500
"""Number of seeded group orders to try; the order with the best stratification is kept."""
LARGE_GROUP = 0.10
"""A group stops the split if it holds more than this share of the documents, and more than two documents."""
_BRIDGES_SHOWN = 3

PARTS = ("train", "validation", "test")
Parts = dict[str, list[Example]]


@dataclass(frozen=True)
class Split:
    """Example ids of the three parts, disjoint in documents and near-duplicates.

    In a cross-validation, `train` has all ids, the other parts none, and `folds` has the ids of each fold by its name.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    folds: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, kw_only=True)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The ids of the three parts by name."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all parts."""
        return (*self.train, *self.validation, *self.test)

    @property
    def hash(self) -> str:
        """16 hex digits that identify the division, independent of the order of ids."""
        content = json.dumps({name: sorted(ids) for name, ids in (*self.parts.items(), *self.folds.items())})
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the manifest as JSON."""
        folds = {"folds": dict(self.folds)} if self.folds else {}
        content = {"format": 1, "hash": self.hash, **self.parts, **folds}
        write_whole(path, [json.dumps(content, indent=1) + "\n"])

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a manifest.

        Raises:
            ExperimentError: the file is missing or not a manifest, or its hash does not match its ids.
        """
        try:
            content = json.loads(read_text(path))
            folds = {name: tuple(ids) for name, ids in content.get("folds", {}).items()}
            split = cls(*(tuple(content[name]) for name in PARTS), folds=folds)
            stated, found = content["hash"], split.hash
        except (DataError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExperimentError(
                f"{path}: not a split manifest ({error}). Remove `split.manifest` to make a new split."
            ) from error
        if stated != found:
            raise ExperimentError(
                f"{path}: the manifest was altered: the hash of its ids is {split.hash}, but the file states {stated}. "
                "Use the original file."
            )
        return split


def by_any_id(examples: Iterable[Example], aliases: Mapping[str, str]) -> dict[str, Example]:
    """Id or alias -> example, with this id or alias as its id: hashes over the ids of a file then stay the same.

    Args:
        aliases: other id -> id of an example; an example may also have the other id already.
    """
    found = {example.id: example for example in examples}
    for alias, identifier in aliases.items():
        for one, other in ((alias, identifier), (identifier, alias)):
            if other in found:
                found.setdefault(one, replace(found[other], id=one))
    return found


def read_ids(path: Path) -> list[str]:
    """Read example ids from a file with one id per line.

    Raises:
        ExperimentError: the file cannot be read.
    """
    try:
        return read_text(path).split()
    except DataError as error:
        raise ExperimentError(f"{path}: this list of ids cannot be read: {error} Check `data.only`.") from error


def listed_examples(examples: Sequence[Example], only: str, aliases: Mapping[str, str]) -> Sequence[Example]:
    """Return the examples whose ids a file lists, in the order of the file; all examples if no file is named.

    The examples get the ids of the file, which may be aliases.
    """
    if not only:
        return examples
    ids = list(dict.fromkeys(read_ids(Path(only))))
    if not ids:
        raise ExperimentError(f"{only}: this list of ids is empty. Put one id on each line, or remove `data.only`.")
    by_id = by_any_id(examples, aliases)
    missing = [identifier for identifier in ids if identifier not in by_id]
    if missing:
        raise ExperimentError(
            f"{only}: {len(missing)} of its {len(ids)} ids are not in the data, e.g. '{missing[0]}'. "
            "Use an id list made from these data."
        )
    return [by_id[identifier] for identifier in ids]


def apply_split(
    split: Split, examples: Iterable[Example], place: str, aliases: Mapping[str, str] | None = None
) -> Parts:
    """Return the examples of each part, in the order and with the ids of the manifest.

    Args:
        aliases: other id -> id of an example, for a manifest with ids that an earlier release gave.

    Raises:
        ExperimentError: `examples` lacks an example that the manifest names.
    """
    by_id = by_any_id(examples, aliases or {})
    parts: Parts = {}
    for name, ids in split.parts.items():
        missing = [identifier for identifier in ids if identifier not in by_id]
        if missing:
            raise missing_examples(missing, name, place)
        parts[name] = [by_id[identifier] for identifier in ids]
    return parts


def missing_examples(ids: Sequence[str], part: str, place: str) -> ExperimentError:
    """The error to raise if examples of a part of a manifest are missing from the data."""
    are = counted(len(ids), f"example of the manifest's {part} part is", f"examples of the manifest's {part} part are")
    return ExperimentError(
        f"{place}: {are} not in the data, e.g. '{ids[0]}'. Use the data from which the manifest was made."
    )


def group_examples(examples: Sequence[Example], *, allow_large: bool = False) -> list[int]:
    """Return the group number of each example: documents connected by near-duplicate sentences form one group.

    Args:
        allow_large: accept groups of any size.

    Raises:
        ExperimentError: a group is too large (see `LARGE_GROUP`); the message shows sentences that connect its
            documents.
    """
    from scipy.cluster.hierarchy import DisjointSet

    # Documents alone are not enough: a sentence in two documents could then be in train and in test.
    documents = DisjointSet(example.document_id for example in examples)
    first: dict[int, str] = {}
    for example, cluster in zip(examples, near_duplicate_clusters([e.text for e in examples]), strict=True):
        documents.merge(first.setdefault(cluster, example.document_id), example.document_id)
    roots = {document: documents[document] for document in documents}
    if not allow_large:
        _refuse_large_group(examples, roots)
    numbers = {root: number for number, root in enumerate(dict.fromkeys(roots.values()))}
    return [numbers[roots[example.document_id]] for example in examples]


def make_split(
    examples: Sequence[Example],
    fractions: Sequence[float],
    seed: int,
    *,
    allow_large: bool = False,
) -> list[list[Example]]:
    """Divide examples into parts of approximately these `fractions` without dividing groups.

    Of `PERMUTATIONS` seeded orders of the groups, the function keeps the order whose parts are nearest to the fractions
    of all examples and of each label. Every part gets at least one group.

    Raises:
        ExperimentError: there are fewer groups than parts, or as for `group_examples`.
    """
    return share_groups(examples, group_examples(examples, allow_large=allow_large), fractions, seed)


def share_groups(
    examples: Sequence[Example],
    named: Sequence[int] | Sequence[str],
    fractions: Sequence[float],
    seed: int,
    what: str = "of documents",
) -> list[list[Example]]:
    """Divide examples as `make_split` does, without dividing the given groups.

    Args:
        named: the number or name of the group of each example.
        what: what the groups are, for messages.

    Raises:
        ExperimentError: there are fewer groups than parts.
    """
    _, groups = np.unique(np.asarray(named), return_inverse=True)
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    if n_groups < len(fractions):
        raise ExperimentError(
            f"The data have {counted(n_groups, 'group')} {what}, too few to split into {len(fractions)} "
            "parts. Add documents, divide into fewer parts, or use a test file."
        )
    names = sorted({label for example in examples for label in example.labels})
    held = np.array([[True, *(name in example.labels for name in names)] for example in examples])
    counts = group_sums(held, groups)  # per group: its examples, and its examples with each label
    part_of_group = _best_assignment(counts, np.asarray(fractions), np.random.default_rng(seed))
    return [
        [example for example, group in zip(examples, groups, strict=True) if part_of_group[group] == part]
        for part in range(len(fractions))
    ]


def leaked_examples(train: Sequence[Example], test: Sequence[Example]) -> list[Example]:
    """Return the test examples that have a near-duplicate or an identical text in train."""
    known = {example.text for example in train}
    leaked = set(near_duplicates_of([example.text for example in test], sorted(known)))
    leaked |= {position for position, example in enumerate(test) if example.text in known}
    return [test[position] for position in sorted(leaked)]


def _best_assignment(
    counts: NDArray[np.float64], fractions: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int_]:
    """Return the part of each group. Cost: relative deviation from the fractions, summed over examples and labels."""
    target = fractions[:, None] * counts.sum(axis=0)
    best_cost, best = np.inf, np.zeros(len(counts), dtype=int)
    # Exact stratification of several labels over whole groups is a hard packing problem. The best of many random orders
    # is nearly as good, treats all labels equally, and depends on the seed alone.
    for _ in range(PERMUTATIONS):
        order = generator.permutation(len(counts))
        parts = _parts_in_order(counts[order, 0], fractions)
        reached = np.zeros_like(target)
        np.add.at(reached, parts, counts[order])
        # The denominator is at least 1: otherwise a part with a target of a third of an example would dominate.
        cost = float((np.abs(reached - target) / np.maximum(target, 1)).sum())
        if cost < best_cost:
            best_cost, best = cost, np.empty(len(counts), dtype=int)
            best[order] = parts
    return best


def _parts_in_order(sizes: NDArray[np.float64], fractions: NDArray[np.float64]) -> NDArray[np.int_]:
    """Fill the parts in turn: a group goes to the part that contains its midpoint, and no part stays empty."""
    middles = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    parts = np.searchsorted(np.cumsum(fractions)[:-1], middles, side="right")
    starts = np.searchsorted(parts, np.arange(len(fractions)))
    for part in range(1, len(fractions)):  # at least one group each
        starts[part] = np.clip(starts[part], starts[part - 1] + 1, len(sizes) - len(fractions) + part)
    return np.asarray(np.searchsorted(starts, np.arange(len(sizes)), side="right") - 1)


def _refuse_large_group(examples: Sequence[Example], roots: dict[str, str]) -> None:
    if not roots:
        return
    sizes = Counter(roots.values())
    root, size = sizes.most_common(1)[0]
    if size <= 2 or size <= LARGE_GROUP * len(roots):
        return
    inside = [example for example in examples if roots[example.document_id] == root]
    between = (
        f"  '{inside[left].text[:90]}' ~ '{inside[right].text[:90]}'"
        for left, right in near_duplicate_pairs([example.text for example in inside])
        if inside[left].document_id != inside[right].document_id
    )
    bridges = list(islice(between, _BRIDGES_SHOWN))
    raise ExperimentError(
        f"{size} of {len(roots)} documents are connected by near-duplicate sentences and cannot be split "
        "without leaking test sentences into training:\n" + "\n".join(bridges) + "\nRemove the repeated sentences, or "
        "set `split.allow_large_groups = true`."
    )
