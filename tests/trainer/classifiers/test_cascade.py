from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook
from labels.errors import ArtefactError, ExperimentError
from labels.records import Example
from tests.trainer.conftest import gold_of, make_experiment, plain_codebook, texts_of, tiny_section, write_examples
from trainer.calibration.calibration import fit_multilabel
from trainer.calibration.certificate import Certificate, LabelCertificate, upper_bound
from trainer.classifiers.base import CalibratedClassifier, ResumableClassifier
from trainer.classifiers.cascades.cascade import CascadeClassifier
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.cli.evaluate import print_report
from trainer.config.experiment import Experiment, load_experiment, parse_experiment
from trainer.config.models import CascadeSection, TfidfSection
from trainer.data.dataset import load_dataset
from trainer.data.splits import make_split
from trainer.model.model import Model
from trainer.runs.run import RunResult, fit_model, run_experiment

LABELS = ("aid", "truce", "threat")
MULTI = plain_codebook(*LABELS)
ONE_OF_OR_NONE = plain_codebook(*LABELS, exclusive=True)
ONE_OF = plain_codebook(*LABELS, exclusive=True, allow_none=False)
CODEBOOKS = {"multi-label": MULTI, "exclusive or none": ONE_OF_OR_NONE, "exclusive": ONE_OF}
CHEAP = {"kind": "tfidf", "word_ngrams": 1, "char_ngrams": 2}
EXPENSIVE = {"kind": "tfidf", "word_ngrams": 2}
PLAIN = ("Rain fell", "Trains ran late", "A choir sang", "Prices rose")


def sentence(i: int, exclusive: bool) -> tuple[str, tuple[str, ...]]:
    """Two in ten are decided by the order of two words alone, which single words do not tell; threats are rare."""
    week = i * 7919 % 10007  # its digits tell nothing
    who = ("Norway", "Japan", "Chile", "Ghana")[i // 10 % 4]
    if i % 25 == 9:
        return f"{who} threatened towns in week {week}.", ("threat",)
    if i % 10 in (5, 6):
        hard = i % 10 == 5
        return f"{who} is {'yet not' if hard else 'not yet'} giving, week {week}.", ("aid",) if hard else ()
    if i % 10 == 2 and not exclusive:
        return f"{who} pledged trucks, urged truce, week {week}.", ("aid", "truce")
    if i % 10 < 3:
        return f"{who} pledged trucks in week {week}.", ("aid",)
    if i % 10 < 5:
        return f"{who} urged a truce, week {week}.", ("truce",)
    return f"{PLAIN[i % 4]} in week {week}.", ()


def sentences(n: int, codebook: Codebook = MULTI) -> list[Example]:
    """Different sentences, too short to be anybody's near-duplicate, each a document of its own."""
    made = ((i, *sentence(i, codebook.exclusive)) for i in range(n))
    rows = [Example(f"e{i:04d}", f"d{i:04d}", text, labels) for i, text, labels in made]
    return [row for row in rows if row.labels or codebook.allow_none]


def section(**changes: Any) -> CascadeSection:
    content = {"kind": "cascade", "cheap": CHEAP, "expensive": EXPENSIVE, "max_disagreement": 0.03}
    return CascadeSection.model_validate(content | changes)


def fitted(codebook: Codebook = MULTI, **changes: Any) -> CascadeClassifier:
    rows = sentences(1000, codebook)
    cut = len(rows) // 2
    return CascadeClassifier(codebook, section(**changes), 7).fit(rows[:cut], rows[cut:])


@pytest.fixture(scope="module")
def cascade() -> Callable[[str], CascadeClassifier]:
    """The cascade of each of `CODEBOOKS`, fitted once for all tests that only ask it."""
    return cache(lambda name: fitted(CODEBOOKS[name]))


def unseen(codebook: Codebook = MULTI) -> list[str]:
    return texts_of(sentences(1400, codebook)[-300:])


def members(classifier: CascadeClassifier, texts: list[str]) -> tuple[Any, Any]:
    """What each of the two says of all texts."""
    assert classifier.fitted_ is not None
    return classifier.fitted_.cheap.predict_proba(texts), classifier.fitted_.expensive.predict_proba(texts)


def certificate_of(classifier: CascadeClassifier) -> Certificate:
    assert classifier.fitted_ is not None
    return classifier.fitted_.certificate


# -- who answers


@pytest.mark.parametrize("name", CODEBOOKS)
def test_each_sentence_gets_the_answer_of_the_one_or_the_other_in_its_own_row(
    cascade: Callable[[str], CascadeClassifier], name: str
) -> None:
    classifier, texts = cascade(name), unseen(CODEBOOKS[name])
    answered = classifier.answered(texts)
    assert 0.2 < answered.mean() < 0.95
    cheap, expensive = members(classifier, texts)
    probabilities = classifier.predict_proba(texts)
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities, np.where(answered[:, None], cheap, expensive))


