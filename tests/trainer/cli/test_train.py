"""`communique train` on top of the starter: from a saved model, and with a hint for small stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import Codebook, load_codebook
from tests.conftest import make_examples
from tests.trainer.conftest import TrackedRun, fill_store, plain_codebook, write_examples
from trainer.cli import app
from trainer.model.model import Model, read_manifest

DIPLOMATIC = load_codebook("diplomatic")
NAMES = {"aid": "aid_pledge", "truce": "ceasefire_call"}
HINT = "Only 90 labels of your own: the starter corpus may help. Add --set data.extra=seeds."
QUICK = ("min_steps=2", "epochs=1", "pooling=mean", "batch_size=32")


def train(*arguments: str, code: int = 0) -> Any:
    untracked = ("--set", "tracking.enabled=false", "--set", "evaluation.bootstrap=100")
    result = CliRunner().invoke(app, ["train", *arguments, *untracked])
    assert result.exit_code == code, result.output
    return result


def store_options(codebook: Codebook) -> list[str]:
    """Options for a store of 90 labels of a codebook."""
    labels = codebook.label_names
    names = NAMES if codebook == DIPLOMATIC else {name: name for name in labels}
    examples = [replace(one, labels=tuple(names[label] for label in one.labels)) for one in make_examples(90)]
    if codebook == DIPLOMATIC:  # every label must occur
        examples = [
            replace(one, labels=(*one.labels, ("weapons_request", "dismissal")[place % 2])) if place % 5 == 0 else one
            for place, one in enumerate(examples)
        ]
    fill_store(Path("own.db"), codebook, examples)
    book = f"{codebook.name}@{codebook.hash}"
    keys = ("data.source=store", "data.store=own.db", f"data.codebook={book}")
    return [word for key in keys for word in ("--set", key)]


@pytest.mark.parametrize(("codebook", "hinted"), [(DIPLOMATIC, True), (plain_codebook("aid", "truce"), False)])
@pytest.mark.usefixtures("isolated")
def test_a_small_store_with_the_labels_of_the_starter_gets_a_hint(codebook: Codebook, hinted: bool) -> None:
    printed = " ".join(train("tfidf", *store_options(codebook)).stdout.split())
    assert (HINT in printed) is hinted


def test_training_starts_from_a_saved_model_of_another_codebook(isolated: Path, tiny_encoder: Path) -> None:
    quick = [word for key in (*QUICK, f"encoder={tiny_encoder}") for word in ("--set", f"model.{key}")]
    write_examples(isolated / "one.jsonl", make_examples(90))
    renamed = [
        replace(one, labels=tuple(label.replace("truce", "halt") for label in one.labels)) for one in make_examples(120)
    ]
    write_examples(isolated / "two.jsonl", renamed)
    data = ["--set", "data.codebook=infer", "--set"]
    train("finetune", *quick, *data, "data.train=one.jsonl", "--out", "first")
    train("finetune", *quick, *data, "data.train=two.jsonl", "--out", "second", "--init", "first")

    first = Model.load("first/artefact")
    manifest = read_manifest(Path("second/artefact"))
    assert manifest.details["initial_model"] == first.id
    assert manifest.details["model"]["init"] == "first"
    report = (isolated / "second" / "report.json").read_text(encoding="utf-8")
    assert f"training started from model {first.id} (first), with its weights for aid" in report


def test_only_a_fine_tuned_model_can_be_the_start(isolated: Path, tracked_run: TrackedRun) -> None:
    write_examples(isolated / "one.jsonl", make_examples(90))
    data = ["--set", "data.train=one.jsonl", "--set", "data.codebook=infer"]
    for start, message in (
        (str(tracked_run.result.artefact), 'is not of kind "finetune"'),
        ("nowhere", "nowhere"),
    ):
        result = train("finetune", *data, "--init", start, code=2)
        assert message in " ".join(result.stderr.replace("│", " ").split())
        assert not Path("runs/finetune").exists()
    assert "model.init" in " ".join(train("tfidf", *data, "--init", "first", code=2).stderr.split())
    assert "cannot start from an artefact" in " ".join(
        train("cascade", *data, "--set", "model.expensive.init=first", code=2).stderr.replace("│", " ").split()
    )
