"""Makes `data/` anew: files as version 0.1.0 (commit 7e09420) leaves them, and what that version says of them.

It ran on the code of that commit, as `python -m tests.compatibility.make_0_1` in the root of the repository, and need
not run on any later one. Written by hand, and only read here: `data/articles/`, the codebooks, `communique.toml`,
`experiment.toml` and `prodigy.jsonl`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from labels.adjudication import AdjudicationSession
from labels.queue import DrawRequest, lease_end
from labels.session import LabellingSession
from labels.suggestions import Suggester

from labels.codebook import Codebook, load_codebook
from labels.store import Store, now
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
    run,
    scores,
    shown,
    status,
    texts,
)
from trainer.model import Model

FUTURE = "2999-01-01T00:00:00.000000+00:00"
"""Until when the open draws are held: what is free must be the same whenever the store is opened."""

# -- what the models learn from: invented sentences, put together from parts

GIVERS = (
    "The harbour council",
    "Lower Venn",
    "The northern bank",
    "The millers' union",
    "Port Arlen",
    "The hill cantons",
    "The relief office",
    "A salt merchant",
)
GIFTS = (
    "pledged forty carts of grain",
    "will send two field clinics",
    "promised lamp oil for a month",
    "set aside tents and blankets",
    "offered a loan of nine million crowns",
    "will send seed potatoes",
    "pledged winter coats",
)
ASKERS = ("the envoy", "an abbot", "two bishops", "the ferry guild", "a mediator", "the bakers", "the old mayor")
CALLS = (
    "called for a truce",
    "asked both camps to stop the shelling",
    "proposed a ceasefire",
    "wants the guns silent",
    "urged a halt to the fighting",
)
SOLDIERS = ("the garrison", "the hill army", "Captain Orsa", "an old general", "the canal guard", "a drummer")
THREATS = (
    "threatened to close the locks",
    "vowed to burn the mills",
    "said it will burn the bridges",
    "threatened to open the weir",
    "vowed to sink every barge",
)
PLAIN = (
    "the ferry left late",
    "rain fell on the market",
    "a choir sang without its tenor",
    "prices rose again",
    "the school reopened",
    "nobody counted the seals",
    "the wardens slept in the church",
    "a clerk lost the minutes",
)
PLACES = (
    "below the dam",
    "on the east bank",
    "near Ostrey",
    "at the customs barge",
    "in the upper valley",
    "by the weir",
)
TIMES = ("on Monday", "before the feast", "after the third sitting", "this winter", "at dawn", "until the barley is in")

TEXTS = (
    "Port Arlen pledged forty carts of grain below the dam on Monday.",
    "The envoy called for a truce until the barley is in.",
    "Captain Orsa threatened to close the locks, and an abbot proposed a ceasefire by the weir.",
    "A choir sang without its tenor in the upper valley.",
    "WILL SEND, WILL SEND: “two field clinics” — or so the millers' union says…",
    "Ülmühle sent 3 çarts; 9,000,000 crowns (a loan?) & nothing else.",
    "The hill cantons offered a loan of nine million crowns near Ostrey, " + "and then another one, " * 20 + "at dawn.",
    "?",
)
"""What every model is asked."""


def sentences(generator: Random) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Different sentences with their labels, some of them wrong."""
    kinds: dict[str, Callable[[], str]] = {
        "aid": lambda: f"{generator.choice(GIVERS)} {generator.choice(GIFTS)}",
        "truce": lambda: f"{generator.choice(ASKERS)} {generator.choice(CALLS)}",
        "threat": lambda: f"{generator.choice(SOLDIERS)} {generator.choice(THREATS)}",
        "": lambda: generator.choice(PLAIN),
    }
    seen: set[str] = set()
    while True:
        chosen = generator.sample([*kinds], 2) if generator.random() < 0.3 else [generator.choice([*kinds])]
        clauses = ", and ".join(kinds[kind]() for kind in chosen)
        text = f"{clauses} {generator.choice(PLACES)} {generator.choice(TIMES)}."
        labels = tuple(kind for kind in kinds if kind and kind in chosen)
        if text not in seen:
            seen.add(text)
            yield text[0].upper() + text[1:], labels if generator.random() < 0.95 else labels[1:]


