"""An import is a batch, which new events withdraw; nothing is deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.errors import InputError
from labels.gold import standing
from labels.store import Store
from tests.labels.cli.running import BOOK, next_commands, refuse, succeed
from tests.labels.exchange.steps import export, imported
from tests.labels.store.builders import added, decision


def doccano(path: Path, **labels: list[str]) -> Path:
    lines = (json.dumps({"id": 1, "text": text, "label": found, "Comments": []}) for text, found in labels.items())
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def standing_in(store: Store) -> dict[tuple[str, str], tuple[str, ...]]:
    """(Text, annotator) -> labels, of the decisions that stand."""
    texts = {one.id: one.text for one in store.documents.sentences()}
    found = standing(store.events.all()).annotations
    return {(texts[sentence], who): one.labels for (sentence, who), one in found.items()}


def test_an_undone_import_leaves_what_was_before_and_after(store: Store, isolated: Path) -> None:
    imported(store, "doccano", doccano(isolated / "ana.jsonl", One=["aid"], Two=["aid"]))
    second = imported(store, "doccano", doccano(isolated / "new.jsonl", One=["truce"], Two=["truce"]), annotator="ana")
    (two,) = (one.id for one in store.documents.sentences() if one.text == "Two")
    store.events.add([decision(two, "ana", labels=("aid", "truce"))])
    events = len(store.events.all())

    undone = store.imports.undo(second.batch)

    assert standing_in(store) == {("One", "ana"): ("aid",), ("Two", "ana"): ("aid", "truce")}
    assert (undone.events, len(store.events.all())) == (2, events + 2)
    assert store.counts.label_sets() == {("aid",): 1, ("aid", "truce"): 1}
    with pytest.raises(InputError, match="has already been undone"):
        store.imports.undo(second.batch)


def test_an_undoing_can_be_undone_again_and_again(store: Store, isolated: Path) -> None:
    batch = imported(store, "doccano", doccano(isolated / "ana.jsonl", One=["aid"])).batch
    there, gone = {("One", "ana"): ("aid",)}, dict[Any, Any]()
    for expected in (gone, there, gone, there):
        batch = store.imports.undo(batch).id
        assert standing_in(store) == expected
    assert [one.format for one in store.imports.all()] == ["doccano", *["undo"] * 4]


def test_an_undone_import_travels_in_the_native_file(
    store: Store, isolated: Path, new_store: Callable[[], Store]
) -> None:
    store.imports.undo(imported(store, "doccano", doccano(isolated / "ana.jsonl", One=["aid"])).batch)
    export(store, "jsonl", isolated / "log.jsonl")
    with new_store() as other:
        assert imported(other, "jsonl", isolated / "log.jsonl").new == 2
        assert standing_in(other) == {}
        assert other.events.all() == store.events.all()


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["annotate", "undo", "import", "withdraw"])), max_size=10)
)
def test_withdrawn_events_count_as_never_made(steps: list[tuple[str, str]]) -> None:
    log, kept = [], []
    imports: list[Any] = []
    for number, (who, kind) in enumerate(steps):
        if kind == "withdraw":
            if imports:
                target = imports.pop()
                log.append(decision("s", target.annotator, "undo", undoes=target.event_id))
                kept.remove(target)
            continue
        made = decision("s", who, "undo" if kind == "undo" else "annotate", labels=(str(number),))
        log.append(made)
        kept.append(made)
        if kind == "import":
            imports.append(made)
    assert standing(log) == standing(kept)


def test_nothing_new_is_no_batch(store: Store, isolated: Path) -> None:
    path = doccano(isolated / "ana.jsonl", One=["aid"])
    assert imported(store, "doccano", path).batch
    assert imported(store, "doccano", path).batch == ""
    assert len(store.imports.all()) == 1


def test_the_command_prints_how_to_withdraw_an_import(isolated: Path) -> None:
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    doccano(isolated / "ana.jsonl", One=["aid"])
    words = ("annotations", "import", "ana.jsonl", "--format", "doccano", "--codebook", "book.toml")
    (undo,) = next_commands(succeed(*words))
    batch = undo[-1]

    printed = succeed(*undo)
    (redo,) = next_commands(printed)
    assert "1 event of import" in succeed(*redo)
    assert "1 event of import" in printed
    assert "ana.jsonl" in succeed("annotations", "batches")
    assert "has no import 'abc'" in refuse("annotations", "import", "--undo", "abc")
    assert "Remove ana.jsonl" in refuse("annotations", "import", "ana.jsonl", "--undo", batch)
    assert "There is nothing to import." in refuse("annotations", "import")


def test_a_renamed_annotator_keeps_the_new_name_in_later_imports(store: Store, isolated: Path) -> None:
    imported(store, "doccano", doccano(isolated / "ana.jsonl", One=["aid"]))
    store.names.rename("ana", "Anna")
    store.names.rename("Anna", "Anna B")

    again = imported(store, "doccano", doccano(isolated / "ana.jsonl", One=["aid"], Two=["truce"]))

    assert (again.new, again.known) == (1, 1)
    assert "'ana' is recorded as 'Anna B', because this annotator was renamed" in again.notes
    assert store.events.annotators() == ["Anna B"]
    store.events.add([decision(added(store, 1)[0], "ana")])  # somebody else with this name
    before = len(store.events.all(annotator="ana"))
    assert imported(store, "doccano", doccano(isolated / "ana.jsonl", Three=["aid"])).new == 1
    assert len(store.events.all(annotator="ana")) == before + 1
