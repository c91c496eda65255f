"""The checks before an estimate: do predictions and sample fit, and is the sample one that the model has not seen?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from labels.errors import InputError, counted, did_you_mean
from labels.text.duplicates import near_duplicates_of
from trainer.estimate.estimators import Bools, Ints
from trainer.estimate.given.audits import Audit, codebook_name
from trainer.estimate.given.domains import PERIODS, Groups
from trainer.estimate.given.predictions import Predictions
from trainer.estimate.results import Unit
from trainer.estimate.shares import Estimand
from trainer.model.seen import DOCUMENT, text_id

Missing = Literal["refuse", "at-random", "worst"]
MOST_MISSING = 0.05
"""Largest share of the sample without gold for which `missing` need not be chosen."""

Texts = Callable[[Sequence[str]], Sequence[str]]
"""Returns the texts of sentences, by their ids."""


@dataclass(frozen=True)
class Choices:
    """What to estimate, and how.

    - `by`: "year", "quarter", "month", "week", or a column of the predictions; empty for the whole corpus only
    - `missing`: what to do if more than `MOST_MISSING` of the sample have no gold
    - `unaudited`: leave groups without a labelled sentence without an estimate, instead of refusing
    - `training`: `Manifest.training_ids` of the model; None if unknown
    - `imputations`: how often the decision of a random coder stands in for the gold of a sentence; 0 for never
    - `crossfitted`: whether each sentence was predicted by a model that did not learn from its document
    """

    by: str = ""
    unit: Unit = "sentences"
    estimand: Estimand = "corpus"
    missing: Missing = "refuse"
    confidence: float = 0.95
    seed: int = 13
    unaudited: bool = False
    training: Collection[str] | None = None
    crossfitted: bool = False
    imputations: int = 0


def check_words(**arguments: tuple[str, Any]) -> None:
    """Check arguments that allow only certain words; each is given as its value and its `Literal`.

    Raises:
        InputError: a value is not one of its words.
    """
    for name, (given, kind) in arguments.items():
        known = get_args(kind)
        if given not in known:
            near = did_you_mean(str(given), known)
            raise InputError(f"`{name}` is {given!r}, which is not allowed{near}. Choose one of {', '.join(known)}.")


def check_paths(**arguments: object) -> None:
    """Check arguments that are paths of files, or None.

    Raises:
        InputError: one is something else, such as a table.
    """
    for name, given in arguments.items():
        if given is not None and not isinstance(given, str | Path):
            raise InputError(
                f"`{name}` is a {type(given).__name__}, but must be the path of a file. Write a table to a file first, "
                f"e.g. table.to_parquet('{name}.parquet'), and pass the path."
            )


def matched(predictions: Predictions, audit: Audit) -> tuple[Predictions, Ints]:
    """Return the predictions of the corpus, and the place of each sentence of the sample among them.

    Raises:
        InputError: codebook versions differ, predictions are missing, or sentences of the sample are not in the corpus.
    """
    import pandas as pd

    if audit.codebook_hash and predictions.codebook_hash and audit.codebook_hash != predictions.codebook_hash:
        own, model = codebook_name(audit.codebook_hash), codebook_name(predictions.codebook_hash)
        read = f", or use --codebook {model} to read the decisions under the model's version; a note then says so"
        raise InputError(
            f"the sample was coded with codebook {own}, but {predictions.source} was predicted by a model of codebook "
            f"{model}. Predict with a model of the same version{read if audit.corpus is not None else ''}."
        )
    if audit.corpus is not None:
        inside = np.fromiter((one in audit.corpus for one in predictions.ids), dtype=bool, count=len(predictions.ids))
        if int(inside.sum()) < len(audit.corpus):
            known = set(predictions.ids)
            example = next(one for one in audit.corpus if one not in known)
            lacking = len(audit.corpus) - int(inside.sum())
            raise InputError(
                f"{predictions.source} has no predictions for {counted(lacking, 'sentence')} of the corpus, e.g. "
                f"'{example}'. The estimate needs all of them: predict the corpus again."
            )
        predictions = predictions.only(inside)
    elif audit.frame is not None and abs(audit.frame - len(predictions.ids)) > audit.slack:
        raise InputError(
            f"by its sizes and probabilities, the sample was drawn from {audit.frame:,.0f} sentences, but "
            f"{predictions.source} has {len(predictions.ids):,}. The sample must be drawn from all that was predicted: "
            "predict the whole corpus, keep the rows of every stratum, and fix `stratum_size` or "
            "`inclusion_probability` if they are wrong."
        )
    places = pd.Index(predictions.ids).get_indexer(list(audit.ids))
    if (places < 0).any():
        outside = [one for one, place in zip(audit.ids, places, strict=True) if place < 0]
        raise InputError(
            f"{counted(len(outside), 'sentence')} of the sample ({', '.join(outside[:3])}...) are not in "
            f"{predictions.source}. The sample must be drawn from the corpus that was predicted: remove these rows if "
            "they are from elsewhere, or predict the whole corpus."
        )
    return predictions, np.asarray(places, dtype=int)


def training_notes(
    predictions: Predictions, audit: Audit, places: Ints, choices: Choices, texts: Texts | None
) -> list[str]:
    """Refuse sentences that the model may have learned from.

    Raises:
        InputError: there are some.
    """
    if choices.crossfitted:
        return ["the predictions are cross-fitted: no sentence was predicted by a model that learned from its document"]
    if choices.training is None:
        return [
            "it is not known which sentences the model learned from. If the sample contains some of them, the "
            "estimate is biased: name the model with --artefact to check"
        ]
    if not choices.training:
        return ["the model is from an earlier release and does not record which sentences it learned from"]
    known = set(choices.training)
    own = [f"{DOCUMENT}{document}" in known for document in predictions.documents[places]]
    what = f"{counted(sum(own), 'sentence')} of the sample are in documents that the model learned from"
    if not any(own) and texts is not None:
        sampled, corpus = texts(list(audit.ids)), texts(list(predictions.ids))
        learned = [text for text in corpus if text_id(text) in known]
        similar = near_duplicates_of(sampled, learned)
        what = (
            f"{counted(len(similar), 'sentence')} of the sample are near-duplicates of the model's training sentences"
        )
        own = [bool(similar)]
    if any(own):
        raise InputError(
            f"{what}. The model predicts them better than the rest of the corpus, which would bias the estimate. Use "
            "--crossfit, which predicts each fifth of the documents with a model fitted without it, or a model that "
            "was trained on other documents."
        )
    without = "" if texts is not None else "; near-duplicates were not looked for, because there are no texts"
    return [f"no sentence of the sample is in a document that the model learned from{without}"]


def refuse_missing(audit: Audit, choices: Choices) -> None:
    """Refuse a sample with too many sentences without gold.

    Raises:
        InputError: there are more than `MOST_MISSING`, and no choice was made, or there is no gold at all.
    """
    missing = audit.missing
    share = missing.total() / max(len(audit.ids), 1)
    if missing.total() == len(audit.ids):
        raise InputError(
            "no sentence of the sample has gold labels. Label the sample, or adjudicate disputed sentences; in a "
            "table, fill in `labels` and set `state` to reviewed."
        )
    if share > MOST_MISSING and choices.missing == "refuse":
        reasons = ", ".join(f"{count} {reason}" for reason, count in missing.most_common())
        raise InputError(
            f"{missing.total()} of {len(audit.ids)} drawn sentences ({share:.1%}) have no gold labels: {reasons}. If "
            "they differ from the others, the estimate is biased. Label or adjudicate them, or choose "
            "`--missing at-random` (assume that they resemble the others of their stratum) or `--missing worst` "
            "(intervals that hold whatever their labels are)."
        )


def unaudited_notes(seen: Bools, groups: Groups, choices: Choices) -> list[str]:
    """Refuse groups without a labelled sentence, or name them; `seen` says which domains have one.

    Raises:
        InputError: there is one, and the choices do not allow it.
    """
    empty = [name for name, own in zip(groups.names, seen.tolist(), strict=False) if not own]
    if not empty:
        return []
    if choices.unaudited:
        return [f"no labelled sentence is in {', '.join(empty)}, so there is no estimate, only counts of predictions"]
    coarser = "a longer period" if choices.by in PERIODS else "another column"
    shown = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
    raise InputError(
        f"no sentence of the sample is in {shown}, so nothing is known about the errors of the predictions there. "
        f"Choose {coarser} with --by, label sentences from there, or leave these groups without an estimate "
        "(--allow-unaudited)."
    )
