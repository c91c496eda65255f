"""The agreement of the human coders behind a run's labels, for its report: no model can be known to do better."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from labels.agreement.report import AgreementReport, agreement
from labels.codebook.schema import Codebook
from labels.environment.settings import load_settings
from labels.exchange.jsonl import JSONL, read_annotations
from labels.exchange.lines import Line
from labels.text.rows import read_rows
from trainer.config.sections import DataSection
from trainer.evaluation.figures import AgreementFigures

Agreement = dict[str, AgreementFigures]
"""Krippendorff's alpha by label; empty if no two coders decided on a sentence, or the data do not say who decided."""


def data_agreement(data: DataSection, codebook: Codebook) -> Agreement:
    """Return the agreement on the data of an experiment: its store, the starter corpus, or the file with test.

    Raises:
        InputError, StoreError: the annotations cannot be read under the codebook.
    """
    if data.train:
        return file_agreement(Path(data.test or data.train), codebook)
    if data.source == "store":
        return store_agreement(data.store or load_settings().store, codebook)
    from trainer.data.corpus import seed_lines  # here, because it loads the label store

    return _of_lines(seed_lines(codebook), codebook)


def store_agreement(store: str, codebook: Codebook) -> Agreement:
    """Return the agreement of the annotators of a label store.

    Raises:
        InputError, StoreError: the store cannot be opened, or an annotation cannot be read under the codebook.
    """
    from labels.store import Store  # here, so that training on files does not load it

    with Store(store, create=False) as opened:
        events = opened.events.all()
        sentences = opened.documents.by_first_version({event.sentence_id for event in events})
        return _figures(agreement(events, sentences, codebook, opened.codebooks.history()))


def file_agreement(path: Path, codebook: Codebook) -> Agreement:
    """Return the agreement of the annotators whose decisions a file records: a native export of a label store.

    Other files have only one decision for each sentence.
    """
    if path.suffix.lower() != ".jsonl":
        return {}
    first = next((row for _, row in read_rows(path)), {})
    if not (JSONL.is_own(first) and "text" in first):
        return {}
    return _of_lines(read_annotations(path, codebook), codebook)


def _of_lines(lines: Iterable[Line], codebook: Codebook) -> Agreement:
    found = list(lines)
    sentences = {line.sentence.id: line.sentence for line in found}
    return _figures(agreement([line.event for line in found], sentences, codebook))


def _figures(report: AgreementReport) -> Agreement:
    """The figures of the unbiased decisions, or of the others if there are none."""
    block = report.unbiased.figures if report.unbiased.figures.n_sentences else report.other.figures
    if not block.n_sentences:
        return {}
    return {
        label: AgreementFigures(
            alpha=own.alpha.value,
            low=own.alpha.low,
            high=own.alpha.high,
            reason=own.alpha.undefined or own.alpha.no_interval,
            n_sentences=block.n_sentences,
        )
        for label, own in block.per_label.items()
    }
