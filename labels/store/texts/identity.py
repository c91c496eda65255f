"""Recognition of documents and sentences that are already in the store, and insertion of new ones.

A stored document keeps its id forever, so that no id in a user's files and no hash over ids ever changes. The table
`aliases` holds the other ids of documents and sentences:

- an older document has as aliases the ids that `labels.records` gives to the same data today;
- a newer document has as aliases its `former_ids`, which occur in files written by earlier releases, and its
  `trimmed_id`, by which a text with other white space at the ends of its lines is recognized;
- a sentence that a later version of a document repeats has as alias the id of its span in that version.

Ids in the two schemes never coincide. The alias of a sentence follows from the alias of its document, so it is
computed when it is needed. Every function here runs in the caller's transaction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import sqlalchemy as sa

from labels.records import Document, Sentence, plain_url, sentence_id
from labels.store import tables
from labels.store.database import insert_new, rows_among
from labels.store.texts.versions import NewVersion, insert_keys, keys_of, link_versions, other_day
from labels.text.spans import Span, without_overlaps

_DOCUMENT_COLUMNS = ("source", "text", "url", "title", "date", "language", "synthetic")
_OUR_ID = re.compile("[0-9a-f]{16}")


def recognise(connection: sa.Connection, documents: Iterable[Document]) -> dict[str, str]:
    """Map document ids to ids in the store, for documents that the store has or whose sentences it has.

    A document that differs only in white space from an earlier one among `documents` gets the id of the earlier one.
    """
    documents = list(documents)
    present = present_documents(connection, [key for one in documents for key in (one.id, *one.former_ids)])
    others = [one for one in documents if one.id not in present]
    aliases = _with_texts(connection, (one.trimmed_id for one in others))
    aliases |= aliases_among(connection, (key for one in others for key in (one.id, one.trimmed_id)))
    older = _provenance(connection, (key for one in documents for key in one.former_ids if key in present))
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for one in documents:
        formers = (key for key in one.former_ids if key in present)
        former = next((key for key in formers if not _contradicts(one, *older.get(key, ("", "")))), "")
        alias = aliases.get(one.id) or aliases.get(one.trimmed_id)
        stored = one.id if one.id in present else alias or former or first.get(one.trimmed_id, one.id)
        first.setdefault(one.trimmed_id, stored)
        if stored != one.id or one.id in present:
            found[one.id] = stored
    return found


def _with_texts(connection: sa.Connection, ids: Iterable[str]) -> dict[str, str]:
    """Map the ids among `ids` that belong to a stored document to themselves.

    A document of which only sentences are stored does not count: their offsets refer to its own white space.
    """
    column = tables.documents.c.id
    return {row.id: row.id for row in rows_among(connection, sa.select(column), column, ids)}


def _provenance(connection: sa.Connection, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Map document ids to URL and date."""
    table = tables.documents
    rows = rows_among(connection, sa.select(table.c.id, table.c.url, table.c.date), table.c.id, ids)
    return {row.id: (row.url, row.date) for row in rows}


def _contradicts(document: Document, url: str, date: str) -> bool:
    """Return whether the URL or date of a document differs from a stored document with the same source and text."""
    differ = url and document.url and plain_url(url) != plain_url(document.url)
    return bool(differ) or other_day(date, document.date)


