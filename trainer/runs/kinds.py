"""A scikit-learn estimator for each kind of model. Parameters and defaults are the same as in its section `[model]`.

`experiments/default.toml` explains each parameter.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, make_dataclass
from functools import cache
from typing import Any, Literal

from labels.errors import ExperimentError, did_you_mean
from trainer.config.models import Section, find_section, kind_names
from trainer.runs.estimator import Classifier

# `eq=False` and `repr=False` keep the comparison and the representation of scikit-learn's estimators.


@dataclass(eq=False, repr=False)
class MajorityClassifier(Classifier):
    """Predicts the frequency of each label in the training data for every text: the baseline to beat."""

    kind: str = "majority"


@dataclass(eq=False, repr=False)
class KeywordsClassifier(Classifier):
    """Searches for the cues of the codebook, which must have some."""

    kind: str = "keywords"


@dataclass(eq=False, repr=False)
class TfidfClassifier(Classifier):
    """Word and character TF-IDF with logistic regression: fast, and hard to beat on small data.

    Args:
        word_ngrams, char_ngrams: maximum length of n-grams of words, and of characters within words.
        min_df: minimum number of texts that contain an n-gram; rarer n-grams are ignored.
        C: inverse strength of regularisation.
        class_weight: "balanced" gives rare labels more weight; "none" does not.
    """

    kind: str = "tfidf"
    _: KW_ONLY
    word_ngrams: int = 2
    char_ngrams: int = 4
    min_df: int = 1
    C: float = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


@dataclass(eq=False, repr=False)
class _EncoderClassifier(Classifier):
    _: KW_ONLY
    encoder: str = "minilm"
    pooling: Literal["auto", "mean", "first"] = "auto"
    max_length: int = 128


@dataclass(eq=False, repr=False)
class StaticClassifier(_EncoderClassifier):
    """One vector per token, taken once from a sentence encoder, with logistic regression on their weighted mean.

    Fast, and knows words that do not occur in the training texts. `epochs` and `learning_rate` apply only if it learns
    from the probabilities of another model.
    """

    kind: str = "static"
    _: KW_ONLY
    dimensions: int = 256
    C: float = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"
    epochs: int = 20
    learning_rate: float = 1e-2


@dataclass(eq=False, repr=False)
class EmbeddingClassifier(_EncoderClassifier):
    """A frozen sentence encoder, with logistic regression on its sentence vectors."""

    kind: str = "embedding"
    _: KW_ONLY
    C: float = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


@dataclass(eq=False, repr=False)
class ContrastiveClassifier(_EncoderClassifier):
    """A sentence encoder tuned by contrastive learning, with logistic regression on its sentence vectors.

    Texts with the same label get similar vectors. Suited to a few labelled texts per label. `unlabelled` is a file or
    folder, or "store", with texts without labels: the model labels the most certain of them and learns from these too.
    """

    kind: str = "contrastive"
    _: KW_ONLY
    batch_size: int = 32
    per_label: int = 4
    passes: float = 12
    min_steps: int = 10
    max_steps: int = 100
    learning_rate: float = 1e-4
    temperature: float = 0.1
    dropout: float = 0.0
    weight_decay: float = 0.01
    warmup: float = 0.1
    C: float = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"
    keep_layers: int = 0
    unlabelled: str = "none"


@dataclass(eq=False, repr=False)
class FinetuneClassifier(_EncoderClassifier):
    """A fine-tuned transformer encoder with a linear head; all layers are trained."""

    kind: str = "finetune"
    _: KW_ONLY
    init: str = ""
    epochs: float = 4
    min_steps: int = 160
    batch_size: int = 16
    learning_rate: float = 2e-4
    layer_decay: float = 0.8
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float = 0.0
    loss: Literal["cross_entropy", "asymmetric"] = "cross_entropy"
    label_smoothing: float = 0.1
    positive_weight: float = 4.0
    patience: int = 3
    precision: Literal["auto", "float32"] = "auto"
    lora_rank: int = 0
    gradient_accumulation: int = 1
    activation_checkpointing: bool = False
    keep_layers: int = 0


@dataclass(eq=False, repr=False)
class CascadeClassifier(Classifier):
    """A cheap model labels the texts on which it is certain, an expensive model the rest.

    A certificate bounds the difference between the cascade and the expensive model alone.

    Args:
        cheap, expensive: a kind, or a dict with `kind` and the kind's parameters.
        middle: models between the two, in the same form, the cheapest first.
        learn_from: "gold", or "expensive": the cheaper models learn the answers of the expensive one.
        unlabelled: for "expensive": a file or folder, or "store", with texts without labels to learn on as well.
        max_disagreement: maximum share of texts whose labels differ from those of the expensive model alone.
        max_lost: maximum share of the texts with a label that lose this label.
        confidence: confidence level of each bound by itself.
    """

    kind: str = "cascade"
    _: KW_ONLY
    cheap: str | Mapping[str, Any] = "tfidf"
    middle: Sequence[str | Mapping[str, Any]] = ()
    expensive: str | Mapping[str, Any] = "finetune"
    learn_from: Literal["gold", "expensive"] = "gold"
    unlabelled: str = "none"
    max_disagreement: float = 0.01
    max_lost: float = 0.10
    confidence: float = 0.95


_BUILT_IN: dict[str, type[Classifier]] = {
    "majority": MajorityClassifier,
    "keywords": KeywordsClassifier,
    "tfidf": TfidfClassifier,
    "static": StaticClassifier,
    "embedding": EmbeddingClassifier,
    "contrastive": ContrastiveClassifier,
    "finetune": FinetuneClassifier,
    "cascade": CascadeClassifier,
}


@cache
def estimator_class(kind: str) -> type[Classifier]:
    """Return the estimator class of a kind. For a plug-in, the class is created from its section.

    Raises:
        ExperimentError: the kind does not exist.
        InputError: the plug-in of this kind cannot be used.
    """
    if kind in _BUILT_IN:
        return _BUILT_IN[kind]
    section = find_section(kind)
    if section is None:
        known = kind_names()
        raise ExperimentError(
            f"'{kind}' is not a kind of classifier{did_you_mean(kind, known)}. The kinds are: {', '.join(known)}."
        )
    return _estimator_of(kind, section)


def _estimator_of(kind: str, section: type[Section]) -> type[Classifier]:
    """Create an estimator class with one parameter per key of the section."""
    parameters: list[Any] = [("kind", str, kind)]
    for name, info in section.model_fields.items():
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        if name != "kind":
            # A dataclass refuses mutable defaults such as lists; None is left out of the experiment, as in a file.
            plain = default if isinstance(default, Hashable) else None
            parameters.append((name, Any, field(default=plain, kw_only=True)))
    made = make_dataclass(f"{kind.title()}Classifier", parameters, bases=(Classifier,), eq=False, repr=False)
    made.__doc__ = section.__doc__
    return made
