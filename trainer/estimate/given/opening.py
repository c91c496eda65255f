"""Open what an estimate is made from: predictions and a labelled sample, from files or a label store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from labels.codebook.schema import Codebook, load_codebook
from labels.errors import InputError
from labels.sampling.combination import NoSampleError
from trainer.estimate.checking import Texts, check_paths
from trainer.estimate.given.audit_files import read_audit
from trainer.estimate.given.audits import Audit, known_codebook, stored_audit
from trainer.estimate.given.crossfitting import crossfitted_predictions
from trainer.estimate.given.predictions import (
    FACTS,
    Predictions,
    facts_of,
    file_details,
    file_texts,
    read_predictions,
    stored_predictions,
)
from trainer.model.model import CODEBOOK, Manifest, read_manifest

if TYPE_CHECKING:
    from labels.store import Store


@dataclass(frozen=True)
class Sources:
    """Where predictions and the labelled sample come from; every command on estimates reads the same.

    Attributes:
        predictions: a file written by `communique predict` for the whole corpus; None for the scores in the store.
        store: a label store with a labelled probability sample (`communique label --strategy audit`).
        sample: instead of a store, a file with the labelled sample; see `trainer.estimate.given.audit_files`.
        artefact: the folder of the model, to check that it did not learn from the sample.
        model: id of the model whose scores in the store are used; empty for the latest.
        codebook: of the labels in the store; None for the codebook of the predictions, which the store knows.
        draws: ids of the draws in the store to use; empty for all probability samples.
        columns: columns of the predictions to read, such as "date".
        crossfit: predict each part of the documents with a model fitted without it; needs an artefact and a store.

    Raises:
        InputError: a path is not of a supported type.
    """

    predictions: str | Path | None = None
    store: Store | str | Path | None = None
    sample: str | Path | None = None
    artefact: str | Path | None = None
    model: str = ""
    codebook: Codebook | str | Path | None = None
    draws: Collection[str] = ()
    columns: tuple[str, ...] = ()
    crossfit: bool = False

    def __post_init__(self) -> None:
        check_paths(predictions=self.predictions, sample=self.sample)

    @property
    def folder(self) -> Path | None:
        """The folder of the artefact, if there is one."""
        return None if self.artefact is None else Path(self.artefact)

    def training_ids(self) -> Collection[str] | None:
        """Return what the model learned from; None if there is no artefact."""
        return None if self.folder is None else read_manifest(self.folder).training_ids

    @contextmanager
    def opened(self) -> Iterator[Given]:
        """Yield the predictions and the sample.

        Raises:
            InputError: there is not exactly one sample, or no predictions for it.
            DataError: a file cannot be read.
        """
        if (self.store is None) == (self.sample is None):
            raise InputError(
                "an estimate needs one labelled probability sample: name a label store (--store), or a file with "
                "inclusion probabilities (--sample)."
            )
        if self.store is None:
            if self.predictions is None or self.crossfit:
                raise InputError("a sample in a file needs a file of predictions, and --crossfit needs a store.")
            yield self.of_files()
            return
        from labels.store import Store as OpenStore

        try:
            opened = self.store if isinstance(self.store, OpenStore) else OpenStore(self.store, create=False)
        except InputError as error:
            raise InputError(f"{error} {_ELSEWHERE}") from None
        try:
            yield _from_store(self, opened)
        finally:
            if opened is not self.store:
                opened.close()

    def of_files(self) -> Given:
        """Return the predictions of a file, and the sample of another file, if there is one."""
        assert self.predictions is not None
        path = Path(self.predictions)
        found = read_predictions(path, self.columns)

        def audit() -> Audit:
            if self.sample is None:
                raise NoSampleError("there is no sample.")
            return read_audit(Path(self.sample), found.labels)

        return Given(found, audit, partial(file_texts, path), partial(file_details, path))


Details = Callable[[Sequence[str]], Sequence[Mapping[str, str]]]
"""Returns the texts of sentences and what is known of their documents (`DETAILS`), by their ids."""


@dataclass(frozen=True)
class Given:
    """Predictions, the sample (read when it is needed), and the texts and facts of sentences."""

    predictions: Predictions
    audit: Callable[[], Audit]
    texts: Texts
    details: Details


_ELSEWHERE = "If there is a labelled sample elsewhere, name its store (--store) or its table (--sample)."


def _from_store(sources: Sources, store: Store) -> Given:
    import pandas as pd

    def texts(ids: Sequence[str]) -> list[str]:
        known = {one.id: one.text for one in store.documents.sentences(ids)}
        return [known.get(one, "") for one in ids]

    if sources.crossfit:
        manifest: Manifest | None = read_manifest(sources.folder) if sources.folder else None
        own = _codebook(store, sources, manifest.codebook_hash if manifest else "")
        found = crossfitted_predictions(store, manifest, own)
    elif sources.predictions is not None:
        wanted = [one for one in sources.columns if one not in FACTS]
        found = read_predictions(Path(sources.predictions), wanted)
        found = replace(found, columns={**facts_of(store, found), **found.columns})
    else:
        found = stored_predictions(store, sources.model)

    def audit() -> Audit:
        own = partial(_codebook, store, sources, found.codebook_hash)
        try:
            return stored_audit(store, own, found.labels, sources.draws)
        except NoSampleError as error:
            raise NoSampleError(
                f"{error} For a sample elsewhere, name its store (--store) or table (--sample)."
            ) from None

    def details(ids: Sequence[str]) -> list[dict[str, str]]:
        places = pd.Index(found.ids).get_indexer(list(ids))
        facts = [{name: str(found.columns[name][one] or "") for name in FACTS} for one in places.tolist()]
        return [{"text": text, **own} for text, own in zip(texts(ids), facts, strict=True)]

    return Given(found, audit, texts, details)


def _codebook(store: Store, sources: Sources, hash_: str) -> Codebook:
    given, folder = sources.codebook, sources.folder
    if given is None:
        return known_codebook(store, hash_, load_codebook(folder / CODEBOOK) if folder else None)
    return given if isinstance(given, Codebook) else load_codebook(given)
