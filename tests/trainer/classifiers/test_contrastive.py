from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from labels.codebook.schema import Codebook
from labels.errors import DivergedError, EncoderError, ExperimentError
from labels.records import Example
from tests.conftest import make_examples, progress_reports
from tests.lazy import Lazy
from tests.trainer.conftest import MakeExperiment, examples_for, gold_of, plain_codebook, texts_of, write_examples
from trainer.classifiers.base import EncodingClassifier
from trainer.classifiers.contrastive import ContrastiveClassifier
from trainer.classifiers.linear import EmbeddingClassifier, build_regression, fit_regression, regression_targets
from trainer.cli import app
from trainer.config.models import ContrastiveSection, EmbeddingSection
from trainer.model.model import Model, read_manifest
from trainer.runs.run import run_experiment

load_file = Lazy("safetensors.torch:load_file")

MULTI = plain_codebook("aid", "truce")
ONE_OF_OR_NONE = plain_codebook("aid", "truce", "threat", exclusive=True)
ONE_OF = plain_codebook("aid", "truce", "threat", exclusive=True, allow_none=False)
CODEBOOKS = {"multi-label": MULTI, "exclusive or none": ONE_OF_OR_NONE, "exclusive": ONE_OF}
TINY: dict[str, Any] = {"pooling": "mean", "learning_rate": 5e-3, "max_steps": 12}


def section_for(encoder: Path, **changes: Any) -> ContrastiveSection:
    return ContrastiveSection(kind="contrastive", **({"encoder": str(encoder)} | TINY | changes))


def fit(
    encoder: Path,
    codebook: Codebook = MULTI,
    examples: list[Example] | None = None,
    *,
    seed: int = 1,
    **changes: Any,
) -> ContrastiveClassifier:
    examples = examples_for(codebook, 64) if examples is None else examples
    return ContrastiveClassifier(codebook, section_for(encoder, **changes), seed).fit(examples, [])


@pytest.fixture(scope="module")
def tiny(tiny_encoder: Path) -> Callable[[str], ContrastiveClassifier]:
    """The tiny classifier of each of `CODEBOOKS`, fitted once for all tests that only ask it."""
    return cache(lambda name: fit(tiny_encoder, CODEBOOKS[name]))


def unseen(codebook: Codebook) -> list[Example]:
    return examples_for(codebook, 160)[96:]


def save(classifier: ContrastiveClassifier, folder: Path) -> Path:
    folder.mkdir()
    classifier.save(folder)
    return folder


