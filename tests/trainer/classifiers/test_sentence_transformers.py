"""What others open of an artefact: sentence-transformers, which is not a dependency, and plain transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.lazy import needed
from tests.trainer.conftest import examples_for, plain_codebook
from trainer.classifiers.contrastive import ContrastiveClassifier
from trainer.classifiers.finetune import FinetuneClassifier
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import ContrastiveSection, FinetuneSection

CODEBOOK = plain_codebook("aid", "truce")
TEXTS = ["Oslo pledged aid.", "The two sides agreed to nothing. " * 30, "Halt!", ""]


@pytest.fixture(params=["finetune, mean", "finetune, first", "contrastive, mean"])
def classifier(request: pytest.FixtureRequest, tiny_encoder: Path) -> TransformerClassifier:
    kind, pooling = request.param.split(", ")
    rows, keys = examples_for(CODEBOOK, 40), {"encoder": str(tiny_encoder), "pooling": pooling, "max_length": 24}
    if kind == "contrastive":
        section = ContrastiveSection(kind="contrastive", max_steps=1, min_steps=1, **keys)
        return ContrastiveClassifier(CODEBOOK, section, 1).fit(rows, [])
    finetune = FinetuneSection(kind="finetune", epochs=1, min_steps=0, **keys)
    return FinetuneClassifier(CODEBOOK, finetune, 1).fit(rows, rows)


def test_sentence_transformers_opens_the_encoder_and_gives_our_vectors(
    classifier: TransformerClassifier, isolated: Path
) -> None:
    sentence_transformers = needed("sentence_transformers")
    (isolated / "model").mkdir()
    classifier.save(isolated / "model")
    opened = sentence_transformers.SentenceTransformer(str(isolated / "model" / "encoder"), device="cpu")
    np.testing.assert_allclose(opened.encode(TEXTS), classifier.embed(TEXTS), atol=1e-5)


def test_plain_transformers_opens_the_same_folder(classifier: TransformerClassifier, isolated: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    (isolated / "model").mkdir()
    classifier.save(isolated / "model")
    folder = isolated / "model" / "encoder"
    assert {"modules.json", "sentence_bert_config.json", "1_Pooling"} <= {path.name for path in folder.iterdir()}
    encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    settings = json.loads((isolated / "model" / "settings.json").read_text(encoding="utf-8"))
    inputs = tokenizer(TEXTS[0], truncation=True, max_length=settings["max_length"], return_tensors="pt")
    states = encoder(**inputs).last_hidden_state[0].detach().numpy()
    vector = states[0] if settings["pooling"] == "first" else states.mean(axis=0)
    if settings["normalise"]:
        vector = vector / np.linalg.norm(vector)
    np.testing.assert_allclose(vector, classifier.embed(TEXTS[:1])[0], atol=1e-5)
