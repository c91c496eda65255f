"""Stores are merged completely or not at all, twice is the same as once, and nothing reads differently afterwards."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from labels.codebook.schema import Codebook
from labels.errors import InputError, StoreError
from labels.gold import standing
from labels.records import Annotation, CodebookMigration, Document
from labels.sampling.combination import Design, design_of
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import next_assignment
from labels.store import Draft, Draw, Store, now, tables
from labels.store.database import HEAD
from labels.store.upkeep.merging import Merged, Source, merge_stores
from labels.text.sentences import split_sentences
from tests.labels.store.builders import (
    FUTURE,
    added,
    decision,
    draw,
    embed_all,
    make_first_store,
    rows_of,
    score_all,
    sentences,
    stored_document,
    vector,
)

ARTICLE = "Oslo will send fuel to its neighbour. Paris urged both sides to stop. It rained in the north all day long."
AT_NOON, LATER = "2026-01-01T12:00:00+00:00", "2026-01-02T12:00:00+00:00"
NOT_MERGED = {"reservations", "windows"}
"""Tables that belong to people who work in the other store at the moment."""


def dump(path: str | Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def ingest(store: Store, *documents: Document) -> list[str]:
    """Add documents; returns the ids of the sentences to label."""
    store.documents.add_new([(one, split_sentences(one)) for one in documents])
    return [one.id for one in store.documents.sentences() if not one.boilerplate]


def merge(*others: str, into: str = "team.db", **options: bool) -> list[Merged]:
    return merge_stores(into, [Source(other) for other in others], **options)


def standing_events(path: str) -> dict[tuple[str, str], Annotation]:
    with Store(path) as store:
        return standing(store.events.all()).annotations


def full_store(path: str, codebook: Codebook) -> None:
    """A store with something in every table."""
    newer = replace_version(codebook)
    with Store(path) as store:
        ids = ingest(store, Document("wire", ARTICLE, title="Fuel"))
        store.codebooks.add(codebook)
        store.codebooks.add(newer)
        store.codebooks.add_migration(CodebookMigration(codebook.hash, newer.hash, (), AT_NOON))
        store.add_annotated([], [decision(ids[0], "zoe", labels=("aid",))], source="in.csv", format="csv")
        store.names.rename("zoe", "ana")
        assert store.draws.add([draw("ana", ids[1:])], expires_at=FUTURE)
        store.events.keep_draft(ids[2], "ana", Draft(("aid",), "maybe"))
        store.events.unblind("ana", ids[1:2])
        store.relabelling.add([(ids[0], "doubt", ())], source="doubts")
        score_all(store, [0.5])
        embed_all(store, [vector(1, 0)])
        (purged,) = store.documents.unknown([Document("wire", "A text. It was withdrawn. Nobody reads it.")])
        ingest(store, purged)
        store.removals.purge([purged.id])
        with store.windows.open("ana"):
            pass


def replace_version(codebook: Codebook) -> Codebook:
    return codebook.model_copy(update={"version": "2"})


def contents(url: str) -> dict[str, set[str]]:
    """The rows of each table, without numbers that a store gives itself."""
    own = {"seq", "number", "sentence_number", "first_seq", "last_seq", "after_seq"}
    return {
        table.name: {
            repr({key: value for key, value in row._mapping.items() if key not in own})
            for row in rows_of(url, sa.select(table))
        }
        for table in tables.metadata.sorted_tables
    }


# -- what comes


def test_everything_comes_once(url: str, codebook: Codebook) -> None:
    full_store("other.db", codebook)
    before = contents("sqlite:///other.db")
    assert {name for name, rows in before.items() if not rows} == {"windows"}

    (merged,) = merge("other.db", into=url)
    after = contents(url)
    assert {name: rows for name, rows in after.items() if name not in NOT_MERGED} == {
        name: rows for name, rows in before.items() if name not in NOT_MERGED
    }
    assert all(one.new == one.there for one in merged.amounts)

    (again,) = merge("other.db", into=url)
    assert not any(one.new for one in again.amounts)
    assert contents(url) == after


def test_a_store_with_other_events_counts_on_after_the_merge(url: str) -> None:
    with Store("other.db") as other:
        ids = added(other, 3)
        other.events.add([decision(one, "ben") for one in ids])
    with Store(url) as store:
        store.events.add([decision(added(store, 3)[0], "ana")])
    merge("other.db", into=url)

    with Store(url) as store:
        store.events.add([decision(ids[1], "ana", labels=("aid",))])
        assert [event.annotator for event in store.events.all()] == ["ana", "ben", "ben", "ben", "ana"]
        assert store.counts.label_sets() == {(): 4, ("aid",): 1}


def test_a_dry_run_tells_the_same_and_changes_nothing(codebook: Codebook) -> None:
    full_store("other.db", codebook)
    with Store("team.db") as team:
        added(team, 2)
    before = dump("team.db")

    told = merge("other.db", dry_run=True)
    assert dump("team.db") == before
    assert told == merge("other.db")
    assert merge("other.db", into="new.db", dry_run=True)
    assert not Path("new.db").exists()


# -- what reads as before


def random_log(ids: Iterable[str], annotators: str, generator: random.Random) -> list[Annotation]:
    """Decisions, adjudications and undos at increasing times."""
    log: list[Annotation] = []
    for hour in range(40):
        kind = generator.choice(("annotate", "annotate", "annotate", "undo", "adjudicate"))
        one, who = generator.choice(list(ids)), generator.choice(annotators)
        if kind == "undo" and (one, who) not in {(event.sentence_id, event.annotator) for event in log}:
            continue
        labels = () if kind == "undo" else generator.choice(((), ("aid",), ("truce",)))
        moment = f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00+00:00"
        log.append(decision(one, who, kind, labels=labels, created_at=moment))
    return log


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_of_a_log_read_like_the_whole(seed: int) -> None:
    generator = random.Random(seed)
    with Store("whole.db") as whole, Store("team.db") as team, Store("other.db") as other:
        stores = (whole, team, other)
        ids, *_ = [added(store, 5) for store in stores]
        log = random_log(ids, "abcd", generator)
        whole.events.add(log)
        team.events.add([event for event in log if event.annotator in "ab"])
        other.events.add([event for event in log if event.annotator in "cd"])
    (merged,) = merge("other.db")

    with Store("team.db") as team:
        assert {event.event_id for event in team.events.all()} == {event.event_id for event in log}
        assert standing(team.events.all()) == standing(log)
        assert team.counts.label_sets() == Store("whole.db").counts.label_sets()
    assert merged.changed_here == merged.changed_there == ()


@pytest.mark.parametrize("seed", range(5))
def test_decisions_scattered_over_two_stores_stand_as_in_one(seed: int) -> None:
    generator = random.Random(seed)
    with Store("team.db") as team, Store("other.db") as other:
        ids, _ = added(team, 4), added(other, 4)
        log = [event for event in random_log(ids, "abc", generator) if event.event != "undo"]
        places = [generator.choice(("team", "other", "both")) for _ in log]
        team.events.add([event for event, place in zip(log, places, strict=True) if place != "other"])
        other.events.add([event for event, place in zip(log, places, strict=True) if place != "team"])
    merge("other.db")

    with Store("team.db") as team:
        assert standing(team.events.all()) == standing(log)
    assert not any(one.new for one in merge("other.db")[0].amounts)


def test_work_on_two_copies_of_a_store_comes_together(codebook: Codebook) -> None:
    with Store("team.db") as team:
        ids = added(team, 4)
        team.add_annotated([], [decision(ids[0], "ana", labels=("aid",))], source="old.csv", format="csv")
    shutil.copy("team.db", "other.db")
    with Store("team.db") as team:
        team.events.add([decision(ids[1], "ana", created_at=LATER)])
    with Store("other.db") as other:
        (first,) = other.events.all()
        other.events.add([decision(ids[0], "ana", "undo", created_at=AT_NOON)])
        other.add_annotated([], [decision(ids[2], "ben")], source="new.csv", format="csv")
    (merged,) = merge("other.db")

    with Store("team.db") as team:
        assert {key[0] for key in standing(team.events.all()).annotations} == {ids[1], ids[2]}
        assert [batch.source for batch in team.imports.all()] == ["old.csv", "new.csv"]
        undone = team.imports.undo(team.imports.all()[1].id)
        assert (undone.events, undone.source) == (1, "new.csv")
        assert {key[0] for key in standing(team.events.all()).annotations} == {ids[1]}
    assert merged.changed_here == (first.sentence_id,)


def test_of_two_decisions_by_one_annotator_the_later_stands() -> None:
    with Store("team.db") as team, Store("other.db") as other:
        ids = added(team, 2)
        added(other, 2)
        team.events.add(
            [
                decision(ids[0], "ana", labels=("aid",), created_at=LATER),
                decision(ids[1], "ana", labels=("aid",), created_at=AT_NOON),
            ]
        )
        team.relabelling.add([(ids[1], "doubt", ())], source="doubts")
        other.events.add(
            [
                decision(ids[0], "ana", labels=("truce",), created_at=AT_NOON),
                decision(ids[1], "ana", labels=("truce",), created_at=LATER),
            ]
        )
    (merged,) = merge("other.db")

    assert {key[0]: event.labels for key, event in standing_events("team.db").items()} == {
        ids[0]: ("aid",),
        ids[1]: ("truce",),
    }
    assert (merged.changed_here, merged.changed_there) == ((ids[1],), (ids[0],))
    (queued,) = rows_of("sqlite:///team.db", sa.select(tables.relabelling.c.after_seq))
    numbers = {row.created_at: row.seq for row in rows_of("sqlite:///team.db", sa.select(tables.events))}
    assert queued.after_seq == max(numbers.values()) - 1  # the last event of this store


def test_samples_keep_their_frames() -> None:
    told: dict[str, Design] = {}
    ids: dict[str, str] = {}
    for path, who in (("team.db", "ana"), ("other.db", "ben")):
        with Store(path) as store:
            added(store, 12)
            for size in (3, 4):
                made = next_assignment(store, who, DrawRequest(size=size, seed=len(ids)))
                assert made is not None
                given = [decision(one, who, draw_id=made.draws[0].id, created_at=now()) for one in made.pending]
                store.events.add(given)
                ids[made.draws[0].id] = path
            for identifier in (one for one, place in ids.items() if place == path):
                told[identifier] = design_of(store, [identifier])
    with Store("other.db") as other, Store("team.db") as team:
        # A decision on the same sentence by the same annotator moves the numbers of this store.
        first = team.events.all()[0].sentence_id
        other.events.add([decision(first, "ana", created_at="2020-01-01T00:00:00+00:00")])
    merge("other.db")

    with Store("team.db") as team:
        for identifier, before in told.items():
            after = design_of(team, [identifier])
            assert [one.id for one in after.corpus] == [one.id for one in before.corpus]
            assert (after.strata, after.withdrawn, after.added) == (before.strata, before.withdrawn, before.added)
            assert sorted(after.units, key=repr) == sorted(before.units, key=repr)


# -- texts


def test_a_text_with_other_white_space_is_the_same_text() -> None:
    with Store("team.db") as team, Store("other.db") as other:
        ids = ingest(team, Document("wire", ARTICLE.replace(". Paris", ".\nParis")))
        theirs = ingest(other, Document("wire", f"\n{ARTICLE.replace('. Paris', '.  ' + chr(10) + 'Paris')}  \n"))
        assert set(ids).isdisjoint(theirs)
        other.events.add([decision(one, "ben", labels=("aid",)) for one in theirs])
    (merged,) = merge("other.db")

    assert {key[0] for key in standing_events("team.db")} == set(ids)
    assert [one.new for one in merged.amounts if one.kind in ("documents", "sentences")] == [0, 0]


def test_an_edited_article_is_another_version_of_the_article() -> None:
    first = Document("wire", ARTICLE, url="https://a.org/1", title="Fuel")
    edited = Document("wire", f"{ARTICLE} Rome refused the plan at once.", url="https://a.org/1", title="Fuel")
    with Store("team.db") as team, Store("other.db") as other:
        ids = ingest(team, first)
        theirs = ingest(other, edited)
        team.events.add([decision(one, "ana") for one in ids])
        assert other.draws.add([draw("ben", theirs)], expires_at=FUTURE)
        other.events.add([decision(one, "ben") for one in theirs])
    (merged,) = merge("other.db")

    assert (merged.versions, merged.shared) == (1, 3)
    with Store("team.db") as team:
        assert team.documents.first_versions() == {edited.id: first.id}
        assert {event.sentence_id for event in team.events.all(annotator="ben")} == {*ids, theirs[3]}
        (given,) = team.draws.last("ben", ["random"])
        assert {item.sentence_id for item in given.items} == {*ids, theirs[3]}
        assert sum(not one.boilerplate for one in team.documents.sentences()) == 4
    assert not any(one.new for one in merge("other.db")[0].amounts)


def test_documents_that_the_other_store_keeps_apart_stay_apart() -> None:
    first, second = (Document("wire", ARTICLE, date=day) for day in ("2026-01-01", "2026-01-02"))
    with Store("team.db") as team, Store("other.db") as other:
        ingest(team, first)
        ingest(other, first, second)
    merge("other.db")

    with Store("team.db") as team:
        assert (team.counts.texts().documents, team.documents.first_versions()) == (2, {})


def test_sentences_that_were_cut_otherwise_are_not_offered_twice() -> None:
    document = Document("wire", ARTICLE)
    with Store("team.db") as team, Store("other.db") as other:
        ids = ingest(team, document)
        cut = split_sentences(document)
        long = replace(cut[0], end=cut[1].end, text=ARTICLE[: cut[1].end])
        other.documents.add_new([(document, [long, cut[2]])])
    merge("other.db")
    with Store("team.db") as team:
        assert set(team.unseen.ids()) == set(ids)

    with Store("other.db") as other:
        other.events.add([decision(long.id, "ben")])
    merge("other.db")
    with Store("team.db") as team:
        assert set(team.unseen.ids()) == {ids[2]}
        assert [key[0] for key in standing(team.events.all()).annotations] == [long.id]


def test_a_text_that_was_purged_here_does_not_come_back() -> None:
    document = Document("wire", ARTICLE, url="https://a.org/1")
    with Store("team.db") as team, Store("other.db") as other:
        ingest(team, document)
        team.removals.purge([document.id])
        first, second, *_ = ingest(other, document)
        other.events.add([decision(first, "ben", note="Oslo!")])
        other.events.keep_draft(second, "ben", Draft((), "Oslo?"))
    (merged,) = merge("other.db")

    assert merged.hidden == (document.id,)
    assert not any("Oslo" in line for line in dump("team.db"))
    edited = Document("wire", f"{ARTICLE} Rome refused the plan at once.", url="https://a.org/1")
    for path in ("other.db", "another.db"):  # with the first version, and alone
        with Store(path) as other:
            ingest(other, edited)
        with pytest.raises(InputError, match=f"{edited.id} looks like a version of a document that was purged here"):
            merge(path)
    with Store("other.db") as other:
        other.removals.purge([document.id, edited.id])
    merge("other.db")
    assert not any("Oslo" in line for line in dump("team.db"))


def test_a_text_that_was_removed_in_the_other_store_only_stays() -> None:
    document, another = Document("wire", ARTICLE), Document("wire", f"{ARTICLE} Or not.", date="2026-01-01")
    with Store("team.db") as team, Store("other.db") as other:
        ids = ingest(team, document)
        theirs = ingest(other, document, another)
        other.events.add([decision(theirs[0], "ben")])
        other.removals.remove([document.id, another.id])
    (merged,) = merge("other.db")

    with Store("team.db") as team:
        assert set(team.unseen.ids()) | {key[0] for key in standing(team.events.all()).annotations} == set(ids)
        assert team.removals.among([document.id, another.id]) == {another.id}
    assert merged.kept == (document.id,)


# -- names


def test_names_that_mean_other_people_are_changed() -> None:
    for path in ("team.db", "b.db", "c.db"):
        with Store(path) as store:
            ids = added(store, 2)
            store.events.add([decision(ids[0], "ana"), decision(ids[1], "ben")])
            store.draws.add([draw("ana", ids, strategy="also-by", query="ben")], expires_at=FUTURE)
    sources = [Source("b.db", {"ana": "anna"}), Source("c.db", {"ben": "ben"}, prefix="c-")]
    merged = merge_stores("team.db", sources)

    with Store("team.db") as team:
        assert team.events.annotators() == ["ana", "anna", "ben", "c-ana"]
        assert team.draws.annotators() == ["ana", "anna", "c-ana"]
        assert team.draws.last("c-ana", ["also-by"], query="ben")
    told = {(one.there, one.here, one.was_here) for one in merged[1].people}
    assert told == {("ana", "c-ana", False), ("ben", "ben", True)}


def test_annotators_who_were_renamed_here_keep_their_new_name() -> None:
    with Store("team.db") as team:
        team.events.add([decision(added(team, 1)[0], "zoe")])
    shutil.copy("team.db", "other.db")
    with Store("team.db") as team:
        team.names.rename("zoe", "zoé")
    with Store("other.db") as other:
        other.events.add([decision(added(other, 2)[1], "zoe")])
    merge("other.db")

    with Store("team.db") as team:
        assert [event.annotator for event in team.events.all()] == ["zoé", "zoé"]


# -- what is refused


def other_with(path: str, *events: Annotation, text: str = "Text 0000") -> None:
    with Store(path) as store:
        (one,) = sentences(1)
        store.add_annotated([replace(one, text=text)], list(events))


def test_contradictions_are_named_and_nothing_is_added(codebook: Codebook) -> None:
    event = decision(sentences(1)[0].id, "ana", labels=("aid",))
    other_with("team.db", event)
    reworded = codebook.model_copy(update={"description": "Another text."})
    with Store("team.db") as team:
        team.codebooks.add(codebook)
    before = dump("team.db")
    cases = {
        "codebook small@1 has different content there": lambda: Store("1.db").codebooks.add(reworded),
        "is 'Another' there and 'Text 0000' here": lambda: other_with("2.db", text="Another"),
        f"event {event.event_id} by ana differs there in labels": lambda: other_with("3.db", replace(event, labels=())),
        "who would be 'eva', are by 'ana' here: add --rename eva=ana": lambda: other_with(
            "4.db", replace(event, annotator="eva")
        ),
    }
    for number, (message, make) in enumerate(cases.items(), start=1):
        make()
        with pytest.raises(InputError, match=f"{number}.db: this store cannot be merged: .*{message}"):
            merge(f"{number}.db")
        assert dump("team.db") == before

    merge("1.db", same_versions=True)
    with Store("team.db") as team:
        assert team.codebooks.all().keys() == {codebook.hash, reworded.hash}


def test_wrong_sources_are_refused() -> None:
    other_with("team.db", decision(sentences(1)[0].id, "ana"), decision(sentences(1)[0].id, "ben"))
    shutil.copy("team.db", "other.db")
    Path("notes.txt").write_text("not a store", encoding="utf-8")
    with closing(sqlite3.connect("future.db")) as connection, connection:
        connection.execute("CREATE TABLE documents (id)")
        connection.execute("CREATE TABLE sentences (id)")
        connection.execute("CREATE TABLE events (id)")
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    cases = {
        "absent.db: this label store does not exist": [Source("absent.db")],
        "team.db: this store is named twice": [Source("./team.db")],
        "has no annotator 'an' (did you mean 'ana'?)": [Source("other.db", {"an": "eva"})],
        "'ana' and 'ben' would both become 'eva'": [Source("other.db", {"ana": "eva", "ben": "eva"})],
    }
    with closing(sqlite3.connect("empty.db")) as connection, connection:
        connection.execute("CREATE TABLE gone (id)")
        connection.execute("DROP TABLE gone")
    failures = {
        "empty.db: this database is not a communique store": [Source("empty.db")],
        "notes.txt: the store could not be read (file is not a database)": [Source("notes.txt")],
        f"this store has schema version 9999, but this version of communique supports versions up to {HEAD}": (
            [Source("future.db")]
        ),
    }
    before = dump("team.db")
    for kind, refused in ((InputError, cases), (StoreError, failures)):
        for message, sources in refused.items():
            with pytest.raises(kind) as caught:
                merge_stores("team.db", sources)
            assert message in str(caught.value)
    assert dump("team.db") == before


# -- all or nothing


def test_an_error_in_the_middle_changes_nothing(codebook: Codebook) -> None:
    full_store("other.db", codebook)
    other_with("second.db", decision(sentences(1)[0].id, "ana"))
    with Store("team.db") as team:
        added(team, 2)
    with closing(sqlite3.connect("team.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON embeddings BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    before = dump("team.db")

    with pytest.raises(StoreError, match=r"could not be written \(the disk is full\)\. No partial changes"):
        merge("second.db", "other.db")
    assert dump("team.db") == before


_KILLED = """
import os, signal, sqlalchemy as sa
from labels.store.upkeep.merging import Source, merge_stores

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def kill(connection, cursor, statement, *_):
    if statement.startswith("INSERT INTO scores"):
        os.kill(os.getpid(), signal.SIGKILL)

