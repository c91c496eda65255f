"""Read annotations that were made under one version of a codebook under another version.

The recorded steps between the versions are applied to the labels.

Annotations are never rewritten. Labels that the steps cannot decide are reported as undecided. This module does not
use a store: `labels.store` stores versions and steps, and `labels.gold` derives gold from the results.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labels.codebook.changes import Shape, Step, shape, titled
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, counted
from labels.records import Annotation


@dataclass(frozen=True)
class Reread:
    """A label set under another version: the certain `labels`, and the `undecided` labels, which nobody has judged."""

    labels: tuple[str, ...]
    undecided: tuple[str, ...] = ()


def reread(labels: Sequence[str], steps: Iterable[Step], undecided: Sequence[str] = ()) -> Reread:
    """Apply `steps` to a label set in which the labels in `undecided` were already open.

    A label is certain, open or absent, as in Kleene's three-valued logic. A renamed label keeps its value. A merged
    label is certain if one of its sources is certain, otherwise open if one of them is open. The parts of a split label
    are open if the old label was certain or open, otherwise absent. An added label is open in every set. A retired
    label is removed. A revised label keeps its value. Applying two chains of steps one after the other gives the same
    result as applying them together.
    """
    certain, open_ = dict.fromkeys(labels), dict.fromkeys(undecided)  # dicts keep the order
    for step in steps:
        # Look up the values before names are removed: a merge may keep the name of one of its sources.
        was_certain = any(name in certain for name in step.old)
        was_open = any(name in open_ for name in step.old)
        for name in step.old:
            certain.pop(name, None)
            open_.pop(name, None)
        if was_certain and step.kind in ("rename", "merge", "revise"):
            certain |= dict.fromkeys(step.new)
        elif was_certain or was_open or step.kind == "add":
            open_ |= dict.fromkeys(step.new)
    return Reread(tuple(certain), tuple(name for name in open_ if name not in certain))


def reread_between(labels: Sequence[str], steps: Iterable[Step], old: Codebook, new: Codebook) -> Reread:
    """Apply `steps` like `reread`, and take the flags of both versions into account; labels are in the order of `new`.

    In an exclusive codebook, an annotator chose one label instead of the others. If this label is retired, or if the
    new version allows several labels, no annotator has judged the other labels: they are open. Labels of a set that the
    new version does not allow (two labels if it is exclusive, no label without `allow_none`) are open too.
    """
    read = reread(labels, steps)
    certain, open_ = set(read.labels), set(read.undecided)
    if old.exclusive and labels and (not new.exclusive or not certain | open_):
        open_ = set(new.label_names) - certain
    if new.exclusive and len(certain) > 1:
        certain, open_ = set(), certain | open_
    if new.requires_label and not certain | open_:
        open_ = set(new.label_names)
    ordered = (tuple(name for name in new.label_names if name in names) for names in (certain, open_))
    return Reread(*ordered)


@dataclass(frozen=True)
class Edge:
    """A recorded change between two versions, identified by their hashes. Without steps, the labels are the same."""

    old_hash: str
    new_hash: str
    steps: tuple[Step, ...] = ()

    @property
    def inverse(self) -> Edge:
        """The change in the opposite direction."""
        return Edge(self.new_hash, self.old_hash, tuple(step.inverse for step in self.steps))


@dataclass(frozen=True)
class CodebookHistory:
    """The known versions, by hash, and the recorded changes.

    A change from an unknown version to a known version means that the labels of both have the same meaning. A version
    is unknown if its annotations were imported without their codebook.
    """

    versions: Mapping[str, Codebook] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()


def route(edges: Iterable[Edge], old_hash: str, new_hash: str) -> tuple[Edge, ...] | None:
    """Find the shortest chain of changes from one version to another, breadth first; None if there is no chain.

    Among chains of equal length, the first in the order of `edges` is returned.
    """
    leaving: dict[str, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.old_hash, []).append(edge)
    paths: dict[str, tuple[Edge, ...]] = {old_hash: ()}
    waiting = deque([old_hash])
    while waiting and new_hash not in paths:
        here = waiting.popleft()
        for edge in leaving.get(here, ()):
            if edge.new_hash not in paths:
                paths[edge.new_hash] = (*paths[here], edge)
                waiting.append(edge.new_hash)
    return paths.get(new_hash)


@dataclass(frozen=True)
class Reading:
    """The certain and the undecided labels of an annotation under a version, in codebook order.

    `changes` is the number of recorded label changes between the versions; `reworded` is true if the annotation was
    made under a version with the same labels but different wording.
    """

    labels: tuple[str, ...]
    undecided: tuple[str, ...] = ()
    changes: int = 0
    reworded: bool = False


class VersionReader:
    """Reads annotations of any version in `history` under one version of a codebook.

    If two versions have the same label names and flags, only their wording differs, and annotations are read unchanged.
    Recorded changes apply in both directions, so an old version can still be used beside a new version.
    """

    def __init__(self, codebook: Codebook, history: CodebookHistory) -> None:
        self.codebook = codebook
        self.history = history
        self._hash = codebook.hash
        self._versions = {**history.versions, self._hash: codebook}
        # Maps the hashes of unknown versions to the known versions as which they are read.
        self._alias = {edge.old_hash: edge.new_hash for edge in history.edges if edge.old_hash not in self._versions}
        # Versions that differ only in wording form one node of the graph, so that one recorded change serves them all.
        first: dict[Shape, str] = {}
        self._canonical = {known: first.setdefault(shape(book), known) for known, book in self._versions.items()}
        recorded = [
            Edge(self._canonical[edge.old_hash], self._canonical[edge.new_hash], edge.steps)
            for edge in history.edges
            if edge.old_hash in self._canonical and edge.new_hash in self._canonical
        ]
        self._edges = [*recorded, *(edge.inverse for edge in recorded)]
        self._routes: dict[str, tuple[Edge, ...] | None] = {}

    def canonical(self, codebook_hash: str) -> str:
        """Return the hash that represents this version and all versions that differ from it only in wording."""
        known = self._alias.get(codebook_hash, codebook_hash)
        return self._canonical.get(known, known)

    def route(self, codebook_hash: str) -> tuple[Edge, ...] | None:
        """Return the changes from a version to this reader's version, between the hashes returned by `canonical`.

        The result is empty if labels and flags are the same, and None if the version is unknown or no chain of changes
        connects the two versions.
        """
        if codebook_hash not in self._routes:
            self._routes[codebook_hash] = route(self._edges, self.canonical(codebook_hash), self.canonical(self._hash))
        return self._routes[codebook_hash]

    def added(self, codebook_hash: str) -> tuple[str, ...]:
        """Return the labels that were added between a version and this reader's version."""
        steps = (step for edge in self.route(codebook_hash) or () for step in edge.steps)
        return tuple(name for step in steps if step.kind == "add" for name in step.new)

    def check_readable(self, annotations: Iterable[Annotation]) -> None:
        """Check that recorded changes connect the versions of all annotations with this reader's version.

        Raises:
            CodebookError: a known version with different labels is not connected; the message lists each such version,
                its number of annotations, and the command to use.
        """
        made = Counter(annotation.codebook_hash for annotation in annotations)
        if lost := self.unreadable(made):
            raise CodebookError(self.unreadable_message({known: made[known] for known in lost}))

    def unreadable(self, codebook_hashes: Iterable[str]) -> list[str]:
        """Return the hashes of known versions that no recorded change connects with this reader's version."""
        return [known for known in codebook_hashes if known in self._versions and self.route(known) is None]

    def unreadable_message(self, made: Mapping[str, int]) -> str:
        """Return the message about annotations under unreadable versions, by hash, with what to do."""
        lines = "\n".join(
            f"  {counted(number, 'annotation was', 'annotations were')} made under {titled(self._versions[known])}. "
            f"To use this codebook, add `--codebook {self._versions[known].name}@{known}`. If it is an earlier version "
            f"of the codebook in use, record the change: `communique codebook migrate {known} NEW`."
            for known, number in made.items()
        )
        return (
            f"some annotations were made under versions whose labels differ from those of codebook "
            f"{titled(self.codebook)}, and no recorded change leads from them to it. NEW below is the codebook's "
            f"TOML file, or its hash once it is in the store.\n{lines}"
        )

    def read(self, annotation: Annotation) -> Reading:
        """Read an annotation under this reader's version.

        Annotations of unknown versions are read as if they had been made under this reader's version.

        Raises:
            CodebookError: the annotation has a label that its version lacks; see also `check_readable`.
        """
        place = f"sentence {annotation.sentence_id}, annotator '{annotation.annotator}'"
        made = annotation.codebook_hash
        path = self.route(made)
        if path is None:
            self.check_readable([annotation])
        if not path:
            labels = self.codebook.check_labels(annotation.labels, place)
            return Reading(labels, reworded=made != self._hash and made in self._versions)
        read = self._follow(path, made, self._version(made).check_labels(annotation.labels, place))
        return Reading(read.labels, read.undecided, changes=len(path))

    def read_suggestion(self, annotation: Annotation) -> tuple[str, ...] | None:
        """Read the suggestion of an annotation under this reader's version; None if it is undecided or missing.

        The labels of a model may differ from the labels of the codebook, so unknown names are allowed.
        """
        path = self.route(annotation.codebook_hash)
        if annotation.suggestion is None or not path:
            return annotation.suggestion
        read = self._follow(path, annotation.codebook_hash, annotation.suggestion)
        return None if read.undecided else read.labels

    def _version(self, codebook_hash: str) -> Codebook:
        return self._versions[self._alias.get(codebook_hash, codebook_hash)]

    def _follow(self, path: Iterable[Edge], codebook_hash: str, labels: Sequence[str]) -> Reread:
        steps = [step for edge in path for step in edge.steps]
        return reread_between(labels, steps, self._version(codebook_hash), self.codebook)
