"""How users ask their files: by the command line, in the working folder."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from labels.store import Store
from trainer.cli import app

DATA = Path(__file__).parent / "data"
OLD, NEW = "river-talks@1", "river-talks@2"
"""The two versions of the codebook that the store keeps."""
MIGRATE = ("codebook", "migrate", OLD, NEW, "--split", "aid=loan,goods", "--rename", "truce=ceasefire")

EXPORTS = {
    "jsonl": ("all.jsonl",),
    "csv": ("all.csv", "ana.csv"),
    "standoff": ("all.jsonl",),
    "prodigy": ("all.jsonl",),
    "label-studio": ("all.json",),
    "label-studio-min": ("all.json",),
    "doccano": ("all.jsonl", "ana.jsonl", "all.csv"),
    "argilla": ("all.jsonl",),
    "activetigger": ("all.csv", "ana.csv", "all.parquet"),
    "huggingface": ("all", "ana.parquet"),
}
"""Files by format: everybody's decisions, or the gold where a format knows no other, and what ana alone decided."""

_CLEO = ("label", "--annotator", "cleo")
DRAWS: dict[str, tuple[str, ...]] = {
    "random": (*_CLEO, "--size", "4"),
    "overlap": (*_CLEO, "--size", "4", "--overlap", "0.5", "--seed", "14"),
    "search": (*_CLEO, "--strategy", "search the", "--size", "100"),
    "relabel": (*_CLEO, "--strategy", "relabel", "--size", "3"),
    "retest": ("label", "--annotator", "ana", "--strategy", "retest", "--size", "3", "--retest-after", "0"),
    "entropy": (*_CLEO, "--strategy", "uncertainty", "--size", "4", "--codebook", OLD),
    "margin": (*_CLEO, "--strategy", "uncertainty", "--by", "margin", "--size", "4", "--codebook", OLD),
    "diverse": (*_CLEO, "--strategy", "diverse", "--size", "20", "--codebook", OLD),
    "audit": (*_CLEO, "--strategy", "audit", "--size", "6", "--codebook", OLD),
    "suggestions": (*_CLEO, "--suggest", "--size", "6", "--codebook", OLD),
    "unfinished": ("label", "--annotator", "ana"),
    "unfinished relabelling": ("label", "--annotator", "ben", "--strategy", "relabel"),
    "disputes": ("adjudicate", "--annotator", "fay"),
}
"""What is to be labelled next, by how it is asked for; a draw that is open is gone on with."""


def run(*arguments: str | Path, typed: str = "") -> str:
    """What a command prints that must succeed."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)
    assert done.exit_code == 0, f"{arguments}: {done.output}"
    return str(done.stdout)


def refuse(*arguments: str | Path) -> str:
    """The message of a command that must fail, and on purpose."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 2, f"{arguments}: {done.output}"
    return str(done.stderr)


def lay_out() -> None:
    """Copy the store, its settings and what it is made of to the working folder."""
    shutil.copytree(DATA / "articles", "articles")
    for path in DATA.iterdir():
        if path.suffix in (".toml", ".sqlite", ".jsonl"):
            shutil.copy(path, path.name)


def numbers(text: str) -> list[float]:
    """All numbers in a text, but for those that are parts of words or dates."""
    found = re.findall(r"(?<![\w.:-])\d+(?:\.\d+)?(?![\w:-])", text)
    return [float(number) if "." in number else int(number) for number in found]


def status() -> list[list[Any]]:
    """The counts of `status`: of each line with numbers its first word, and these."""
    return [[line.split()[0], *found] for line in run("status").splitlines() if (found := numbers(line))]


def codebook_hash(name: str) -> str:
    """The hash of a codebook in a file or in the store."""
    found = re.search(r"\(([0-9a-f]{16})\)", run("codebook", "check", name))
    return found.group(1) if found else ""


def agreement(codebook: str) -> Any:
    """Every figure of `agreement`, those of suggestions and retests among them."""
    path = Path("agreement.json")
    run("agreement", "--suggestions", "--retest", "--codebook", codebook, "--json", path)
    return json.loads(path.read_text(encoding="utf-8"))


