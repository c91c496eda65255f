"""Files that version 0.1.0 left are read as it read them. `README.md` says what they are and how they were made."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from labels.store import Store
from tests.compatibility.doors import (
    DATA,
    DRAWS,
    EXPORTS,
    MIGRATE,
    NEW,
    OLD,
    agreement,
    bring_in,
    codebook_hash,
    decisions,
    drafts,
    export,
    gold,
    lay_out,
    numbers,
    records,
    refuse,
    run,
    scores,
    shown,
    status,
    texts,
)
from trainer.model import Model

STATE = json.loads((DATA / "state.json").read_text(encoding="utf-8"))
RUNS = sorted(path.name for path in (DATA / "runs").iterdir())
TOLERANCES = {"onnx": 1e-5, "embedding": 1e-5}
"""Of probabilities, where another processor rounds otherwise: `embedding` reads through an encoder of full size."""
INTERVALS = ("intervals", "intervals_reason")
"""Keys of a report that are computed in another way today: by a jackknife, not by a bootstrap."""
LAST_PLACE = 5e-7
"""Half of the last place that `predict` writes."""


@pytest.fixture(autouse=True)
def laid_out(isolated: Path) -> Path:
    """The test's own folder, with copies of the store and of what belongs to it."""
    lay_out()
    return isolated


