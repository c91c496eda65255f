from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labels.codebook.schema import dump_codebook
from labels.environment.progress import progress_to
from labels.errors import ArtefactError
from labels.records import Example
from labels.store import Store
from tests.conftest import make_examples, progress_reports
from tests.trainer.conftest import (
    TrackedRun,
    disturbed,
    fill_store,
    make_experiment,
    plain_codebook,
    texts_of,
    write_examples,
)
from trainer.active.scoring import ScoreReport, score_artefact, score_store
from trainer.encoders.embeddings import Embedder
from trainer.model.model import Model
from trainer.runs.run import RunResult, run_experiment

MULTI = plain_codebook("aid", "truce")
UNSEEN = make_examples(60)


@pytest.fixture(scope="module")
def embedding_run(tmp_path_factory: pytest.TempPathFactory, short_encoder: Path) -> RunResult:
    """A run whose model reads through a frozen encoder."""
    folder = tmp_path_factory.mktemp("embedding")
    (folder / "codebook.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    write_examples(folder / "data.jsonl", disturbed(make_examples(150)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMUNIQUE_CACHE", str(folder / "cache"))
        section = {"kind": "embedding", "encoder": str(short_encoder)}
        return run_experiment(make_experiment(folder, "embedding", model=section), folder / "out")


@pytest.fixture(scope="module")
def embedding_model(embedding_run: RunResult) -> Model:
    return embedding_run.model


@pytest.fixture
def store(isolated: Path) -> Iterator[Store]:
    """A store of `UNSEEN` sentences."""
    fill_store(isolated / "s.db", MULTI, UNSEEN, annotate=False)
    with Store(isolated / "s.db") as opened:
        yield opened


def ids_of(store: Store) -> dict[str, str]:
    """Text -> sentence id."""
    return {sentence.text: sentence.id for sentence in store.documents.sentences()}


def kept_probabilities(store: Store, model: Model, examples: list[Example]) -> NDArray[np.float64]:
    ids = ids_of(store)
    return np.array([store.scores.probabilities(model.id, ids[example.text]) for example in examples])


def kept_vectors(store: Store, model: Model, examples: list[Example]) -> NDArray[np.float64]:
    ids = ids_of(store)
    found = store.scores.embeddings(model.id, ids.values())
    return np.array([np.frombuffer(found[ids[example.text]], dtype="<f2") for example in examples], dtype=float)


def test_the_store_keeps_what_the_model_says_of_every_sentence(store: Store, tfidf_model: Model) -> None:
    report = score_store(tfidf_model, store)
    assert (report.model_id, report.scored, report.embedded, report.encoder) == (tfidf_model.id, 60, 0, "")
    expected = tfidf_model.predict_proba(texts_of(UNSEEN))
    np.testing.assert_allclose(kept_probabilities(store, tfidf_model, UNSEEN), expected, atol=1e-6)
    assert store.scores.unscored(tfidf_model.id) == []


def test_the_store_knows_the_model_by_what_its_columns_mean(store: Store, tfidf_model: Model) -> None:
    score_store(tfidf_model, store)
    (known,) = store.scores.models()
    assert (known.id, known.kind, known.labels) == (tfidf_model.id, "tfidf", ("aid", "truce"))
    assert known.thresholds == pytest.approx(tfidf_model.calibration.thresholds.tolist())
    assert (known.exclusive, known.codebook_hash, known.encoder) == (False, tfidf_model.codebook.hash, "")


def test_the_least_sure_sentences_come_first(store: Store, tfidf_model: Model) -> None:
    score_store(tfidf_model, store)
    probabilities = tfidf_model.predict_proba(texts_of(UNSEEN))
    distance = np.abs(probabilities - tfidf_model.calibration.thresholds).min(axis=1)
    ids = ids_of(store)
    expected = [ids[UNSEEN[i].text] for i in np.argsort(distance, kind="stable")[:5]]
    assert [identifier for identifier, _ in store.unseen.uncertain(tfidf_model.id, "margin", 5)] == expected


def test_a_second_run_scores_only_what_is_new(isolated: Path, store: Store, tfidf_model: Model) -> None:
    score_store(tfidf_model, store)
    assert score_store(tfidf_model, store).scored == 0
    fill_store(isolated / "s.db", MULTI, make_examples(75)[60:], annotate=False)
    assert score_store(tfidf_model, store).scored == 15


def test_a_model_with_nothing_to_score_is_not_opened(
    isolated: Path, store: Store, tracked_run: TrackedRun, tfidf_model: Model
) -> None:
    folder = isolated / "artefact"
    shutil.copytree(tracked_run.result.artefact, folder)
    first = score_artefact(folder, store)
    assert (first.model_id, first.scored) == (tfidf_model.id, 60)
    shutil.rmtree(folder / "classifier")
    assert score_artefact(folder, store) == replace(first, scored=0)
    fill_store(isolated / "s.db", MULTI, make_examples(75)[60:], annotate=False)
    with pytest.raises(ArtefactError, match="incomplete"):
        score_artefact(folder, store)


