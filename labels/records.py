"""Define the records that all parts of communique exchange, and the content hashes that identify them.

Documents and sentences are the texts to label; annotations are the decisions on them; examples are the input of
classifiers. Draws, scoring models and codebook migrations exist only in a store.

**Identity.** A document is identified by its text and by the provenance that the data themselves state (`Origin`): an
id, a URL, a source, and the date if there is a source. The name of a file is never part of the identity, so a renamed
table and the tables of two coders over the same texts have the same documents. Equal texts with different provenance
are different documents: a syndicated article counts once for each newspaper. Equal texts without provenance are
numbered within their file. Line ends and Unicode normalization (NFC) do not change the identity, and a store also
recognizes a text whose white space at the ends, or at the ends of its lines, has changed (`Document.trimmed_id`). The
text itself is never changed.

Earlier releases identified a document by `sha256(source + "\\n" + text)`; the source could be the name of a file.
Documents keep such ids forever (`Document.former_ids`); `labels.store.texts.identity` recognizes both kinds of ids.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

State = Literal["reviewed", "skipped", "not_a_sentence"]
"""The state of a decision; a sentence without one is unseen. "not_a_sentence" marks spans outside the corpus."""

Basis = Literal["", "accepted", "rule"]
"""The basis of a decision: the annotator's choice (empty), an accepted suggestion, or a rule such as the majority."""

EventKind = Literal["annotate", "undo", "adjudicate", "model"]
"""The kind of an event. An adjudication decides the gold labels; the answer of a model coder decides nothing."""

RANDOM_STRATEGIES = ("random", "overlap")
"""Strategies that draw simple random samples, which are suitable for estimates and for measuring agreement."""

RETESTS = ("retest", "retest-only")
"""Strategies that show annotators sentences that they labelled before. Decisions from "retest" draws, which earlier
releases made, replace the annotator's first decision; decisions from "retest-only" draws only measure consistency."""

PLANTED = "planted"  # the strategy of sentences with known answers, mixed into a draw to measure its annotator

PAGE = "page"  # the strategy of corrections on the server's page: readers chose the sentences, and saw a model's labels

ID_COLUMNS = ("document_id", "sentence_id", "example_id", "id")
"""Columns and keys whose ids are part of a document's provenance."""

_WHOLE_FLOAT = re.compile(r"-?\d{1,15}\.0")

DATE_LENGTH, LANGUAGE_LENGTH = 40, 16
"""Maximum length of a document's `date` and `language` in characters: the widths of the store's columns."""


def document_id(origin: Origin, text: str) -> str:
    """Return 16 hex digits that identify a document by its provenance and text."""
    return _digest(f"{origin.key}\n{plain_text(text)}")


def former_document_id(source: str, text: str) -> str:
    """Return the id that earlier releases gave to a document, in which `source` could be the name of a file."""
    return _digest(f"{source}\n{text}")


def plain_text(text: str) -> str:
    """Return the text with `\\n` line ends and in Unicode NFC. Texts that are equal in this form are one text."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text)


def trimmed_text(text: str) -> str:
    """Return the plain text without white space at its ends and at the ends of its lines."""
    return "\n".join(line.rstrip() for line in plain_text(text).split("\n")).strip()


def same_text(one: str, other: str) -> bool:
    """Return whether two texts differ at most in line ends and Unicode normalization."""
    return one == other or plain_text(one) == plain_text(other)


def sentence_id(document: str, start: int, end: int) -> str:
    """Return 16 hex digits that identify a span of a document.

    A sentence keeps its labels if a new splitter leaves its span unchanged.
    """
    return _digest(f"{document}\n{start}\n{end}")


def _digest(content: str) -> str:
    # Articles from the web can contain unpaired surrogates, which plain UTF-8 refuses.
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Origin:
    """The provenance that the data state about a text; empty values are not stated.

    - `identifier`: the ids in the data (`ID_COLUMNS`), one per line
    - `date`: part of the origin only if there is a `source`; a date alone may be the date of a decision
    - `number`: position among the equal texts without provenance in the same file, from 1
    """

    identifier: str = ""
    url: str = ""
    source: str = ""
    date: str = ""
    number: int = 1

    @classmethod
    def of(cls, data: Mapping[str, Any], number: int = 1) -> Self:
        """Create an origin from a row or a file's metadata. None, NaN and white space count as not stated."""
        ids = [value for name in ID_COLUMNS if (value := _stated(data.get(name)))]
        source = _stated(data.get("source"))
        date = _stated(data.get("date")) if source else ""
        found = cls("\n".join(ids), plain_url(_stated(data.get("url"))), source, date)
        return found if found.is_stated else cls(number=number)

    @property
    def is_stated(self) -> bool:
        """Whether the data state any provenance."""
        return bool(self.identifier or self.url or self.source)

    @property
    def key(self) -> str:
        """The origin as JSON text, which is the same for equal origins."""
        stated = {name: value for name, value in vars(self).items() if value and name != "number"}
        if self.number > 1:
            stated["number"] = self.number
        return json.dumps(stated, ensure_ascii=False, sort_keys=True)


