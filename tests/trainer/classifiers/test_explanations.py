from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.codebook.schema import Codebook
from labels.errors import InputError
from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import examples_for, plain_codebook, tiny_section
from trainer.calibration.calibration import not_calibrated
from trainer.classifiers import explanations
from trainer.classifiers.base import Classifier, classifier_class
from trainer.classifiers.baselines import MajorityClassifier
from trainer.classifiers.explanations import DifferentiableModel, Explanation, Span, Words
from trainer.classifiers.linear import EmbeddingClassifier
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.config.models import EmbeddingSection, TfidfSection
from trainer.model.model import Model

ContrastiveClassifier = Lazy("trainer.classifiers.contrastive:ContrastiveClassifier")
FinetuneClassifier = Lazy("trainer.classifiers.finetune:FinetuneClassifier")

MULTI = plain_codebook("aid", "truce")
ONE_OF = plain_codebook("aid", "truce", "threat", exclusive=True)
TEXT = "Norway  pledged “40 trucks”, re-armed and CALLED for a truce — naïve İstanbul ΣΑΣ."


@cache
def tfidf(exclusive: bool = False) -> TfidfClassifier:
    codebook = ONE_OF if exclusive else MULTI
    return TfidfClassifier(codebook, TfidfSection(kind="tfidf"), 1).fit(examples_for(codebook, 80), [])


def model_of(classifier: Classifier, codebook: Codebook = MULTI) -> Model:
    return Model(codebook, classifier, not_calibrated(codebook))


def total(explanation: Explanation) -> float:
    return explanation.bias + sum(span.weight for span in explanation.spans) + explanation.rest + explanation.delta


def of(text: str, explanation: Explanation) -> dict[str, float]:
    return {text[span.start : span.end]: span.weight for span in explanation.spans}


# -- words and results


def test_words_are_divided_by_white_space_without_punctuation_at_their_edges() -> None:
    text = " “Truce!”,\nsaid re-armed — Ana’s "
    found = Words(text).spans([1, 2, 3, 4, 5])
    assert [text[span.start : span.end] for span in found] == ["Truce", "said", "re-armed", "—", "Ana’s"]
    assert Words(text).spans([1, 2, 3, 4, 5], read=1) == (Span(2, 7, 1.0),)
    assert [Words(text).word_at(position) for position in (0, 1, 9, 11)] == [0, 0, 0, 1]


def test_strongest_words_keep_their_order_and_the_sum() -> None:
    whole = Explanation("aid", "terms", 3.0, 1.0, (Span(0, 1, 0.5), Span(2, 3, -2.0), Span(4, 5, 3.5)))
    cut = whole.strongest(2)
    assert cut.spans == (Span(2, 3, -2.0), Span(4, 5, 3.5))
    assert (cut.rest, total(cut)) == (0.5, total(whole))
    assert whole.strongest(None) is whole


# -- tfidf


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(TEXT.split()), max_size=12).map(" ".join)))
def test_weights_of_terms_and_the_intercept_are_the_logit(text: str) -> None:
    for explanation in tfidf().explain(text, [0, 1], lambda: None):
        assert explanation.delta == pytest.approx(0, abs=1e-5)
        assert total(explanation) == pytest.approx(explanation.logit, abs=1e-12)
        assert all(0 <= span.start < span.end <= len(text) for span in explanation.spans)


def test_terms_of_an_exclusive_codebook_add_up_to_the_difference_from_the_mean() -> None:
    classifier = tfidf(exclusive=True)
    logits = classifier.scorer_.logits([TEXT])[0].astype(float)
    found = classifier.explain(TEXT, [2, 0], lambda: None)
    assert [one.logit for one in found] == pytest.approx((logits - logits.mean())[[2, 0]], abs=1e-5)
    assert [one.delta for one in found] == pytest.approx([0, 0], abs=1e-5)


