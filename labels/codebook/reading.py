"""How annotations made under one version of a codebook are read under another: by recorded steps, label by label.

No annotation is ever rewritten. Reading follows the steps and says what they cannot decide. Pure: `versions` reads
versions and steps from the store, `codebook_migration` records them, `resolve` makes gold of readings.
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
    """A label set read under another version: `labels` that are sure, and `undecided` ones that nobody has judged."""

    labels: tuple[str, ...]
    undecided: tuple[str, ...] = ()


def reread(labels: Sequence[str], steps: Iterable[Step], undecided: Sequence[str] = ()) -> Reread:
    """Follow `steps` from a label set, of which `undecided` were open already.

    Three truth values for each label, as in Kleene's logic: a renamed label keeps its own; a merged one is sure if one
    of its sources is, else open if one is; the parts of a split are open where the whole was sure or open, else absent;
    an added label is open in every set; a retired one is forgotten. Reading along two chains one after the other is
    the same as reading along both at once.
    """
    sure, doubted = dict.fromkeys(labels), dict.fromkeys(undecided)
    for step in steps:
        was_sure = any(name in sure for name in step.old)
        was_doubted = any(name in doubted for name in step.old)
        for name in step.old:
            sure.pop(name, None)
            doubted.pop(name, None)
        if was_sure and step.kind in ("rename", "merge"):
            sure |= dict.fromkeys(step.new)
        elif was_sure or was_doubted or step.kind == "add":
            doubted |= dict.fromkeys(step.new)
    return Reread(tuple(sure), tuple(name for name in doubted if name not in sure))


def reread_between(labels: Sequence[str], steps: Iterable[Step], old: Codebook, new: Codebook) -> Reread:
    """As `reread`, from version `old` to version `new`, with what their flags add; names in the order of `new`.

    In an exclusive codebook a label was chosen instead of the others. So where it is retired, or where the new version
    lets a sentence bear several, nobody has judged the others. A set that the new version does not allow (two labels
    where it is exclusive, none without `allow_none`) is open too.
    """
    read = reread(labels, steps)
    sure, doubted = set(read.labels), set(read.undecided)
    if old.exclusive and labels and (not new.exclusive or not sure | doubted):
        doubted = set(new.label_names) - sure
    if new.exclusive and len(sure) > 1:
        sure, doubted = set(), sure | doubted
    if new.requires_label and not sure | doubted:
        doubted = set(new.label_names)
    sure_names, doubted_names = (tuple(name for name in new.label_names if name in names) for names in (sure, doubted))
    return Reread(sure_names, doubted_names)


@dataclass(frozen=True)
class Edge:
    """A recorded change of one version, by its hash, into another. No steps: labels are what they were."""

    old_hash: str
    new_hash: str
    steps: tuple[Step, ...] = ()

    @property
    def inverse(self) -> Edge:
        """The way back."""
        return Edge(self.new_hash, self.old_hash, tuple(step.inverse for step in self.steps))


@dataclass(frozen=True)
class CodebookHistory:
    """The versions that are known, by hash, and the recorded changes.

    A change from a version that is not known (its annotations were imported without it) to one that is says that they
    are read alike.
    """

    versions: Mapping[str, Codebook] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()


def route(edges: Iterable[Edge], old_hash: str, new_hash: str) -> tuple[Edge, ...] | None:
    """The fewest changes that lead from one version to another, found breadth first; None where nothing does.

    Among routes of the same length the one whose edges come first in `edges` is taken.
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
    """An annotation as it reads under a version: labels in codebook order, and what it leaves `undecided`.

    `changes` is how many recorded changes of labels lie in between; `reworded`: it was made under other wording.
    """

    labels: tuple[str, ...]
    undecided: tuple[str, ...] = ()
    changes: int = 0
    reworded: bool = False


class VersionReader:
    """Reads annotations under one version of a codebook, whatever version of `history` they were made under.

    Versions with the same label names and flags differ in wording only: their annotations are read as they are.
    Recorded changes are followed in both directions, so that an old version stays usable beside a new one.
    """

    def __init__(self, codebook: Codebook, history: CodebookHistory) -> None:
        self.codebook = codebook
        self.history = history
        self._hash = codebook.hash
        self._versions = {**history.versions, self._hash: codebook}
        self._alias = {edge.old_hash: edge.new_hash for edge in history.edges if edge.old_hash not in self._versions}
        self._first: dict[Shape, str] = {}
        self._canonical = {known: self._first.setdefault(shape(book), known) for known, book in self._versions.items()}
        recorded = [
            Edge(self._canonical[edge.old_hash], self._canonical[edge.new_hash], edge.steps)
            for edge in history.edges
            if edge.old_hash in self._canonical and edge.new_hash in self._canonical
        ]
        self._edges = [*recorded, *(edge.inverse for edge in recorded)]
        self._routes: dict[str, tuple[Edge, ...] | None] = {}

    def canonical(self, codebook_hash: str) -> str:
        """The one hash that stands for all versions that differ from this one in wording only."""
        known = self._alias.get(codebook_hash, codebook_hash)
        return self._canonical.get(known, known)

    def route(self, codebook_hash: str) -> tuple[Edge, ...] | None:
        """The changes from a version to this reader's, between hashes as `canonical` gives them.

        Empty where labels and flags are the same, None where nothing leads here or the version is not known.
        """
        if codebook_hash not in self._routes:
            self._routes[codebook_hash] = route(self._edges, self.canonical(codebook_hash), self.canonical(self._hash))
        return self._routes[codebook_hash]

    def check_readable(self, annotations: Iterable[Annotation]) -> None:
        """Refuse annotations of a version whose labels differ and from which no recorded change leads here.

        Raises:
            CodebookError: with the versions, how many annotations there are of each, and the command that fixes it.
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
                f"codebook {titled(self.codebook)} has other labels than versions that annotations were made under, "
                "and no recorded change leads from these to it. NEW is its TOML file, or its hash once it is in the "
                f"store.\n{lines}"
            )

    def read(self, annotation: Annotation) -> Reading:
        """The annotation under this reader's version; of a version that is not known, as if it were this one.

        Raises:
            CodebookError: it bears a label that its version lacks.
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
        """The suggestion that was shown, under this reader's version; None where that is undecided, or there was none.

        Names that its version lacks are left out: a model may know others.
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