def _stated(value: Any) -> str:
    """Convert a value to text without surrounding white space; empty for None and NaN."""
    if value is None or value != value:
        return ""
    text = plain_text(str(value)).strip()
    # Tables store whole numbers as floats if a value in the column is missing.
    return text[:-2] if _WHOLE_FLOAT.fullmatch(text) else text


def plain_url(url: str) -> str:
    """Remove the parts of a URL that do not change the page: http or https, a final slash, the part after `#`."""
    try:
        parts = urlsplit(url)
    except ValueError:  # not a URL
        return url
    if parts.scheme.lower() not in ("http", "https"):
        return url
    return urlunsplit(("https", parts.netloc.lower(), parts.path.rstrip("/"), parts.query, ""))


@dataclass(frozen=True)
class Document:
    """One article or transcript with its provenance.

    The offsets of all sentences refer to `text`. `synthetic` marks text that was written for a corpus and does not
    report real events. `source` is shown to people: it is the name of the file if the data state no source. `origin`
    is the stated provenance; by default, it consists of `source`, `url` and `date`. `former_text` is the text that
    communique 0.1 read from the same file, if it may differ; it only serves to recognise a document in an old store.
    `kept` has the cells of further columns, by name, if the reader was asked to keep them.
    """

    source: str
    text: str
    url: str = ""
    title: str = ""
    date: str = ""
    language: str = "en"
    synthetic: bool = False
    origin: Origin | None = field(default=None, compare=False)
    former_text: str = field(default="", compare=False, repr=False)
    kept: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def stated_origin(self) -> Origin:
        """The stated provenance; by default, `source`, `url` and `date`."""
        return self.origin or Origin.of({"url": self.url, "source": self.source, "date": self.date})

    @cached_property
    def id(self) -> str:
        """A hash of the provenance and the text. It is computed once, because a document can be long."""
        return document_id(self.stated_origin, self.text)

    @cached_property
    def trimmed_id(self) -> str:
        """The id that the document has with its trimmed text: equal for texts that differ only in such white space."""
        return document_id(self.stated_origin, trimmed_text(self.text))

    @cached_property
    def former_ids(self) -> tuple[str, ...]:
        """The ids that earlier releases may have given to this document."""
        texts = dict.fromkeys((self.text, self.text.replace("\r\n", "\n"), self.former_text or self.text))
        return tuple(former_document_id(self.source, text) for text in texts)


@dataclass(frozen=True)
class Sentence:
    """A span `[start, end)` of a document's text, in Python str indices.

    - `splitter`: name and version of the code that split the document
    - `boilerplate`: the reason not to label the span ("share line", "caption"...); empty for a sentence to label
    - `heading`: whether the span is a headline (a short line before a paragraph), which is labelled like a sentence
    """

    document_id: str
    start: int
    end: int
    text: str
    splitter: str = ""
    boilerplate: str = ""
    synthetic: bool = False
    heading: bool = False

    @property
    def id(self) -> str:
        """A hash of the document's id and the span."""
        return sentence_id(self.document_id, self.start, self.end)


