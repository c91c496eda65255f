"""Reading annotations of one version of a codebook under another: along recorded steps, label by label.

No annotation is ever rewritten. Reading follows the steps and reports the labels that they cannot decide. Nothing here
touches a store: `labels.store` keeps versions and steps, `labels.gold` turns readings into gold.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labels.codebook.changes import Shape, Step, shape, titled
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.records import Annotation


@dataclass(frozen=True)
class Reread:
    """A label set read under another version: `labels` are certain, `undecided` ones no annotator has judged."""

    labels: tuple[str, ...]
    undecided: tuple[str, ...] = ()


def reread(labels: Sequence[str], steps: Iterable[Step], undecided: Sequence[str] = ()) -> Reread:
    """Follow `steps` from a label set; labels in `undecided` were open before.

    Each label is certain, open or absent, as in Kleene's three-valued logic. A renamed label keeps its value. A merged
    one is certain if one of its sources is, else open if one is. The parts of a split are open where the whole was
    certain or open, else absent. An added label is open in every set; a retired one is dropped. Reading along two
    chains, one after the other, gives the same as reading along both at once.
    """
    certain, open_ = dict.fromkeys(labels), dict.fromkeys(undecided)  # dicts keep the order
    for step in steps:
        # Asked before any name is removed: a merge may keep the name of one of its sources.
        was_certain = any(name in certain for name in step.old)
        was_open = any(name in open_ for name in step.old)
        for name in step.old:
            certain.pop(name, None)
            open_.pop(name, None)
        if was_certain and step.kind in ("rename", "merge"):
            certain |= dict.fromkeys(step.new)
        elif was_certain or was_open or step.kind == "add":
            open_ |= dict.fromkeys(step.new)
    return Reread(tuple(certain), tuple(name for name in open_ if name not in certain))


def reread_between(labels: Sequence[str], steps: Iterable[Step], old: Codebook, new: Codebook) -> Reread:
    """As `reread`, from version `old` to version `new`, with the effect of their flags; names in the order of `new`.

    In an exclusive codebook a label was chosen instead of the others. Where that label is retired, or where the new
    version allows several labels, no annotator has judged the others: they are open. A set that the new version does
    not allow (two labels where it is exclusive, none without `allow_none`) is open too.
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
    """A recorded change of one version into another, by their hashes. Without steps the labels stay the same."""

    old_hash: str
    new_hash: str
    steps: tuple[Step, ...] = ()

    @property
    def inverse(self) -> Edge:
        """The way back."""
        return Edge(self.new_hash, self.old_hash, tuple(step.inverse for step in self.steps))


@dataclass(frozen=True)
class CodebookHistory:
    """The known versions, by hash, and the recorded changes.

    A change from an unknown version (its annotations were imported without it) to a known one means that annotations of
    both are read alike.
    """

    versions: Mapping[str, Codebook] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()


def route(edges: Iterable[Edge], old_hash: str, new_hash: str) -> tuple[Edge, ...] | None:
    """The shortest chain of changes from one version to another, found breadth first; None where there is none.

    Among chains of the same length, the one whose edges come first in `edges` is taken.
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
    """An annotation read under a version: its labels, and those it leaves `undecided`, in codebook order.

    `changes` counts the recorded changes of labels in between; `reworded`: it was made under other wording.
    """

    labels: tuple[str, ...]
    undecided: tuple[str, ...] = ()
    changes: int = 0
    reworded: bool = False


class VersionReader:
    """Reads annotations of any version in `history` under one version of a codebook.

    Versions with the same label names and flags differ in wording only: their annotations are read as they are.
    Recorded changes are followed in both directions, so that an old version stays usable beside a new one.
    """

    def __init__(self, codebook: Codebook, history: CodebookHistory) -> None:
        self.codebook = codebook
        self.history = history
        self._hash = codebook.hash
        self._versions = {**history.versions, self._hash: codebook}
        # Unknown versions that are read as a known one.
        self._alias = {edge.old_hash: edge.new_hash for edge in history.edges if edge.old_hash not in self._versions}
        # Versions of one shape form one node of the graph: a recorded change serves all that differ in wording only.
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
        """The hash that represents this version and all that differ from it in wording only."""
        known = self._alias.get(codebook_hash, codebook_hash)
        return self._canonical.get(known, known)

    def route(self, codebook_hash: str) -> tuple[Edge, ...] | None:
        """The changes from a version to this reader's, between hashes as `canonical` gives them.

        Empty where labels and flags are the same, None where no chain leads here or the version is unknown.
        """
        if codebook_hash not in self._routes:
            self._routes[codebook_hash] = route(self._edges, self.canonical(codebook_hash), self.canonical(self._hash))
        return self._routes[codebook_hash]

    def check_readable(self, annotations: Iterable[Annotation]) -> None:
        """Refuse annotations of a version whose labels differ and from which no recorded change leads here.

        Raises:
            CodebookError: it lists the versions, the number of annotations of each, and the command that fixes it.
        """
        made = Counter(annotation.codebook_hash for annotation in annotations)
        lost = [known for known in made if known in self._versions and self.route(known) is None]
        if lost:
            lines = "\n".join(
                f"  {made[known]} annotations were made under {titled(self._versions[known])}: "
                f"type `communique codebook migrate {known} NEW`"
                for known in lost
            )
            raise CodebookError(
                f"some annotations were made under versions whose labels differ from those of codebook "
                f"{titled(self.codebook)}, and no recorded change leads from them to it. NEW below is the codebook's "
                f"TOML file, or its hash once it is in the store.\n{lines}"
            )

    def read(self, annotation: Annotation) -> Reading:
        """The annotation under this reader's version; one of an unknown version is read as if it were made under it.

        Raises:
            CodebookError: it has a label that its version lacks.
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
        """The suggestion that was shown, under this reader's version; None where it is undecided or there was none.

        Names that the annotation's version lacks are left out: a model may have other labels.
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