@pytest.mark.parametrize("name", CODEBOOKS)
def test_the_order_of_the_texts_does_not_matter(cascade: Callable[[str], CascadeClassifier], name: str) -> None:
    classifier, texts = cascade(name), unseen(CODEBOOKS[name])
    order = np.random.default_rng(1).permutation(len(texts))
    shuffled = classifier.predict_proba([texts[row] for row in order])
    np.testing.assert_array_equal(shuffled, classifier.predict_proba(texts)[order])


@pytest.mark.parametrize("name", CODEBOOKS)
def test_no_texts_give_no_rows(cascade: Callable[[str], CascadeClassifier], name: str) -> None:
    assert cascade(name).predict_proba([]).shape == (0, 3)
    assert cascade(name).answered([]).shape == (0,)


def test_what_single_words_do_not_tell_is_asked_of_the_expensive_model(
    cascade: Callable[[str], CascadeClassifier],
) -> None:
    texts = unseen()
    hard = np.array(["giving" in text for text in texts])
    answered = cascade("multi-label").answered(texts)
    assert not answered[hard].any()
    assert answered[~hard].mean() > 0.5


def test_one_that_was_not_fitted_says_so() -> None:
    with pytest.raises(ExperimentError, match="is not fitted"):
        CascadeClassifier(MULTI, section(), 1).predict_proba(["Rain fell."])


@pytest.mark.parametrize("name", CODEBOOKS)
def test_label_sets_of_answered_sentences_are_those_of_the_cheap_model(
    cascade: Callable[[str], CascadeClassifier], name: str
) -> None:
    classifier, texts = cascade(name), unseen(CODEBOOKS[name])
    answered = classifier.answered(texts)
    cheap, expensive = members(classifier, texts)
    decide = classifier.calibration_.decide
    sets = decide(classifier.predict_proba(texts))
    np.testing.assert_array_equal(sets, np.where(answered[:, None], decide(cheap), decide(expensive)))
    assert (sets == decide(expensive)).all(axis=1).mean() > 0.95


# -- labels that are too rare


@pytest.mark.parametrize("name", ["multi-label", "exclusive or none"])
def test_a_rare_label_is_never_assigned_by_the_cheap_model(
    cascade: Callable[[str], CascadeClassifier], name: str
) -> None:
    classifier, texts = cascade(name), unseen(CODEBOOKS[name])
    assert classifier.fitted_ is not None
    assert classifier.fitted_.rule.deferred[:3] == (False, False, True)
    threat = classifier.calibration_.decide(classifier.predict_proba(texts))[:, 2]
    assert threat.any()
    assert not (threat & classifier.answered(texts)).any()
    cheap, _ = members(classifier, texts)
    assert classifier.calibration_.decide(cheap)[:, 2].any()  # it would have said so


def test_the_certificate_has_no_bound_for_a_rare_label(cascade: Callable[[str], CascadeClassifier]) -> None:
    aid, truce, threat = certificate_of(cascade("multi-label")).labels
    assert threat.name == "threat"
    assert 0 < threat.positives < 29
    assert threat.upper_bound is None
    assert aid.upper_bound == upper_bound(aid.lost, aid.positives, 0.95)
    assert truce.upper_bound is not None


# -- calibration and certificate


