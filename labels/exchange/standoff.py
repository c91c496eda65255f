"""The native form without texts, for corpora that cannot be shared: ids, offsets and decisions, one event a line.

Whoever has the documents reads them in first; the sentences' ids then are the same, and the events find their texts.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path

from labels.codebook.schema import Codebook
from labels.exchange.decisions import events_of
from labels.exchange.foreign import native_stamp
from labels.exchange.jsonl import codebook_lines, read_lines
from labels.exchange.lines import Batch, Exported, check_ending
from labels.files import write_whole
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
        DataError: the file is of another ending, or as `labels.exchange.jsonl.read_annotations`, but for the text.
    """
    check_ending(path, (".jsonl",), FORMAT)
    batch = read_lines(path, codebook, texts=False)
    return replace(
        batch, lines=[replace(line, stored_id=line.sentence.id, must_be_stored=True) for line in batch.lines]
    )


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write every event of the store, or those of `annotator`, without the texts. Notes are written: they may quote.

    Raises:
        DataError: the file cannot be written or is of another ending, or `annotator` decided nothing.
    """
    check_ending(path, (".jsonl",), FORMAT)
    events = events_of(store, annotator)
    sentences = {
        sentence.id: sentence for sentence in store.documents.sentences({event.sentence_id for event in events})
    }
    rows = (native_stamp(event, sentences[event.sentence_id]) for event in events)
    lines = chain(codebook_lines(store, events), rows)
    write_whole(path, (json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return Exported(len(events), {})