def classes_of(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The likeliest class of each row, "none" being the last."""
    return np.column_stack([probabilities, 1 - probabilities.sum(axis=1)]).argmax(axis=1)


def weights_of(classifier: ContrastiveClassifier) -> dict[str, Any]:
    assert classifier.network_ is not None
    return dict(classifier.network_.encoder.state_dict())


# -- answers


def test_learns_labels_on_texts_it_never_saw(tiny: Callable[[str], ContrastiveClassifier]) -> None:
    probabilities = tiny("multi-label").predict_proba(texts_of(unseen(MULTI)))
    assert ((probabilities > 0.5) == gold_of(unseen(MULTI), MULTI.label_names)).mean() > 0.9
    both = np.array([len(example.labels) == 2 for example in unseen(MULTI)])
    assert (probabilities[both].sum(axis=1) > 1).mean() > 0.9


@pytest.mark.parametrize("name", ["exclusive or none", "exclusive"])
def test_learns_exclusive_labels(tiny: Callable[[str], ContrastiveClassifier], name: str) -> None:
    codebook = CODEBOOKS[name]
    probabilities = tiny(name).predict_proba(texts_of(unseen(codebook)))
    gold = gold_of(unseen(codebook), codebook.label_names)
    assert (classes_of(probabilities) == classes_of(gold.astype(float))).mean() > 0.9


@pytest.mark.parametrize("name", CODEBOOKS)
def test_rows_are_probabilities_and_those_of_an_exclusive_codebook_sum_up(
    tiny: Callable[[str], ContrastiveClassifier], name: str
) -> None:
    probabilities = tiny(name).predict_proba(texts_of(unseen(CODEBOOKS[name])))
    assert (probabilities.shape[1], probabilities.dtype) == (len(CODEBOOKS[name].labels), np.float32)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    if name == "exclusive":
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(probabilities)), abs=1e-5)
    elif name == "exclusive or none":
        assert (probabilities.sum(axis=1) < 1).all()


@pytest.mark.parametrize("name", CODEBOOKS)
def test_no_texts_give_no_rows(tiny: Callable[[str], ContrastiveClassifier], name: str) -> None:
    assert tiny(name).predict_proba([]).shape == (0, len(CODEBOOKS[name].labels))


@pytest.mark.parametrize("name", CODEBOOKS)
def test_it_answers_in_two_steps_as_in_one(tiny: Callable[[str], ContrastiveClassifier], name: str) -> None:
    classifier, texts = tiny(name), texts_of(unseen(CODEBOOKS[name]))
    assert isinstance(classifier, EncodingClassifier)
    vectors = classifier.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((len(texts), 16), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(classifier.predict_embedded(vectors), classifier.predict_proba(texts))


# -- tuning


def slots(n: int, *, start: int = 0) -> list[Example]:
    """Sentences whose label is one word among many that differ more: who gives, not what, how much and where."""
    goods, places = ("grain", "fuel", "loans", "trucks", "radios"), ("the valley", "the port", "the coast", "the north")
    return [
        Example(
            f"s{i}",
            f"s{i}",
            f"{('Chile', 'Ghana')[i % 2]} sent {i * 7 % 90 + 10} {goods[i * 3 % 5]} to {places[i * 5 % 4]} on day {i}.",
            (("aid", "truce")[i % 2],),
        )
        for i in range(start, start + n)
    ]


def test_tuning_makes_few_examples_go_further_than_the_frozen_encoder(tiny_encoder: Path) -> None:
    codebook = plain_codebook("aid", "truce", exclusive=True, allow_none=False)
    train, test = slots(16), slots(100, start=1000)
    section = EmbeddingSection(kind="embedding", encoder=str(tiny_encoder), pooling="mean")
    frozen = EmbeddingClassifier(codebook, section, seed=1).fit(train, [])
    gold = gold_of(test, codebook.label_names).argmax(axis=1)
    right = [
        (each.predict_proba(texts_of(test)).argmax(axis=1) == gold).mean()
        for each in (fit(tiny_encoder, codebook, train), frozen)
    ]
    assert right[0] > right[1] + 0.05


def test_tuning_brings_sentences_of_one_label_together(tiny_encoder: Path) -> None:
    examples = [example for example in unseen(ONE_OF_OR_NONE) if example.labels]
    gold = gold_of(examples, ONE_OF_OR_NONE.label_names)
    same = (gold.astype(int) @ gold.T.astype(int)) > 0
    gaps = []
    for learning_rate in (1e-12, 5e-3):
        vectors = fit(tiny_encoder, ONE_OF_OR_NONE, learning_rate=learning_rate).embed(texts_of(examples))
        similarity = vectors @ vectors.T
        gaps.append(similarity[same].mean() - similarity[~same].mean())
    assert gaps[1] > gaps[0] + 0.1


def test_every_layer_is_tuned_but_the_unused_pooler(tiny_encoder: Path) -> None:
    after = weights_of(fit(tiny_encoder))
    before = load_file(tiny_encoder / "model.safetensors")
    unchanged = {name for name, tensor in before.items() if bool((after[name] == tensor).all())}
    # What is added to all keys alike, softmax takes away again: their bias gets no gradient beyond rounding.
    assert {name for name in unchanged if "key.bias" not in name} == {"pooler.dense.weight", "pooler.dense.bias"}


@pytest.mark.parametrize(
    ("n", "changes", "steps"),
    [
        pytest.param(64, {"passes": 3, "min_steps": 1}, 6, id="passes-over-the-examples"),
        pytest.param(128, {"passes": 3, "min_steps": 1}, 12, id="twice-the-examples-twice-the-steps"),
        pytest.param(65, {"passes": 3, "min_steps": 1}, 7, id="rounded-up"),
        pytest.param(64, {"passes": 0.1, "min_steps": 4}, 4, id="at-least-min-steps"),
        pytest.param(640, {"passes": 3, "min_steps": 1, "max_steps": 5}, 5, id="at-most-max-steps"),
        pytest.param(64, {"passes": 3, "min_steps": 9, "max_steps": 2}, 2, id="max-steps-have-the-last-word"),
        pytest.param(64, {"passes": 3, "min_steps": 1, "batch_size": 16}, 12, id="smaller-batches-more-steps"),
    ],
)
def test_steps_grow_with_the_examples_up_to_a_limit(
    tiny_encoder: Path, n: int, changes: dict[str, Any], steps: int
) -> None:
    section = section_for(tiny_encoder, **({"max_steps": 100} | changes))
    with progress_reports() as reports:
        classifier = ContrastiveClassifier(MULTI, section, 1).fit(examples_for(MULTI, n), [])
    assert classifier.describe()["steps"] == steps
    assert reports == [("Training", step, steps) for step in range(1, steps + 1)]


def test_where_nothing_can_be_contrasted_the_encoder_stays_as_it_was(tiny_encoder: Path) -> None:
    examples = [*slots(2), Example("n", "n", "Rain fell."), Example("m", "m", "Prices rose.")]  # each label once
    classifier = fit(tiny_encoder, MULTI, examples)
    assert classifier.describe()["steps"] == 0
    after = weights_of(classifier)
    for name, tensor in load_file(tiny_encoder / "model.safetensors").items():
        assert bool((after[name] == tensor).all()), name
    assert classifier.predict_proba(["Chile sent fuel."]).shape == (1, 2)


def test_same_seed_gives_the_same_weights_and_another_seed_others(tiny_encoder: Path) -> None:
    texts = texts_of(unseen(MULTI))
    one, again, other = (fit(tiny_encoder, seed=seed).predict_proba(texts) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_validation_is_not_used(tiny_encoder: Path) -> None:
    texts = texts_of(unseen(MULTI))
    examples = examples_for(MULTI, 64)
    wrong = [replace(example, labels=()) for example in examples]
    classifier = ContrastiveClassifier(MULTI, section_for(tiny_encoder), 1).fit(examples, wrong)
    np.testing.assert_array_equal(classifier.predict_proba(texts), fit(tiny_encoder).predict_proba(texts))


def test_nothing_is_dropped_in_tuning_unless_asked(tiny_encoder: Path) -> None:
    """The tiny encoder is configured to drop a tenth; chance is asked for nothing else in a step."""
    texts = texts_of(unseen(MULTI))
    plain, same, dropped = (fit(tiny_encoder, **changes) for changes in ({}, {"dropout": 0.0}, {"dropout": 0.3}))
    np.testing.assert_array_equal(plain.predict_proba(texts), same.predict_proba(texts))
    assert np.abs(plain.predict_proba(texts) - dropped.predict_proba(texts)).max() > 1e-3
    assert plain.network_ is not None
    assert plain.network_.encoder.config.hidden_dropout_prob == 0.1


def test_layers_are_kept_and_more_than_there_are_refused(tiny_encoder: Path) -> None:
    network = fit(tiny_encoder, keep_layers=1).network_
    assert network is not None
    assert len(network.encoder.encoder.layer) == 1
    with pytest.raises(ExperimentError, match="keep_layers"):
        fit(tiny_encoder, keep_layers=4)


def test_a_rate_that_is_far_too_high_is_reported_with_its_step(tiny_encoder: Path) -> None:
    with pytest.raises(DivergedError, match=r"step 2 of 12: .*Lower model\.learning_rate") as caught:
        fit(tiny_encoder, learning_rate=1e30, warmup=0)
    assert "checkpoint" not in str(caught.value)
    with pytest.raises(DivergedError, match="step 1 of 1"):  # the last step is looked at too
        fit(tiny_encoder, learning_rate=1e30, warmup=0, min_steps=1, max_steps=1)


def test_asking_before_fitting_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ExperimentError, match="fit"):
        ContrastiveClassifier(MULTI, section_for(tiny_encoder), 1).predict_proba(["Rain fell."])


def test_an_encoder_that_is_nowhere_is_refused() -> None:
    with pytest.raises(EncoderError, match="nowhere"):
        fit(Path("nowhere"))


# -- the head


def without(examples: list[Example], *labels: str) -> list[Example]:
    return [example for example in examples if not set(labels) & set(example.labels)]


AID_OR_NONE = slots(20)[::2] + without(make_examples(60), "aid", "truce")
HEADS = {
    "multinomial": (ONE_OF, examples_for(ONE_OF, 60)),
    "multinomial-with-none": (ONE_OF_OR_NONE, examples_for(ONE_OF_OR_NONE, 60)),
    "binary": (
        plain_codebook("aid", "truce", exclusive=True, allow_none=False),
        without(examples_for(ONE_OF, 60), "threat"),
    ),
    "one-label-or-none": (
        plain_codebook("aid", exclusive=True),
        slots(20)[::2] + without(make_examples(60), "aid", "truce"),
    ),
    "a-class-missing-in-train": (ONE_OF_OR_NONE, without(examples_for(ONE_OF_OR_NONE, 60), "truce")),
    "none-missing-in-train": (ONE_OF_OR_NONE, examples_for(ONE_OF, 60)),
    "two-of-four-classes": (ONE_OF_OR_NONE, without(examples_for(ONE_OF, 60), "aid")),
    "one-versus-rest": (MULTI, examples_for(MULTI, 60)),
    "a-single-label": (plain_codebook("aid"), AID_OR_NONE),
    "a-label-that-all-bear": (MULTI, [replace(e, labels=tuple({*e.labels, "aid"})) for e in examples_for(MULTI, 60)]),
    "a-label-that-nobody-bears": (MULTI, without(examples_for(MULTI, 60), "truce")),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_linear_head_gives_exactly_the_regressions_probabilities(tiny_encoder: Path, name: str) -> None:
    codebook, examples = HEADS[name]
    classifier = fit(tiny_encoder, codebook, examples, max_steps=2)
    vectors = classifier.embed(texts_of(examples))
    exclusive = codebook.exclusive
    regression = build_regression(exclusive=exclusive, C=10.0, class_weight="balanced", seed=1)
    fit_regression(regression, vectors, regression_targets(examples, codebook.label_names, exclusive=exclusive))
    others = classifier.embed(["Japan pledged a loan.", "The elders wants the guns silent.", "Rain fell.", ""])
    said = regression.predict_proba(others)
    expected = said[:, -len(codebook.labels) :]  # of a single label scikit-learn gives both columns, "not" first
    if exclusive:
        expected = np.zeros((len(others), len(codebook.labels) + 1))
        expected[:, regression.classes_] = said
        expected = expected[:, : len(codebook.labels)]
    np.testing.assert_allclose(classifier.predict_embedded(others), expected, atol=1e-6)


# -- saving and loading


@pytest.mark.parametrize("name", CODEBOOKS)
def test_what_was_saved_answers_the_same_when_loaded(
    tiny: Callable[[str], ContrastiveClassifier], name: str, isolated: Path
) -> None:
    classifier, texts = tiny(name), texts_of(unseen(CODEBOOKS[name]))
    folder = save(classifier, isolated / "saved")
    assert {path.name for path in folder.iterdir()} == {"encoder", "head.safetensors", "settings.json"}
    loaded = ContrastiveClassifier.load(folder, CODEBOOKS[name])
    np.testing.assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    assert loaded.describe() == classifier.describe()
    again = save(loaded, isolated / "again")
    for file in ("head.safetensors", "encoder/model.safetensors", "settings.json"):
        assert (again / file).read_bytes() == (folder / file).read_bytes()


def test_plain_transformers_reproduce_the_probabilities(
    tiny: Callable[[str], ContrastiveClassifier], isolated: Path
) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder, texts = save(tiny("multi-label"), isolated / "saved"), texts_of(unseen(MULTI)[:8])
    settings = json.loads((folder / "settings.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder / "encoder", local_files_only=True)
    encoder = AutoModel.from_pretrained(folder / "encoder", local_files_only=True).eval()
    head = load_file(folder / "head.safetensors")
    batch = tokenizer(texts, padding=True, truncation=True, max_length=settings["max_length"], return_tensors="pt")
    with torch.inference_mode():
        states, mask = encoder(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
        pooled = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
        theirs = torch.sigmoid(pooled @ head["weight"].T + head["bias"]).numpy()
    assert (settings["pooling"], settings["normalise"]) == ("mean", True)
    np.testing.assert_allclose(theirs, tiny("multi-label").predict_proba(texts), atol=1e-5)


def test_it_describes_encoder_pooling_length_size_and_steps(tiny_encoder: Path) -> None:
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(tiny_encoder, local_files_only=True)
    assert fit(tiny_encoder, pooling="first", max_length=32, max_steps=3).describe() == {
        "encoder": str(tiny_encoder),
        "pooling": "first",
        "max_length": 32,
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()) + 2 * 16 + 2,
        "steps": 3,
    }


# -- as a kind of experiment


def test_an_experiment_leaves_a_model_that_can_be_opened(
    experiment_of: MakeExperiment, tiny_encoder: Path, isolated: Path
) -> None:
    experiment = experiment_of("contrastive", model={"encoder": str(tiny_encoder)} | TINY)
    result = run_experiment(experiment, isolated / "out")
    manifest = read_manifest(result.artefact)
    assert (manifest.kind, manifest.details["steps"]) == ("contrastive", 12)
    texts = texts_of(make_examples(20))
    opened = Model.load(result.artefact)
    np.testing.assert_array_equal(opened.predict_proba(texts), result.model.predict_proba(texts))
    assert not [path for path in isolated.iterdir() if path.name.startswith(".")]


def test_it_is_trained_from_the_command_line(isolated: Path) -> None:
    write_examples(isolated / "data.jsonl", make_examples(90))
    settings = ["data.train=data.jsonl", "data.codebook=infer", "model.keep_layers=1", "model.max_steps=2"]
    settings += ["tracking.enabled=false", "split.allow_large_groups=true", "evaluation.bootstrap=100"]
    arguments = ["train", "contrastive", "--out", "out"]
    finished = CliRunner().invoke(app, [*arguments, *(part for setting in settings for part in ("--set", setting))])
    assert finished.exit_code == 0, finished.output
    assert read_manifest(isolated / "out" / "artefact").details["steps"] == 2
    assert "macro_f1" in finished.output