def test_thresholds_are_those_of_the_expensive_model_alone(cascade: Callable[[str], CascadeClassifier]) -> None:
    rows = sentences(1000)
    train, validation = rows[:500], rows[500:]
    alone = TfidfClassifier(MULTI, TfidfSection(kind="tfidf"), 7).fit(train, [])
    raw = alone.predict_proba(texts_of(validation))
    calibration = fit_multilabel(raw, gold_of(validation, LABELS), method="platt", min_positives=20)
    found = cascade("multi-label").calibration_
    assert found.thresholds == pytest.approx(calibration.thresholds)
    assert [(label.n, label.positives, label.reason) for label in found.labels] == [
        (label.n, label.positives, label.reason) for label in calibration.labels
    ]
    texts = unseen()
    _, expensive = members(cascade("multi-label"), texts)
    np.testing.assert_allclose(expensive, calibration.apply(alone.predict_proba(texts)), atol=1e-6)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_its_calibration_leaves_its_probabilities_alone(cascade: Callable[[str], CascadeClassifier], name: str) -> None:
    classifier = cascade(name)
    assert isinstance(classifier, CalibratedClassifier)
    assert not isinstance(TfidfClassifier(MULTI, TfidfSection(kind="tfidf"), 1), CalibratedClassifier)
    probabilities = classifier.predict_proba(unseen(CODEBOOKS[name]))
    np.testing.assert_array_equal(classifier.calibration_.apply(probabilities).astype(np.float32), probabilities)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_the_certificate_counts_on_the_half_of_validation_that_chose_nothing(
    cascade: Callable[[str], CascadeClassifier], name: str
) -> None:
    rows = sentences(1000, CODEBOOKS[name])
    _, second = make_split(rows[len(rows) // 2 :], (0.5, 0.5), 7, allow_large=True)
    classifier, found = cascade(name), certificate_of(cascade(name))
    answered = classifier.answered(texts_of(second))
    decide = classifier.calibration_.decide
    cheap, expensive = (decide(said) for said in members(classifier, texts_of(second)))
    assert (found.cases, found.answered) == (len(second), answered.sum())
    assert found.disagreements == ((cheap != expensive).any(axis=1) & answered).sum()
    assert [label.positives for label in found.labels] == expensive.sum(axis=0).tolist()
    assert [label.lost for label in found.labels] == (expensive & ~cheap & answered[:, None]).sum(axis=0).tolist()
    assert found.upper_bound <= 0.03


def test_a_cheap_model_that_needs_no_calibration_is_taken_as_it_is() -> None:
    classifier = fitted(cheap={"kind": "majority"})
    assert certificate_of(classifier).answered_share < 0.05  # frequencies are never sure
    assert classifier.fitted_ is not None
    assert {label.method for label in classifier.fitted_.cheap.calibration.labels} == {"none"}


# -- refusals


def test_too_little_validation_is_refused_before_anything_is_fitted() -> None:
    rows = sentences(400)
    nowhere = {"kind": "finetune", "encoder": "no/such-encoder"}
    classifier = CascadeClassifier(MULTI, section(expensive=nowhere, max_disagreement=0.01), 7)
    with pytest.raises(ExperimentError) as caught:
        classifier.fit(rows[:200], rows[200:])
    message = str(caught.value)
    assert "model.max_disagreement = 0.01: a certificate at confidence 0.95 needs at least 299 validation" in message
    assert "The data have 200 sentences, in halves of 100 and 100" in message
    assert "raise model.max_disagreement to at least 0.03," in message
    assert message.endswith('or train finetune alone: model.kind = "finetune".')


def test_the_limit_that_a_refusal_suggests_is_enough() -> None:
    rows = sentences(400)
    classifier = CascadeClassifier(MULTI, section(max_disagreement=0.03), 7)
    assert classifier.fit(rows[:200], rows[200:]).fitted_ is not None


def test_halves_that_whole_documents_make_too_unequal_are_refused() -> None:
    rows = sentences(600)
    validation = [replace(row, document_id="one") if i < 150 else row for i, row in enumerate(rows[400:])]
    with pytest.raises(ExperimentError, match=r"The data have 200 sentences, in halves of (150 and 50|50 and 150)\."):
        CascadeClassifier(MULTI, section(), 7).fit(rows[:400], validation)


@pytest.mark.parametrize("validation", [[], sentences(1)])
def test_next_to_no_validation_is_refused_without_advice_that_does_not_help(validation: list[Example]) -> None:
    with pytest.raises(ExperimentError, match="Provide more validation sentences, or train tfidf alone"):
        CascadeClassifier(MULTI, section(), 7).fit(sentences(50), validation)


def turned_half() -> tuple[Codebook, list[Example], list[Example]]:
    """Train and validation in which the cheap model, by cues, errs in the second half of validation alone."""
    codebook = codebook_from_dict({"name": "cues", "labels": [{"name": "aid", "cues": ["pledg*"]}]}, "cues")
    rows = [
        Example(f"e{i}", f"d{i}", f"Japan pledged trucks in week {i}.", ("aid",))
        if i % 3 == 0
        else Example(f"e{i}", f"d{i}", f"{PLAIN[i % 4]} in week {i}.")
        for i in range(800)
    ]
    without_cue = [Example(f"x{i}", f"x{i}", f"Envoys set aside loans, day {i}.", ("aid",)) for i in range(20)]
    train, validation = [*rows[:400], *without_cue], rows[400:]
    _, second = make_split(validation, (0.5, 0.5), 7, allow_large=True)
    turned = {row.id for row in [row for row in second if row.labels][:20]}
    return (
        codebook,
        train,
        [
            replace(row, text=f"Envoys set aside loans, year {i}.") if row.id in turned else row
            for i, row in enumerate(validation)
        ],
    )


def test_what_does_not_hold_on_the_second_half_is_refused_with_its_figures() -> None:
    codebook, train, validation = turned_half()
    classifier = CascadeClassifier(codebook, section(cheap={"kind": "keywords"}), 7)
    with pytest.raises(ExperimentError) as caught:
        classifier.fit(train, validation)
    first, differs, lost, repair = str(caught.value).splitlines()
    assert first.startswith("The cascade cannot be certified. On the 200 validation sentences")
    assert differs.startswith(
        f"  label sets that differ: 20 of 200 (10.0%), upper bound {upper_bound(20, 200, 0.95):.1%}"
    )
    assert differs.endswith("model.max_disagreement = 0.03 allows 1")
    assert lost.startswith("  lost positives of aid: 20 of 66 (30.3%)")
    assert lost.endswith("model.max_lost = 0.1 allows 2")
    assert "(99 are enough if no label set differs)" in repair
    assert repair.endswith('train tfidf alone: model.kind = "tfidf".')
    assert classifier.fitted_ is None


def test_only_the_limit_that_is_broken_is_named() -> None:
    codebook, train, validation = turned_half()
    loose = section(cheap={"kind": "keywords"}, max_disagreement=0.2)
    with pytest.raises(ExperimentError, match="lost positives of aid: 20 of 66") as caught:
        CascadeClassifier(codebook, loose, 7).fit(train, validation)
    assert "differ:" not in str(caught.value)


# -- saved and loaded


@pytest.mark.parametrize("name", CODEBOOKS)
def test_the_loaded_cascade_is_the_saved_one(
    cascade: Callable[[str], CascadeClassifier], name: str, isolated: Path
) -> None:
    classifier, texts = cascade(name), unseen(CODEBOOKS[name])
    folder = isolated / "model"
    folder.mkdir()
    classifier.save(folder)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"cascade.json"} | {
        f"{member}/{name}" for member in ("cheap", "expensive") for name in ("vocabulary.json", "weights.safetensors")
    }
    again = CascadeClassifier.load(folder, CODEBOOKS[name])
    np.testing.assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    np.testing.assert_array_equal(again.answered(texts), classifier.answered(texts))
    assert again.calibration_ == classifier.calibration_
    assert again.describe() == classifier.describe()


def test_a_cascade_with_cut_offs_of_earlier_versions_says_so(
    cascade: Callable[[str], CascadeClassifier], tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    cascade("multi-label").save(folder)
    content = json.loads((folder / "cascade.json").read_text("utf-8"))
    content["cut_offs"] = content.pop("rule")
    (folder / "cascade.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(
        ArtefactError, match=r"cascade\.json: .*written by an early version of communique.*Train the cascade again"
    ):
        CascadeClassifier.load(folder, CODEBOOKS["multi-label"])


def test_it_describes_its_certificate_and_both_models(cascade: Callable[[str], CascadeClassifier]) -> None:
    described = cascade("multi-label").describe()
    assert json.loads(json.dumps(described)) == described
    assert TypeAdapter(Certificate).validate_python(described["certificate"]) == certificate_of(cascade("multi-label"))
    assert [described[name]["kind"] for name in ("cheap", "expensive")] == ["tfidf", "tfidf"]
    assert described["cheap"]["features"]["words"] < described["expensive"]["features"]["words"]


# -- experiments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cheap": {"kind": "tfidf", "CC": 1}}, "  model.cheap.CC: unknown key (did you mean 'C'?)\n"),
        ({"cheap": {"kind": "tfidf", "epochs": 1}}, "  model.cheap.epochs: unknown key\n"),
        (
            {"expensive": {"kind": "finetune", "epoch": 1}},
            "  model.expensive.epoch: unknown key (did you mean 'epochs'?)",
        ),
        ({"cheap": {"kind": "tfidf", "C": 0}}, "  model.cheap.C: must be greater than 0 (given: 0)"),
        (
            {"cheap": {"kind": "tfdif"}},
            "  model.cheap.kind: 'tfdif' is not a kind of model (did you mean 'tfidf'?); use one of ",
        ),
        (
            {"expensive": {"kind": "cascade"}},
            "  model.expensive.kind: 'cascade' is not a kind of model; use one of majority",
        ),
        ({"cheap": {"C": 1}}, "  model.cheap.kind: '' is not a kind of model; use one of majority"),
        ({"expensive": 3}, "  model.expensive: "),
        ({"max_lst": 0.1}, "  model.max_lst: unknown key (did you mean 'max_lost'?)"),
        ({"confidence": 1}, "  model.confidence: must be less than 1 (given: 1)"),
    ],
)
def test_a_problem_in_a_model_of_the_cascade_names_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({"model": {"kind": "cascade"} | changes}, "mine.toml")
    assert message in str(caught.value)


