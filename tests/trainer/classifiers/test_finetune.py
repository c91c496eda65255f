from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from labels.codebook.schema import Codebook
from labels.environment.progress import progress_to
from labels.errors import DivergedError, EncoderError, ExperimentError
from labels.records import Example
from tests.conftest import make_examples, progress_reports
from tests.lazy import Lazy
from tests.trainer.conftest import (
    Finetuned,
    MakeExperiment,
    contradicting,
    examples_for,
    gold_of,
    plain_codebook,
    texts_of,
    tiny_section,
    write_examples,
)
from trainer.classifiers.base import EncodingClassifier, fitted
from trainer.classifiers.finetune import FinetuneClassifier, Initial
from trainer.cli import app
from trainer.encoders.encoder import bundled_encoder
from trainer.runs.run import checkpoint_folder, run_experiment

f1_score = Lazy("sklearn.metrics:f1_score")
Network = Lazy("trainer.classifiers.network:Network")
last_whole_checkpoint = Lazy("trainer.classifiers.training:last_whole_checkpoint")

MULTI = plain_codebook("aid", "truce")
ONE_OF_OR_NONE = plain_codebook("aid", "truce", "threat", exclusive=True)
ONE_OF = plain_codebook("aid", "truce", "threat", exclusive=True, allow_none=False)
CODEBOOKS = {"multi-label": MULTI, "exclusive or none": ONE_OF_OR_NONE, "exclusive": ONE_OF}


def fit_tiny(encoder: Path, codebook: Codebook = MULTI, *, seed: int = 1, **changes: Any) -> FinetuneClassifier:
    examples = examples_for(codebook, 120)
    return FinetuneClassifier(codebook, tiny_section(encoder, **changes), seed).fit(examples[:64], examples[64:])


@pytest.fixture(scope="module")
def tiny(tiny_encoder: Path) -> Callable[[str], FinetuneClassifier]:
    """The tiny classifier of each of `CODEBOOKS`, fitted once for all tests that only ask it."""
    return cache(lambda name: fit_tiny(tiny_encoder, CODEBOOKS[name]))


def initial_of(classifier: FinetuneClassifier, folder: Path) -> Initial:
    return Initial(save(classifier, folder), classifier.labels, fitted(classifier.settings_), "the first")


STILL = {"learning_rate": 1e-12, "head_learning_rate": 1e-12, "weight_decay": 0}
"""Settings with which training changes next to nothing."""


@pytest.mark.parametrize(
    ("first", "second"),
    [("multi-label", "multi-label"), ("exclusive or none", "exclusive or none"), ("exclusive", "exclusive or none")],
)
def test_training_starts_from_another_model(
    first: str, second: str, tiny: Callable[[str], FinetuneClassifier], isolated: Path
) -> None:
    source, codebook = tiny(first), CODEBOOKS[second]
    examples = examples_for(codebook, 60)
    classifier = FinetuneClassifier(codebook, tiny_section(Path("of no importance"), **STILL), seed=5)
    classifier.initial = initial_of(source, isolated / "first")
    classifier.fit(examples[:40], examples[40:])

    shared = [classifier.labels.index(label) for label in source.labels]
    ours, theirs = (model._engine().layer for model in (classifier, source))
    np.testing.assert_allclose(ours.weight[shared], theirs.weight[: len(shared)], atol=1e-6)
    np.testing.assert_allclose(classifier.embed(texts_of(examples)), source.embed(texts_of(examples)), atol=1e-4)
    assert classifier.describe()["initial_model"] == "the first"
    assert classifier.describe()["encoder"] == source.describe()["encoder"]


def test_heads_are_matched_by_the_names_of_labels(tiny: Callable[[str], FinetuneClassifier], isolated: Path) -> None:
    codebook = plain_codebook("truce", "weather", "aid")  # another order, and a new label
    classifier = FinetuneClassifier(codebook, tiny_section(Path("of no importance"), **STILL), seed=5)
    classifier.initial = initial_of(tiny("multi-label"), isolated / "first")
    examples = [replace(one, labels=("weather",)) if not one.labels else one for one in make_examples(60)]
    classifier.fit(examples[:40], examples[40:])

    ours, theirs = (model._engine().layer for model in (classifier, tiny("multi-label")))
    np.testing.assert_allclose(ours.weight[[2, 0]], theirs.weight, atol=1e-6)
    np.testing.assert_allclose(ours.bias[[2, 0]], theirs.bias, atol=1e-6)


