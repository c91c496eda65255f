"""Split stored documents again with the current rules. Sentences with a decision keep their spans.

Sentences without a decision that the rules no longer produce are replaced (`labels.store.texts.overlaps`). New
sentences that overlap a sentence with a decision are left out, so that no passage is offered twice. All versions of an
article are split together: a sentence that an earlier version also has stays linked to the earlier sentence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from labels.records import Document, Sentence
from labels.store import tables
from labels.store.database import batches, rows_among
from labels.store.texts.identity import aliases_among, insert_aliases, insert_sentences
from labels.store.texts.overlaps import REPLACED_SPAN, decided_among, replace_sentences
from labels.store.texts.versions import UNCHANGED, equal_sentences
from labels.text.spans import without_overlaps

_MARKS = ("boilerplate", "splitter", "heading")
Cut = Callable[[Document], list[Sentence]]
"""A function that splits a document into sentences."""


@dataclass(frozen=True)
class Resplit:
    """The result of splitting documents again.

    - `documents`: number of documents whose sentences changed
    - `added`, `replaced`: numbers of new sentences to label, and of sentences that are no longer offered
    - `kept`: number of sentences with a decision that the current rules would cut differently
    """

    documents: int = 0
    added: int = 0
    replaced: int = 0
    kept: int = 0

    def __add__(self, other: Resplit) -> Resplit:
        return Resplit(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Resplit)))


def family(connection: sa.Connection, ids: Iterable[str]) -> list[str]:
    """Return the ids of stored documents and all their versions, first versions first, without removed documents."""
    table, removals = tables.documents, tables.removals
    query = sa.select(table.c.id, table.c.version_of)
    roots = {row.version_of or row.id for row in rows_among(connection, query, table.c.id, ids)}
    removed = sa.exists().where(removals.c.document_id == table.c.id)
    found = [
        row
        for column in (table.c.id, table.c.version_of)
        for row in rows_among(connection, query.where(~removed), column, roots)
    ]
    return [row.id for row in found]


def stored_documents(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Document]:
    """Return the documents among `ids` that the store has, by id and in the order of `ids`."""
    table = tables.documents
    columns = [table.c[one.name] for one in fields(Document) if one.name in table.c]
    rows = rows_among(connection, sa.select(table.c.id, *columns), table.c.id, ids)
    found = {row.id: Document(**{key: value for key, value in row._mapping.items() if key != "id"}) for row in rows}
    return {identifier: found[identifier] for identifier in ids if identifier in found}


def resplit(connection: sa.Connection, cut: Sequence[tuple[str, Sequence[Sentence]]]) -> Resplit:
    """Replace the sentences without a decision of some documents.

    Args:
        cut: pairs of a document's id in the store and its sentences under the current rules.
    """
    stored = _stored(connection, [identifier for identifier, _ in cut])
    kept = _kept(connection, [row for rows in stored.values() for row in rows])
    result = Resplit()
    for identifier, sentences in cut:
        own = _with_links(connection, identifier, [replace(one, document_id=identifier) for one in sentences])
        result += _resplit_document(connection, own, stored[identifier], kept)
    return result


def _stored(connection: sa.Connection, document_ids: Iterable[str]) -> defaultdict[str, list[Any]]:
    table = tables.sentences
    stored: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows_among(connection, sa.select(table), table.c.document_id, document_ids):
        stored[row.document_id].append(row)
    return stored


def _kept(connection: sa.Connection, rows: Iterable[Any]) -> set[str]:
    """Return the ids of sentences that have a decision or repeat a sentence with a decision in an earlier version."""
    rows = list(rows)
    earlier = aliases_among(connection, [row.id for row in rows if row.boilerplate == UNCHANGED])
    decided = decided_among(connection, [*earlier.values(), *(row.id for row in rows)])
    return {row.id for row in rows if earlier.get(row.id, row.id) in decided}


def _with_links(connection: sa.Connection, identifier: str, sentences: list[Sentence]) -> list[Sentence]:
    """Return the sentences of a document; sentences that an earlier version also has are marked and linked."""
    table = tables.documents
    root = connection.execute(sa.select(table.c.version_of).where(table.c.id == identifier)).scalar()
    if not root:
        return sentences
    to_label = [one for one in sentences if not one.boilerplate]
    links = equal_sentences(connection, root, to_label, but=identifier)
    insert_aliases(connection, links.items())
    return [replace(one, boilerplate=UNCHANGED) if one.id in links else one for one in sentences]


def _resplit_document(
    connection: sa.Connection, sentences: Sequence[Sentence], stored: Sequence[Any], keep: set[str]
) -> Resplit:
    kept = [row for row in stored if row.id in keep]
    taken = {row.document_id: [(one.start, one.end) for one in kept] for row in kept[:1]}
    new = {sentence.id: sentence for sentence in without_overlaps(sentences, taken)}
    others = [row for row in stored if row.id not in keep]
    gone = [row for row in others if row.id not in new and row.boilerplate != REPLACED_SPAN]
    still = [(row, new.pop(row.id)) for row in others if row.id in new]
    aside = [row for row, one in still if one.boilerplate and not row.boilerplate]
    restored = [row for row, one in still if row.boilerplate and not one.boilerplate]
    replace_sentences(connection, [*gone, *aside])
    _update_marks(connection, still)
    insert_sentences(connection, list(new.values()))
    made = {sentence.id for sentence in sentences}
    return Resplit(
        documents=int(bool(gone or aside or restored or new)),
        added=sum(not one.boilerplate for one in new.values()) + len(restored),
        replaced=sum(not row.boilerplate for row in gone) + len(aside),
        kept=sum(row.id not in made for row in kept),
    )


def _update_marks(connection: sa.Connection, still: Iterable[tuple[Any, Sentence]]) -> None:
    """Update the reasons and headings of sentences whose spans do not change."""
    ids: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for row, one in still:
        ids[tuple(getattr(one, name) for name in _MARKS)].append(row.id)
    table = tables.sentences
    for values, own in ids.items():
        for batch in batches(own):
            marks = dict(zip(_MARKS, values, strict=True))
            connection.execute(sa.update(table).where(table.c.id.in_(batch)).values(**marks))
