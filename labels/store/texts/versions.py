"""Recognize later versions of a document, such as an edited article, and link their unchanged sentences.

A new document is a later version of a stored document if the data state the same provenance for both (an id, a URL, or
a source with a title or date), or if both are the text of a file with the same name, and if the texts largely agree:
at least two sentences and half of all sentences are equal. Half of the shorter text is enough if id or URL are equal,
because an article may grow. Documents that state different ids or URLs are never versions of each other.

Sentences that a later version repeats are stored with the reason `UNCHANGED`, so that they can be shown as context.
Decisions are made on the sentence of the earlier version. Only the other sentences are new sentences to label.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from labels.records import Document, Sentence, plain_text
from labels.store import tables
from labels.store.database import insert_new, rows_among

UNCHANGED = "unchanged"
"""Reason not to label a sentence of a later version: an earlier version of the document has the same sentence."""

REMOVED = "removed document"
"""Reason not to label the sentences of a removed document."""

_STRONG = ("id:", "url:")
_TABLES = (".jsonl", ".csv", ".parquet", ".json")
_FEWEST, _SHARE = 2, 0.5
_CANDIDATES = 20
"""Maximum number of stored documents that a new document is compared with."""


@dataclass(frozen=True)
class NewVersion:
    """A later version of a stored document.

    - `document_id`, `title`: the earlier version and the title of the new version
    - `unchanged`: number of sentences to label that the earlier version also has; `new`: number of other sentences
    """

    document_id: str
    title: str
    unchanged: int
    new: int


def keys_of(document: Document) -> list[str]:
    """Return hashes of the stated provenance without the text, and of the name of a file with a single document.

    The format of these keys is stored: never change it without a new revision of the store.
    """
    origin, source = document.stated_origin, plain_text(document.source).strip()
    title, date = plain_text(document.title).strip(), plain_text(document.date).strip()
    keys = {"id": origin.identifier, "url": origin.url, "title": f"{source}\n{title}" if title else ""}
    # A newspaper has many articles with the same date, so the date counts only if nothing else is known.
    if date and not any(keys.values()):
        keys["date"] = f"{source}\n{date}"
    # All rows of a table have the same file name.
    if not origin.source and not source.endswith(_TABLES):
        keys["name"] = source
    return [f"{kind}:{_digest(value)}" for kind, value in keys.items() if value]


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def insert_keys(connection: sa.Connection, documents: Iterable[tuple[str, Document]]) -> None:
    """Insert the keys of documents, given with their ids in the store."""
    rows = [{"key": key, "document_id": identifier} for identifier, one in documents for key in keys_of(one)]
    insert_new(connection, tables.document_keys, rows)


@dataclass(frozen=True)
class _Match:
    """A stored document, its first version, and pairs of (sentence of the new document, sentence in the store)."""

    document_id: str
    root: str
    pairs: dict[str, str]


@dataclass(frozen=True)
class Linked:
    """The sentences of a document to store and, if it is a version of another document, its links.

    - `root`: the id of the first version
    - `aliases`: pairs of the id of a repeated sentence and the id of the earlier sentence
    - `removed`: the id of a removed document if this document looks like a version of it; otherwise empty
    - `purged_at`: when that document was purged; empty if it was only removed
    """

    sentences: list[Sentence]
    version: NewVersion | None = None
    root: str = ""
    aliases: tuple[tuple[str, str], ...] = ()
    removed: str = ""
    purged_at: str = ""


def link_versions(
    connection: sa.Connection,
    documents: Sequence[tuple[Document, Sequence[Sentence]]],
    keys: Sequence[Sequence[str]] | None = None,
) -> list[Linked]:
    """Compare new documents with stored documents, and mark the sentences that later versions repeat.

    Args:
        keys: the keys of each document; by default, they are computed by `keys_of`.
    """
    column = tables.document_keys.c.key
    keys = [keys_of(document) for document, _ in documents] if keys is None else keys
    query = sa.select(column).distinct()
    known = {row.key for row in rows_among(connection, query, column, (key for own in keys for key in own))}
    return [
        _link_version(connection, document, sentences, own) if known.intersection(own) else Linked(list(sentences))
        for (document, sentences), own in zip(documents, keys, strict=True)
    ]


def _link_version(
    connection: sa.Connection, document: Document, sentences: Sequence[Sentence], keys: Sequence[str]
) -> Linked:
    to_label = [sentence for sentence in sentences if not sentence.boilerplate]
    match = _best_match(connection, document, to_label, keys) if len(to_label) >= _FEWEST else None
    if match is None:
        like = _closest(connection, document, to_label, keys, removed=True) if len(to_label) >= _FEWEST else ""
        return Linked(list(sentences), removed=like, purged_at=_purged_at(connection, like) if like else "")
    marked = [replace(one, boilerplate=UNCHANGED) if one.id in match.pairs else one for one in sentences]
    unchanged = len(match.pairs)
    version = NewVersion(match.document_id, document.title, unchanged, len(to_label) - unchanged)
    return Linked(marked, version, match.root, tuple(match.pairs.items()))


def _best_match(
    connection: sa.Connection, document: Document, to_label: Sequence[Sentence], keys: Sequence[str]
) -> _Match | None:
    best = _closest(connection, document, to_label, keys)
    if not best:
        return None
    root = _root(connection, best)
    return _Match(best, root, equal_sentences(connection, root, to_label))


def _closest(
    connection: sa.Connection,
    document: Document,
    to_label: Sequence[Sentence],
    keys: Sequence[str],
    *,
    removed: bool = False,
) -> str:
    """Return the id of the document that shares the most sentences, if the texts largely agree; otherwise empty."""
    candidates = dict(_candidates(connection, keys, removed=removed))
    if not candidates:
        return ""
    own = Counter(text_hash(one.text) for one in to_label)
    shares: dict[str, int] = {}
    for identifier, texts in _texts(connection, candidates).items():
        sizes = (texts.total(), own.total())
        needed = _SHARE * (min(sizes) if candidates[identifier] else max(sizes))
        if (shared := (own & texts).total()) >= max(_FEWEST, needed):
            shares[identifier] = shared
    if not shares:
        return ""
    best = max(shares, key=shares.__getitem__)
    if not candidates[best] and shares[best] == own.total() and _is_repetition(connection, best, document):
        return ""
    return best


def _is_repetition(connection: sa.Connection, document_id: str, document: Document) -> bool:
    """Return whether a document has the sentences of a stored document on another date: it repeats a statement."""
    table = tables.documents
    date = connection.execute(sa.select(table.c.date).where(table.c.id == document_id)).scalar()
    return other_day(date or "", document.date)


def other_day(one: str, other: str) -> bool:
    """Return whether both dates are known and differ in the day."""
    # Earlier releases wrote the time in another form.
    return bool(one and other and one[:10] != other[:10])


def _candidates(connection: sa.Connection, own: Sequence[str], *, removed: bool) -> Iterator[tuple[str, bool]]:
    """Yield the ids of stored (or removed) documents with a common key, and whether the key is an id or a URL."""
    table, removals = tables.document_keys, tables.removals
    gone = sa.exists().where(removals.c.document_id == table.c.document_id)
    wanted = (table.c.key.in_(own), gone if removed else ~gone)
    sharing = sa.select(table.c.document_id).where(*wanted).distinct().limit(_CANDIDATES)
    keys: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(table).where(table.c.document_id.in_(sharing))):
        keys.setdefault(row.document_id, []).append(row.key)
    for identifier, theirs in sorted(keys.items()):
        common = set(own) & set(theirs)
        if not any(_differs(own, theirs, kind) for kind in _STRONG):
            yield identifier, any(key.startswith(_STRONG) for key in common)


def _differs(own: Iterable[str], theirs: Iterable[str], kind: str) -> bool:
    """Return whether both documents state an id (or a URL) and the two differ."""
    ours, others = ({key for key in keys if key.startswith(kind)} for keys in (own, theirs))
    return bool(ours and others and ours != others)


def _purged_at(connection: sa.Connection, document_id: str) -> str:
    """Return the time at which a document was purged; empty if it was not."""
    table = tables.removals
    query = sa.select(table.c.created_at).where(table.c.document_id == document_id, table.c.purged)
    return connection.execute(query).scalar() or ""


def _root(connection: sa.Connection, document_id: str) -> str:
    """Return the id of a document's first version."""
    table = tables.documents
    found = connection.execute(sa.select(table.c.version_of).where(table.c.id == document_id)).scalar()
    return found or document_id


