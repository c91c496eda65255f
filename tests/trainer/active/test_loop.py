"""The labelling loop: real draws, a real process that fits and scores, interruptions, and a failing retraining."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import ExperimentError
from labels.records import Document
from labels.store import Store
from labels.text.sentences import split_sentences
from tests.labels.cli.running import refuse, run
from trainer.active.loop import main, suggests_stopping
from trainer.config.experiment import Experiment
from trainer.runs.loop_folder import LoopFolder, Round

PLACES = [
    f"{name}{end}"
    for name in ("Os", "Ber", "Ri", "Gra", "Ul", "Bo", "Lin", "Ka")
    for end in ("lo", "gen", "ga", "z", "m")
]
LOOP = ("loop", "--annotator", "ana", "--experiment", "small.toml", "--every", "35", "--wait", "120", "--plain")
FOLDER = Path("runs/small-loop")


@pytest.fixture
def coded(codebook: Codebook, isolated: Path) -> Codebook:
    """A store of forty articles with three sentences each, and the experiment `small.toml`."""
    Path("book.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    Path("communique.toml").write_text('codebook = "book.toml"\n', encoding="utf-8")
    Path("small.toml").write_text(
        '[model]\nkind = "tfidf"\n[tracking]\nenabled = false\n[evaluation]\nbootstrap = 100\n', encoding="utf-8"
    )
    with Store("communique.db") as store:
        for number, place in enumerate(PLACES):
            text = f"{place} pledged {number} trucks. {place} called for a truce. Rain fell on {place}."
            document = Document("Wire", text, date=f"2024-05-{number % 28 + 1:02d}", title=place)
            store.documents.add([(document, split_sentences(document))])
    return codebook


def typed(draws: int, size: int = 35) -> str:
    """Answers for whole draws, each followed by Enter for more, and at last q."""
    draw = "".join("atn"[i % 3] + "\n" for i in range(size)) + "q\n"
    return "\n".join([draw] * draws) + "q\n"


def events() -> Counter[str]:
    with Store("communique.db") as store:
        return Counter(event.strategy for event in store.events.all())


def sentences() -> Counter[str]:
    with Store("communique.db") as store:
        return Counter(event.sentence_id for event in store.events.all())


def test_a_loop_draws_fits_scores_and_goes_on_where_it_was_interrupted(coded: Codebook) -> None:
    first = run(*LOOP, typed=typed(1)).output
    assert (
        "Drawing up to 35 sentences at random, because there is no model yet (30 more labelled sentences are" in first
    )
    assert "macro-F1" in first
    assert "The gain from more labels cannot be estimated yet: the curve needs 4 rounds, and has 1." in first

    begun = run(*LOOP, typed="a\n" * 10).output
    assert "Drawing up to 35 sentences by uncertainty, with the model of round 1." in begun
    assert "Retraining" not in begun
    assert events() == {"random": 35, "uncertainty": 10}

    ended = run(*LOOP, typed=typed(1, 25)).output
    assert "Continuing the unfinished draw." in ended
    assert events() == {"random": 35, "uncertainty": 35}
    assert set(sentences().values()) == {1}
    assert [one.with_gold for one in LoopFolder.read(FOLDER).rounds()] == [35, 70]

    finished = run(*LOOP, "--finish")
    assert finished.exit_code == 0, finished.output
    assert (FOLDER / "final" / "report.json").is_file()
    assert "its test part has been evaluated" in refuse(*LOOP)


def test_a_failing_retraining_is_told_in_one_line_and_labelling_goes_on(coded: Codebook) -> None:
    only_aid = "a\n" * 35 + "q\n\n" + "a\n" * 5 + "q\n"
    printed = run(*LOOP, typed=only_aid).output

    assert "Retraining failed, and the loop continues with random draws: " in printed
    assert "no train example has the label truce" in printed
    assert events() == {"random": 40}
    assert LoopFolder.read(FOLDER).rounds() == []
    assert main(str(FOLDER), 35) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strategy", "random words"), "the loop does not draw in this way"),
        (("--strategy", "likely truse"), "has no label 'truse' (did you mean 'truce'?)"),
        (("--set", "data.train=x.jsonl"), "the loop learns from the label store"),
        (("--out", "."), "this folder is not the folder of a loop"),
    ],
)
def test_wrong_options_are_refused(coded: Codebook, options: tuple[str, ...], message: str) -> None:
    assert message in refuse(*LOOP, *options)


def test_a_loop_that_was_not_begun_cannot_be_finished(coded: Codebook) -> None:
    assert "runs/small-loop: this folder contains no loop" in refuse(*LOOP, "--finish")


def test_other_settings_need_another_folder(coded: Codebook) -> None:
    own = Experiment.model_validate({"model": {"kind": "tfidf"}})
    LoopFolder.open(FOLDER, own, "hash", 5)
    with pytest.raises(ExperimentError, match=r"other settings \(model, --folds, the codebook\)"):
        LoopFolder.open(FOLDER, Experiment.model_validate({"model": {"kind": "majority"}}), "other", 0)
    assert LoopFolder.open(FOLDER, own, "hash", 5) == LoopFolder.read(FOLDER)


@pytest.mark.parametrize(
    ("gains", "stop"),
    [
        ([], False),
        ([0.0], False),
        ([0.0, 0.02], False),
        ([0.009, 0.0], True),
        ([None, 0.0], False),
        ([0.5, 0, 0], True),
    ],
)
def test_stopping_is_suggested_after_two_rounds_of_little_promise(gains: list[float | None], stop: bool) -> None:
    figures = {"train": 1, "validation": 1, "test": 1, "frozen": True, "basis": "validation", "evaluated": 1}
    rest = {"macro_f1": 0.5, "per_label": {}, "reason": "", "seconds": 1.0, "created_at": ""}
    rounds = [Round(i, "m", 10, with_gold=10, gain=gain, **figures, **rest) for i, gain in enumerate(gains)]  # type: ignore[arg-type]
    assert suggests_stopping(rounds, 0.01) is stop
