"""Predictions for a whole corpus: from a file written by `communique predict`, or from the scores in a label store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labels.environment.settings import command
from labels.errors import DataError, InputError, counted, did_you_mean
from labels.sampling.model_coders import model_coder
from labels.sampling.suggestions import is_model_coder
from labels.text.rows import read_rows
from trainer.estimate.estimators import Bools

if TYPE_CHECKING:
    import pyarrow as pa

    from labels.store import CorpusSentence, ScoringModel, Store

Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Predictions:
    """Predictions for N sentences and L labels.

    Attributes:
        ids, documents: ids of the sentences and of their documents, of shape (N,).
        probabilities: of shape (N, L), float32 where they were stored as such.
        assigned: whether the model assigns the label, of shape (N, L).
        columns: further columns by name, each of shape (N,), such as the date.
        model_id, codebook_hash: empty if unknown.
        source: the name of the file or store, for messages and provenance.
        notes: remarks for readers of the figures.
    """

    labels: tuple[str, ...]
    ids: Texts
    documents: Texts
    probabilities: NDArray[np.floating]
    assigned: Bools
    columns: Mapping[str, Texts]
    model_id: str
    codebook_hash: str
    source: str
    notes: tuple[str, ...] = ()

    def only(self, kept: NDArray[Any]) -> Predictions:
        """Return the predictions at some positions, or where a mask is true."""
        columns = {name: values[kept] for name, values in self.columns.items()}
        parts = (self.ids[kept], self.documents[kept], self.probabilities[kept], self.assigned[kept])
        return Predictions(self.labels, *parts, columns, self.model_id, self.codebook_hash, self.source, self.notes)


def read_predictions(path: Path, wanted: Sequence[str] = ()) -> Predictions:
    """Read a file written by `communique predict`.

    Args:
        wanted: further columns to read, which must be in the file.

    Raises:
        DataError: the file cannot be read, was not written by `communique predict`, lacks a column, has a sentence
            twice, or a probability is missing or not in [0, 1].
    """
    found = _from_parquet(path, wanted) if path.suffix.lower() == ".parquet" else _from_rows(path, wanted)
    return _checked(found)


def stored_predictions(store: Store, model_id: str = "") -> Predictions:
    """Return the scores of a model in a store as predictions; without a model id, of the latest model.

    Sentences that a model coder could not answer have its mean score: any function of the texts is a valid surrogate.

    Raises:
        InputError: there is no such model, or sentences have no score.
    """
    model = _model(store, model_id)
    packed = store.scores.all_probabilities(model.id)
    corpus = store.designs.corpus()
    facts = store.designs.document_facts()
    filled, notes = _unanswered(store, model, packed, corpus)
    numbers = [packed.get(one.number, filled) for one in corpus]
    probabilities = np.frombuffer(b"".join(numbers), dtype="<f4").reshape(len(corpus), len(model.labels))
    documents = [one.document_id for one in corpus]
    columns = {
        name: as_texts([facts.get(one, {}).get(name, "") for one in documents])
        for name in ("date", "source", "language", "title", "url")
    }
    return _checked(
        Predictions(
            model.labels,
            as_texts([one.id for one in corpus]),
            as_texts(documents),
            probabilities,
            _decided(probabilities, model),
            columns,
            model.id,
            model.codebook_hash,
            store.name,
            notes,
        )
    )


def _unanswered(
    store: Store, model: ScoringModel, packed: Mapping[int, bytes], corpus: Sequence[CorpusSentence]
) -> tuple[bytes, tuple[str, ...]]:
    """Return the mean score as float32, for sentences without an answer by a model coder, and a note on them.

    Raises:
        InputError: sentences have no score for another reason.
    """
    missing = [one for one in corpus if one.number not in packed]
    if not missing:
        return b"", ()
    coder = model_coder(store, model.id)
    if coder is None or not packed or not {one.id for one in missing} <= coder.without_score:
        score = command("score", "ARTEFACT", store=store.name)
        score = score if coder is None else command("llm", "code", store=store.name)
        raise InputError(
            f"{store.name}: {counted(len(missing), 'sentence has', 'sentences have')} no score by model {model.id}. "
            f"Run `{score}` first."
        )
    mean = np.frombuffer(b"".join(packed.values()), dtype="<f4").reshape(-1, len(model.labels)).mean(axis=0)
    of = counted(len(missing), "sentence", "sentences")
    return mean.astype("<f4").tobytes(), (
        f"{model.id} gave no answer to {of}, for which the mean of its scores is used",
    )


def _model(store: Store, model_id: str) -> ScoringModel:
    models = {model.id: model for model in store.scores.models() if model_id or not is_model_coder(model)}
    if not models:
        raise InputError(
            f"{store.name} has no scores, so there are no predictions to correct. Run "
            f"`{command('score', 'ARTEFACT', store=store.name)}`, name a file written by `communique predict`, or "
            "name a language model that has coded every sentence (--model llm:NAME)."
        )
    if model_id and model_id not in models:
        raise InputError(
            f"{store.name} has no scores by model '{model_id}'{did_you_mean(model_id, models)}. "
            f"Models with scores: {', '.join(models)}."
        )
    return models[model_id] if model_id else next(iter(models.values()))


def _decided(probabilities: NDArray[np.floating], model: ScoringModel) -> Bools:
    if model.exclusive:
        none = 1 - probabilities.sum(axis=1)
        best = probabilities.argmax(axis=1)
        chosen = probabilities.max(axis=1) >= none
        return np.asarray((np.arange(len(model.labels)) == best[:, None]) & chosen[:, None])
    # Compared as float32, as everywhere else.
    return np.asarray(probabilities >= np.asarray(model.thresholds, dtype=np.float32))


def as_texts(values: Sequence[Any]) -> Texts:
    """Return values as an array of objects."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


