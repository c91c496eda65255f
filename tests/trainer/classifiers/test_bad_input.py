"""What people feed to the classifiers that read through an encoder: odd texts, odd labels, odd encoders. Each either
works or says in words what is wrong.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import EncoderError, ExperimentError
from labels.records import Example
from tests.conftest import make_examples
from tests.trainer.conftest import make_experiment, plain_codebook, texts_of, write_examples
from trainer.classifiers.base import Classifier, build_classifier, classifier_class
from trainer.config.experiment import parse_experiment
from trainer.config.models import ModelSection
from trainer.runs.run import run_experiment

KINDS = pytest.mark.parametrize("kind", ["embedding", "contrastive", "finetune"])
QUICK: dict[str, dict[str, Any]] = {
    "embedding": {},
    "contrastive": {"max_steps": 3, "min_steps": 1, "learning_rate": 5e-3},
    "finetune": {"epochs": 1, "min_steps": 0, "learning_rate": 5e-3},
}


def section_for(kind: str, encoder: Path, **changes: Any) -> ModelSection:
    model = {"kind": kind, "encoder": str(encoder), "pooling": "mean"} | QUICK[kind] | changes
    return parse_experiment({"model": model}, "test").model


def fit(kind: str, encoder: Path, codebook: Codebook, examples: list[Example]) -> Classifier:
    """Fitted to the examples, and stopped by them too."""
    return build_classifier(section_for(kind, encoder), codebook, 1).fit(examples, examples)


def assert_answers(classifier: Classifier, texts: list[str]) -> None:
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == (len(texts), len(classifier.labels))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()  # not true of NaN either


# -- labels


@KINDS
@pytest.mark.parametrize(
    ("codebook", "borne"),
    [
        pytest.param(plain_codebook("aid", "truce", exclusive=True, allow_none=False), ("aid",), id="one-of-two"),
        pytest.param(plain_codebook("aid", exclusive=True), ("aid",), id="one-or-none"),
        pytest.param(plain_codebook("aid", "truce", exclusive=True), (), id="none"),
        pytest.param(plain_codebook("aid"), ("aid",), id="the-only-label"),
        pytest.param(plain_codebook("aid", "truce"), ("aid", "truce"), id="all-labels"),
    ],
)
def test_one_class_only_is_refused_in_words(
    kind: str, codebook: Codebook, borne: tuple[str, ...], tiny_encoder: Path
) -> None:
    examples = [replace(example, labels=borne) for example in make_examples(20)]
    with pytest.raises(ExperimentError, match=rf"all 20 train examples have {', '.join(borne) or 'no label'},.*Add"):
        fit(kind, tiny_encoder, codebook, examples)


@KINDS
@pytest.mark.parametrize("exclusive", [False, True])
def test_a_class_with_one_example_is_learned_with(kind: str, exclusive: bool, tiny_encoder: Path) -> None:
    codebook = plain_codebook("aid", "truce", exclusive=exclusive)
    examples = [replace(e, labels=("truce",) if i == 3 else ("aid",)[: i % 2]) for i, e in enumerate(make_examples(40))]
    assert_answers(fit(kind, tiny_encoder, codebook, examples), texts_of(examples))


@KINDS
def test_a_label_that_all_bear_is_said_of_all(kind: str, tiny_encoder: Path) -> None:
    examples = [replace(e, labels=("aid", "truce")[: 1 + i % 2]) for i, e in enumerate(make_examples(40))]
    classifier = fit(kind, tiny_encoder, plain_codebook("aid", "truce"), examples)
    assert_answers(classifier, texts_of(examples))
    assert (classifier.predict_proba(texts_of(examples))[:, 0] > 0.5).all()


@KINDS
def test_the_same_text_with_different_labels_gets_something_between(kind: str, tiny_encoder: Path) -> None:
    examples = [Example(f"e{i}", f"e{i}", "Rain fell.", ("aid",)[: i % 2]) for i in range(40)]
    classifier = fit(kind, tiny_encoder, plain_codebook("aid"), examples)
    assert 0.2 < classifier.predict_proba(["Rain fell."])[0, 0] < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["embedding", "contrastive"])
def test_two_thousand_labels_of_two_examples_are_a_run_like_any(kind: str, tiny_encoder: Path, isolated: Path) -> None:
    names = [f"label{number:04d}" for number in range(2000)]
    codebook = plain_codebook(*names, exclusive=True, allow_none=False)
    (isolated / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    data = {"codebook": str(isolated / "codebook.toml")}
    for part, n in (("train", 4000), ("validation", 2000), ("test", 200)):
        rows = [
            Example(f"{part}{i}", f"{part}{i}", f"{part.title()} {i} is about {names[i % 2000]}.", (names[i % 2000],))
            for i in range(n)
        ]
        data[part] = str(write_examples(isolated / f"{part}.jsonl", rows))
    model = section_for(kind, tiny_encoder).model_dump()
    result = run_experiment(make_experiment(isolated, kind, data=data, model=model), isolated / "out")
    assert len(result.report.per_label) == 2000
    assert (result.folder / "plots" / "f1_per_label.png").is_file()


# -- texts

ODD = {
    "a-letter": "a",
    "a-mark": "?",
    "white-space": " \u2003 ",
    "nothing-seen": "\u200b\u200b",
    "control-characters": "a\x00b\x07c",
    "ten-thousand-words": "word " * 10_000,
    "one-endless-word": "x" * 100_000,
    "chinese": "外交部呼吁立即停火。",
    "arabic": "دعا المبعوث إلى وقف إطلاق النار.",
    "hindi": "दूत ने युद्धविराम का आह्वान किया।",
    "amharic": "መልዕክተኛው የተኩስ አቁም ጠየቀ።",
    "emoji": "🕊️🕊️🕊️",
    "combining-marks": "e" + "\u0301" * 500,
    "right-to-left-marks": "\u202eecurt\u202c",
}


@KINDS
def test_odd_texts_are_trained_on_and_answered(kind: str, tiny_encoder: Path) -> None:
    odd = [Example(name, name, text, ("aid",)[: i % 2]) for i, (name, text) in enumerate(ODD.items())]
    classifier = fit(kind, tiny_encoder, plain_codebook("aid", "truce"), make_examples(20) + odd)
    assert_answers(classifier, texts_of(odd))


@KINDS
def test_a_text_is_read_as_far_as_the_encoder_can(kind: str, tiny_encoder: Path) -> None:
    classifier = fit(kind, tiny_encoder, plain_codebook("aid", "truce"), make_examples(40))
    start = "Japan pledged a loan and " * 40  # more than the 64 tokens that the encoder takes
    one, other = classifier.predict_proba([start + "asked for a truce.", start + "rain fell. " * 5000])
    np.testing.assert_allclose(one, other, atol=1e-6)


# -- encoders


@pytest.fixture(scope="module")
def slow_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that reads bytes, through a tokenizer that there is in Python alone."""
    import torch
    from transformers import BertConfig, BertModel, ByT5Tokenizer

    folder = tmp_path_factory.mktemp("slow-tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=384,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=128,
        )
        BertModel(config).save_pretrained(folder)
    ByT5Tokenizer().save_pretrained(folder)
    return folder


