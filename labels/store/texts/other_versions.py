"""Find sentences of a file that the store has in another version of their document.

A native export identifies documents by ids and has no provenance, so the ids in an export of an article's first version
do not match a store that only has the edited article. Therefore the texts are compared. A document that the store does
not have is another version of a stored document if at least half of its sentences are equal, and if two of these
sentences, or a long one, occur in no other article of the store. Sentences of a stored document whose white space
differs are found in the same way.

Each stored sentence is used only once, and sentences whose ids are in the file are not used, so two copies of a text in
one file stay two documents. The remaining sentences keep their document, which a key links to the other versions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import sqlalchemy as sa

from labels.records import Sentence, plain_text, same_text
from labels.store import tables
from labels.store.database import insert_new, rows_among
from labels.store.texts.versions import REMOVED, UNCHANGED, text_hash

LINK = "version:"
"""The beginning of a key that links a document of which only sentences are stored to the first version."""
_FEWEST, _LONG = 2, 8
"""A version needs two distinctive sentences, or one with this many words; shorter sentences are common phrases."""


@dataclass
class Repeats:
    """Sentences that occur in another version of their document.

    - `sentences`: id of a sentence -> the equal sentence in the store
    - `links`: id of a document that is not in the store -> id of the first version
    """

    sentences: dict[str, Sentence] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def find_repeats(connection: sa.Connection, sentences: Iterable[Sentence]) -> Repeats:
    """Find the sentences that the store only has in another version of their document."""
    given = {one.id: one for one in sentences}
    column = tables.sentences.c.id
    named = {row.id for row in rows_among(connection, sa.select(column), column, given)}
    new: defaultdict[str, list[Sentence]] = defaultdict(list)
    for one in given.values():
        if one.id not in named and one.text:
            new[one.document_id].append(one)
    new = _without_own_spans(connection, new)
    families = _families(connection, [one for own in new.values() for one in own])
    known = _linked(connection, new)
    found = Repeats()
    for document, own in new.items():
        root = known.get(document) or _likely_family(own, families)
        if root:
            equal = _equal(connection, root, own, {*named, *(one.id for one in found.sentences.values())})
            if document in known or _is_version(own, equal, families):
                found.sentences |= equal
                found.links[document] = root
    return found


def insert_links(connection: sa.Connection, links: Mapping[str, str]) -> None:
    """Store that the sentences of some documents belong to other versions of stored documents."""
    rows = [{"key": LINK + root, "document_id": document} for document, root in links.items() if document != root]
    insert_new(connection, tables.document_keys, rows)


def linked_to(connection: sa.Connection, roots: Iterable[str]) -> list[str]:
    """Return the ids of documents that are versions of these documents and of which only sentences are stored."""
    table = tables.document_keys
    keys = [LINK + root for root in roots]
    return [row.document_id for row in rows_among(connection, sa.select(table.c.document_id), table.c.key, keys)]


def link_query() -> sa.Select[tuple[str, str]]:
    """Build a query for the ids of each linked document and its first version."""
    table = tables.document_keys
    root = sa.func.substr(table.c.key, len(LINK) + 1)
    return sa.select(table.c.document_id, root).where(table.c.key.startswith(LINK, autoescape=True))


def _without_own_spans(
    connection: sa.Connection, new: Mapping[str, list[Sentence]]
) -> defaultdict[str, list[Sentence]]:
    """Leave out the sentences whose span has the same text in the store: only the division into sentences differs."""
    table = tables.documents
    rows = rows_among(connection, sa.select(table.c.id, table.c.text), table.c.id, new)
    texts = {row.id: row.text for row in rows}
    left: defaultdict[str, list[Sentence]] = defaultdict(list)
    for document, own in new.items():
        text = texts.get(document, "")
        left[document] = [one for one in own if not same_text(text[one.start : one.end], one.text)]
    return left


def _linked(connection: sa.Connection, documents: Iterable[str]) -> dict[str, str]:
    """Map document ids to the id of the first version, for documents whose first version is known."""
    documents = list(documents)
    table = tables.documents
    rows = rows_among(connection, sa.select(table.c.id, table.c.version_of), table.c.id, documents)
    roots = {row.id: row.version_of or row.id for row in rows}
    links = rows_among(connection, link_query(), tables.document_keys.c.document_id, documents)
    return {row[0]: row[1] for row in links} | roots


def _families(connection: sa.Connection, sentences: Sequence[Sentence]) -> dict[str, set[str]]:
    """Map hashes of texts to the first versions of the documents that have a sentence with this text."""
    table, documents, erased = tables.sentences, tables.documents, tables.erased_sentences
    root = sa.case((documents.c.version_of == "", documents.c.id), else_=documents.c.version_of).label("root")
    query = (
        sa.select(table.c.text, root)
        .join(documents, documents.c.id == table.c.document_id)
        .where(table.c.boilerplate.in_(("", UNCHANGED, REMOVED)))
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    texts = {form for one in sentences for form in (one.text, plain_text(one.text))}
    for row in rows_among(connection, query, table.c.text, texts):
        found[text_hash(row.text)].add(row.root)
    hashed = query.add_columns(erased.c.hash).join(erased, erased.c.sentence_id == table.c.id)
    for row in rows_among(connection, hashed, erased.c.hash, {text_hash(one.text) for one in sentences}):
        found[row.hash].add(row.root)
    return found


def _likely_family(sentences: Sequence[Sentence], families: Mapping[str, set[str]]) -> str:
    """Return the first version whose versions contain the most of the texts; empty if none contains any."""
    counts = Counter(root for one in sentences for root in sorted(families.get(text_hash(one.text), ())))
    return counts.most_common(1)[0][0] if counts else ""


def _is_version(sentences: Sequence[Sentence], equal: Mapping[str, Sentence], families: Mapping[str, set[str]]) -> bool:
    """Return whether enough sentences are equal, and whether enough of them occur in versions of one article only."""
    telling = [one for one in sentences if one.id in equal and len(families[text_hash(one.text)]) == 1]
    is_known = len(telling) >= _FEWEST or any(len(one.text.split()) >= _LONG for one in telling)
    return is_known and 2 * len(equal) >= len(sentences)


def _equal(connection: sa.Connection, root: str, sentences: Iterable[Sentence], taken: set[str]) -> dict[str, Sentence]:
    """Map sentence ids to equal sentences in any version of a document; each is used once, and none of `taken`."""
    table, documents, erased = tables.sentences, tables.documents, tables.erased_sentences
    versions = sa.select(documents.c.id).where(sa.or_(documents.c.id == root, documents.c.version_of == root))
    query = (
        sa.select(erased.c.hash, *(table.c[one.name] for one in fields(Sentence)))
        .outerjoin(erased, erased.c.sentence_id == table.c.id)
        .where(table.c.document_id.in_(versions), table.c.boilerplate.in_(("", REMOVED)))
        .order_by(table.c.number.desc())
    )
    by_hash: defaultdict[str, list[Sentence]] = defaultdict(list)
    for erased_hash, *values in connection.execute(query):
        stored = Sentence(*values)
        if stored.id not in taken:
            by_hash[erased_hash or text_hash(stored.text)].append(stored)
    matched = ((one.id, by_hash.get(text_hash(one.text))) for one in sentences)
    return {identifier: equal.pop() for identifier, equal in matched if equal}