FACTS = ("date", "source", "language", "title", "url")


DETAILS = ("text", "title", "date", "source", "language", "url")
"""What a table of drawn sentences shows of each, where it is known."""


def facts_of(store: Store, predictions: Predictions) -> dict[str, Texts]:
    """Return what the store knows of the documents of predictions, by column (`FACTS`)."""
    facts = store.designs.document_facts()
    return {name: as_texts([facts.get(one, {}).get(name, "") for one in predictions.documents]) for name in FACTS}


# -- files

_NEEDED = ("sentence_id", "document_id", "labels")


def _from_parquet(path: Path, wanted: Sequence[str]) -> Predictions:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        _check_columns(path, names, (*_NEEDED, "probabilities"), wanted)
        stamps = [name for name in ("model_id", "codebook_hash") if name in names]
        table = pq.read_table(path, columns=[*_NEEDED, "probabilities", *stamps, *wanted])
    except FileNotFoundError:
        raise DataError(f"{path}: this file does not exist. Check the path.") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}). Write it again with `predict`.") from error
    column = table.column("probabilities").combine_chunks()
    if not pa.types.is_struct(column.type):
        raise DataError(
            f"{path}: the probabilities have no label names: this looks like the predictions of a run on its own "
            "data, not on a corpus. Use a file written by `communique predict`."
        )
    labels = tuple(field.name for field in column.type)
    # A null becomes NaN, which `_checked` reports.
    parts = [_numbers(column.field(i)) for i in range(len(labels))]
    probabilities = np.column_stack(parts) if parts else np.zeros((len(table), 0))
    return Predictions(
        labels,
        _column(table, "sentence_id"),
        _column(table, "document_id"),
        probabilities,
        _assigned(table.column("labels").combine_chunks(), labels),
        {name: _column(table, name) for name in wanted},
        _one_value(path, table, "model_id"),
        _one_value(path, table, "codebook_hash"),
        str(path),
    )


def _numbers(values: pa.Array) -> NDArray[np.floating]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float32)


def _column(table: pa.Table, name: str) -> Texts:
    import pyarrow as pa

    values = table.column(name)
    text = values.cast(pa.string()) if not pa.types.is_string(values.type) else values
    return as_texts(text.fill_null("").to_numpy())


def _assigned(column: pa.Array, labels: Sequence[str]) -> Bools:
    import pyarrow.compute as pc

    found = np.zeros((len(column), len(labels)), dtype=bool)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    names = pc.list_flatten(column)
    for position, label in enumerate(labels):
        found[rows[pc.equal(names, label).to_numpy(zero_copy_only=False)], position] = True
    return found