@dataclass(frozen=True)
class Annotation:
    """One append-only event: an annotator's decision on a sentence, an undo of their last decision, or an adjudication.

    - `labels`: empty in state "reviewed" if no label applies, and always in other states
    - `seconds`: duration of the decision; None if not measured
    - `suggestion`: the labels that a model suggested; None if no model was asked
    - `blind`: whether the suggestion was withheld on purpose
    - `strategy`, `inclusion_probability` (0 to 1, None if unknown), `draw_id`: how the sentence was drawn
    - `extra`: format name -> JSON values from another tool's record, kept for export to the same tool
    - `basis`, `informed`: what the decision rests on, and whether the annotator had looked at others' decisions
    - `undoes`: the id of the event that an undo withdraws; empty for an undo of the last decision
    """

    event_id: str
    sentence_id: str
    annotator: str
    event: EventKind
    state: State | None
    labels: tuple[str, ...]
    codebook_hash: str
    created_at: str
    note: str = ""
    seconds: float | None = None
    suggestion: tuple[str, ...] | None = None
    blind: bool = False
    strategy: str = ""
    inclusion_probability: float | None = None
    draw_id: str = ""
    extra: Mapping[str, Any] | None = None
    basis: Basis = ""
    informed: bool = False
    undoes: str = ""


@dataclass(frozen=True)
class Example:
    """A text with its gold labels, the input of a classifier, and the ids by which splits keep related texts together.

    `drawn` is the strategy that selected it, or empty; `weight` its weight in training; `metadata` other stated facts.
    """

    id: str
    document_id: str
    text: str
    labels: tuple[str, ...] = ()
    date: str = ""
    synthetic: bool = False
    drawn: str = ""
    weight: float = 1.0
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DrawItem:
    """A sentence in a draw.

    - `inclusion_probability`: in (0, 1], or None if unknown
    - `stratum`: the part of the frame that the sentence was drawn from, or the reason to label it again
    - `previous`: the sentence's earlier labels; None if it had not been labelled
    - `position`: index among all sentences drawn at the same time; None for the index in the draw's `items`
    - `stratum_size`: how many sentences, or clusters, the stratum has in the frame; None if unknown
    - `cluster`: the article with which the sentence was drawn; empty if sentences were drawn one by one
    """

    sentence_id: str
    inclusion_probability: float | None = None
    stratum: str = ""
    previous: tuple[str, ...] | None = None
    position: int | None = None
    stratum_size: int | None = None
    cluster: str = ""


@dataclass(frozen=True)
class Draw:
    """A sample of sentences assigned to one annotator, and how it was drawn.

    - `frame_hash`, `frame_size`, `frame_last`, `frame_seq`, `frame_held`: the frame (`labels.store.Frame`)
    - `items`: the sentences, in the order in which the annotator sees them
    - `model_id`: the model whose scores were used; empty if none
    - `query`: the search words, or the name of the other annotator; empty for other strategies
    - `released_at`: when the draw was ended before all its sentences were decided; None if it was not
    """

    id: str
    strategy: str
    annotator: str
    frame_hash: str
    frame_size: int | None
    seed: int | None
    created_at: str
    items: tuple[DrawItem, ...] = ()
    model_id: str = ""
    query: str = ""
    released_at: str | None = None
    frame_last: int | None = None
    frame_seq: int | None = None
    frame_held: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ScoringModel:
    """A model whose scores are in the store; `labels` are the columns of its probabilities.

    `thresholds` has one number in [0, 1] per label; it is empty for an exclusive codebook.
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    exclusive: bool
    codebook_hash: str
    created_at: str
    encoder: str = ""


@dataclass(frozen=True)
class CodebookMigration:
    """The steps between two versions of a codebook, as JSON values that `labels.codebook.changes` reads."""

    old_hash: str
    new_hash: str
    steps: tuple[Mapping[str, Any], ...]
    created_at: str