def test_the_shipped_experiment_is_a_tfidf_before_a_transformer() -> None:
    model = load_experiment("cascade").model
    assert isinstance(model, CascadeSection)
    assert (model.cheap.kind, model.expensive.kind) == ("tfidf", "finetune")
    assert load_experiment("cascade", ["model.cheap.C=3.0"]).model.model_dump()["cheap"]["C"] == 3


def experiment_on(folder: Path, n: int = 1000, **sections: Any) -> Experiment:
    (folder / "codebook.toml").write_text(dump_codebook(MULTI), encoding="utf-8")
    write_examples(folder / "data.jsonl", sentences(n))
    model = {"cheap": CHEAP, "expensive": EXPENSIVE, "max_disagreement": 0.05, "max_lost": 0.15}
    content: dict[str, Any] = {"model": model, "split": {"train": 0.4, "validation": 0.4, "test": 0.2}}
    return make_experiment(folder, "cascade", **(content | sections))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("cascade")
    return run_experiment(experiment_on(folder), folder / "out")


def test_a_run_leaves_the_certificate_in_artefact_and_report(run: RunResult) -> None:
    model = Model.load(run.artefact)
    assert model.manifest is not None
    certificate = model.manifest.details["certificate"]
    assert certificate == run.report.to_dict()["certificate"]
    assert certificate == json.loads((run.folder / "report.json").read_text("utf-8"))["certificate"]
    assert isinstance(model.classifier, CascadeClassifier)
    assert certificate_of(model.classifier) == TypeAdapter(Certificate).validate_python(certificate)
    assert certificate["cases"] == pytest.approx(200, abs=2)
    assert certificate["upper_bound"] <= 0.05