def test_vectors_that_are_missing_are_something_to_do(store: Store, embedding_run: RunResult) -> None:
    artefact, encoder = embedding_run.artefact, embedding_run.model.classifier.describe()["encoder"]
    reports = [score_artefact(artefact, store, embed=embed) for embed in (False, False, None, None)]
    model_id = embedding_run.model.id
    assert reports == [
        ScoreReport(model_id, 60, 0, ""),
        ScoreReport(model_id, 0, 0, ""),
        ScoreReport(model_id, 0, 60, encoder),
        ScoreReport(model_id, 0, 0, encoder),
    ]


def test_an_interrupted_run_goes_on_where_it_stopped(
    store: Store, embedding_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.active.scoring._CHUNK", 20)

    def stop(_stage: str, done: int, _total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress_to(stop):
        score_store(embedding_model, store)
    report = score_store(embedding_model, store)
    assert (report.scored, report.embedded) == (20, 20)
    expected = embedding_model.predict_proba(texts_of(UNSEEN))
    np.testing.assert_allclose(kept_probabilities(store, embedding_model, UNSEEN), expected, atol=1e-4)


def test_progress_counts_what_is_to_be_done(store: Store, tfidf_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.active.scoring._CHUNK", 25)
    with progress_reports() as reports:
        score_store(tfidf_model, store)
    assert reports == [("Scoring", 25, 60), ("Scoring", 50, 60), ("Scoring", 60, 60)]


def test_a_model_with_an_encoder_leaves_its_own_vectors(
    store: Store, embedding_model: Model, short_encoder: Path
) -> None:
    report = score_store(embedding_model, store)
    assert (report.scored, report.embedded, report.encoder) == (60, 60, str(short_encoder))
    assert store.scores.models()[0].encoder == str(short_encoder)
    expected = Embedder(str(short_encoder)).encode(texts_of(UNSEEN))
    np.testing.assert_allclose(kept_vectors(store, embedding_model, UNSEEN), expected, atol=1e-3)


def test_a_finetuned_model_leaves_normalised_pooled_states(store: Store, finetuned_model: Model) -> None:
    assert score_store(finetuned_model, store).embedded == 60
    vectors = kept_vectors(store, finetuned_model, UNSEEN)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)
    states = finetuned_model.classifier.embed(texts_of(UNSEEN))  # type: ignore[attr-defined]
    cosines = (vectors * states).sum(axis=1) / np.linalg.norm(states, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-2)


@pytest.fixture(scope="module")
def finetuned_model(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Model:
    """A saved model whose encoder was trained with it."""
    folder = tmp_path_factory.mktemp("finetuned-model")
    (folder / "codebook.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    write_examples(folder / "data.jsonl", disturbed(make_examples(150)))
    section = {"kind": "finetune", "encoder": str(tiny_encoder), "epochs": 1, "min_steps": 0}
    return run_experiment(make_experiment(folder, "finetune", model=section), folder / "out").model


def test_vectors_may_be_left_out_and_added_later(store: Store, embedding_model: Model) -> None:
    report = score_store(embedding_model, store, embed=False)
    assert (report.scored, report.embedded, report.encoder) == (60, 0, "")
    with progress_reports() as reports:
        report = score_store(embedding_model, store)
    assert (report.scored, report.embedded) == (0, 60)
    assert reports == [("Embedding", 60, 60)]


def test_a_model_without_an_encoder_borrows_the_bundled_one(
    store: Store, tfidf_model: Model, short_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The whole encoder would take seconds.
    monkeypatch.setattr("trainer.encoders.encoder.bundled_encoder", lambda: short_encoder)
    report = score_store(tfidf_model, store, embed=True)
    assert (report.scored, report.embedded, report.encoder) == (60, 60, "minilm")
    expected = Embedder(str(short_encoder)).encode(texts_of(UNSEEN))
    np.testing.assert_allclose(kept_vectors(store, tfidf_model, UNSEEN), expected, atol=1e-3)


def test_an_exclusive_model_has_no_thresholds(isolated: Path, exclusive_run: RunResult) -> None:
    fill_store(isolated / "s.db", exclusive_run.model.codebook, make_examples(30, exclusive=True), annotate=False)
    with Store(isolated / "s.db") as store:
        assert score_store(exclusive_run.model, store).scored == 30
        (known,) = store.scores.models()
    assert (known.exclusive, known.thresholds) == (True, ())


def test_a_model_that_was_not_saved_is_refused(store: Store, tracked_run: TrackedRun) -> None:
    model = tracked_run.result.model
    nameless = Model(model.codebook, model.classifier, model.calibration)
    with pytest.raises(ArtefactError, match="never saved"):
        score_store(nameless, store)