def test_terms_point_at_the_words_that_decide() -> None:
    [aid, truce] = model_of(tfidf()).explain([TEXT], labels=["aid", "truce"])[0]
    assert list(of(TEXT, aid)) == [
        *("Norway", "pledged", "40", "trucks", "re-armed", "and", "CALLED", "for", "a", "truce", "—", "naïve"),
        *("İstanbul", "ΣΑΣ"),
    ]
    assert max(of(TEXT, aid), key=of(TEXT, aid).get) in ("pledged", "trucks")  # type: ignore[arg-type]
    assert max(of(TEXT, truce), key=of(TEXT, truce).get) in ("CALLED", "truce")  # type: ignore[arg-type]
    assert of(TEXT, aid)["—"] == 0


def test_a_text_without_words_has_the_logit_of_the_intercept() -> None:
    [found] = tfidf().explain(" \n", [0], lambda: None)
    assert (found.spans, found.logit) == ((), pytest.approx(found.bias))


# -- encoders


def embedding(encoder: Path, codebook: Codebook) -> Any:
    section = EmbeddingSection(kind="embedding", encoder=str(encoder))
    return EmbeddingClassifier(codebook, section, seed=1).fit(examples_for(codebook, 60), [])


def finetune(encoder: Path, codebook: Codebook) -> Any:
    section = tiny_section(encoder, min_steps=30)
    return FinetuneClassifier(codebook, section, 1).fit(examples_for(codebook, 60), examples_for(codebook, 20))


@pytest.fixture(scope="module")
def fitted_on(short_encoder: Path, tiny_encoder: Path) -> Callable[[str, bool], Any]:
    """A classifier of a kind, multi-label or exclusive, fitted once."""

    def fit(kind: str, exclusive: bool) -> Any:
        codebook = ONE_OF if exclusive else MULTI
        return embedding(short_encoder, codebook) if kind == "embedding" else finetune(tiny_encoder, codebook)

    return cache(fit)


@pytest.mark.parametrize("exclusive", [False, True], ids=["multi-label", "exclusive"])
@pytest.mark.parametrize("kind", ["embedding", "finetune"])
def test_gradients_add_up_to_the_logit(fitted_on: Callable[[str, bool], Any], kind: str, exclusive: bool) -> None:
    classifier = fitted_on(kind, exclusive)
    parts = classifier.encoder_parts()
    logits = (classifier.embed([TEXT]) @ parts.weight.T + parts.bias)[0].astype(float)
    expected = logits - logits.mean() if exclusive else logits
    for column, explanation in enumerate(classifier.explain(TEXT, [0, 1], lambda: None)):
        assert explanation.logit == pytest.approx(expected[column], abs=1e-4)
        assert total(explanation) == pytest.approx(explanation.logit, abs=1e-9)
        assert abs(explanation.delta) <= 0.02 * max(1, abs(explanation.logit - explanation.bias))
        assert list(of(TEXT, explanation))[:4] == ["Norway", "pledged", "40", "trucks"]


def test_gradients_point_at_the_words_that_decide(fitted_on: Callable[[str, bool], Any]) -> None:
    text = "The envoy called for a truce in the valley."
    [[found]] = model_of(fitted_on("embedding", False)).explain([text], labels=["truce"], top_k=3)
    assert "truce" in of(text, found)
    assert of(text, found)["truce"] > 0
    assert len(found.spans) == 3


def test_gradients_agree_with_the_exact_ones_of_a_linear_model(fitted_on: Callable[[str, bool], Any]) -> None:
    import torch

    classifier = fitted_on("finetune", False)

    class Linear(torch.nn.Module):
        """An encoder whose states are its input: the weights are known without gradients."""

        device = torch.device("cpu")

        def get_input_embeddings(self) -> Any:
            return classifier.network_.encoder.get_input_embeddings()

        def forward(self, inputs_embeds: Any, attention_mask: Any) -> Any:
            return type("Output", (), {"last_hidden_state": inputs_embeds})

    parts = replace(classifier.encoder_parts(), encoder=Linear(), pooling="mean", normalise=False)
    text = "guns fell"
    [found] = DifferentiableModel(parts, exclusive=False).explain(text, ["aid"], [0], lambda: None)
    tokens = parts.tokenizer(text)["input_ids"]
    table = parts.encoder.get_input_embeddings().weight.detach().numpy()
    change = (table[tokens] - table[parts.tokenizer.mask_token_id]) @ parts.weight[0] / len(tokens)
    assert [span.weight for span in found.spans] == pytest.approx(change[1:-1], abs=1e-5)


