"""The native form without texts, for corpora that cannot be shared: ids, offsets and decisions, one event a line.

Whoever has the documents reads them in first; the sentences' ids then are the same, and the events find their texts.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from labels.codebook import Codebook
from labels.errors import DataError
from labels.exchange.foreign import check_ending, mark
from labels.exchange.jsonl import parse_line
from labels.exchange.lines import Batch, Exported, Line
from labels.files import write_whole
from labels.rows import Row, read_rows
from labels.store import Store

FORMAT = "standoff"
UNIT = "events"
LOST = (
    "texts: the documents must be in the store before this file is imported",
    "what records of other formats said beyond the decision: it may quote the text",
)


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The events of a standoff file; each names its annotator, so that `annotator` is not asked.

    Raises:
        DataError: as `labels.exchange.jsonl.read_annotations`, but for the text.
    """
    check_ending(path, (".jsonl",), FORMAT)
    return Batch(path, [_line(row, DataError.place(path, number), codebook) for number, row in read_rows(path)])


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write every event of the store, or those of `annotator`, without the texts. Notes are written: they may quote.

    Raises:
        DataError: the file cannot be written.
    """
    check_ending(path, (".jsonl",), FORMAT)
    events = store.events(annotator=annotator or None)
    sentences = {sentence.id: sentence for sentence in store.sentences({event.sentence_id for event in events})}
    rows = (mark(event, sentences[event.sentence_id]) for event in events)
    write_whole(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Exported(len(events), {})


def _line(row: Row, place: str, codebook: Codebook) -> Line:
    line = parse_line(row | {"text": ""}, place, codebook)
    return replace(line, stored_id=line.sentence.id, must_be_stored=True)
