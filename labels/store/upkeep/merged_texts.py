"""Match the documents and sentences of another store with those of this store, and add the missing ones.

A document is the same if the stores know it under one id, also a former id, or if it is the same text with other white
space. A later version of an article that only one of the stores has is linked to the version in the other, as in
`labels.store.texts.versions`. Texts that this store has never change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import sqlalchemy as sa

from labels.records import Document, Sentence, same_text
from labels.store import tables
from labels.store.database import batches, insert_new, now, rows_among
from labels.store.texts.identity import (
    aliases_among,
    insert_aliases,
    insert_sentences,
    present_documents,
    without_stored_spans,
)
from labels.store.texts.other_versions import LINK
from labels.store.texts.overlaps import REPLACED_SPAN
from labels.store.texts.versions import REMOVED, UNCHANGED, link_versions
from labels.text.spans import Shift

_SENTENCES = 5_000
"""The number of sentences that are read at once."""


@dataclass
class Texts:
    """The documents and sentences of another store under their ids in this store.

    - `documents`, `sentences`: id there -> id here, for ids that differ
    - `all_documents`: number of documents there; `new_documents`: the ids here of those that were added
    - `all_sentences`, `new_sentences`: the same for sentences, as numbers
    - `withdrawn`: the documents there that are removed or purged in this store, which hides their decisions
    - `kept`: the documents here that are removed or purged in the other store
    - `conflicts`: different texts with one id, one phrase each
    """

    documents: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    all_documents: int = 0
    new_documents: set[str] = field(default_factory=set)
    versions: int = 0
    all_sentences: int = 0
    new_sentences: int = 0
    withdrawn: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)

    def document(self, identifier: str) -> str:
        """The id of a document in this store."""
        return self.documents.get(identifier, identifier)

    def sentence(self, identifier: str) -> str:
        """The id of a sentence in this store."""
        return self.sentences.get(identifier, identifier)


def merge_texts(here: sa.Connection, there: sa.Connection) -> Texts:
    """Add the documents and sentences that this store does not have, and return the ids of all of them."""
    texts = Texts()
    ids = _document_ids(there)
    texts.documents = _matched(here, there, ids)
    withdrawn = _withdrawals(here), _withdrawals(there)
    texts.withdrawn = sorted({texts.document(one) for one in ids} & withdrawn[0].keys())
    adding = _Adding(here, there, texts, *withdrawn)
    shifts = adding.documents(ids)
    adding.sentences(shifts)
    adding.other_ids()
    return texts


# -- matching


def _document_ids(connection: sa.Connection) -> list[str]:
    """All ids of documents, first versions first, and of documents of which only sentences are stored."""
    table, column = tables.documents, tables.sentences.c.document_id
    stored = connection.execute(sa.select(table.c.id).order_by(table.c.version_of != "", table.c.id)).scalars()
    return list(dict.fromkeys([*stored, *connection.execute(sa.select(column).distinct()).scalars()]))


def _matched(here: sa.Connection, there: sa.Connection, ids: Sequence[str]) -> dict[str, str]:
    """Map document ids to ids in this store, where they differ. No two documents get the same id."""
    own, aliases = present_documents(here, ids), aliases_among(here, ids)
    table = tables.aliases
    theirs: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows_among(there, sa.select(table).order_by(table.c.alias), table.c.id, ids):
        theirs[row.id].append(row.alias)
    others = [alias for found in theirs.values() for alias in found]
    known = {one: one for one in present_documents(here, others)} | aliases_among(here, others)
    found: dict[str, str] = {}
    taken = set(own)
    for one in ids:
        same = [aliases.get(one, ""), *(known.get(alias, "") for alias in theirs[one])]
        match = next((other for other in same if other and other not in taken), one)
        if one not in own and match != one:
            found[one] = match
            taken.add(match)
    return found


def _withdrawals(connection: sa.Connection) -> dict[str, bool]:
    """Map the ids of withdrawn documents to whether they were purged."""
    table = tables.removals
    return {row.document_id: row.purged for row in connection.execute(sa.select(table))}


# -- adding


class _Adding:
    """The addition of another store's texts, in the caller's transaction."""

    def __init__(
        self,
        here: sa.Connection,
        there: sa.Connection,
        texts: Texts,
        withdrawn_here: Mapping[str, bool],
        withdrawn_there: Mapping[str, bool],
    ) -> None:
        self._here, self._there, self._texts = here, there, texts
        self._gone_here, self._gone_there = withdrawn_here, withdrawn_there
        self._known = present_documents(here, [texts.document(one) for one in _document_ids(there)])

    def documents(self, ids: Sequence[str]) -> dict[str, Shift]:
        """Add the new documents; returns the shifts of those whose white space differs, by their ids there."""
        table, texts = tables.documents, self._texts
        shifts: dict[str, Shift] = {}
        roots = self._roots(self._links(ids))
        for batch in batches(ids):
            stored = self._stored_texts(batch)
            rows = []
            for row in rows_among(self._there, sa.select(table), table.c.id, batch):
                texts.all_documents += 1
                identifier = texts.document(row.id)
                if identifier not in stored:
                    root = roots.get(row.id, "")
                    self._check_version(row, root)
                    rows.append(dict(row._mapping) | {"id": identifier, "version_of": root})
                elif (shift := self._compared(row, stored[identifier])) is not None:
                    shifts[row.id] = shift
            insert_new(self._here, table, rows)
            texts.new_documents.update(row["id"] for row in rows)
        self._withdraw()
        return shifts

    def _check_version(self, row: sa.Row[Any], root: str) -> None:
        """Refuse new versions of documents that were purged here, and remove those of documents that were removed."""
        if self._gone_here.get(root) and row.text:
            self._refuse_purged(row.id)
        elif root in self._gone_here and row.id not in self._gone_there:
            identifier = self._texts.document(row.id)
            removal = {"document_id": identifier, "purged": False, "created_at": now()}
            insert_new(self._here, tables.removals, [removal])
            self._gone_here = {**self._gone_here, identifier: False}

    def _refuse_purged(self, identifier: str) -> None:
        self._texts.conflicts.append(
            f"document {identifier} looks like a version of a document that was purged here: purge it there as well"
        )

    def _stored_texts(self, ids: Iterable[str]) -> dict[str, str]:
        table = tables.documents
        query = sa.select(table.c.id, table.c.text)
        return {row.id: row.text for row in rows_among(self._here, query, table.c.id, map(self._texts.document, ids))}

    def _compared(self, row: sa.Row[Any], stored: str) -> Shift | None:
        """The shift of a document that this store has with other white space; None for equal and for erased texts."""
        if row.text == stored or not row.text or not stored:
            return None
        if "".join(row.text.split()) != "".join(stored.split()):
            beginnings = (" ".join(text.split())[:60] for text in (row.text, stored))
            self._texts.conflicts.append("document {} begins '{}' there and '{}' here".format(row.id, *beginnings))
            return None
        return Shift(row.text, stored)

    def _links(self, ids: Sequence[str]) -> dict[str, str]:
        """Map new documents that are other versions of a document here to its first version; notes equal sentences.

        Two documents that the other store keeps apart are not joined.
        """
        texts, table = self._texts, tables.documents
        families = {
            row.id: row.version_of or row.id for row in self._there.execute(sa.select(table.c.id, table.c.version_of))
        }
        taken = {texts.document(one): families.get(one, one) for one in ids if texts.document(one) in self._known}
        found: dict[str, str] = {}
        for row in rows_among(self._there, sa.select(table), table.c.id, self._linkable(ids)):
            document = Document(row.source, row.text, date=row.date, title=row.title)
            (link,) = link_versions(self._here, [(document, self._sentences_of(row.id))], [self._keys(row.id)])
            if link.purged_at:
                self._refuse_purged(row.id)
            others = {taken[one] for one in (link.root, *self._versions_of(link.root)) if one in taken}
            if link.root and others <= {row.id}:
                taken[link.root] = row.id
                found[row.id] = link.root
                texts.sentences |= dict(link.aliases)
        texts.versions = len(found)
        return found

    def _linkable(self, ids: Iterable[str]) -> list[str]:
        """The new documents that are first versions and have a key that a document here has too."""
        table, documents = tables.document_keys, tables.documents
        new = [one for one in ids if self._texts.document(one) not in self._known and one not in self._gone_there]
        query = sa.select(table).join(documents, documents.c.id == table.c.document_id)
        rows = list(rows_among(self._there, query.where(documents.c.version_of == ""), table.c.document_id, new))
        keys = rows_among(self._here, sa.select(table.c.key).distinct(), table.c.key, (row.key for row in rows))
        known = {row.key for row in keys}
        return list(dict.fromkeys(row.document_id for row in rows if row.key in known))

    def _roots(self, links: Mapping[str, str]) -> dict[str, str]:
        """Map documents there that are later versions to the id of the first version in this store."""
        table = tables.documents
        query = sa.select(table.c.id, table.c.version_of).where(table.c.version_of != "")
        first = {row.id: row.version_of for row in self._here.execute(query)}
        roots = {
            row.id: links.get(row.version_of) or self._texts.document(row.version_of)
            for row in self._there.execute(query)
        }
        return {one: first.get(root, root) for one, root in (roots | dict(links)).items()}

    def _keys(self, document: str) -> list[str]:
        table = tables.document_keys
        return list(self._there.execute(sa.select(table.c.key).where(table.c.document_id == document)).scalars())

    def _versions_of(self, root: str) -> Iterable[str]:
        table = tables.documents
        return self._here.execute(sa.select(table.c.id).where(table.c.version_of == root)).scalars()

    def _sentences_of(self, document: str) -> list[Sentence]:
        table = tables.sentences
        query = sa.select(*(table.c[one.name] for one in fields(Sentence))).where(table.c.document_id == document)
        return [Sentence(*row) for row in self._there.execute(query.order_by(table.c.number))]

    def _withdraw(self) -> None:
        """Withdraw the new documents that were withdrawn in the other store; those that this store had stay."""
        texts, table = self._texts, tables.removals
        for row in self._there.execute(sa.select(table)).all():
            identifier = texts.document(row.document_id)
            if identifier not in self._known:
                insert_new(self._here, table, [dict(row._mapping) | {"document_id": identifier}])
            elif identifier not in self._gone_here:
                texts.kept.append(identifier)

    def sentences(self, shifts: Mapping[str, Shift]) -> None:
        """Add the new sentences, and note the ids of all sentences."""
        table, decisions = tables.sentences, tables.decisions
        decided = set(self._there.execute(sa.select(decisions.c.sentence_id)).scalars())
        query = sa.select(table.c.id, *(table.c[one.name] for one in fields(Sentence))).order_by(table.c.number)
        for batch in batches(self._there.execute(query), _SENTENCES):
            moved = {row.id: self._moved(row, shifts) for row in batch}
            self._texts.all_sentences += len(moved)
            self._texts.new_sentences += self._insert(moved, decided)

    def _moved(self, row: sa.Row[Any], shifts: Mapping[str, Shift]) -> Sentence:
        """The sentence with its document and span in this store."""
        sentence = Sentence(**{name: value for name, value in row._mapping.items() if name != "id"})
        identifier = self._texts.document(sentence.document_id)
        start, end = sentence.start, sentence.end
        if sentence.document_id in shifts:
            start, end = shifts[sentence.document_id].span(start, end)
        changed = replace(sentence, document_id=identifier, start=start, end=end)
        return changed if sentence.document_id not in shifts else replace(changed, text=self._passage(changed))

    def _passage(self, sentence: Sentence) -> str:
        table = tables.documents
        piece = sa.func.substr(table.c.text, sentence.start + 1, sentence.end - sentence.start)
        return str(self._here.execute(sa.select(piece).where(table.c.id == sentence.document_id)).scalar_one())

    def _insert(self, moved: Mapping[str, Sentence], decided: set[str]) -> int:
        texts, column = self._texts, tables.sentences.c
        ids = [one.id for one in moved.values()]
        stored = {row.id: row.text for row in rows_among(self._here, sa.select(column.id, column.text), column.id, ids)}
        carried = aliases_among(self._here, ids)
        for own, one in moved.items():
            if own not in texts.sentences and (known := carried.get(one.id, one.id)) != own:
                texts.sentences[own] = known
            other = stored.get(one.id)
            if other and one.text and not same_text(other, one.text):
                texts.conflicts.append(f"sentence {own} is '{one.text[:60]}' there and '{other[:60]}' here")
        new = {own: self._marked(own, one) for own, one in moved.items() if one.id not in stored}
        return insert_sentences(self._here, list(self._fitted(new, decided)))

    def _marked(self, own: str, sentence: Sentence) -> Sentence:
        """A new sentence with the reason not to label it in this store."""
        document, reason = sentence.document_id, sentence.boilerplate
        if document in self._gone_here or document in self._known:
            if document in self._gone_here:
                reason = reason or REMOVED
                sentence = replace(sentence, text="" if self._gone_here[document] else sentence.text)
            elif reason == REMOVED:
                reason = ""
        if not reason and self._texts.sentence(own) != sentence.id:
            reason = UNCHANGED  # the passage is labelled in another version of the document
        return replace(sentence, boilerplate=reason)

    def _fitted(self, new: Mapping[str, Sentence], decided: set[str]) -> Iterator[Sentence]:
        """The sentences; those without a decision that overlap a sentence of this store are replaced by it."""
        free = [one for own, one in new.items() if not one.boilerplate and own not in decided]
        old = [one for one in free if one.document_id in self._known]
        fitting = {one.id for one in without_stored_spans(self._here, old)}
        replaced = {one.id for one in old} - fitting
        for one in new.values():
            yield replace(one, boilerplate=REPLACED_SPAN) if one.id in replaced else one

    def other_ids(self) -> None:
        """Add the other ids of documents and sentences, the keys of new documents, and hashes of erased sentences."""
        texts, erased = self._texts, tables.erased_sentences
        rows = list(self._there.execute(sa.select(tables.aliases)))
        ids = [*(row.alias for row in rows), *texts.documents, *texts.sentences]
        used = present_documents(self._here, ids) | self._labelled_here(ids)
        pairs = [(row.alias, texts.sentence(texts.document(row.id))) for row in rows]
        pairs += [*texts.documents.items(), *texts.sentences.items()]
        insert_aliases(self._here, [(alias, one) for alias, one in pairs if alias not in used])
        self._insert_keys()
        hashes = [
            {"sentence_id": texts.sentence(row.sentence_id), "hash": row.hash}
            for row in self._there.execute(sa.select(erased))
        ]
        insert_new(self._here, erased, hashes)

    def _labelled_here(self, ids: Iterable[str]) -> set[str]:
        column = tables.sentences.c
        query = sa.select(column.id).where(column.boilerplate == "")
        return {row.id for row in rows_among(self._here, query, column.id, ids)}

    def _insert_keys(self) -> None:
        texts, table = self._texts, tables.document_keys
        rows = []
        for row in self._there.execute(sa.select(table)):
            identifier, key = texts.document(row.document_id), row.key
            if key.startswith(LINK):
                key = LINK + texts.document(key.removeprefix(LINK))
            if identifier in texts.new_documents or (key.startswith(LINK) and key != LINK + identifier):
                rows.append({"key": key, "document_id": identifier})
        insert_new(self._here, table, rows)
