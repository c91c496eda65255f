"""Expensive things that several tests share: fitted encoders, and one run that MLflow keeps."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook
from labels.records import Annotation, Document, Example, Sentence
from labels.store import Store, now
from tests.conftest import make_examples
from trainer.config.experiment import Experiment, parse_experiment
from trainer.config.models import FinetuneSection
from trainer.model.model import Model
from trainer.runs.run import RunResult, run_experiment

if TYPE_CHECKING:
    from trainer.classifiers.finetune import FinetuneClassifier

EXPERIMENT = "shared"
REGISTERED = "small-model"

MakeExperiment = Callable[..., Experiment]


@contextmanager
def aside(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """What `isolated` does for a test, for things that outlive one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("COMMUNIQUE_STORE", "COMMUNIQUE_CODEBOOK", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("COMMUNIQUE_CACHE", str(folder / "cache"))
        yield patch


def plain_codebook(*labels: str, exclusive: bool = False, allow_none: bool = True) -> Codebook:
    """A codebook of label names alone."""
    content = {"name": "small", "exclusive": exclusive, "allow_none": allow_none}
    return codebook_from_dict(content | {"labels": [{"name": label} for label in labels]}, "small")


def examples_for(codebook: Codebook, n: int) -> list[Example]:
    """`make_examples` as the codebook allows them."""
    made = make_examples(n, exclusive=codebook.exclusive)
    return [example for example in made if codebook.allow_none or example.labels]


def texts_of(examples: Iterable[Example]) -> list[str]:
    """The texts alone."""
    return [example.text for example in examples]


def gold_of(examples: Sequence[Example], labels: Sequence[str]) -> NDArray[np.bool_]:
    """(n, labels) booleans."""
    return np.array([[label in example.labels for label in labels] for example in examples])


def write_examples(path: Path, examples: Iterable[Example]) -> Path:
    """Examples as labelled JSONL."""
    rows = [
        {
            "example_id": example.id,
            "document_id": example.document_id,
            "text": example.text,
            "labels": list(example.labels),
            "synthetic": example.synthetic,
        }
        for example in examples
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fill_store(path: Path, codebook: Codebook, examples: Sequence[Example], *, annotate: bool = True) -> list[str]:
    """Keep examples in a new store as documents of several sentences, labelled by one annotator; their sentence ids."""
    documents: dict[str, list[Example]] = {}
    for example in examples:
        documents.setdefault(example.document_id, []).append(example)
    filed: list[tuple[Document, list[Sentence]]] = []
    ids: dict[str, str] = {}
    for name, own in documents.items():
        document = Document(source=f"{name}.txt", text="\n".join(example.text for example in own))
        sentences: list[Sentence] = []
        for example in own:
            start = sentences[-1].end + 1 if sentences else 0
            sentences.append(Sentence(document.id, start, start + len(example.text), example.text, "lines"))
            ids[example.id] = sentences[-1].id
        filed.append((document, sentences))
    with Store(path) as store:
        store.codebooks.add(codebook)
        store.documents.add(filed)
        if annotate:
            store.events.add([_decision(ids[example.id], example.labels, codebook) for example in examples])
    return [ids[example.id] for example in examples]


def _decision(sentence: str, labels: tuple[str, ...], codebook: Codebook) -> Annotation:
    return Annotation(f"event-{sentence}", sentence, "ana", "annotate", "reviewed", labels, codebook.hash, now())


def disturbed(examples: Sequence[Example]) -> list[Example]:
    """Every seventh example without its labels, so that no classifier is perfect."""
    return [replace(example, labels=()) if i % 7 == 0 else example for i, example in enumerate(examples)]


def make_experiment(folder: Path, kind: str, **sections: Any) -> Experiment:
    """An experiment on `folder`'s data.jsonl and codebook.toml, untracked unless `sections` say so."""
    content: dict[str, Any] = {
        "name": kind,
        "seed": 7,
        "data": {"train": str(folder / "data.jsonl"), "codebook": str(folder / "codebook.toml")},
        "split": {"train": 0.4, "validation": 0.3, "test": 0.3},
        "model": {"kind": kind},
        "evaluation": {"bootstrap": 100},
        "tracking": {"enabled": False},
    }
    for name, value in sections.items():
        content[name] = content[name] | value if isinstance(content.get(name), dict) else value
    return parse_experiment(content, "test")


@pytest.fixture
def experiment_of(isolated: Path) -> MakeExperiment:
    """Make experiments on 150 examples of two labels that lie in the test's folder."""
    codebook = plain_codebook("aid", "truce")
    (isolated / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    write_examples(isolated / "data.jsonl", disturbed(make_examples(150)))

    def make(kind: str, **sections: Any) -> Experiment:
        return make_experiment(isolated, kind, **sections)

    return make


def contradicting(codebook: Codebook, examples: Sequence[Example]) -> list[Example]:
    """The same examples with just the labels that they do not bear."""
    return [
        replace(example, labels=tuple(name for name in codebook.label_names if name not in example.labels))
        for example in examples
    ]


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of three narrow layers for 64 tokens with random weights, and the bundled encoder's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from trainer.encoders.encoder import bundled_encoder

    folder = tmp_path_factory.mktemp("tiny-encoder")
    with aside(folder), torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
        BertModel(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(bundled_encoder(), local_files_only=True).save_pretrained(folder)
    # Each fit ends with a full garbage collection: what has been imported by now need not be looked through every time.
    gc.collect()
    gc.freeze()
    return folder


@pytest.fixture(scope="session")
def short_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled encoder's first two layers in a folder, with its tokenizer and its pooling."""
    from trainer.encoders.encoder import bundled_encoder, open_encoder

    folder = tmp_path_factory.mktemp("short-encoder")
    with aside(folder):
        encoder, tokenizer = open_encoder(bundled_encoder(), keep_layers=2)
        encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    shutil.copytree(bundled_encoder() / "1_Pooling", folder / "1_Pooling")
    return folder


def tiny_section(encoder: Path, **changes: Any) -> FinetuneSection:
    """Settings with which the tiny encoder learns within a second."""
    settings: dict[str, Any] = {
        "encoder": str(encoder),
        "pooling": "mean",
        "epochs": 1,
        "min_steps": 12,
        "learning_rate": 5e-3,
        "head_learning_rate": 1e-2,
    }
    return FinetuneSection(kind="finetune", **(settings | changes))


@dataclass(frozen=True)
class Finetuned:
    """A classifier on the bundled encoder's first two layers, and examples that it never saw."""

    classifier: FinetuneClassifier
    codebook: Codebook
    unseen: list[Example]


def _finetune(codebook: Codebook, folder: Path) -> Finetuned:
    from trainer.classifiers.finetune import FinetuneClassifier

    examples = examples_for(codebook, 220)
    train, validation, unseen = examples[:96], examples[96:128], examples[128:]
    section = FinetuneSection(kind="finetune", keep_layers=2, epochs=2, min_steps=0, learning_rate=5e-4)
    with aside(folder):
        classifier = FinetuneClassifier(codebook, section, seed=13).fit(train, validation)
    return Finetuned(classifier, codebook, unseen)


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """A fitted multi-label classifier."""
    return _finetune(plain_codebook("aid", "truce"), tmp_path_factory.mktemp("finetuned"))


@pytest.fixture(scope="session")
def finetuned_exclusive(tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """A fitted classifier of an exclusive codebook that allows none."""
    codebook = plain_codebook("aid", "truce", "threat", exclusive=True)
    return _finetune(codebook, tmp_path_factory.mktemp("finetuned-exclusive"))


@dataclass(frozen=True)
class TrackedRun:
    """A run that MLflow keeps: what it left, from which experiment, and the database."""

    result: RunResult
    experiment: Experiment
    database: Path
    codebook: Codebook


@pytest.fixture(scope="session")
def tracked_run(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> TrackedRun:
    """A registered tfidf run on 300 examples of two labels, 20 and more groups of them in test."""
    import mlflow

    folder = tmp_path_factory.mktemp("tracked")
    codebook = plain_codebook("aid", "truce")
    (folder / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    write_examples(folder / "data.jsonl", disturbed(make_examples(300)))
    shutil.copy(mlflow_template, folder / "mlflow.db")
    experiment = make_experiment(
        folder,
        "tfidf",
        name="words",
        tracking={"enabled": True, "experiment": EXPERIMENT, "register_as": REGISTERED},
    )
    with aside(folder) as patch:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        result = run_experiment(experiment, folder / "out")
    return TrackedRun(result, experiment, folder / "mlflow.db", codebook)


@pytest.fixture
def tracked_store(mlflow_store: str, tracked_run: TrackedRun) -> str:
    """The URI of a store of this test's own that holds `tracked_run`."""
    shutil.copy(tracked_run.database, mlflow_store.removeprefix("sqlite:///"))
    return mlflow_store


@pytest.fixture(scope="session")
def tfidf_model(tracked_run: TrackedRun) -> Model:
    """The model of `tracked_run`, opened from disk."""
    return Model.load(tracked_run.result.artefact)


@pytest.fixture(scope="session")
def exclusive_run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """An untracked tfidf run with an exclusive codebook of three labels that allows none."""
    folder = tmp_path_factory.mktemp("exclusive")
    codebook = plain_codebook("aid", "truce", "threat", exclusive=True)
    (folder / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    write_examples(folder / "data.jsonl", disturbed(examples_for(codebook, 240)))
    with aside(folder):
        return run_experiment(make_experiment(folder, "tfidf"), folder / "out")