def test_the_opened_artefact_predicts_as_the_model_that_was_saved(run: RunResult) -> None:
    opened, texts = Model.load(run.artefact), unseen()
    probabilities = run.model.predict_proba(texts)
    np.testing.assert_array_equal(opened.predict_proba(texts), probabilities)
    np.testing.assert_array_equal(opened.decide(probabilities), run.model.decide(probabilities))
    assert run.report.macro_f1 > 0.9


def test_the_report_names_labels_that_the_expensive_model_left_uncalibrated(run: RunResult) -> None:
    assert list(run.report.uncalibrated) == ["threat"]
    assert "validation positives, fewer than 20" in run.report.uncalibrated["threat"]
    assert run.model.calibration.thresholds[2] == 0.5


def test_the_certificate_is_printed(run: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(run.report)
    said = " ".join(capsys.readouterr().out.split())
    found = run.report.certificate
    assert found
    assert found.rare
    assert f"cheap model answers {found.answered_share:.1%} of {found.cases} sentences" in said
    bound = f"(at most {found.upper_bound:.2%} at confidence 0.95)"
    assert f"differs from expensive {found.share:.2%} {bound}" in said
    aid = found.labels[0]
    assert f"aid {aid.share:.1%} (at most {aid.upper_bound:.1%})" in said
    threat = found.labels[2]
    assert f"too rare for a bound threat {threat.lost} of {threat.positives}" in said
    rare = found.rare
    bound = f"({rare.share:.1%}, at most {rare.upper_bound:.1%})"
    assert f"these together {rare.lost} of {rare.positives} {bound}" in said


def test_of_many_labels_the_first_dozen_is_printed(run: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tuple(LabelCertificate(f"kind{i}", 2, 1, None) for i in range(15))
    assert run.report.certificate
    print_report(run.report.extended(certificate=replace(run.report.certificate, labels=labels)))
    said = " ".join(capsys.readouterr().out.split())
    assert "kind11 1 of 2, 3 more in report.json" in said
    assert "kind12" not in said


def test_a_report_without_a_certificate_prints_none(run: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(run.report.extended(certificate=None))
    assert "expensive" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("crossfit", True, "true"), ("method", "isotonic", '"isotonic"'), ("min_positives", 5, "5")],
)
def test_another_calibration_is_not_offered_and_refused_before_anything_is_fitted(
    isolated: Path, key: str, value: object, shown: str
) -> None:
    nowhere = {"cheap": CHEAP, "expensive": {"kind": "finetune", "encoder": "no/such-encoder"}}
    experiment = experiment_on(isolated, 200, model=nowhere, calibration={key: value})
    with pytest.raises(ExperimentError, match=f"calibration.{key} = {shown}: not supported for model.kind"):
        fit_model(experiment, load_dataset(experiment))


@pytest.mark.slow
def test_a_transformer_is_the_expensive_model(tiny_encoder: Path, isolated: Path) -> None:
    rows = sentences(700)
    expensive = tiny_section(tiny_encoder, min_steps=150, precision="float32").model_dump()
    loose = section(expensive=expensive, max_disagreement=0.05, max_lost=0.5)
    classifier = CascadeClassifier(MULTI, loose, 7)
    assert isinstance(classifier, ResumableClassifier)
    classifier.checkpoints = isolated / "checkpoints"
    classifier.fit(rows[:350], rows[350:])
    assert any((isolated / "checkpoints").iterdir())
    texts = unseen()
    assert 0.05 < classifier.answered(texts).mean() < 1
    folder = isolated / "model"
    folder.mkdir()
    classifier.save(folder)
    again = CascadeClassifier.load(folder, MULTI)
    np.testing.assert_allclose(again.predict_proba(texts), classifier.predict_proba(texts), atol=1e-5)
    assert again.describe() == classifier.describe()


def test_a_cascade_can_be_calibrated_to_another_corpus(run: RunResult, tmp_path: Path) -> None:
    from trainer.estimate.adjusting.calibrating import calibrate

    examples = [
        replace(one, id=f"new-{one.id}", document_id=f"new-{one.document_id}", text=f"Later, {one.text}",
                labels=one.labels if i % 3 == 0 else ())
        for i, one in enumerate(sentences(400))
    ]  # fmt: skip
    data, out = write_examples(tmp_path / "sample.jsonl", examples), tmp_path / "new"
    found = calibrate(run.artefact, data, out=out, labels=["aid", "truce"])
    model = Model.load(tmp_path / "new")
    texts = [one.text for one in examples]
    assert model.predict_proba(texts)[:, :2].mean(axis=0) == pytest.approx(
        [found.shares[label] for label in ("aid", "truce")], abs=0.03
    )
    assert any("certificate of the cascade" in note for note in found.notes)


# -- more than two models


MIDDLE = {"kind": "tfidf", "word_ngrams": 1, "char_ngrams": 4}


@pytest.fixture(scope="module")
def three() -> CascadeClassifier:
    """Cues of no use, then single words, then two words: the second answers what the first leaves."""
    return fitted(cheap={"kind": "majority"}, middle=[CHEAP])


def test_a_middle_model_answers_what_the_cheap_one_leaves(three: CascadeClassifier) -> None:
    texts = unseen()
    assert three.fitted_ is not None
    (_, first), (middle, second) = three.fitted_.stages
    said, expensive = middle.predict_proba(texts), three.fitted_.expensive.predict_proba(texts)
    assert first.tolerance < second.tolerance
    sure = second.sure(said)
    assert 0.2 < sure.mean() < 0.95
    np.testing.assert_array_equal(three.answered(texts), sure)
    np.testing.assert_array_equal(three.predict_proba(texts), np.where(sure[:, None], said, expensive))


def test_one_certificate_covers_all_cheaper_models(three: CascadeClassifier) -> None:
    _, second = make_split(sentences(1000)[500:], (0.5, 0.5), 7, allow_large=True)
    found, texts = certificate_of(three), texts_of(second)
    decide = three.calibration_.decide
    assert three.fitted_ is not None
    whole, expensive = decide(three.predict_proba(texts)), decide(three.fitted_.expensive.predict_proba(texts))
    assert found.disagreements == (whole != expensive).any(axis=1).sum()
    assert found.answered == three.answered(texts).sum() == sum(found.answered_by)
    assert len(found.answered_by) == 2
    assert found.upper_bound <= 0.03


def test_a_cascade_of_three_is_saved_whole(three: CascadeClassifier, isolated: Path) -> None:
    folder, texts = isolated / "model", unseen()
    folder.mkdir()
    three.save(folder)
    assert {path.name for path in folder.iterdir()} == {"cascade.json", "cheap", "middle-1", "expensive"}
    again = CascadeClassifier.load(folder, MULTI)
    np.testing.assert_array_equal(again.predict_proba(texts), three.predict_proba(texts))
    assert again.describe() == three.describe()
    assert [own["kind"] for own in again.describe()["middle"]] == ["tfidf"]
    assert again.middle_kinds == ("tfidf",)


def test_a_manifest_names_middle_models_so_that_older_versions_refuse_it(isolated: Path) -> None:
    model = {"middle": [MIDDLE], "cheap": CHEAP, "expensive": EXPENSIVE, "max_disagreement": 0.05, "max_lost": 0.15}
    run = run_experiment(experiment_on(isolated, model=model), isolated / "out")
    content = json.loads((run.artefact / "manifest.json").read_text("utf-8"))
    assert (content["middle"], content["format"], content["minor"]) == (["tfidf"], 2, 1)
    texts = unseen()
    np.testing.assert_array_equal(Model.load(run.artefact).predict_proba(texts), run.model.predict_proba(texts))


def test_the_answers_of_each_cheaper_model_are_printed(run: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.report.certificate
    print_report(run.report.extended(certificate=replace(run.report.certificate, answered_by=(1200, 34))))
    assert "cheaper models answer" in (said := " ".join(capsys.readouterr().out.split()))
    assert "(1,200, 34 by each, cheapest first)" in said


def test_cheaper_models_learn_the_answers_of_the_expensive_one() -> None:
    rows, more = sentences(1000), texts_of(sentences(1400)[1000:1100])
    taught = CascadeClassifier(MULTI, section(learn_from="expensive"), 7)
    taught.unlabelled = more
    taught.fit(rows[:500], rows[500:])
    assert taught.fitted_ is not None
    texts = [*texts_of(rows[:500]), *more]
    wanted = taught.calibration_.decide(taught.fitted_.expensive.predict_proba(texts))
    sets = [tuple(name for name, on in zip(LABELS, row, strict=True) if on) for row in wanted]
    said = [Example(f"t{i}", f"t{i}", text, own) for i, (text, own) in enumerate(zip(texts, sets, strict=True))]
    alone = TfidfClassifier(MULTI, TfidfSection.model_validate(CHEAP), 7).fit(said, [])
    found = taught.fitted_.cheap.classifier.predict_proba(unseen())
    np.testing.assert_allclose(found, alone.predict_proba(unseen()), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"middle": [{"kind": "tfidf", "CC": 1}]}, "  model.middle.0.CC: unknown key (did you mean 'C'?)\n"),
        ({"middle": [CHEAP, {"kind": "tfdif"}]}, "  model.middle.1.kind: 'tfdif' is not a kind of model (did you mean"),
        ({"middle": [{"kind": "finetune", "init": "run"}]}, "remove its `init`"),
        ({"unlabelled": "more.txt"}, 'set `learn_from = "expensive"`, or remove `unlabelled`'),
    ],
)
def test_a_problem_in_a_middle_model_names_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({"model": {"kind": "cascade"} | changes}, "mine.toml")
    assert message in str(caught.value)