def _texts(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Counter[str]]:
    """Count the hashes of the sentences to label of each document, including the sentences that it repeats."""
    table, erased = tables.sentences, tables.erased_sentences
    query = (
        sa.select(table.c.document_id, table.c.text, erased.c.hash)
        .outerjoin(erased, erased.c.sentence_id == table.c.id)
        .where(table.c.boilerplate.in_(("", UNCHANGED, REMOVED)))
    )
    texts: dict[str, Counter[str]] = {}
    for row in rows_among(connection, query, table.c.document_id, ids):
        texts.setdefault(row.document_id, Counter())[row.hash or text_hash(row.text)] += 1
    return texts


def text_hash(text: str) -> str:
    """Return the hash by which the text of a sentence is recognized even after it was erased."""
    return _digest(plain_text(text))


def equal_sentences(
    connection: sa.Connection, root: str, to_label: Sequence[Sentence], *, but: str = ""
) -> dict[str, str]:
    """Map the ids of new sentences to equal sentences in any version of the document; each is used once.

    Args:
        but: the id of a version to leave out.
    """
    sentences, documents = tables.sentences, tables.documents
    family = sa.select(documents.c.id).where(sa.or_(documents.c.id == root, documents.c.version_of == root))
    family = family.where(documents.c.id != but)
    query = sa.select(sentences.c.id, sentences.c.text).where(
        sentences.c.document_id.in_(family), sentences.c.boilerplate == ""
    )
    by_text: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(sentences.c.number.desc())):
        by_text.setdefault(plain_text(row.text), []).append(row.id)
    matched = ((one.id, by_text.get(plain_text(one.text))) for one in to_label)
    return {identifier: equal.pop() for identifier, equal in matched if equal}
