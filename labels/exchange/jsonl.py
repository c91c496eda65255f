"""The native format: one annotation event per line, lossless in both directions; `seeds/annotations/` uses it.

*Standoff* is the same format without texts, for corpora that cannot be shared: it has ids, offsets and decisions.
Recipients need the documents and ingest them first. Their sentences then have the same ids as the events.

If a store has several codebook versions, the file starts with one line per version and one line per change between
versions. Each probability sample has a line with its frame, strata and sentences, decided or not.

Other people's JSONL files often have only the columns `text` and `label`. Such a file is read as a table
(`labels.exchange.tabular`), so that its rows become decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path

from labels.codebook.changes import step_from_json
from labels.codebook.schema import Codebook, dump_codebook, parse_codebook
from labels.errors import CodebookError, DataError, InputError
from labels.exchange.decisions import Selection
from labels.exchange.foreign import Reader, native_stamp
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line, format_line, parse_line
from labels.exchange.tabular import PLAIN
from labels.records import CodebookMigration, Draw, DrawItem
from labels.text.rows import Row, read_rows

CODEBOOK, MIGRATION, DRAW = "codebook", "codebook_migration", "draw"
"""Keys that mark a line with a codebook version, a change between versions, or a draw; the content is under the key."""

_NATIVE = ("event_id", "event", "codebook_hash")
"""Columns of native lines that no table has."""


class NativeFormat(Format):
    """The native format; `texts` is true if lines include texts."""

    endings = (".jsonl",)
    carries = "events"
    texts = True

    def parse(self, records: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the events, codebook versions and changes.

        Labels are checked against the version of their event if the file contains that version, otherwise against the
        codebook in use.
        """
        versions: dict[str, Codebook] = {}
        draws: set[str] = set()
        for place, row in records:
            content = _draw_line(row, place) or _codebook_line(row, place)
            if isinstance(content, Codebook):
                versions[content.hash] = content
            if isinstance(content, Draw):
                draws.add(content.id)
            if row.get("draw_id") and row["draw_id"] not in draws:
                row = row | {"draw_id": ""}  # without its draw, the line itself says how the sentence was drawn
            # Codebook lines come before the events that refer to them.
            codebook = versions.get(str(row.get("codebook_hash")), reader.codebook)
            yield content or self._event(row, place, codebook)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build the lines with codebook versions and changes (if the store has several versions), then the events."""
        for version in selection.versions:
            yield {CODEBOOK: dump_codebook(version)}
        for migration in selection.migrations:
            yield {MIGRATION: asdict(migration) | {"steps": [dict(step) for step in migration.steps]}}
        for draw in selection.draws:
            yield {DRAW: asdict(draw) | {"items": [_item_row(item) for item in draw.items]}}
        for event, sentence in selection.decisions:
            yield format_line(Line(event, sentence)) if self.texts else native_stamp(event, sentence)

    def _event(self, row: Row, place: str, codebook: Codebook) -> Line:
        line = parse_line(row if self.texts else row | {"text": ""}, place, codebook)
        if self.texts:
            return line
        return replace(line, stored_id=line.sentence.id, must_be_stored=True)


class JSONLines(NativeFormat):
    """Native JSONL."""

    name = "jsonl"
    not_written = (
        "documents: a sentence is written without the surrounding text",
        "model scores, and draws without known inclusion probabilities, except their strategy",
    )

    def for_file(self, path: Path) -> Format:
        """The native format, or the format of tables if the first row has no native columns."""
        first = next((row for _, row in read_rows(path)), {})
        return PLAIN if first and not self.is_own(first) else self

    def is_own(self, record: Row) -> bool:
        """Whether the row is a native line."""
        # Data on events can have an `event_id` of their own.
        own_lines = any(key in record for key in (CODEBOOK, MIGRATION, DRAW))
        return own_lines or sum(column in record for column in _NATIVE) > 1


class Standoff(NativeFormat):
    """Native JSONL without texts. Notes are written and may quote a text."""

    name = "standoff"
    texts = False
    not_written = (
        "texts: the documents must be in the store before this file is imported",
        "extra data from records of other formats: it may quote the text",
    )


JSONL, STANDOFF = JSONLines(), Standoff()


def read_annotations(path: Path, codebook: Codebook) -> Iterator[Line]:
    """Yield the events of a native file.

    Raises:
        DataError: as for `labels.exchange.lines.parse_line`.
    """
    contents = JSONL.parse(JSONL.read(path), Reader(path, JSONL.name, codebook))
    return (content for content in contents if isinstance(content, Line))


def _item_row(item: DrawItem) -> Row:
    """The fields of an item that are not at their defaults."""
    defaults = {one.name: one.default for one in fields(DrawItem)}
    return {name: value for name, value in vars(item).items() if name == "sentence_id" or value != defaults[name]}


def _draw_line(row: Row, place: str) -> Draw | None:
    """The draw in a line; None for other lines.

    Raises:
        DataError: a field is missing or unknown, has the wrong type, or a probability is not in (0, 1].
    """
    if not isinstance(row.get(DRAW), dict):
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        found = TypeAdapter(Draw).validate_python(row[DRAW])  # pydantic checks the types of a dataclass's fields
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, (DRAW, *problem["loc"])))
        raise DataError(f"{place}: `{key}`: {problem['msg']}. Export the file again.") from None
    for item in found.items:
        if item.inclusion_probability is not None and not 0 < item.inclusion_probability <= 1:
            raise DataError(
                f"{place}: the inclusion probability of sentence {item.sentence_id} must be in (0, 1], not "
                f"{item.inclusion_probability}. Export the file again."
            )
    return found


def _codebook_line(row: Row, place: str) -> Codebook | CodebookMigration | None:
    """The codebook version or the change in a line; None if the line is an event."""
    try:
        if isinstance(row.get(CODEBOOK), str):
            return parse_codebook(row[CODEBOOK], place)
        if MIGRATION not in row:
            return None
        content = row[MIGRATION]
        steps = tuple(content["steps"])
        for step in steps:
            step_from_json(step)  # raises if this release does not support the step
        return CodebookMigration(str(content["old_hash"]), str(content["new_hash"]), steps, str(content["created_at"]))
    except CodebookError as error:  # the message already contains the place
        raise DataError(str(error)) from None
    except InputError as error:
        raise DataError(f"{place}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: `{MIGRATION}` must have old_hash, new_hash, steps and created_at ({error}). Export the file "
            "again."
        ) from None
