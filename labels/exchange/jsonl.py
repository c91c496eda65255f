"""The native form, one annotation event a line: lossless both ways, and the form of `seeds/annotations/`.

*Standoff* is the same without texts, for corpora that cannot be shared: ids, offsets and decisions. A recipient who has
the documents ingests them first; their sentences then have the same ids, and the events find their texts.

A store with several codebook versions writes them first, each on a line of its own, with the changes between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from labels.codebook.changes import step_from_json
from labels.codebook.schema import Codebook, dump_codebook, parse_codebook
from labels.errors import CodebookError, DataError, InputError
from labels.exchange.decisions import Selection
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line, format_line, parse_line
from labels.exchange.records import Reader, native_stamp
from labels.records import CodebookMigration
from labels.text.rows import Row

CODEBOOK, MIGRATION = "codebook", "codebook_migration"
"""The key that marks a line which is not an event, and under which its content is."""


class NativeFormat(Format):
    """The native form; `texts` says whether its lines have texts."""

    endings = (".jsonl",)
    carries = "events"
    texts = True

    def parse(self, records: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """The events, codebook versions and changes; labels are checked against the version they were given under,
        where the file brings it.
        """
        versions: dict[str, Codebook] = {}
        for place, row in records:
            content = _codebook_line(row, place)
            if isinstance(content, Codebook):
                versions[content.hash] = content
            # Codebook lines come before the events that refer to them.
            codebook = versions.get(str(row.get("codebook_hash")), reader.codebook)
            yield content or self._event(row, place, codebook)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """The lines of codebook versions and changes, where there are several, then the events."""
        for version in selection.versions:
            yield {CODEBOOK: dump_codebook(version)}
        for migration in selection.migrations:
            yield {MIGRATION: asdict(migration) | {"steps": [dict(step) for step in migration.steps]}}
        for event, sentence in selection.decisions:
            yield format_line(Line(event, sentence)) if self.texts else native_stamp(event, sentence)

    def _event(self, row: Row, place: str, codebook: Codebook) -> Line:
        if self.texts:
            return parse_line(row, place, codebook)
        line = parse_line(row | {"text": ""}, place, codebook)
        return replace(line, stored_id=line.sentence.id, must_be_stored=True)


class JSONLines(NativeFormat):
    """Native JSONL."""

    name = "jsonl"
    not_written = (
        "documents: a sentence is written without the text around it",
        "scores of models, and everything about draws except strategy and inclusion probability",
    )


class Standoff(NativeFormat):
    """Native JSONL without texts. Notes are written, and may quote a text."""

    name = "standoff"
    texts = False
    not_written = (
        "texts: the documents must be in the store before this file is imported",
        "what records of other formats said beyond the decision: it may quote the text",
    )


JSONL, STANDOFF = JSONLines(), Standoff()


def read_annotations(path: Path, codebook: Codebook) -> Iterator[Line]:
    """Yield the events of a native file.

    Raises:
        DataError: as `labels.exchange.lines.parse_line`.
    """
    contents = JSONL.parse(JSONL.read(path), Reader(path, JSONL.name, codebook))
    return (content for content in contents if isinstance(content, Line))


def _codebook_line(row: Row, place: str) -> Codebook | CodebookMigration | None:
    """The codebook version or the change that a line holds; None for an event."""
    try:
        if isinstance(row.get(CODEBOOK), str):
            return parse_codebook(row[CODEBOOK], place)
        if MIGRATION not in row:
            return None
        content = row[MIGRATION]
        steps = tuple(content["steps"])
        for step in steps:
            step_from_json(step)  # raises for a step that this release does not know
        return CodebookMigration(str(content["old_hash"]), str(content["new_hash"]), steps, str(content["created_at"]))
    except CodebookError as error:  # names the place itself
        raise DataError(str(error)) from None
    except InputError as error:
        raise DataError(f"{place}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: `{MIGRATION}` must hold old_hash, new_hash, steps and created_at ({error}). Export it again."
        ) from None