def test_rows_of_weight_near_zero_teach_nothing(tiny_encoder: Path) -> None:
    examples = examples_for(MULTI, 120)
    wrong = [replace(one, id=f"w{one.id}", labels=("aid", "truce"), weight=1e-9) for one in examples[:64]]
    taught = FinetuneClassifier(MULTI, tiny_section(tiny_encoder, batch_size=128), 1)
    taught.fit([*examples[:64], *wrong], examples[64:])
    misled = FinetuneClassifier(MULTI, tiny_section(tiny_encoder, batch_size=128), 1)
    misled.fit([*examples[:64], *(replace(one, weight=1.0) for one in wrong)], examples[64:])
    texts = [one.text for one in examples[64:] if not one.labels]

    assert taught.predict_proba(texts).mean() < misled.predict_proba(texts).mean() - 0.1


def save(classifier: FinetuneClassifier, folder: Path) -> Path:
    folder.mkdir()
    classifier.save(folder)
    return folder


def classes_of(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The likeliest class of each row, "none" being the last."""
    return np.column_stack([probabilities, 1 - probabilities.sum(axis=1)]).argmax(axis=1)


def test_learns_labels_on_texts_it_never_saw(finetuned: Finetuned) -> None:
    probabilities = finetuned.classifier.predict_proba(texts_of(finetuned.unseen))
    gold = gold_of(finetuned.unseen, ("aid", "truce"))
    assert f1_score(gold, probabilities > 0.5, average="macro") > 0.9


def test_learns_exclusive_labels_and_none(finetuned_exclusive: Finetuned) -> None:
    probabilities = finetuned_exclusive.classifier.predict_proba(texts_of(finetuned_exclusive.unseen))
    gold = gold_of(finetuned_exclusive.unseen, ("aid", "truce", "threat"))
    assert (classes_of(probabilities) == classes_of(gold.astype(float))).mean() > 0.9


def test_multilabel_probabilities_are_float32_and_independent(finetuned: Finetuned) -> None:
    probabilities = finetuned.classifier.predict_proba(texts_of(finetuned.unseen))
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(finetuned.unseen), 2)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    both = np.array([len(example.labels) == 2 for example in finetuned.unseen])
    assert (probabilities[both].sum(axis=1) > 1).mean() > 0.9


def test_exclusive_rows_leave_the_rest_to_none(finetuned_exclusive: Finetuned) -> None:
    probabilities = finetuned_exclusive.classifier.predict_proba(texts_of(finetuned_exclusive.unseen))
    labelled = np.array([bool(example.labels) for example in finetuned_exclusive.unseen])
    rows = probabilities.sum(axis=1)
    assert probabilities.shape == (len(labelled), 3)
    assert (rows < 1).all()
    assert rows[labelled].mean() > rows[~labelled].mean() + 0.1


def test_exclusive_rows_without_none_sum_to_one(tiny: Callable[[str], FinetuneClassifier]) -> None:
    probabilities = tiny("exclusive").predict_proba(["Japan pledged a loan.", "Rain fell."])
    assert probabilities.shape == (2, 3)
    assert probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_no_texts_give_no_rows(tiny: Callable[[str], FinetuneClassifier], name: str) -> None:
    probabilities = tiny(name).predict_proba([])
    assert probabilities.shape == (0, len(CODEBOOKS[name].labels))
    assert probabilities.dtype == np.float32


def test_answers_follow_their_texts_whatever_the_lengths(finetuned: Finetuned) -> None:
    texts = [f"{example.text} {'Rain fell. ' * (i * 7 % 11)}" for i, example in enumerate(finetuned.unseen[:70])]
    alone = np.concatenate([finetuned.classifier.predict_proba([text]) for text in texts])
    assert alone[:, 0].std() > 0.02  # so that a wrong order would show
    np.testing.assert_allclose(finetuned.classifier.predict_proba(texts), alone, atol=1e-4)
    shuffled = random.Random(3).sample(range(len(texts)), len(texts))
    together = finetuned.classifier.predict_proba([texts[i] for i in shuffled])
    np.testing.assert_allclose(together, alone[shuffled], atol=1e-4)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_it_answers_in_two_steps_as_in_one(tiny: Callable[[str], FinetuneClassifier], name: str) -> None:
    classifier, texts = tiny(name), texts_of(examples_for(CODEBOOKS[name], 40))
    assert isinstance(classifier, EncodingClassifier)
    states = classifier.embed(texts)
    assert (states.shape, states.dtype) == ((len(texts), 16), np.float32)
    np.testing.assert_array_equal(classifier.predict_embedded(states), classifier.predict_proba(texts))


def test_what_is_embedded_is_what_the_head_sees(tiny: Callable[[str], FinetuneClassifier]) -> None:
    network = tiny("multi-label").network_
    assert network is not None
    texts = ["Japan pledged a loan.", "Rain fell."]
    weight, bias = (parameter.detach().numpy() for parameter in (network.head.weight, network.head.bias))
    logits = tiny("multi-label").embed(texts) @ weight.T + bias
    np.testing.assert_allclose(tiny("multi-label").predict_proba(texts), 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_texts_are_cut_at_max_length(tiny_encoder: Path) -> None:
    classifier = fit_tiny(tiny_encoder, max_length=8, min_steps=0)
    # Two of the eight tokens are the encoder's own marks.
    one, other, shorter = classifier.predict_proba(["a b c d e f g", "a b c d e f truce truce", "a b c d e"])
    assert one.tolist() == other.tolist()
    assert one.tolist() != shorter.tolist()


def test_max_length_never_exceeds_what_the_encoder_takes(tiny_encoder: Path) -> None:
    classifier = fit_tiny(tiny_encoder, max_length=500, min_steps=0)
    assert classifier.describe()["max_length"] == 64
    assert np.isfinite(classifier.predict_proba(["rain " * 300])).all()


@pytest.mark.parametrize("name", CODEBOOKS)
def test_loaded_classifier_gives_the_probabilities_of_the_saved_one(
    tiny: Callable[[str], FinetuneClassifier], isolated: Path, name: str
) -> None:
    classifier, codebook = tiny(name), CODEBOOKS[name]
    loaded = FinetuneClassifier.load(save(classifier, isolated / "saved"), codebook)
    texts = texts_of(examples_for(codebook, 40))
    assert loaded.labels == codebook.label_names
    np.testing.assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))


@pytest.mark.parametrize("changes", [{"pooling": "first"}, {"max_length": 8}])
def test_settings_that_shape_the_probabilities_are_saved(
    tiny_encoder: Path, isolated: Path, changes: dict[str, Any]
) -> None:
    classifier = fit_tiny(tiny_encoder, min_steps=0, **changes)
    loaded = FinetuneClassifier.load(save(classifier, isolated / "saved"), MULTI)
    texts = texts_of(examples_for(MULTI, 40))
    np.testing.assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    assert loaded.describe().items() >= changes.items()


def test_loaded_classifier_describes_itself_as_the_fitted_one_did(
    tiny: Callable[[str], FinetuneClassifier], isolated: Path
) -> None:
    classifier = tiny("multi-label")
    loaded = FinetuneClassifier.load(save(classifier, isolated / "saved"), MULTI)
    assert loaded.describe() == classifier.describe()


def test_saving_a_loaded_classifier_changes_nothing(tiny: Callable[[str], FinetuneClassifier], isolated: Path) -> None:
    first = save(tiny("multi-label"), isolated / "first")
    second = save(FinetuneClassifier.load(first, MULTI), isolated / "second")
    for name in ("head.safetensors", "encoder/model.safetensors", "settings.json"):
        assert (second / name).read_bytes() == (first / name).read_bytes()


def test_plain_transformers_reproduce_the_probabilities(finetuned: Finetuned, isolated: Path) -> None:
    saved = save(finetuned.classifier, isolated / "saved")
    texts = texts_of(finetuned.unseen[:8])
    ours = finetuned.classifier.predict_proba(texts)

    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    settings = json.loads((saved / "settings.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(saved / "encoder", local_files_only=True)
    encoder = AutoModel.from_pretrained(saved / "encoder", local_files_only=True).eval()
    head = load_file(saved / "head.safetensors")
    batch = tokenizer(texts, padding=True, truncation=True, max_length=settings["max_length"], return_tensors="pt")
    with torch.inference_mode():
        states, mask = encoder(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
        pooled = (states * mask).sum(1) / mask.sum(1)
        theirs = torch.sigmoid(pooled @ head["weight"].T + head["bias"]).numpy()

    assert settings["pooling"] == "mean"
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_saved_folder_holds_encoder_head_and_settings_and_no_pickle(finetuned: Finetuned, isolated: Path) -> None:
    from safetensors.numpy import load_file

    saved = save(finetuned.classifier, isolated / "saved")
    assert {path.name for path in saved.iterdir()} == {"encoder", "head.safetensors", "settings.json"}
    assert {path.suffix for path in saved.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    assert {name: part.shape for name, part in load_file(saved / "head.safetensors").items()} == {
        "weight": (2, 384),
        "bias": (2,),
    }


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_saved_encoder_is_pooled_as_it_was_trained(tiny_encoder: Path, isolated: Path, pooling: str) -> None:
    saved = save(fit_tiny(tiny_encoder, pooling=pooling), isolated / "saved")
    again = fit_tiny(saved / "encoder", pooling="auto")
    assert again.describe()["pooling"] == pooling


def test_first_layers_of_the_encoder_are_kept(finetuned: Finetuned, isolated: Path) -> None:
    from transformers import AutoModel

    saved = save(finetuned.classifier, isolated / "saved")
    whole = AutoModel.from_pretrained(bundled_encoder(), local_files_only=True)
    kept = AutoModel.from_pretrained(saved / "encoder", local_files_only=True)
    assert (len(whole.encoder.layer), len(kept.encoder.layer)) == (6, 2)
    for position in (0, 1):  # trained for a few steps, so still far nearer to their origin than to another layer
        own = kept.encoder.layer[position].output.dense.weight
        distances = [float((own - layer.output.dense.weight).detach().norm()) for layer in whole.encoder.layer]
        assert int(np.argmin(distances)) == position


def test_more_layers_than_the_encoder_has_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ExperimentError, match="keep_layers"):
        fit_tiny(tiny_encoder, keep_layers=5)


def test_description_counts_what_was_trained(tiny_encoder: Path) -> None:
    from transformers import AutoModel

    classifier = fit_tiny(tiny_encoder, pooling="first", max_length=32, min_steps=0)
    encoder = AutoModel.from_pretrained(tiny_encoder, local_files_only=True)
    head = 2 * 16 + 2
    described = classifier.describe()
    assert described.pop("best_epoch") == 1.0
    assert described == {
        "encoder": str(tiny_encoder),
        "pooling": "first",
        "max_length": 32,
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()) + head,
    }


def test_automatic_pooling_is_the_one_the_encoder_was_made_for(finetuned: Finetuned, tiny_encoder: Path) -> None:
    assert finetuned.classifier.describe()["pooling"] == "mean"
    unmarked = fit_tiny(tiny_encoder, pooling="auto", min_steps=0)
    assert unmarked.describe()["pooling"] == "first"


def test_same_seed_gives_the_same_weights_and_another_seed_others(tiny_encoder: Path) -> None:
    texts = texts_of(examples_for(MULTI, 40))
    one, again, other = (fit_tiny(tiny_encoder, seed=seed, min_steps=0).predict_proba(texts) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_predicting_twice_gives_the_same_answer(finetuned: Finetuned) -> None:
    texts = texts_of(finetuned.unseen[:5])
    first, second = finetuned.classifier.predict_proba(texts), finetuned.classifier.predict_proba(texts)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        # 64 examples in batches of 16 are 4 steps an epoch.
        pytest.param({"epochs": 2, "min_steps": 0}, 8, id="epochs"),
        pytest.param({"epochs": 1, "min_steps": 10}, 12, id="at-least-min-steps-in-whole-epochs"),
        pytest.param({"epochs": 0.5, "min_steps": 0}, 4, id="never-part-of-an-epoch"),
        pytest.param({"epochs": 1, "min_steps": 0, "batch_size": 100}, 1, id="batch-larger-than-the-data"),
    ],
)
def test_trains_for_the_epochs_asked_and_reports_each_step(
    tiny_encoder: Path, changes: dict[str, Any], steps: int
) -> None:
    examples = examples_for(MULTI, 120)
    section = tiny_section(tiny_encoder, patience=100, **changes)
    with progress_reports() as reports:
        FinetuneClassifier(MULTI, section, 1).fit(examples[:64], examples[64:])
    assert reports == [("Training", step, steps) for step in range(1, steps + 1)]


def contradictory() -> tuple[list[Example], list[Example]]:
    """Train and validation in which each label stands for the other, so that validation only gets worse."""
    examples = examples_for(ONE_OF, 130)
    swapped = {"aid": ("truce",), "truce": ("threat",), "threat": ("aid",)}
    validation = [Example(e.id, e.document_id, e.text, swapped[e.labels[0]]) for e in examples[64:]]
    return examples[:64], validation


def test_keeps_the_weights_of_the_best_epoch_not_of_the_last(tiny_encoder: Path) -> None:
    train, validation = contradictory()
    texts = texts_of(validation)
    settings: dict[str, Any] = {"epochs": 6, "min_steps": 0, "learning_rate": 2e-2}
    patient, hasty = (
        FinetuneClassifier(ONE_OF, tiny_section(tiny_encoder, patience=patience, **settings), 1).fit(train, validation)
        for patience in (50, 1)
    )
    assert hasty.best_epoch_ == patient.best_epoch_ < 6
    np.testing.assert_array_equal(patient.predict_proba(texts), hasty.predict_proba(texts))


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 3)])
def test_stops_when_validation_has_not_improved_for_patience_epochs(
    tiny_encoder: Path, patience: int, epochs: int
) -> None:
    examples = examples_for(MULTI, 120)
    classifier = FinetuneClassifier(MULTI, tiny_section(tiny_encoder, epochs=8, patience=patience), 1)
    with progress_reports() as reports:
        classifier.fit(examples[:64], contradicting(MULTI, examples[64:]))
    assert reports[-1][1] == epochs * 4
    assert classifier.best_epoch_ == 1.0


def test_validation_examples_are_needed(tiny_encoder: Path) -> None:
    with pytest.raises(ExperimentError, match=r"data\.validation"):
        FinetuneClassifier(MULTI, tiny_section(tiny_encoder), 1).fit(examples_for(MULTI, 20), [])


def test_asking_before_fitting_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(ExperimentError, match="fit"):
        FinetuneClassifier(MULTI, tiny_section(tiny_encoder), 1).predict_proba(["Rain fell."])


def test_encoder_folder_without_weights_is_refused(isolated: Path) -> None:
    (isolated / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="tokenizer"):
        fit_tiny(isolated)


def test_encoder_with_damaged_weights_is_refused_by_name(tiny_encoder: Path, isolated: Path) -> None:
    for path in tiny_encoder.iterdir():
        (isolated / path.name).write_bytes(
            path.read_bytes()[:2000] if path.suffix == ".safetensors" else path.read_bytes()
        )
    with pytest.raises(EncoderError, match=isolated.name):
        fit_tiny(isolated)


def test_fitting_leaves_nothing_in_the_working_folder(tiny_encoder: Path, isolated: Path) -> None:
    fit_tiny(tiny_encoder, min_steps=0)
    assert not list(isolated.iterdir())


def test_train_examples_of_one_class_leave_nothing_to_tell_apart(tiny_encoder: Path) -> None:
    examples = [example for example in examples_for(ONE_OF, 60) if example.labels == ("aid",)]
    with pytest.raises(ExperimentError, match=r"all 10 train examples have aid.*nothing to distinguish"):
        FinetuneClassifier(ONE_OF, tiny_section(tiny_encoder), 1).fit(examples[:10], examples[10:])


def test_asymmetric_loss_is_refused_where_labels_exclude_each_other(tiny_encoder: Path) -> None:
    with pytest.raises(ExperimentError, match=r"model\.loss.*exclusive.*cross_entropy"):
        fit_tiny(tiny_encoder, ONE_OF, loss="asymmetric")


# -- runs


def test_a_run_leaves_no_checkpoints(experiment_of: MakeExperiment, tiny_encoder: Path, isolated: Path) -> None:
    model = tiny_section(tiny_encoder, min_steps=0).model_dump()
    seen: list[bool] = []
    with progress_to(lambda *_: seen.append(checkpoint_folder(isolated / "out").is_dir())):
        run_experiment(experiment_of("finetune", model=model), isolated / "out")
    assert seen
    assert all(seen)
    assert not [path for path in isolated.iterdir() if path.name.startswith(".")]


# -- numbers that are not finite

FAR_TOO_HIGH: dict[str, Any] = {"learning_rate": 1e30, "head_learning_rate": 1e30, "min_steps": 0}


def test_a_rate_that_is_far_too_high_is_reported_with_its_step(tiny_encoder: Path) -> None:
    with pytest.raises(DivergedError, match=r"step \d of 8: .*Lower model\.learning_rate") as caught:
        fit_tiny(tiny_encoder, epochs=2, **FAR_TOO_HIGH)
    assert "checkpoint" not in str(caught.value)  # none outlives the training here


def test_weights_that_are_no_numbers_are_not_evaluated(tiny_encoder: Path) -> None:
    """The loss of the only step is finite, what the step leads to is not."""
    with pytest.raises(DivergedError, match="step 1 of 1"):
        fit_tiny(tiny_encoder, batch_size=64, warmup=0.0, **FAR_TOO_HIGH)


def test_the_last_good_checkpoint_is_kept(tiny_encoder: Path, isolated: Path) -> None:
    from safetensors.numpy import load_file

    # An epoch is one step, and the rate of the first step of a warm-up is 0.
    section = tiny_section(tiny_encoder, **FAR_TOO_HIGH | {"epochs": 8, "batch_size": 64, "warmup": 0.5})
    classifier = FinetuneClassifier(MULTI, section, 1)
    classifier.checkpoints = isolated / "checkpoints"
    examples = examples_for(MULTI, 120)
    with pytest.raises(DivergedError, match="last good checkpoint") as caught:
        classifier.fit(examples[:64], examples[64:])
    kept = last_whole_checkpoint(classifier.checkpoints)
    assert kept is not None
    assert str(kept) in str(caught.value)
    assert all(np.isfinite(part).all() for part in load_file(kept / "model.safetensors").values())


def test_a_run_that_diverges_ends_with_a_message_and_leaves_nothing(tiny_encoder: Path, isolated: Path) -> None:
    write_examples(isolated / "data.jsonl", make_examples(90))
    settings = FAR_TOO_HIGH | {"encoder": tiny_encoder, "pooling": "mean"}
    arguments = [f"model.{key}={value}" for key, value in settings.items()]
    arguments += ["data.train=data.jsonl", "data.codebook=infer", "tracking.enabled=false"]
    arguments += ["split.allow_large_groups=true"]
    finished = CliRunner().invoke(
        app, ["train", "finetune", "--out", "out", *(part for one in arguments for part in ("--set", one))]
    )
    assert finished.exit_code == 1
    assert isinstance(finished.exception, SystemExit)
    assert "Error: step " in finished.stderr
    assert "Traceback" not in finished.stderr
    assert "Lower model.learning_rate" in finished.stderr
    assert [path.name for path in isolated.iterdir()] == ["data.jsonl"]


# -- too little memory


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the network take so many sentences at once, as if there were no memory for more.

    Args:
        sentences: how many.
        after: how often it takes more all the same before that.
    """
    pooled = Network.pooled  # of the class itself: an attribute set on `Lazy` would not reach it

    def limit(sentences: int, after: int = 0) -> None:
        calls = iter(range(10**9))

        def limited(self: Any, **inputs: Any) -> Any:
            import torch

            if next(calls) >= after and len(inputs["input_ids"]) > sentences:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return pooled(self, **inputs)

        monkeypatch.setattr("trainer.classifiers.network.Network.pooled", limited)

    return limit


def fit_counted(encoder: Path, n: int = 64, **changes: Any) -> tuple[FinetuneClassifier, list[int]]:
    """As `fit_tiny`, with the steps that were taken."""
    examples = examples_for(MULTI, n + 40)
    classifier = FinetuneClassifier(MULTI, tiny_section(encoder, min_steps=0, epochs=2, **changes), 1)
    with progress_reports() as reports:
        classifier.fit(examples[:n], examples[n:])
    return classifier, [done for _, done, _ in reports]


@pytest.mark.parametrize(
    ("batch_size", "sentences", "tried"),
    [(16, 8, [16, 8]), (16, 5, [16, 8, 4]), (15, 7, [15, 5]), (6, 1, [6, 3, 1])],
)
def test_without_enough_memory_smaller_batches_make_as_many_steps(
    tiny_encoder: Path, room: Callable[..., None], batch_size: int, sentences: int, tried: list[int]
) -> None:
    n = 3 * batch_size + 1
    whole, steps = fit_counted(tiny_encoder, n, batch_size=batch_size)
    assert whole.notes == ()
    room(sentences)
    parts, taken = fit_counted(tiny_encoder, n, batch_size=batch_size)
    assert taken == steps == list(range(1, 9))
    assert parts.notes == tuple(
        f"out of memory with {size} sentences at once: continued with {smaller}" for size, smaller in pairwise(tried)
    )


def test_epochs_that_were_done_when_memory_ran_out_are_not_done_again(
    tiny_encoder: Path, room: Callable[..., None]
) -> None:
    room(8, after=4 + 2 + 2)  # four steps, two batches of validation, and two steps more
    classifier, steps = fit_counted(tiny_encoder)
    assert len(classifier.notes) == 1
    assert steps == [1, 2, 3, 4, 5, 6, 5, 6, 7, 8]


def test_where_not_even_one_sentence_fits_it_says_what_to_do(tiny_encoder: Path, room: Callable[..., None]) -> None:
    room(0)
    with pytest.raises(ExperimentError, match=r"out of memory with 1 sentence at once.*model\.max_length"):
        fit_counted(tiny_encoder, batch_size=4)


def test_several_processes_do_not_choose_batches_each_for_itself(
    tiny_encoder: Path, room: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.classifiers.finetune.world_size", lambda: 2)
    room(8)
    with pytest.raises(ExperimentError, match=r"out of memory with 16 sentences.*model\.batch_size"):
        fit_counted(tiny_encoder)


def test_other_failures_are_not_taken_for_want_of_memory(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("trainer.classifiers.network.Network.pooled", fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit_counted(tiny_encoder)


def test_the_report_says_that_memory_did_not_suffice(
    experiment_of: MakeExperiment, tiny_encoder: Path, isolated: Path, room: Callable[..., None]
) -> None:
    room(32)  # what predicting takes at once
    model = tiny_section(tiny_encoder, min_steps=0, batch_size=64).model_dump()
    result = run_experiment(experiment_of("finetune", model=model), isolated / "out")
    assert "out of memory with 64 sentences at once: continued with 32" in result.report.notes


# -- adapters


def test_adapters_are_merged_into_an_encoder_that_opens_without_peft(
    tiny_encoder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    classifier = fit_tiny(tiny_encoder, lora_rank=2, learning_rate=2e-2)
    folder, texts = save(classifier, isolated / "saved"), texts_of(examples_for(MULTI, 30))
    monkeypatch.setitem(sys.modules, "peft", None)
    loaded = FinetuneClassifier.load(folder, MULTI)
    np.testing.assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    assert not list(folder.rglob("adapter*"))
    before, after = (load_file(place / "model.safetensors") for place in (tiny_encoder, folder / "encoder"))
    assert set(after) == set(before)
    for name, tensor in after.items():
        change = (tensor - before[name]).numpy()
        if name.startswith("encoder.") and change.ndim == 2:
            # Zeros of a matrix of rank 2 are rounding.
            assert np.linalg.matrix_rank(change, tol=1e-4) == 2, name
        else:
            assert not change.any(), name


def test_adapters_learn_what_all_weights_learn(tiny_encoder: Path) -> None:
    examples = examples_for(MULTI, 120)
    gold = gold_of(examples[64:], MULTI.label_names)
    adapted = fit_tiny(tiny_encoder, lora_rank=4, learning_rate=2e-2, min_steps=24, dropout=0.0)
    assert f1_score(gold, adapted.predict_proba(texts_of(examples[64:])) > 0.5, average="macro") > 0.7


def test_adapters_without_peft_leave_nothing_behind(
    tiny_encoder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ExperimentError, match=r"needs peft"):
        fit_tiny(tiny_encoder, lora_rank=4)
    assert not list(isolated.iterdir())