def loaded(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def differences(found: Any, expected: Any, tolerance: float = 1e-9, place: str = "") -> list[str]:
    """Where something is not as it was: numbers by more than the tolerance.

    Keys may have been added since, and what is only worded or laid out anew is the same: the reason for which a figure
    is undefined, and the TOML of a codebook.
    """
    if isinstance(found, str) and isinstance(expected, str):
        if place.endswith(".undefined"):
            found, expected = bool(found), bool(expected)
        elif place.endswith(".codebook") and "\n" in expected:
            found, expected = tomllib.loads(found), tomllib.loads(expected)
        elif place.endswith(".communique") and expected.startswith(("{", "[")):
            found, expected = json.loads(found), json.loads(expected)
    if isinstance(expected, dict) and isinstance(found, dict):
        inner = [(found.get(key), value, f"{place}.{key}") for key, value in expected.items()]
    elif isinstance(expected, list) and isinstance(found, list | tuple) and len(found) == len(expected):
        inner = [(*both, f"{place}.{i}") for i, both in enumerate(zip(found, expected, strict=True))]
    else:
        same = found == (pytest.approx(expected, rel=0, abs=tolerance) if isinstance(expected, float) else expected)
        return [] if same else [f"{place}: {found!r}, not {expected!r}"]
    return [line for one, other, where in inner for line in differences(one, other, tolerance, where)]


# -- the store


def says(now: list[Any], before: list[Any]) -> bool:
    """Whether a line has the figures of a former line in their order. Columns may have been added since, and a sentence
    may be worded anew."""
    figures = iter(now[1:])
    return (now[0] == before[0] or str(before[0]).isdigit()) and all(figure in figures for figure in before[1:])


def test_the_store_reads_as_it_did() -> None:
    lines = iter(status())
    for before in STATE["status"]:
        # Lines on what waits may stand between those of before.
        assert any(says(now, before) for now in lines), before
    for about in (gold, decisions, agreement):
        for version in (OLD, NEW):
            assert differences(about(version), STATE[about.__name__][version]) == [], version


def test_what_no_command_shows_is_there() -> None:
    assert texts() == STATE["texts"]
    assert scores() == STATE["scores"]
    assert drafts() == STATE["drafts"]


def test_the_same_texts_are_cut_into_the_same_sentences_under_their_old_ids() -> None:
    said = run("ingest", "articles")
    run("predict", DATA / "runs" / "majority", "articles", "--keep-boilerplate", "--out", "cut.jsonl")

    assert "Already in the store: 8 documents." in said
    assert texts() == STATE["texts"]
    cut = {row["sentence_id"]: [row[key] for key in ("start", "end", "text")] for row in records(Path("cut.jsonl"))}
    known = {text["id"]: [text[key] for key in ("start", "end", "text")] for text in STATE["texts"]}
    imported = {json.loads(line)["text"] for line in Path("prodigy.jsonl").read_text(encoding="utf-8").splitlines()}
    with Store("store.sqlite") as store:
        old = store.documents.resolve(cut)
    assert {old[new]: values for new, values in cut.items()} == {
        key: values for key, values in known.items() if values[-1] not in imported
    }


def test_renamed_files_are_recognized() -> None:
    Path("articles").rename("renamed")
    for path in list(Path("renamed").iterdir()):
        if path.suffix != ".jsonl":  # its rows have ids, which 0.1.0 did not keep beside a source
            path.rename(path.with_stem(f"{path.stem}-copy"))
    Path("prodigy.jsonl").rename("dora.jsonl")

    assert "Already in the store: 8 documents." in run("ingest", "renamed")
    said = run("annotations", "import", "dora.jsonl", "--format", "prodigy")
    assert "Decisions added to store.sqlite: 0 (already there: 3)." in said
    assert "Sentences in the file: 3, of which 3 were already in the store." in said
    assert texts() == STATE["texts"]


@pytest.mark.parametrize("form", ["jsonl", "label-studio", "standoff"])
def test_old_exports_and_articles_meet_in_a_new_store(form: str) -> None:
    into = ("--store", "new.sqlite")
    run("ingest", "articles", *into)
    run("annotations", "import", "prodigy.jsonl", "--format", "prodigy", *into)
    (name,) = EXPORTS[form]
    path = DATA / "exports" / form / name
    run("annotations", "import", path, "--format", form, *into)
    exported = set(re.findall(r'"sentence_id": "([0-9a-f]{16})"', path.read_text(encoding="utf-8")))
    with Store("new.sqlite") as new:
        assert sorted(one.text for one in new.documents.sentences()) == sorted(text["text"] for text in STATE["texts"])
        ids = new.documents.resolve(text["id"] for text in STATE["texts"])
        assert {event.sentence_id for event in new.events.all()} == {ids[one] for one in exported}


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_sentences_come_next(name: str) -> None:
    order = sorted if name == "diverse" else list  # it asks for all that there are
    before = [line.replace("it bore:", "earlier labels:") for line in STATE["next"][name]]  # worded so in 0.1.0
    # Today the keys of suggestions and answers are shown as well, and that a suggestion is withheld.
    added = r"  \[:y\] accept$|(?<=^    )\[\d\] |^    a model's suggestion is withheld$"
    now = [re.sub(added, "", line) for line in shown(*DRAWS[name])]
    assert order(filter(None, now)) == order(before)


def test_a_draft_becomes_part_of_the_decision() -> None:
    ((drafted, _, _, note),) = [draft for draft in STATE["drafts"] if draft[1] == "ana"]
    run("label", "--annotator", "ana", "--plain", typed="n\nq\n")

    assert ["annotate", "reviewed", "", note] in decisions(NEW)["ana"][drafted]


def test_recorded_steps_and_scores_are_known_again() -> None:
    assert {name: codebook_hash(name) for name in STATE["codebooks"]} == STATE["codebooks"]
    assert numbers(run(*MIGRATE, "--apply")) == STATE["migrated again"]
    assert numbers(run("score", DATA / "runs" / "tfidf")) == STATE["scored again"]


# -- exports and imports


@pytest.mark.parametrize("form", EXPORTS)
def test_exports_say_what_they_said(form: str) -> None:
    for name in EXPORTS[form]:
        export(form, Path("out") / name)
        assert differences(records(Path("out") / name), records(DATA / "exports" / form / name)) == [], name


@pytest.mark.parametrize("form", EXPORTS)
def test_exports_are_taken_in_again(laid_out: Path, form: str) -> None:
    for name in EXPORTS[form]:
        assert bring_in(form, DATA / "exports" / form / name) == STATE["imports"][form][name]
        for path in laid_out.glob("new.sqlite*"):
            path.unlink()


def test_an_imported_log_comes_out_as_it_went_in() -> None:
    kept = DATA / "exports" / "jsonl" / "all.jsonl"
    bring_in("jsonl", kept)
    run("annotations", "export", "again.jsonl", "--store", "new.sqlite")

    assert differences(records(Path("again.jsonl")), records(kept)) == []


# -- models and runs


@pytest.mark.parametrize("name", RUNS)
def test_models_say_what_they_said(name: str) -> None:
    folder = Path(shutil.copytree(DATA / "runs" / name, "run"))
    expected, tolerance = loaded(folder / "expected.json"), TOLERANCES.get(name, 1e-6)

    model = Model.load(folder / "artefact")
    said = model.predict_proba(expected["texts"])
    assert (model.id, list(model.labels)) == (expected["model_id"], expected["labels"])
    assert differences(said.tolist(), expected["probabilities"], tolerance) == []
    assert [list(labels) for labels in model.label_sets(said)] == expected["label_sets"]

    rows = [json.dumps({"text": text}) + "\n" for text in expected["texts"]]
    Path("texts.jsonl").write_text("".join(rows), encoding="utf-8")
    run("predict", folder, "texts.jsonl", "--no-split", "--out", "said.jsonl")
    written = records(Path("said.jsonl"))
    named = [dict(zip(expected["labels"], row, strict=True)) for row in expected["probabilities"]]
    assert differences([row["probabilities"] for row in written], named, tolerance + LAST_PLACE) == []
    assert [row["labels"] for row in written] == expected["label_sets"]
    assert {row["model_id"] for row in written} == {expected["model_id"]}


def report(path: Path, *passing: str) -> dict[str, Any]:
    """A report without how long predicting took, and without what else is only true of this one run."""
    return {key: value for key, value in loaded(path).items() if key not in ("sentences_per_second", *passing)}


def test_a_split_manifest_divides_the_same_file_alike() -> None:
    kept, again = DATA / "runs" / "tfidf", Path("again")
    run("train", "experiment.toml", "--set", f"split.manifest={kept / 'split.json'}", "--out", again)

    assert loaded(again / "split.json") == loaded(kept / "split.json")
    expected = report(kept / "report.json", "train_seconds", "artefact_bytes", "model_id", *INTERVALS)
    # Other processors end the same training a little elsewhere: by 1e-4 where that was tried.
    assert differences(loaded(again / "report.json"), expected, 1e-3) == []
    predicted = "predictions.parquet"
    assert differences(records(again / predicted), records(kept / predicted), 1e-3) == []


def test_an_evaluation_finds_the_same_figures(mlflow_store: str) -> None:
    kept = DATA / "runs" / "tfidf"
    run("evaluate", kept, "labelled.jsonl", "--out", "evaluated")

    found = loaded(Path("evaluated/report.json"))
    assert differences(found, report(kept / "evaluated.json", "notes", *INTERVALS), 1e-6) == []
    # An artefact of that version does not hold the hashes of its texts; the split of its run has the ids.
    (note,) = found["notes"]
    assert note.startswith("192 of 240 sentences were in this model's training data")


def test_a_run_is_checked_on_what_lies_beside_its_artefact() -> None:
    said = refuse("export", DATA / "runs" / "finetune", "--onnx", "--int8", "--out", "fast")

    rows = [row for row in records(DATA / "runs" / "finetune" / "predictions.parquet") if row["split"] == "validation"]
    assert len(rows) in numbers(said)  # too few for int8, which is said before anything is written