def write_labelled(path: Path, n: int) -> None:
    """Two sentences a document, with any number of labels each."""
    rows = [
        {
            "example_id": f"e{i:03d}",
            "document_id": f"d{i // 2:03d}",
            "text": text,
            "labels": list(labels),
            "date": f"2026-01-{1 + i // 2 % 28:02d}",
            "synthetic": True,
        }
        for i, (text, labels) in enumerate(islice(sentences(Random(5)), n))
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_exclusive(path: Path, n: int) -> None:
    """One label a sentence, or none."""
    rows = [(text, labels) for text, labels in islice(sentences(Random(6)), 2 * n) if len(labels) < 2][:n]
    lines = (f'd{i // 2:03d},"{text}",{"".join(labels)}\n' for i, (text, labels) in enumerate(rows))
    path.write_text("document_id,text,label\n" + "".join(lines), encoding="utf-8")


def write_encoder(folder: Path, corpus: Path) -> None:
    """A BERT of two narrow layers with random weights, and a tokenizer of the corpus's words and of letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    texts = [json.loads(line)["text"] for line in corpus.read_text(encoding="utf-8").splitlines()]
    words = sorted({word.strip(".,'").lower() for text in texts for word in text.split()})
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    pieces = dict.fromkeys([*special, *".,'?", *letters, *(f"##{letter}" for letter in letters), *words])
    BertTokenizer({piece: i for i, piece in enumerate(pieces)}, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)


# -- models

_SMALL_TFIDF = ("kind=tfidf", "word_ngrams=1", "char_ngrams=2", "min_df=40")
_TINY = ("encoder=encoder", "pooling=mean")
_FINETUNE = (*_TINY, "epochs=8", "min_steps=0", "learning_rate=5e-3", "head_learning_rate=1e-2", "precision=float32")
SETTINGS: dict[str, tuple[str, ...]] = {
    "majority": (),
    "keywords": (),
    "embedding": (),
    "contrastive": (*_TINY, "max_steps=40", "learning_rate=5e-3"),
    "finetune": _FINETUNE,
    "cascade": (
        "max_disagreement=0.2",
        "max_lost=0.5",
        *(f"cheap.{setting}" for setting in _SMALL_TFIDF),
        *(f"expensive.{setting}" for setting in ("kind=finetune", *_FINETUNE)),
    ),
}
"""Keys of the section `model` by kind; tfidf's stand in `experiment.toml`."""
LEFT = {
    "tfidf": ("split.json", "report.json", "predictions.parquet"),
    "finetune": ("report.json", "predictions.parquet"),
}
"""What is kept of a run beside its artefact."""


def train_all() -> None:
    """One run of each kind in `runs/`, and an export; other kinds have none of tfidf's keys."""
    run("train", "experiment.toml", "--out", "runs/tfidf")
    exclusive = ("data.train=exclusive.csv", "data.codebook=infer", "calibration.min_positives=10")
    run("train", "experiment.toml", "--out", "runs/tfidf-exclusive", *_set(exclusive))
    for kind, settings in SETTINGS.items():
        experiment = Path("experiment.toml").read_text(encoding="utf-8").replace('"tfidf"', f'"{kind}"')
        lines = [line for line in experiment.splitlines() if not line.startswith(("word_ngrams", "char_n", "min_df"))]
        Path(f"{kind}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        run("train", f"{kind}.toml", "--out", f"runs/{kind}", *_set(f"model.{setting}" for setting in settings))
    run("export", "runs/finetune", "--onnx", "--out", "runs/onnx/artefact")
    run("evaluate", "runs/tfidf", "labelled.jsonl", "--out", "evaluated")


def _set(settings: Iterable[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def keep_runs() -> None:
    """Copy what the runs left to `data/runs/`, each with what its model says."""
    for folder in sorted(Path("runs").iterdir()):
        kept = DATA / "runs" / folder.name
        shutil.copytree(folder / "artefact", kept / "artefact")
        for name in LEFT.get(folder.name, ()):
            shutil.copy(folder / name, kept / name)
        write_json(kept / "expected.json", expected(Model.load(folder / "artefact")))
    shutil.copy(Path("evaluated") / "report.json", DATA / "runs" / "tfidf" / "evaluated.json")


def expected(model: Model) -> dict[str, Any]:
    """What a model says of `TEXTS`."""
    probabilities = model.predict_proba(TEXTS)
    return {
        "model_id": model.id,
        "labels": list(model.labels),
        "thresholds": model.calibration.thresholds.tolist(),
        "texts": list(TEXTS),
        "probabilities": [[float(number) for number in row] for row in probabilities],
        "label_sets": [list(labels) for labels in model.label_sets(probabilities)],
    }


# -- the store


@contextmanager
def fixed_time() -> Iterator[None]:
    """Let the clock tick from a fixed moment in the past, random ids come from a seed, and draws be held for good."""
    ticks, generator = count(), Random(1)
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)

    def tick() -> str:
        return (start + timedelta(seconds=20 * next(ticks))).isoformat(timespec="microseconds")

    with (
        replaced("now", now, tick),
        replaced("lease_end", lease_end, lambda *_: FUTURE),
        replaced("uuid4", uuid.uuid4, lambda: uuid.UUID(int=generator.getrandbits(128), version=4)),
    ):
        yield


@contextmanager
def replaced(name: str, original: Any, other: Any) -> Iterator[None]:
    """Put something else in the place of a function in every module that has it under this name."""
    modules = [module for module in [*sys.modules.values()] if vars(module).get(name) is original]
    for module in modules:
        setattr(module, name, other)
    yield
    for module in modules:
        setattr(module, name, original)


def fill_store() -> None:
    """A store in which people labelled under the first version of a codebook, and go on under the second."""
    first, second = load_codebook("codebook-1.toml"), load_codebook("codebook-2.toml")
    run("ingest", "articles")
    run("score", "runs/tfidf")
    with Store("store.sqlite") as store:
        label_under_first(store, first)
    run(*("codebook-2.toml" if word == NEW else word for word in MIGRATE), "--apply")
    run("annotations", "import", "prodigy.jsonl", "--format", "prodigy")
    run("score", "runs/finetune")
    with Store("store.sqlite") as store:
        label_under_second(store, second)
    with closing(sqlite3.connect("store.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA page_size=1024")  # most tables fill no larger one
        connection.execute("VACUUM")
        assert set(connection.execute("SELECT expires_at FROM reservations")) == {(FUTURE,)}


def label_under_first(store: Store, book: Codebook) -> None:
    """Random draws that overlap, with undoing, passing over and notes; suggestions, an audit, a retest, verdicts."""
    (model,) = store.models()
    for annotator in ("ana", "ben"):
        desk = session(store, book, annotator, DrawRequest(size=26, overlap=0.85))
        desk.skip("half a sentence")
        desk.review(("threat",))
        desk.undo()
        decide(desk, book, annotator, 25, f"{annotator}: “clear”, ça va")
    picked = DrawRequest("uncertainty", size=5, model_id=model.id)
    decide(session(store, book, "ana", picked, Suggester(store, model, "ana", 0.5)), book, "ana", 5)
    audit = DrawRequest("audit", size=4, model_id=model.id)
    decide(session(store, book, "ben", audit, Suggester(store, model, "ben", 0.5)), book, "ben", 4)
    again = DrawRequest("retest", size=6, retest_after=timedelta(0))
    decide(session(store, book, "ana", again), book, "ben", 6)  # by now ana sees some things as ben does
    for note in ("as the first rule says", "the bank is for it"):
        settle(store, book, note)


def label_under_second(store: Store, book: Codebook) -> None:
    """A relabelling and a random draw that stay open, with drafts; a verdict, and a doubt that is queued."""
    relabel = session(store, book, "ben", DrawRequest("relabel", size=5))
    decide(relabel, book, "ben", 3)
    relabel.keep_draft(("goods",), "or a loan?")
    chance = session(store, book, "ana", DrawRequest(size=5))
    decide(chance, book, "ana", 2, "under the new version")
    chance.review(("threat",))
    chance.undo()
    chance.keep_draft(("loan", "ceasefire"), "ask eva")
    settle(store, book, "nothing new in the second version")
    doubted = next(event for event in store.events(annotator="ana") if event.labels == ("threat",))
    store.queue_relabelling([(doubted.sentence_id, "a model doubts it", doubted.labels)], source="doubts")


def session(
    store: Store, book: Codebook, annotator: str, request: DrawRequest, suggester: Suggester | None = None
) -> LabellingSession:
    """A session in which every look takes some seconds."""
    return LabellingSession(
        store, book, annotator, request, suggester=suggester, clock=map(float, count(0, 5)).__next__
    )


def decide(desk: LabellingSession, book: Codebook, annotator: str, n: int, note: str = "") -> None:
    """Review the next `n` sentences, the first of them with a note."""
    for position in range(n):
        item = desk.current()
        assert item is not None
        desk.review(opinion(item.sentence.text.lower(), book, annotator), "" if position else note)


def opinion(text: str, book: Codebook, annotator: str) -> tuple[str, ...]:
    """What somebody thinks of a sentence; ben fears soldiers and the weather, and slips."""
    lent = "loan of" in text or "lend" in text
    given = any(word in text for word in ("pledg", "promis", "send", "set aside"))
    truce = any(word in text for word in ("truce", "ceasefire", "silent", "shelling"))
    threat = any(word in text for word in ("threat", "vow", "will burn"))
    if annotator == "ben":
        threat = threat or any(word in text for word in ("snow", "rain", "garrison", "drummer"))
        truce = truce != (len(text) % 4 == 0)
    said = {"loan": lent, "goods": given, "aid": lent or given, "truce": truce, "ceasefire": truce, "threat": threat}
    return tuple(name for name in book.label_names if said[name])


def settle(store: Store, book: Codebook, note: str) -> None:
    """Let eva decide the first dispute."""
    desk = AdjudicationSession(store, book, "eva", clock=map(float, count(0, 5)).__next__)
    item = desk.current()
    assert item is not None
    desk.review(opinion(item.sentence.text.lower(), book, "eva"), note)


# -- what is said of it all


def keep_exports() -> None:
    """Write the store's exports to `data/exports/`."""
    for form, names in EXPORTS.items():
        for name in names:
            export(form, DATA / "exports" / form / name)


def state() -> dict[str, Any]:
    """What is said of the store."""
    said: dict[str, Any] = {"texts": texts(), "scores": scores(), "drafts": drafts()}
    with laid_out():
        said["status"] = status()
        said["codebooks"] = {name: codebook_hash(name) for name in ("codebook-1.toml", "codebook-2.toml", OLD, NEW)}
        for about in (gold, decisions, agreement):
            said[about.__name__] = {version: about(version) for version in (OLD, NEW)}
        said["migrated again"] = numbers(run(*MIGRATE, "--apply"))
        said["scored again"] = numbers(run("score", DATA / "runs" / "tfidf"))
    said["next"] = {}
    for name, command in DRAWS.items():
        with laid_out():
            said["next"][name] = shown(*command)
    said["imports"] = {form: {name: imported(form, name) for name in names} for form, names in EXPORTS.items()}
    return said


@contextmanager
def laid_out() -> Iterator[None]:
    """A new working folder with the store in it."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        lay_out()
        yield


def imported(format: str, name: str) -> list[list[float]]:
    """What importing an export into an empty store says."""
    with laid_out():
        return bring_in(format, DATA / "exports" / format / name)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON, one key a line."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Make everything in a folder of its own, and keep what is wanted."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["COMMUNIQUE_CACHE"] = f"{folder}/cache"
        os.environ["HF_HUB_OFFLINE"] = "1"
        for name in ("runs", "exports"):
            shutil.rmtree(DATA / name, ignore_errors=True)
        for name in ("store.sqlite", "labelled.jsonl", "state.json"):
            (DATA / name).unlink(missing_ok=True)
        lay_out()
        write_labelled(Path("labelled.jsonl"), 240)
        write_exclusive(Path("exclusive.csv"), 160)
        write_encoder(Path("encoder"), Path("labelled.jsonl"))
        train_all()
        keep_runs()
        with fixed_time():
            fill_store()
        for name in ("labelled.jsonl", "store.sqlite"):
            shutil.copy(name, DATA / name)
        keep_exports()
        write_json(DATA / "state.json", state())


if __name__ == "__main__":
    main()
