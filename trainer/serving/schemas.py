"""Requests and responses of the API, their limits, and refusals in the words of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from labels.errors import did_you_mean

MAX_TEXTS, MAX_CHARACTERS = 1000, 20_000
MAX_DOCUMENTS, MAX_DOCUMENT_CHARACTERS = 50, 200_000
MAX_SENTENCES = 5000
"""Maximum number of sentences in all documents of a request."""


def _short_text(length: int) -> Any:
    return StringConstraints(min_length=1, max_length=length, pattern=r"\S")


Text = Annotated[str, _short_text(MAX_CHARACTERS)]
LongText = Annotated[str, _short_text(MAX_DOCUMENT_CHARACTERS)]
Share = Annotated[float, Field(ge=0, le=1)]


class DocumentInput(BaseModel):
    """A document: its plain `text`, or the `html` of its page; `title` becomes the first sentence of a text.

    A string is a document with this text.
    """

    model_config = ConfigDict(extra="forbid")

    text: LongText | None = None
    html: LongText | None = None
    title: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        if not isinstance(value, str | dict):
            raise PydanticCustomError("document_type", "must be a string or an object with `text` or `html`")
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if (self.text is None) == (self.html is None):
            raise PydanticCustomError("one_body", "must have either `text` or `html`")
        return self


class PredictRequest(BaseModel):
    """Sentences (`texts`) or whole documents to label.

    - `texts`: 1 to 1,000 sentences of 1 to 20,000 characters
    - `documents`: 1 to 50 documents of 1 to 200,000 characters, which are split into sentences
    - `thresholds`: label -> probability in [0, 1] from which the label is assigned, instead of the model's threshold.
      Not for a model whose labels exclude each other: it always assigns the most probable label
    - `top_k`: return only the probabilities of the k most probable labels, in descending order
    - `explain`: also return what each word adds to the logits of the assigned labels, or of the most probable label;
      for at most 16 sentences
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"texts": ["Norway will provide $40 million for power repairs."]},
                {"documents": [{"title": "Talks in Oslo", "text": "The envoy urged both armies to stop. Rain fell."}]},
            ]
        },
    )

    texts: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)] | None = None
    documents: Annotated[list[DocumentInput], Field(min_length=1, max_length=MAX_DOCUMENTS)] | None = None
    thresholds: dict[str, Share] = {}
    top_k: Annotated[int, Field(ge=1)] | None = None
    explain: bool = False

    @model_validator(mode="after")
    def _has_one_input(self) -> Self:
        if (self.texts is None) == (self.documents is None):
            raise PydanticCustomError("one_input", "must have either `texts` or `documents`")
        return self


class WordWeight(BaseModel):
    """What a word adds to a logit; `start` and `end` are offsets in the sentence."""

    start: int
    end: int
    weight: float


class LabelExplanation(BaseModel):
    """Why a sentence has a label, or does not: the `logit` is `bias` plus the weights of the `words` plus `delta`.

    `method` is "terms" (exact) or "integrated gradients" (an approximation, of which `delta` is the error).
    """

    label: str
    method: str
    logit: float
    bias: float
    words: list[WordWeight]
    delta: float


class Prediction(BaseModel):
    """The labels assigned to one sentence, the calibrated probability of each label, and explanations on request.

    `abstained` lists the labels about which the model abstains, if it has such a rule, and `screened` those for which
    the sentence is worth reading, if it has a screening threshold.
    """

    labels: list[str]
    probabilities: dict[str, float]
    abstained: list[str] | None = None
    screened: list[str] | None = None
    explanations: list[LabelExplanation] | None = None


class SentencePrediction(Prediction):
    """The prediction for a sentence of a document; `start` and `end` are offsets in the document's text."""

    start: int
    end: int
    text: str


class SetAside(BaseModel):
    """A span of a document that is boilerplate, with the reason."""

    start: int
    end: int
    reason: str


class DocumentPrediction(BaseModel):
    """The sentences of a document; `text` is the text that the offsets refer to.

    `notes` are remarks on the parts of a file that could not be read.
    """

    text: str
    sentences: list[SentencePrediction]
    set_aside: list[SetAside]
    notes: list[str] | None = None


class PredictResponse(BaseModel):
    """Predictions in the order of the request, with the id of the model and the hash of the codebook.

    `predictions` answers `texts`, and `documents` answers `documents`.
    """

    predictions: list[Prediction] | None = None
    documents: list[DocumentPrediction] | None = None
    model_id: str
    codebook_hash: str


class Health(BaseModel):
    """The state of the server and the model that it serves.

    The status is "loading" while a new model is loaded and tested; the server answers with the old model until then.
    `thresholds` is empty for a model whose labels exclude each other: it assigns the most probable label.
    """

    status: Literal["ok", "loading"]
    kind: str
    model_id: str
    codebook: str
    labels: list[str]
    exclusive: bool
    thresholds: dict[str, float]
    synthetic: bool
    corrections: bool = False
    explains: bool = False


class Problem(BaseModel):
    """One reason for a refusal: the kind of the problem, its location in the request, and a message."""

    type: str
    loc: list[str | int]
    msg: str


class Refusal(BaseModel):
    """The response to a refused request."""

    detail: list[Problem]


def refusal(kind: str, message: str, location: Sequence[str | int] = ("body",)) -> dict[str, Any]:
    """The JSON content of a refusal with one problem."""
    return Refusal(detail=[Problem(type=kind, loc=list(location), msg=message)]).model_dump()


def problems_of(errors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON content of a refusal for validation errors of pydantic, in the words of the API.

    The input is never repeated: it may be long, secret or not valid in JSON.
    """
    found = [Problem(type=error["type"], loc=list(error["loc"]), msg=_message(error)) for error in errors]
    return Refusal(detail=found).model_dump()


_PLAIN = {
    "string_type": "{place} must be a string",
    "string_unicode": "{place} contains an unpaired surrogate",
    "list_type": "{place} must be a list",
    "bool_parsing": "{place} must be true or false",
    "bool_type": "{place} must be true or false",
    "dict_type": "{place} must be an object",
    "model_type": "{place} must be an object",
    "model_attributes_type": "{place} must be an object",
    "string_too_short": "{place} is blank",
    "string_pattern_mismatch": "{place} is blank",
    "too_short": "{place} is empty",
    "missing": "{place} is missing",
    "too_long": "{place} has {actual_length:,} entries, but at most {max_length:,} are allowed",
    "string_too_long": "{place} is longer than {max_length:,} characters",
    "greater_than_equal": "{place} must be at least {ge:g}",
    "less_than_equal": "{place} must be at most {le:g}",
    "json_invalid": "the body is not valid JSON ({error})",
}
"""Messages by pydantic's type of error."""


def _message(error: Mapping[str, Any]) -> str:
    kind, place = error["type"], _place(error["loc"])
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        model = PredictRequest if len(error["loc"]) == 2 else DocumentInput
        return f"'{name}' is not a key of this object{did_you_mean(name, model.model_fields)}"
    if kind in _PLAIN:
        return _PLAIN[kind].format_map({"place": place} | (error.get("ctx") or {}))
    return f"{place} {error['msg'][:1].lower()}{error['msg'][1:]}"


def _place(location: Sequence[str | int]) -> str:
    """The location of a problem as in JavaScript, e.g. `texts[3]` or `documents[0].title`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:])
    return path.lstrip(".") or "the request"