def present_documents(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Return the ids among `ids` that belong to a stored document or to the document of a stored sentence."""
    # Sentences can be imported without their documents.
    columns = (tables.documents.c.id, tables.sentences.c.document_id)
    found = (rows_among(connection, sa.select(column).distinct(), column, ids) for column in columns)
    return {row[0] for rows in found for row in rows}


def aliases_among(connection: sa.Connection, ids: Iterable[str]) -> dict[str, str]:
    """Map the aliases among `ids` to the ids in the store."""
    table = tables.aliases
    return {row.alias: row.id for row in rows_among(connection, sa.select(table), table.c.alias, ids)}


def insert_aliases(connection: sa.Connection, aliases: Iterable[tuple[str, str]]) -> None:
    """Insert pairs of an alias and an id; an alias that the store already has does not change."""
    insert_new(connection, tables.aliases, [{"alias": alias, "id": one} for alias, one in aliases if alias != one])


def insert_aliases_of(connection: sa.Connection, documents: Iterable[Document], stored: Mapping[str, str]) -> None:
    """Insert the other ids of documents; `stored` maps the ids of recognized documents to their ids in the store."""
    pairs: list[tuple[str, str]] = []
    for one in documents:
        identifier = stored.get(one.id, one.id)
        own = (*one.former_ids, one.trimmed_id) if identifier == one.id else (one.id,)
        pairs += [(alias, identifier) for alias in own]
    insert_aliases(connection, pairs)


def stored_sentences(connection: sa.Connection, pairs: Sequence[tuple[Document | None, Sentence]]) -> list[Sentence]:
    """Return the sentences under their ids in the store; unknown sentences stay unchanged.

    Args:
        pairs: each sentence with its document, or with None if the document is not known.
    """
    documents = {one.id: one for one, _ in pairs if one is not None}
    stored = recognise(connection, documents.values())
    bare = {sentence.document_id for one, sentence in pairs if one is None}
    stored |= aliases_among(connection, bare - present_documents(connection, sorted(bare)))
    texts = {one.id: one.text for one in documents.values()}
    texts |= _texts(connection, [key for own, key in stored.items() if own in documents])
    moved = [_moved(sentence, stored.get(sentence.document_id, ""), one, texts) for one, sentence in pairs]
    carried = aliases_among(connection, (sentence.id for sentence in moved))
    known = {sentence.id: sentence for sentence in sentences_among(connection, carried.values())}
    return [known.get(carried.get(sentence.id, ""), sentence) for sentence in moved]


def _texts(connection: sa.Connection, ids: Iterable[str]) -> dict[str, str]:
    table = tables.documents
    rows = rows_among(connection, sa.select(table.c.id, table.c.text), table.c.id, ids)
    return {row.id: row.text for row in rows}


def _moved(sentence: Sentence, stored: str, document: Document | None, texts: Mapping[str, str]) -> Sentence:
    """Return the sentence with its offsets in the stored document."""
    if not stored:
        return sentence
    start, end, text = sentence.start, sentence.end, sentence.text
    given = texts.get(stored, "")
    if document is not None and given and given != document.text:
        # Line ends, white space or normalization differ, so the offsets differ too. A sentence that is given with its
        # document is the whole text.
        text = given.strip()
        start = given.index(text)
        end = start + len(text)
    return replace(sentence, document_id=stored, start=start, end=end, text=text)


def sentences_among(connection: sa.Connection, ids: Iterable[str]) -> list[Sentence]:
    """Return the stored sentences with these ids, in any order."""
    table = tables.sentences
    query = sa.select(*(table.c[one.name] for one in fields(Sentence)))
    return [Sentence(*row) for row in rows_among(connection, query, table.c.id, ids)]


def resolve_sentences(connection: sa.Connection, ids: Iterable[str]) -> dict[str, str]:
    """Map other ids of stored sentences to their ids in the store; ids that are in the store are left out.

    For ids that remain unknown, this function computes the aliases of all sentences in documents with aliases.
    """
    left = {one for one in ids if _OUR_ID.fullmatch(one)}
    table, aliases = tables.sentences, tables.aliases
    left -= {row.id for row in rows_among(connection, sa.select(table.c.id), table.c.id, left)}
    found = aliases_among(connection, left)
    left -= found.keys()
    if left:
        query = sa.select(aliases.c.alias, table.c.id, table.c.start, table.c.end)
        for row in connection.execute(query.join(table, table.c.document_id == aliases.c.id)):
            alias = sentence_id(row.alias, row.start, row.end)
            if alias in left:
                found[alias] = row.id
    repeated = aliases_among(connection, found.values())
    return {alias: repeated.get(one, one) for alias, one in found.items()}


# -- insertion


@dataclass
class Added:
    """Numbers of new documents and sentences, and the new documents that are later versions of others.

    - `sentences`: number of new sentences, without those that an earlier version also has
    - `like_removed`: new document -> removed document, for new documents that look like a version of a removed one
    - `like_purged`: the documents that were not added because they look like a version of a purged document, with the
      time of the purge
    """

    documents: int = 0
    sentences: int = 0
    versions: list[NewVersion] = field(default_factory=list)
    like_removed: list[tuple[str, str]] = field(default_factory=list)
    like_purged: list[tuple[str, str, str]] = field(default_factory=list)


def under(stored: Mapping[str, str], sentence: Sentence) -> Sentence:
    """Return the sentence with the id that its document has in the store."""
    identifier = stored.get(sentence.document_id, sentence.document_id)
    # Do not call `replace` without need: it is slow, and nearly all documents of a corpus are new.
    return sentence if identifier == sentence.document_id else replace(sentence, document_id=identifier)


def without_common_keys(
    documents: Iterable[tuple[Document, Sequence[Sentence]]],
) -> Iterator[list[tuple[Document, Sequence[Sentence]]]]:
    """Divide documents into batches such that two versions of a document are never in the same batch."""
    batch: list[tuple[Document, Sequence[Sentence]]] = []
    seen: set[str] = set()
    for document, sentences in documents:
        keys = keys_of(document)
        if not seen.isdisjoint(keys):
            yield batch
            batch, seen = [], set()
        batch.append((document, sentences))
        seen.update(keys)
    if batch:
        yield batch


def add_batch(
    connection: sa.Connection,
    batch: Sequence[tuple[Document, Sequence[Sentence]]],
    result: Added,
    *,
    even_purged: bool = False,
) -> None:
    """Add documents to the store and to the result. A batch must not contain two versions of one document.

    Args:
        even_purged: also add other versions of purged documents.
    """
    stored = recognise(connection, [document for document, _ in batch])
    cut = without_stored_spans(connection, [under(stored, one) for _, sentences in batch for one in sentences])
    by_document: defaultdict[str, list[Sentence]] = defaultdict(list)
    for sentence in cut:
        by_document[sentence.document_id].append(sentence)
    own = [by_document[stored.get(document.id, document.id)] for document, _ in batch]
    links = link_versions(connection, [(one, sentences) for (one, _), sentences in zip(batch, own, strict=True)])
    pairs = [(document, link) for (document, _), link in zip(batch, links, strict=True)]
    if not even_purged:
        result.like_purged += [(one.id, link.removed, link.purged_at) for one, link in pairs if link.purged_at]
        pairs = [(one, link) for one, link in pairs if not link.purged_at]
    links = [link for _, link in pairs]
    roots = {document.id: link.root for document, link in pairs}
    result.documents += insert_documents(connection, [document for document, _ in pairs], stored, roots)
    new = insert_sentences(connection, [one for link in links for one in link.sentences])
    result.sentences += new - sum(len(link.aliases) for link in links)
    insert_aliases(connection, (alias for link in links for alias in link.aliases))
    result.versions += [link.version for link in links if link.version is not None]
    result.like_removed += [(one.id, link.removed) for one, link in pairs if link.removed and not link.purged_at]


def without_stored_spans(connection: sa.Connection, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
    """Return the sentences that do not overlap stored sentences of their document."""
    table = tables.sentences
    query = sa.select(table.c.document_id, table.c.start, table.c.end)
    taken: defaultdict[str, list[Span]] = defaultdict(list)
    for row in rows_among(connection, query, table.c.document_id, {one.document_id for one in sentences}):
        taken[row.document_id].append((row.start, row.end))
    return without_overlaps(sentences, taken) if taken else sentences


def insert_documents(
    connection: sa.Connection,
    documents: Sequence[Document],
    stored: Mapping[str, str] | None = None,
    roots: Mapping[str, str] | None = None,
) -> int:
    """Insert the documents that are not in the store yet; returns how many were inserted.

    Args:
        stored: the result of `labels.store.texts.identity.recognise` for these documents; computed if None.
        roots: document id -> id of its first version; empty or missing for documents that are not later versions.
    """
    found = recognise(connection, documents) if stored is None else stored
    table = tables.documents
    known = {row.id for row in rows_among(connection, sa.select(table.c.id), table.c.id, found.values())}
    new = [document for document in documents if found.get(document.id) not in known]
    rows = [
        {"id": found.get(one.id, one.id), "version_of": (roots or {}).get(one.id, "")}
        | {name: getattr(one, name) for name in _DOCUMENT_COLUMNS}
        for one in new
    ]
    added = insert_new(connection, table, rows)
    insert_aliases_of(connection, documents, found)
    insert_keys(connection, [(found.get(one.id, one.id), one) for one in new])
    return added


def insert_sentences(connection: sa.Connection, sentences: Sequence[Sentence]) -> int:
    """Insert the sentences that are not in the store yet, under the next numbers; returns how many were inserted.

    Numbers start at 1 and have no gaps, so a random number is a random sentence (`Unseen.random`). The caller holds the
    write lock: no other process can take the same numbers.
    """
    table = tables.sentences
    by_id = {sentence.id: sentence for sentence in sentences}
    # Do not use "on conflict do nothing": a rejected row would leave its number unused.
    known = list(rows_among(connection, sa.select(table.c.id), table.c.id, by_id))
    for row in known:
        del by_id[row.id]
    if not by_id:
        return 0
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0))).scalar_one())
    rows = [
        {"number": last + position, "id": identifier, **vars(sentence)}
        for position, (identifier, sentence) in enumerate(by_id.items(), start=1)
    ]
    connection.execute(sa.insert(table), rows)
    _mark_labellable(connection, last)
    return len(rows)


def _mark_labellable(connection: sa.Connection, last: int) -> None:
    """Mark decisions that were imported before their sentences; the new sentences have numbers above `last`."""
    table, decisions = tables.sentences, tables.decisions
    new = sa.select(table.c.id).where(table.c.number > last, table.c.boilerplate == "")
    early = (~decisions.c.labellable, decisions.c.sentence_id.in_(new))
    connection.execute(sa.update(decisions).where(*early).values(labellable=True))