merge_stores("team.db", [Source("other.db")])
"""


def test_a_merge_that_is_killed_changes_nothing(codebook: Codebook) -> None:
    full_store("other.db", codebook)
    with Store("team.db") as team:
        added(team, 2)
    before = dump("team.db"), dump("other.db")

    assert subprocess.run([sys.executable, "-c", _KILLED], check=False).returncode == -signal.SIGKILL
    assert (dump("team.db"), dump("other.db")) == before
    merge("other.db")
    assert dump("team.db") != before[0]


# -- older stores and other databases


def test_an_older_store_is_upgraded_as_a_copy() -> None:
    engine = sa.create_engine("sqlite:///old.db")
    make_first_store(engine)
    document = Document("wire", ARTICLE)
    with engine.begin() as connection:
        names = ("source", "text", "url", "title", "date", "language", "synthetic")
        values = {name: getattr(document, name) for name in names} | {"id": "d" * 16}
        columns = [sa.column(name) for name in values]
        connection.execute(sa.insert(sa.table("documents", *columns)).values(values))
    engine.dispose()
    before = Path("old.db").read_bytes()

    merge("old.db")
    assert Path("old.db").read_bytes() == before
    assert stored_document("sqlite:///team.db", "d" * 16) == document
    with Store("new.db") as new:
        ids = ingest(new, document)
        new.events.add([decision(ids[0], "ben")])
    (merged,) = merge("new.db")
    assert [one.new for one in merged.amounts if one.kind == "documents"] == [0]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_store_on_postgresql_is_merged_into_a_file(url: str, codebook: Codebook) -> None:
    full_store(url, codebook)
    before = contents(url)
    merge(url)

    assert contents(url) == before
    after = contents("sqlite:///team.db")
    assert {name: rows for name, rows in after.items() if name not in NOT_MERGED} == {
        name: rows for name, rows in before.items() if name not in NOT_MERGED
    }


def test_draws_of_both_stores_can_be_continued() -> None:
    made: list[Draw] = []
    for path, who in (("team.db", "ana"), ("other.db", "ben")):
        with Store(path) as store:
            ids = added(store, 4)
            made.append(draw(who, ids[:2] if who == "ana" else ids[2:]))
            store.draws.add(made[-1:], expires_at=FUTURE)
    merge("other.db")

    with Store("team.db") as team:
        for one in made:
            (found,) = team.draws.last(one.annotator, ["random"])
            assert [item.sentence_id for item in found.items] == [item.sentence_id for item in one.items]
            assert len(team.draws.hold_pending([one], expires_at=FUTURE)) == 2
