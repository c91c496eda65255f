"""Rename and merge annotators, also of stores that are merged. Only the name in an event changes, not the decision."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from labels.errors import InputError, did_you_mean
from labels.gold import MODEL_CODER
from labels.store import tables
from labels.store.database import Part, insert_new
from labels.store.events import fold


class Names(Part):
    """The part of the store that changes names of annotators."""

    def rename(self, old: str, new: str) -> int:
        """Record everything by `old` under the name `new`; returns the number of events.

        Raises:
            InputError: the store does not know `old`, `new` is taken, or one of them is a model coder.
        """
        _refuse_model_coders(old, new)
        with self._database.writing() as connection:
            names = people_of(connection)
            _check_known(old, names, self._database.name)
            if new in names:
                raise InputError(
                    f"'{new}' is already an annotator in {self._database.name}. To record both as one person, use "
                    f"`communique annotators merge {old} {new}`."
                )
            _remember(connection, old, new)
            return _move(connection, old, new)

    def merge(self, old: str, into: str) -> tuple[int, int]:
        """Record everything by `old` under the existing name `into`.

        If both decided on a sentence, the later event stands, as if one person had decided twice.

        Returns:
            The number of events, and the number of sentences on which both had decided.

        Raises:
            InputError: the store does not know one of the names, they are equal, or one of them is a model coder.
        """
        _refuse_model_coders(old, into)
        with self._database.writing() as connection:
            names = people_of(connection)
            for name in (old, into):
                _check_known(name, names, self._database.name)
            if old == into:
                raise InputError(f"'{old}' and '{into}' are the same name. Give two different annotators.")
            _remember(connection, old, into)
            both = len(_decided(connection, old) & _decided(connection, into))
            return _move(connection, old, into), both

    def former(self) -> dict[str, str]:
        """Former name -> current name, for the renamed and merged annotators; without names that are in use again."""
        with self._database.reading() as connection:
            return _former(connection)


def _former(connection: sa.Connection) -> dict[str, str]:
    rows = connection.execute(sa.select(tables.former_names)).all()
    used = people_of(connection)
    return {row.former: row.annotator for row in rows if row.former not in used}


def _remember(connection: sa.Connection, old: str, new: str) -> None:
    """Keep the former name for later imports; earlier names of the same person lead to the new name too."""
    table = tables.former_names
    connection.execute(sa.delete(table).where(table.c.former.in_([old, new])))
    connection.execute(sa.update(table).where(table.c.annotator == old).values(annotator=new))
    connection.execute(sa.insert(table), [{"former": old, "annotator": new}])


def people_of(connection: sa.Connection) -> set[str]:
    """The names of all annotators of a store who decided, drew or typed something, or looked at others' decisions."""
    columns = (table.c.annotator for table in (tables.events, tables.draws, tables.drafts, tables.unblinded))
    return {name for column in columns for name in connection.execute(sa.select(column).distinct()).scalars() if name}


def _refuse_model_coders(*names: str) -> None:
    for name in names:
        if name.startswith(MODEL_CODER):
            raise InputError(
                f"'{name}' is a language model and cannot be renamed or merged: its answers must not become decisions "
                "of a person, and its name identifies one model and one prompt. Give the names of people."
            )


def _check_known(name: str, names: set[str], store: str) -> None:
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise InputError(f"{store} has no annotator '{name}'{did_you_mean(name, names)}. Annotators: {known}.")


def _decided(connection: sa.Connection, annotator: str) -> set[str]:
    table = tables.decisions
    own = (table.c.annotator == annotator, table.c.event == "annotate")
    return set(connection.execute(sa.select(table.c.sentence_id).where(*own)).scalars())


def _move(connection: sa.Connection, old: str, new: str) -> int:
    events = tables.events
    of_old = events.c.annotator == old
    touched = set(connection.execute(sa.select(events.c.sentence_id).where(of_old)).scalars())
    # These tables have one row per sentence and annotator, so a row of the new name takes precedence.
    for table in (tables.drafts, tables.reservations, tables.unblinded):
        taken = sa.select(table.c.sentence_id).where(table.c.annotator == new)
        both = (table.c.annotator == old, table.c.sentence_id.in_(taken))
        connection.execute(sa.delete(table).where(*both))
    for table in (tables.drafts, tables.reservations, tables.unblinded, tables.draws, tables.windows):
        connection.execute(sa.update(table).where(table.c.annotator == old).values(annotator=new))
    moved = connection.execute(sa.update(events).where(of_old).values(annotator=new)).rowcount
    fold(connection, touched)
    return int(moved)


# -- merged stores


def names_in_merge(
    here: sa.Connection, there: sa.Connection, renamed: Mapping[str, str], prefix: str, store: str
) -> dict[str, str]:
    """Map the names of the annotators of another store to their names in this store.

    Args:
        renamed: old name in the other store -> new name. Annotators without a new name get the prefix or, if they were
            renamed in this store, their current name.
        store: the name of the other store.

    Raises:
        InputError: a name is unknown there, or two annotators would get one name.
    """
    people = people_of(there)
    for name in renamed:
        _check_known(name, people, store)
    former = {} if prefix else _former(here)
    names = {one: renamed.get(one, former.get(one, f"{prefix}{one}")) for one in people}
    owners: dict[str, str] = {}
    for old, new in sorted(names.items()):
        if new in owners:
            raise InputError(
                f"{store}: '{owners[new]}' and '{old}' would both become '{new}', so that two people would be recorded "
                "as one. Rename one of them with --rename OLD=NEW."
            )
        owners[new] = old
    return names


def merge_former_names(here: sa.Connection, there: sa.Connection, names: Mapping[str, str]) -> None:
    """Add the former names of the other store's annotators, unless the name belongs to somebody here."""
    used = people_of(here)
    rows = [
        {"former": row.former, "annotator": names.get(row.annotator, row.annotator)}
        for row in there.execute(sa.select(tables.former_names))
        if row.former not in used
    ]
    insert_new(here, tables.former_names, rows)