def test_words_beyond_the_longest_text_are_not_marked(fitted_on: Callable[[str, bool], Any]) -> None:
    text = "truce " * 200
    [found] = fitted_on("finetune", False).explain(text, [0], lambda: None)
    assert len(found.spans) == 62


def test_work_pauses_before_each_slice_and_can_end(fitted_on: Callable[[str, bool], Any]) -> None:
    class StopError(Exception):
        pass

    slices = 0

    def pause() -> None:
        nonlocal slices
        slices += 1
        if slices == 4:
            raise StopError

    with pytest.raises(StopError):
        fitted_on("finetune", False).explain("The envoy called.", [0], pause)
    assert slices == 4


# -- models


def test_assigned_labels_are_explained_or_the_most_probable_one() -> None:
    texts = ["Norway pledged 40 trucks and called for a truce.", "Rain fell."]
    model = model_of(tfidf())
    first, second = model.explain(texts)
    assert [one.label for one in first] == list(model.label_sets(model.predict_proba(texts))[0]) == ["aid", "truce"]
    assert [one.label for one in second] == [model.labels[int(np.argmax(model.predict_proba(texts)[1]))]]


@pytest.mark.parametrize(
    ("fit", "options", "message"),
    [
        (tfidf, {"labels": ["trucee"]}, r"'trucee' is not a label of this model \(did you mean 'truce'\?\)"),
        (
            lambda: MajorityClassifier(MULTI, None, 1).fit(make_examples(8), []),
            {},
            "a model of kind MajorityClassifier cannot",
        ),
    ],
    ids=["label", "kind"],
)
def test_what_cannot_be_explained_is_refused(
    fit: Callable[[], Classifier], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model_of(fit()).explain(["Rain fell."], **options)


def test_without_captum_the_extra_is_named(
    fitted_on: Callable[[str, bool], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r'pip install "communique\[explain\]"'):
        model_of(fitted_on("finetune", False)).explain(["Rain fell."])


COMPATIBLE = Path(__file__).parents[2] / "compatibility" / "data" / "runs"


@pytest.mark.parametrize("kind", ["cascade", "contrastive", "tfidf-exclusive"])
def test_models_of_earlier_versions_are_explained(kind: str) -> None:
    model = Model.load(COMPATIBLE / kind / "artefact")
    for own in model.explain(["The envoy called for a truce.", "Rain fell."]):
        assert all(total(one) == pytest.approx(one.logit, abs=1e-4) for one in own)


def test_a_cascade_is_explained_by_the_classifier_that_answers() -> None:
    model = Model.load(COMPATIBLE / "cascade" / "artefact")
    texts = [example.text for example in make_examples(40)]
    answered = model.classifier.answered(texts)  # type: ignore[attr-defined]
    found = [own[0].method for own in model.explain(texts, labels=model.labels[:1], top_k=1)]
    assert found == ["terms" if cheap else "integrated gradients" for cheap in answered]


def test_an_exported_model_is_refused() -> None:
    model = Model.load(COMPATIBLE / "onnx" / "artefact")
    with pytest.raises(InputError, match=r"an exported model \(ONNX\) cannot be explained"):
        model.explain(["Rain fell."])


def test_every_built_in_kind_says_whether_it_can_be_explained() -> None:
    can = {
        kind
        for kind in ("majority", "keywords", "tfidf", "embedding", "contrastive", "finetune", "cascade")
        if issubclass(classifier_class(kind), explanations.Explainable)
    }
    assert can == {"tfidf", "embedding", "contrastive", "finetune", "cascade"}
