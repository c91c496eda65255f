"""The section `model`: one class for each kind, those of plug-ins included.

What a plug-in has to offer is said in `trainer.classifiers.base`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from labels.errors import InputError
from labels.plugins import PluginGroup

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


_BuiltinSingle = (
    MajoritySection | KeywordsSection | TfidfSection | EmbeddingSection | ContrastiveSection | FinetuneSection
)


@dataclass(frozen=True)
class ClassifierPlugin:
    """What an entry point of the group `communique.classifiers` names.

    Attributes:
        api: the version of the plug-in interface that it was written for.
        section: the keys of `[model]`; its `kind` is a `Literal` of the entry point's name.
        classifier: `module:Class`, a subclass of `trainer.classifiers.base.Classifier`. It is imported only when a
            model is trained or opened, so that checking an experiment stays quick.
    """

    api: int
    section: type[Section]
    classifier: str


def section_with_plugins(value: Any, validate_builtin: ValidatorFunctionWrapHandler) -> Any:
    """The section of a plug-in where `value` is of its kind, else what pydantic makes of it."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if not isinstance(kind, str) or (plugin := find_plugin(kind)) is None:
        return validate_builtin(value)
    # A union, so that places in error messages begin with the kind, as those of the built-in kinds do.
    union = Annotated[MajoritySection | plugin.section, Field(discriminator="kind")]  # type: ignore[name-defined]
    return TypeAdapter[Any](union).validate_python(value)


SingleSection = Annotated[
    SerializeAsAny[Annotated[_BuiltinSingle, Field(discriminator="kind")]], WrapValidator(section_with_plugins)
]


class CascadeSection(Section):
    """A cheap model answers where it is sure, an expensive one the rest; how far they may differ is certified."""

    kind: Literal["cascade"]
    cheap: SingleSection = TfidfSection(kind="tfidf")
    expensive: SingleSection = FinetuneSection(kind="finetune")
    max_disagreement: Fraction = 0.01
    max_lost: Fraction = 0.10
    confidence: Fraction = 0.95


ModelSection = Annotated[
    SerializeAsAny[Annotated[_BuiltinSingle | CascadeSection, Field(discriminator="kind")]],
    WrapValidator(section_with_plugins),
]

SECTIONS: dict[str, type[Section]] = {
    get_args(section.model_fields["kind"].annotation)[0]: section
    for section in (*get_args(_BuiltinSingle), CascadeSection)
}
"""The section of each built-in kind."""

PLUGINS = PluginGroup(
    name="communique.classifiers", noun="classifier", type=ClassifierPlugin, api=1, builtins=tuple(SECTIONS)
)
"""Kinds of model that other packages add."""


def kind_names() -> list[str]:
    """The names of all kinds, those of plug-ins after the built-in ones; none of them is imported."""
    return [*SECTIONS, *PLUGINS.names()]


def find_plugin(kind: str) -> ClassifierPlugin | None:
    """The plug-in of a kind; None where the kind is built in, or no package adds it.

    Raises:
        InputError: the plug-in cannot be used; one line that names its package.
    """
    plugin = PLUGINS.load(kind)
    if plugin is not None:
        is_section = isinstance(plugin.section, type) and issubclass(plugin.section, Section)
        field = plugin.section.model_fields.get("kind") if is_section else None
        if field is None or get_args(field.annotation) != (kind,):
            raise InputError(
                f"{PLUGINS.describe(kind)} must have a `section` derived from trainer.config.models.Section with "
                f'`kind: Literal["{kind}"]`. Update or uninstall that package.'
            )
    return plugin


def find_section(kind: str) -> type[Section] | None:
    """The section of a kind, None where there is no such kind.

    Raises:
        InputError: as `find_plugin`.
    """
    if kind in SECTIONS:
        return SECTIONS[kind]
    plugin = find_plugin(kind)
    return plugin.section if plugin else None
