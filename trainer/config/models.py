"""The section `model`: one class for each kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "float32"]


class Section(BaseModel):
    """Keys of one TOML table; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class MajoritySection(Section):
    """Predicts how frequent each label is in train, whatever the text."""

    kind: Literal["majority"]


class KeywordsSection(Section):
    """Looks for the codebook's cues."""

    kind: Literal["keywords"]


class TfidfSection(Section):
    """Word and character TF-IDF with logistic regression."""

    kind: Literal["tfidf"]
    word_ngrams: Annotated[int, Field(ge=1, le=3)] = 2
    char_ngrams: Annotated[int, Field(ge=2, le=6)] = 4
    min_df: Count = 1
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


class _EncoderSection(Section):
    encoder: str = "minilm"
    pooling: Literal["auto", "mean", "first"] = "auto"
    max_length: Annotated[int, Field(ge=8)] = 128


class EmbeddingSection(_EncoderSection):
    """A frozen sentence encoder with logistic regression on its vectors."""

    kind: Literal["embedding"]
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


class ContrastiveSection(_EncoderSection):
    """A sentence encoder tuned so that sentences of one label lie close, then logistic regression on its vectors."""

    kind: Literal["contrastive"]
    batch_size: Annotated[int, Field(ge=4)] = 32
    per_label: Annotated[int, Field(ge=2)] = 4
    passes: Positive = 12
    min_steps: Count = 10
    max_steps: Count = 100
    learning_rate: Positive = 1e-4
    temperature: Positive = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"
    keep_layers: Annotated[int, Field(ge=0)] = 0


class FinetuneSection(_EncoderSection):
    """A transformer encoder, all layers trained, with a linear head."""

    kind: Literal["finetune"]
    epochs: Positive = 4
    min_steps: Annotated[int, Field(ge=0)] = 160
    batch_size: Count = 16
    learning_rate: Positive = 2e-4
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    head_learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    loss: Literal["cross_entropy", "asymmetric"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    positive_weight: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 4.0
    patience: Count = 3
    precision: Precision = "auto"
    lora_rank: Annotated[int, Field(ge=0)] = 0
    gradient_accumulation: Count = 1
    activation_checkpointing: bool = False
    keep_layers: Annotated[int, Field(ge=0)] = 0


SingleSection = Annotated[
    MajoritySection | KeywordsSection | TfidfSection | EmbeddingSection | ContrastiveSection | FinetuneSection,
    Field(discriminator="kind"),
]


class CascadeSection(Section):
    """A cheap model answers where it is sure, an expensive one the rest; how far they may differ is certified."""

    kind: Literal["cascade"]
    cheap: SingleSection = TfidfSection(kind="tfidf")
    expensive: SingleSection = FinetuneSection(kind="finetune")
    max_disagreement: Fraction = 0.01
    max_lost: Fraction = 0.10
    confidence: Fraction = 0.95


ModelSection = Annotated[SingleSection | CascadeSection, Field(discriminator="kind")]