def gold(codebook: str) -> dict[str, Any]:
    """The gold of every sentence that has some, by id, and how many of each kind have none."""
    Path("gold.csv").unlink(missing_ok=True)
    said = run("annotations", "export", "gold.csv", "--format", "activetigger", "--codebook", codebook)
    labels = {row["sentence_id"]: row["labels"] for row in records(Path("gold.csv"))}
    return {"labels": dict(sorted(labels.items())), "left_out": left_out(said)}


def decisions(codebook: str) -> dict[str, Any]:
    """What stands: kind, state, labels and note by annotator and sentence."""
    Path("decisions.csv").unlink(missing_ok=True)
    run("annotations", "export", "decisions.csv", "--format", "csv", "--codebook", codebook)
    found: dict[str, dict[str, Any]] = {}
    for row in records(Path("decisions.csv")):
        kind = json.loads(row["communique"])["event"]
        said = [kind, row["state"], row["labels"], row["note"]]
        found.setdefault(row["annotator"], {}).setdefault(row["sentence_id"], []).append(said)
    return found


def left_out(said: str) -> list[float]:
    """The numbers of what a command leaves out."""
    return next((numbers(line) for line in said.splitlines() if line.startswith("Left out:")), [])


def shown(*command: str) -> list[str]:
    """What a labelling or adjudicating command shows of the sentences that are passed over one by one.

    Since then, skipped sentences come again at the end; what is shown then is left out.
    """
    said = run(*command, "--plain", typed="s\n" * 20).partition("\nNext: ")[0]
    said = re.split(r"\n\[\d+/\d+\][^\n]*\n    You skipped this sentence", said)[0]
    return re.findall(r"^(?:\[\d+/\d+\]| {2}).*$", said, re.MULTILINE)


def export(format: str, path: Path) -> str:
    """Write one of `EXPORTS`; what the command says."""
    alone = ("--annotator", "ana") if path.stem == "ana" else ()
    path.parent.mkdir(parents=True, exist_ok=True)
    return run("annotations", "export", path, "--format", format, *alone)


def bring_in(format: str, path: Path) -> list[list[float]]:
    """Import an export into a new store: how many decisions were new and known, and how many of each kind left out."""
    into = ("--store", "new.sqlite")
    if format == "standoff":  # has no texts
        run("ingest", "articles", *into)
        run("annotations", "import", "prodigy.jsonl", "--format", "prodigy", *into)
    said = run("annotations", "import", path, "--format", format, *into)
    return [numbers(said.splitlines()[0]), left_out(said)]


def records(path: Path) -> list[Any]:
    """The records of an export, whatever its form."""
    if path.is_dir():
        from datasets import load_from_disk

        return list(load_from_disk(str(path)).to_list())
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return list(parquet.read_table(path).to_pylist())
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines(keepends=True)))
    return list(json.loads(text)) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


# -- the store by its own door: what no command shows


_FIELDS = ("document_id", "start", "end", "text", "boilerplate", "synthetic")


def texts() -> list[dict[str, Any]]:
    """Every sentence of the store with its ids."""
    with Store("store.sqlite") as store:
        return [
            {"id": found.id} | {name: getattr(found, name) for name in _FIELDS}
            for found in sorted(store.documents.sentences(), key=lambda found: (found.document_id, found.start))
        ]


def scores() -> dict[str, dict[str, Any]]:
    """By model and sentence: the probabilities, and the embedding in hexadecimal digits."""
    with Store("store.sqlite") as store:
        ids = sorted(sentence.id for sentence in store.documents.sentences())
        found: dict[str, dict[str, Any]] = {}
        for model in store.scores.models():
            vectors = store.scores.embeddings(model.id, ids)
            said = {key: store.scores.probabilities(model.id, key) for key in ids}
            found[model.id] = {
                key: [list(numbers), vectors[key].hex() if key in vectors else ""]
                for key, numbers in said.items()
                if numbers is not None
            }
    return found


def drafts() -> list[list[Any]]:
    """Sentence, annotator, labels and note of every draft."""
    with Store("store.sqlite") as store:
        kept = {
            (sentence.id, annotator): store.events.draft(sentence.id, annotator)
            for sentence in store.documents.sentences()
            for annotator in ("ana", "ben")
        }
    return [[*who, list(draft.labels), draft.note] for who, draft in sorted(kept.items()) if draft.labels or draft.note]
