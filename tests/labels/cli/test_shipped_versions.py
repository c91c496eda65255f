"""A store that was begun under an older version of the shipped codebook."""

from __future__ import annotations

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
