"""Define the section `model`: one class per kind, including the kinds that plug-ins add.

`trainer.classifiers.base` describes what a plug-in must provide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from labels.environment.plugins import PluginGroup
from labels.errors import InputError

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "float32"]


class Section(BaseModel):
    """The keys of one TOML table; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class MajoritySection(Section):
    """Predicts the frequency of each label in train for every text."""

    kind: Literal["majority"]


class KeywordsSection(Section):
    """Searches texts for the codebook's cues."""

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


class StaticSection(_EncoderSection):
    """One vector per token, taken once from a sentence encoder, with logistic regression on their weighted mean."""

    kind: Literal["static"]
    dimensions: Annotated[int, Field(ge=2)] = 256
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"
    epochs: Count = 20
    learning_rate: Positive = 1e-2


class ContrastiveSection(_EncoderSection):
    """A sentence encoder that is tuned to move sentences with the same label together, then logistic regression."""

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
    unlabelled: str = "none"


class FinetuneSection(_EncoderSection):
    """A transformer encoder with a linear head; all layers are trained."""

    kind: Literal["finetune"]
    init: str = ""
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


# The kinds that can be a model of a cascade: all built-in kinds except the cascade itself.
_BuiltinSingle = (
    MajoritySection
    | KeywordsSection
    | TfidfSection
    | StaticSection
    | EmbeddingSection
    | ContrastiveSection
    | FinetuneSection
)


@dataclass(frozen=True)
class ClassifierPlugin:
    """A plug-in that adds a kind of model: the object named by an entry point of the group `communique.classifiers`.

    Attributes:
        api: version of the plug-in interface that the plug-in was written for.
        section: keys of `[model]`; the section's `kind` is a `Literal` of the entry point's name.
        classifier: `module:Class`, a subclass of `trainer.classifiers.base.Classifier`. The class is imported only when
            a model is trained or opened, to keep checks of experiments quick.
    """

    api: int
    section: type[Section]
    classifier: str


def section_with_plugins(value: Any, validate_builtin: ValidatorFunctionWrapHandler) -> Any:
    """Validate `value` with the section of the plug-in that adds its kind, or as a built-in kind if there is none."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if not isinstance(kind, str) or (plugin := find_plugin(kind)) is None:
        return validate_builtin(value)
    # With a union, locations in pydantic's errors begin with the kind, as for the built-in kinds.
    union = Annotated[MajoritySection | plugin.section, Field(discriminator="kind")]  # type: ignore[name-defined]
    return TypeAdapter[Any](union).validate_python(value)


# A wrapping validator, because plug-ins are only known when a value names one. `SerializeAsAny` writes all keys of a
# plug-in's section, although its class is not part of the union.
SingleSection = Annotated[
    SerializeAsAny[Annotated[_BuiltinSingle, Field(discriminator="kind")]], WrapValidator(section_with_plugins)
]


class CascadeSection(Section):
    """Cheaper models that pass uncertain texts on to an expensive model; a certificate limits the disagreement.

    `middle` are models between the two, the cheapest first. Cheaper models learn from gold or, on train and on
    `unlabelled` texts, from the probabilities of the expensive model.
    """

    kind: Literal["cascade"]
    cheap: SingleSection = TfidfSection(kind="tfidf")
    middle: tuple[SingleSection, ...] = ()
    expensive: SingleSection = FinetuneSection(kind="finetune")
    learn_from: Literal["gold", "expensive"] = "gold"
    unlabelled: str = "none"
    max_disagreement: Fraction = 0.01
    max_lost: Fraction = 0.10
    confidence: Fraction = 0.95

    @property
    def members(self) -> tuple[SingleSection, ...]:
        """The sections of all models, the cheapest first."""
        return (self.cheap, *self.middle, self.expensive)

    @model_validator(mode="after")
    def _members_start_anew(self) -> Self:
        if any(getattr(member, "init", "") for member in self.members):
            raise ValueError("a model of a cascade cannot start from an artefact: remove its `init`")
        return self

    @model_validator(mode="after")
    def _texts_are_for_learners(self) -> Self:
        if self.unlabelled not in ("", "none") and self.learn_from == "gold":
            raise ValueError('`unlabelled` texts have no gold: set `learn_from = "expensive"`, or remove `unlabelled`')
        return self


ModelSection = Annotated[
    SerializeAsAny[Annotated[_BuiltinSingle | CascadeSection, Field(discriminator="kind")]],
    WrapValidator(section_with_plugins),
]

SECTIONS: dict[str, type[Section]] = {
    get_args(section.model_fields["kind"].annotation)[0]: section
    for section in (*get_args(_BuiltinSingle), CascadeSection)
}
"""The section class of each built-in kind."""

PLUGINS = PluginGroup(
    name="communique.classifiers", noun="classifier", type=ClassifierPlugin, api=1, builtins=tuple(SECTIONS)
)
"""Kinds of model that other packages add."""


def kind_names() -> list[str]:
    """Return the names of the built-in kinds, then the names from plug-ins, without importing the plug-ins."""
    return [*SECTIONS, *PLUGINS.names()]


def find_plugin(kind: str) -> ClassifierPlugin | None:
    """Return the plug-in that adds a kind; None if the kind is built in or unknown.

    Raises:
        InputError: the plug-in cannot be used; the one-line message names its package.
    """
    # Built-in kinds, the usual case, do not need the metadata of the installed packages.
    plugin = None if kind in SECTIONS else PLUGINS.load(kind)
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
    """Return the section class of a kind; None if the kind is unknown.

    Raises:
        InputError: as for `find_plugin`.
    """
    if kind in SECTIONS:
        return SECTIONS[kind]
    plugin = find_plugin(kind)
    return plugin.section if plugin else None
