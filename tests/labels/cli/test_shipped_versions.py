"""A store that was begun under an older version of the shipped codebook."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import load_codebook
from labels.records import Annotation, Sentence
from labels.store import Store
from trainer.cli import app
from trainer.config.experiment import parse_experiment
from trainer.data.dataset import load_dataset

OLD, NEW = load_codebook("diplomatic@1.1.0"), load_codebook("diplomatic")
TEXTS = {
    "The drivers turned down the wage offer.": ("dismissal",),
    "Lisbon vetoed the draft on the islands.": (),
    "Rain fell on the port all day.": (),
}
KEEPS = "labels.db was begun under version 1.1.0 of codebook 'diplomatic' and keeps it."
MIGRATE = "communique codebook migrate diplomatic@1.1.0 diplomatic --apply --store labels.db"


@pytest.fixture(autouse=True)
def begun(isolated: Path) -> None:
    """A store whose three sentences were read under version 1.1.0."""
    sentences = [Sentence("d1", 100 * place, 100 * place + 90, text) for place, text in enumerate(TEXTS)]
    with Store("labels.db") as store:
        store.codebooks.add(OLD)
        store.add_annotated(sentences, [])
        store.events.add(
            [
                Annotation(f"e{one.id}", one.id, "ana", "annotate", "reviewed", TEXTS[one.text], OLD.hash, "2026-01-01")
                for one in sentences
            ]
        )


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--store", "labels.db"])
    assert result.exit_code == 0, result.output
    return result


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_store_keeps_its_version_and_says_how_to_change() -> None:
    result = run("agreement")

    assert words(result.stderr).startswith(f"Note: {KEEPS}")
    assert MIGRATE in words(result.stderr)
    assert KEEPS in words(run("status").stdout)
    with Store("labels.db") as store:
        assert store.codebooks.in_use("diplomatic")[0] == OLD
        assert store.codebooks.in_use("diplomatic@1.2.0") == (NEW, "")


def test_after_the_migration_the_store_uses_the_new_version_and_asks_for_the_concerned_sentences() -> None:
    printed = words(run("codebook", "migrate", "diplomatic@1.1.0", "diplomatic", "--apply").stdout)

    assert "the rules of 'dismissal' have changed" in printed
    assert "Unchanged: 3, changed by the steps: 0, undecided: 0. Sentences to label again: 2." in printed
    assert run("agreement").stderr == ""
    assert KEEPS not in words(run("status").stdout)
    with Store("labels.db") as store:
        assert store.codebooks.in_use("diplomatic") == (NEW, "")
        queued = {entry.sentence_id: entry for entry in store.relabelling.waiting()}
        texts = {one.text: queued[one.id] for one in store.documents.sentences(queued)}
    assert set(texts) == set(list(TEXTS)[:2])
    assert texts["The drivers turned down the wage offer."].previous == ("dismissal",)
    assert texts["Lisbon vetoed the draft on the islands."].reason == "the rules of 'dismissal' have changed"


def test_a_migration_without_apply_writes_nothing_and_twice_adds_nothing() -> None:
    run("codebook", "migrate", "diplomatic@1.1.0", "diplomatic")
    with Store("labels.db") as store:
        assert store.codebooks.migrations() == store.relabelling.waiting() == []
    run("codebook", "migrate", "diplomatic@1.1.0", "diplomatic", "--apply")
    assert "already recorded" in run("codebook", "migrate", "diplomatic@1.1.0", "diplomatic", "--apply").stdout
    with Store("labels.db") as store:
        assert len(store.codebooks.migrations()) == 1
        assert len(store.relabelling.waiting()) == 2


def test_diff_names_the_revised_labels_and_the_command() -> None:
    printed = words(run("codebook", "diff", "diplomatic@1.1.0", "diplomatic").stdout)
    assert "The rules of 'aid_pledge' have changed." in printed
    assert printed.endswith("communique codebook migrate diplomatic@1.1.0 diplomatic --store labels.db")


def test_an_experiment_on_the_store_uses_its_version_and_notes_it() -> None:
    reviewed = {label: f"Sentence {number} on {label}." for number, label in enumerate(NEW.label_names * 9)}
    with Store("labels.db") as store:
        for number, label in enumerate(NEW.label_names * 9):
            one = Sentence(f"d{number + 2}", 0, 90, f"{reviewed[label]} {number}")
            store.add_annotated([one], [])
            store.events.add(
                [Annotation(f"f{one.id}", one.id, "ana", "annotate", "reviewed", (label,), OLD.hash, "2026-01-01")]
            )
    dataset = load_dataset(
        parse_experiment({"model": {"kind": "tfidf"}, "data": {"source": "store", "store": "labels.db"}}, "here")
    )
    assert dataset.codebook == OLD
    assert any(KEEPS in note for note in dataset.notes)


def test_a_sentence_that_was_labelled_again_is_not_queued_twice() -> None:
    migrate = ("codebook", "migrate", "diplomatic@1.1.0", "diplomatic", "--apply")
    run(*migrate)
    again = ["label", "--annotator", "ben", "--strategy", "relabel", "--store", "labels.db"]
    assert CliRunner().invoke(app, again, input="n\nq\n").exit_code == 0
    with Store("labels.db") as store:
        (left,) = store.relabelling.waiting()
    printed = words(run(*migrate).stdout)

    assert "Sentences to label again: 1." in printed
    with Store("labels.db") as store:
        assert store.relabelling.waiting() == [left]


def merged(other: str, into: str, *options: str) -> str:
    result = CliRunner().invoke(app, ["store", "merge", other, "--store", into, *options])
    assert result.exit_code == 0, result.output
    return words(result.stdout)


def queued_by(printed: str, store: str) -> int:
    """Type the command that the merge printed; how many sentences then wait to be labelled again."""
    found = re.search(r"waiting yet: communique (codebook migrate .*? --store \S+)", printed)
    assert found
    assert CliRunner().invoke(app, found.group(1).split()).exit_code == 0
    with Store(store) as opened:
        return len(opened.relabelling.waiting())


def test_a_store_under_the_new_version_keeps_it_when_an_older_store_is_merged() -> None:
    with Store("new.db") as store:
        one = Sentence("d9", 0, 40, "Bern turned down the offer.")
        event = Annotation("n1", one.id, "eva", "annotate", "reviewed", ("dismissal",), NEW.hash, "2026-01-01")
        store.codebooks.add(NEW)
        store.add_annotated([one], [event])
    tried = merged("labels.db", "new.db", "--dry-run")
    printed = merged("labels.db", "new.db")

    assert "3 decisions were made under" in tried
    assert "codebook migrate" not in tried
    assert "3 decisions were made under codebook 'diplomatic-statements' 1.1.0" in printed
    with Store("new.db") as store:
        assert store.codebooks.in_use("diplomatic") == (NEW, "")
    assert queued_by(printed, "new.db") == 2
    assert "decisions were made under codebook" not in merged("labels.db", "new.db")


def test_old_decisions_that_arrive_after_the_migration_are_reported() -> None:
    shutil.copy("labels.db", "late.db")
    run("codebook", "migrate", "diplomatic@1.1.0", "diplomatic", "--apply")
    late = Sentence("d9", 0, 40, "Bern turned down the offer.")
    with Store("late.db") as store:
        event = Annotation("n1", late.id, "eva", "annotate", "reviewed", ("dismissal",), OLD.hash, "2026-01-01")
        store.add_annotated([late], [event])
    printed = merged("late.db", "labels.db")

    assert "1 decision was made under codebook 'diplomatic-statements' 1.1.0" in printed
    assert queued_by(printed, "labels.db") == 3


def test_a_migration_that_arrives_is_reported_for_the_decisions_here() -> None:
    shutil.copy("labels.db", "moved.db")
    migrate = ["codebook", "migrate", "diplomatic@1.1.0", "diplomatic", "--apply", "--store", "moved.db"]
    assert CliRunner().invoke(app, migrate).exit_code == 0

    assert "3 decisions were made under codebook" in merged("moved.db", "labels.db")
    with Store("labels.db") as store:
        assert len(store.relabelling.waiting()) == 2
