"""Sentences and figures as pandas tables, for notebooks.

A table of labelled sentences has a row for each, by its id, and the columns `text`, `labels` (a tuple), `document_id`,
`date` and `synthetic`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from labels.agreement.report import agreement
from labels.codebook.schema import Codebook, load_codebook, names_stored
from labels.errors import ColumnError, InputError
from labels.records import Example
from labels.store import Store
from labels.text.documents import read_documents
from labels.text.sentences import split_sentences
from trainer.data.columns import Labelling, build_examples, read_texts
from trainer.data.corpus import seed_examples, store_examples
from trainer.data.splits import make_split
from trainer.environment import STARTER_CODEBOOK

if TYPE_CHECKING:
    import pandas as pd

    from labels.agreement.coefficients import Estimate
    from labels.agreement.comparisons import Figures

logger = logging.getLogger(__name__)


def load_starter_corpus(documents: int | None = None, *, seed: int = 13) -> pd.DataFrame:
    """The labelled sentences of the shipped corpus: synthetic news in English, coded with the codebook "diplomatic".

    Args:
        documents: take only so many documents, at random; None: all.

    Raises:
        InputError: there are not so many documents.
    """
    examples = seed_examples(load_codebook(STARTER_CODEBOOK)).examples
    if documents is not None:
        names = sorted({example.document_id for example in examples})
        if not 0 < documents <= len(names):
            raise InputError(
                f"documents = {documents}: the starter corpus has {len(names)}. Ask for 1 to {len(names)}."
            )
        chosen = set(Random(seed).sample(names, documents))
        examples = [example for example in examples if example.document_id in chosen]
    return _table(examples)


def load_gold(store: Store, codebook: Codebook | str = STARTER_CODEBOOK) -> pd.DataFrame:
    """The labelled sentences of a store on which its annotators agree, or that were adjudicated.

    What is left out, and why, is logged as a warning.

    Args:
        codebook: a codebook, a shipped name, a TOML file, or NAME@VERSION of the store.

    Raises:
        CodebookError: there is no such codebook, or an annotation cannot be read under it.
    """
    gold = store_examples(store, _codebook(codebook, store))
    for note in gold.notes:
        logger.warning("%s: %s.", store.name, note)
    return _table(gold.examples)


def measure_agreement(store: Store, codebook: Codebook | str = STARTER_CODEBOOK) -> pd.DataFrame:
    """How far the annotators of a store agree: kappa and alpha of each label with the ends of their intervals.

    The first level of the index says which decisions are compared: "unbiased" ones, on sentences drawn at random and
    without a suggestion, or all "other" ones. The rows `all labels` compare whole label sets. NaN: undefined.

    Raises:
        CodebookError: as `load_gold`.
    """
    import pandas as pd

    book = _codebook(codebook, store)
    events = store.events.all()
    found = store.documents.sentences({event.sentence_id for event in events})
    report = agreement(events, {sentence.id: sentence for sentence in found}, book, store.codebooks.history())
    blocks = {"unbiased": report.unbiased.figures, "other": report.other.figures}
    compared = {name: own for name, own in blocks.items() if own.n_sentences}
    rows = {(name, label): row for name, own in compared.items() for label, row in _agreement_rows(own)}
    ends = (f"{figure}{end}" for figure in ("kappa", "alpha") for end in ("", "_low", "_high"))
    columns = ["sentences", "prevalence", *ends]
    index = pd.MultiIndex.from_tuples(list(rows), names=["decisions", "label"]) if rows else None
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


def read_sentences(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The sentences of articles in files and folders, boilerplate left out: a row for each, by its id.

    The columns are `text`, `document_id`, `start`, `end` (offsets in the document's text), `source`, `title` and
    `date`. Files and rows that cannot be read are logged as warnings.

    Raises:
        DataError: a path does not exist, or there is nothing readable.
    """
    import pandas as pd

    given = [paths] if isinstance(paths, str | Path) else paths
    rows = [
        {
            "id": sentence.id,
            "text": sentence.text,
            "document_id": document.id,
            "start": sentence.start,
            "end": sentence.end,
            "source": document.source,
            "title": document.title,
            "date": document.date,
        }
        for document in read_documents(given, logger.warning)
        for sentence in split_sentences(document)
        if not sentence.boilerplate
    ]
    columns = ["id", "text", "document_id", "start", "end", "source", "title", "date"]
    return pd.DataFrame(rows, columns=columns).set_index("id")


def train_test_split(
    table: pd.DataFrame, test_size: float = 0.25, *, seed: int = 13
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide a table of labelled sentences into two, of which the second is for testing.

    Rows of one document stay together, and so do near-duplicates; the shares of the labels are kept as nearly equal as
    that allows.

    Args:
        table: with the columns `text` and `labels` (or `label`), and `document_id` where there are documents.
        test_size: share of the rows in the second table, in (0, 1).

    Raises:
        ColumnError: a column is missing or cannot be read, or `test_size` is not in (0, 1).
        ExperimentError: the rows cannot be divided, as many documents are tied together by near-duplicates.
    """
    column = next((name for name in ("labels", "label") if name in table), None)
    if column is None or "text" not in table:
        raise ColumnError(f"This table has the columns {', '.join(table)}: it needs `text`, and `labels` or `label`.")
    if not 0 < test_size < 1:
        raise ColumnError(f"test_size = {test_size}: give a share between 0 and 1, such as 0.25.")
    y = table[column]
    label_sets = Labelling.of(y).label_sets(y)
    examples = build_examples(read_texts(table.text), label_sets, table.get("document_id"))
    _, test = make_split(examples, (1 - test_size, test_size), seed)
    held_out = {example.id for example in test}
    is_test = [example.id in held_out for example in examples]
    return table[[not one for one in is_test]], table[is_test]


def _codebook(codebook: Codebook | str, store: Store) -> Codebook:
    if isinstance(codebook, Codebook):
        return codebook
    return store.codebooks.get(codebook) if names_stored(codebook) else load_codebook(codebook)


def _table(examples: Sequence[Example]) -> pd.DataFrame:
    import pandas as pd

    columns = ["id", "text", "labels", "document_id", "date", "synthetic"]
    return pd.DataFrame([asdict(example) for example in examples], columns=columns).set_index("id")


def _agreement_rows(figures: Figures) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, row in (*figures.per_label.items(), ("all labels", figures.sets)):
        kappa, alpha = _ends("kappa", row.kappa), _ends("alpha", row.alpha)
        yield name, {"sentences": figures.n_sentences, "prevalence": row.prevalence, **kappa, **alpha}


def _ends(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