def _one_value(path: Path, table: pa.Table, name: str) -> str:
    if name not in table.column_names:
        return ""
    values = [value for value in table.column(name).unique().to_pylist() if value]
    return _only_value(path, name, values)


def _only_value(path: Path, name: str, values: Sequence[str]) -> str:
    if len(values) > 1:
        raise DataError(
            f"{path}: the column `{name}` has several values ({', '.join(sorted(values)[:3])}). Predict the "
            "whole corpus with one model."
        )
    return values[0] if values else ""


def _check_columns(path: Path, names: Sequence[str], needed: Sequence[str], wanted: Sequence[str]) -> None:
    for name in needed:
        if name not in names:
            raise DataError(
                f"{path}: there is no column `{name}`, so `communique predict` did not write this file. Its columns: "
                f"{', '.join(names)}."
            )
    for name in wanted:
        if name not in names:
            raise DataError(
                f"{path}: there is no column `{name}`{did_you_mean(name, names)}. Keep it with "
                f"`communique predict --columns {name}`. Columns: {', '.join(names)}."
            )


def _from_rows(path: Path, wanted: Sequence[str]) -> Predictions:
    rows = [row for _, row in read_rows(path)]
    first = rows[0] if rows else {}
    flat = [name[2:] for name in first if name.startswith("p:")]
    nested = first.get("probabilities")
    labels = tuple(flat or (nested if isinstance(nested, dict) else ()))
    _check_columns(path, list(first), _NEEDED, wanted)
    if not labels:
        raise DataError(f"{path}: there are no probabilities per label. Use a file written by `communique predict`.")
    values = [[_number(row.get(f"p:{one}") if flat else (row.get("probabilities") or {}).get(one)) for one in labels]
              for row in rows]  # fmt: skip
    sets = [row["labels"] if isinstance(row["labels"], list) else str(row["labels"] or "").split("|") for row in rows]
    stamps = {
        name: _only_value(path, name, list({str(row[name]) for row in rows if row.get(name)}))
        for name in ("model_id", "codebook_hash")
    }
    return Predictions(
        labels,
        as_texts([str(row["sentence_id"]) for row in rows]),
        as_texts([str(row["document_id"]) for row in rows]),
        np.array(values, dtype=np.float32).reshape(len(rows), len(labels)),
        np.array([[one in own for one in labels] for own in sets], dtype=bool).reshape(len(rows), len(labels)),
        {name: as_texts(["" if row.get(name) is None else str(row[name]) for row in rows]) for name in wanted},
        stamps["model_id"],
        stamps["codebook_hash"],
        str(path),
    )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _checked(found: Predictions) -> Predictions:
    if not len(found.ids):
        raise DataError(f"{found.source}: there are no sentences. Predict a corpus first.")
    wrong = ~((found.probabilities >= 0) & (found.probabilities <= 1)).all(axis=1)
    if wrong.any():
        raise DataError(
            f"{found.source}: {counted(int(wrong.sum()), 'sentence has', 'sentences have')} a missing probability, or "
            f"one that is not in [0, 1], e.g. '{found.ids[int(wrong.argmax())]}'. Predict the corpus again."
        )
    import pandas as pd

    repeated = pd.Index(found.ids).duplicated()
    if repeated.any():
        raise DataError(
            f"{found.source}: sentence '{found.ids[int(repeated.argmax())]}' occurs twice. Each sentence must be "
            "counted once: remove the repeated rows."
        )
    return found


def file_details(path: Path, ids: Sequence[str]) -> list[dict[str, str]]:
    """Return the columns `DETAILS` of sentences in a file of predictions, as far as it has them."""
    wanted = set(ids)
    rows = {str(row["sentence_id"]): row for _, row in read_rows(path) if str(row.get("sentence_id")) in wanted}
    return [{name: str(rows.get(one, {}).get(name) or "") for name in DETAILS} for one in ids]


def file_texts(path: Path, ids: Sequence[str]) -> list[str]:
    """Return the texts of sentences in a file of predictions.

    Raises:
        DataError: there are none.
    """
    found = [one["text"] for one in file_details(path, ids)]
    if not any(found):
        raise DataError(f"{path}: there is no column `text`, so near-duplicates cannot be found. Predict again.")
    return found
