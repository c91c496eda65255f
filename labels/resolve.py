"""Annotations -> gold: what the annotators agree on, or an adjudicator decided. No annotation is altered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labels.codebook import Codebook
from labels.history import standing
from labels.migrate import CodebookHistory, Reading, VersionReader
from labels.records import Annotation

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Resolution:
    """Gold label sets, and the sentences that have none yet.

    `gold` maps sentence id -> labels in codebook order (empty: reviewed, none). `disputed` are sentences whose
    reviewers differ with no adjudication, `skipped` those that every annotator skipped, `undecided` those whose
    annotations were made under a version of the codebook that does not decide them under this one. `migrated`
    annotations were read through recorded changes of labels, `reworded` ones were made under another wording of the
    same labels.
    """

    gold: dict[str, Labels]
    disputed: tuple[str, ...]
    skipped: tuple[str, ...]
    undecided: tuple[str, ...]
    migrated: int
    reworded: int


def resolve(events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None) -> Resolution:
    """Resolve each sentence to its adjudication, else to the label set that all of its reviewers gave.

    Annotations of other versions of `history` are read under `codebook`. One that is left undecided gives no gold; it
    gives way to a complete one that was made under a nearer version, that is, with the labels in view that it lacks.

    Raises:
        CodebookError: an annotation bears a label that `codebook` lacks, or was made under a version with other labels
            from which no recorded change leads to `codebook`.
    """
    stands = standing(events)
    reviewed = [annotation for annotation in stands.annotations.values() if annotation.state == "reviewed"]
    reader = VersionReader(codebook, history or CodebookHistory())
    reader.check_readable([*reviewed, *stands.adjudications.values()])
    given: dict[str, list[Reading]] = {sentence: [] for sentence, _ in stands.annotations}
    for annotation in reviewed:
        given[annotation.sentence_id].append(reader.read(annotation))
    read = [reading for readings in given.values() for reading in readings]
    for sentence, adjudication in stands.adjudications.items():
        verdict = reader.read(adjudication)
        given[sentence] = _after_adjudication(verdict, given.get(sentence, []))
        read.append(verdict)
    sets = {sentence: _decided(readings) for sentence, readings in given.items()}
    return Resolution(
        gold={sentence: next(iter(found)) for sentence, found in sets.items() if found is not None and len(found) == 1},
        disputed=tuple(sentence for sentence, found in sets.items() if found is not None and len(found) > 1),
        skipped=tuple(sentence for sentence, found in sets.items() if found is not None and not found),
        undecided=tuple(sentence for sentence, found in sets.items() if found is None),
        migrated=sum(reading.changes > 0 for reading in read),
        reworded=sum(reading.reworded for reading in read),
    )


def _after_adjudication(verdict: Reading, readings: Sequence[Reading]) -> list[Reading]:
    """What still counts: the verdict alone, or, if that is undecided, with what was said under nearer versions.

    Those of its own version and before stay overruled.
    """
    if not verdict.undecided:
        return [verdict]
    return [verdict, *(reading for reading in readings if reading.changes < verdict.changes)]


def _decided(readings: Sequence[Reading]) -> set[Labels] | None:
    """The different label sets that count, None where an undecided reading has none to give way to.

    Nearness is what counts, not time: a set of the same old version that happens to be decided (none at all, where
    another annotator gave the label that was split) is one side of a dispute and must not win it.
    """
    complete = [reading for reading in readings if not reading.undecided]
    nearest = min((reading.changes for reading in complete), default=None)
    for reading in readings:
        if reading.undecided and (nearest is None or reading.changes <= nearest):
            return None
    return {reading.labels for reading in complete}