@KINDS
def test_an_encoder_without_a_fast_tokenizer_is_trained_and_opened_again(
    kind: str, slow_tokenizer: Path, isolated: Path
) -> None:
    from transformers import AutoTokenizer

    assert not AutoTokenizer.from_pretrained(slow_tokenizer, local_files_only=True).is_fast
    codebook, examples = plain_codebook("aid", "truce"), make_examples(40)
    classifier = fit(kind, slow_tokenizer, codebook, examples)
    assert_answers(classifier, texts_of(examples))
    (isolated / "saved").mkdir()
    classifier.save(isolated / "saved")
    loaded = classifier_class(kind).load(isolated / "saved", codebook)
    np.testing.assert_array_equal(
        loaded.predict_proba(texts_of(examples)), classifier.predict_proba(texts_of(examples))
    )


@KINDS
def test_a_tokenizer_that_cannot_pad_is_refused(kind: str, tiny_encoder: Path, isolated: Path) -> None:
    for path in tiny_encoder.iterdir():
        (isolated / path.name).write_bytes(path.read_bytes())
    settings = json.loads((isolated / "tokenizer_config.json").read_text(encoding="utf-8"))
    (isolated / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": None}), encoding="utf-8")
    with pytest.raises(EncoderError, match=r"no padding token.*save the tokenizer in this folder again"):
        fit(kind, isolated, plain_codebook("aid", "truce"), make_examples(20))
