"""What the answers of a model coder are used for: suggestions, a queue of disputes, audits, estimates, and teaching."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from labels.errors import ExperimentError, InputError
from labels.gold import standing
from labels.sampling.drawing import DrawRequest
from labels.sampling.model_coders import disputed_sentences, known_coder
from labels.sampling.strategies import next_assignment
from labels.sampling.suggestions import choose_model
from labels.store import Store, now
from tests.conftest import make_examples
from tests.labels.cli.running import run
from tests.labels.store.builders import model
from tests.lazy import needed
from tests.trainer.active.llm.conftest import small_codebook, write_settings
from tests.trainer.active.llm.misbehaving_server import MisbehavingServer
from tests.trainer.conftest import fill_store
from trainer.config.experiment import parse_experiment
from trainer.data.dataset import load_dataset
from trainer.estimate.given.opening import Sources
from trainer.estimate.sources import estimate, plan_audit

needed("openai")


def code(*options: str) -> None:
    coded = run("llm", "code", "--yes", *options)
    assert coded.exit_code == 0, coded.output


def undecided(number: int) -> list[str]:
    """A store with sentences on which nobody has decided."""
    return fill_store(Path("new.db"), small_codebook(), make_examples(number), annotate=False)


# -- suggestions


def test_answers_are_suggested_only_by_name_and_their_influence_is_measured(
    coded: list[str], server: MisbehavingServer
) -> None:
    undecided(40)
    server.rule = lambda *_: '{"labels": ["aid"]}'
    code("--store", "new.db")
    refused = run("label", "--annotator", "eva", "--suggest", "--plain", "--store", "new.db", typed="q\n")
    assert refused.exit_code == 2
    assert "there are no scores by any model" in refused.output
    options = ["--blind", "0.5", "--size", "40", "--plain", "--store", "new.db"]
    shown = run("label", "--annotator", "eva", "--suggest", "llm:words", *options, typed="a\n" * 40 + "q\n")
    assert shown.exit_code == 0, shown.output
    with Store("new.db") as store:
        decisions = list(standing(store.events.all()).annotations.values())
    assert len(decisions) > 20
    assert {one.suggestion for one in decisions} == {("aid",)}
    assert {one.blind for one in decisions} == {True, False}
    measured = run("agreement", "--suggestions", "--store", "new.db")
    assert measured.exit_code == 0, measured.output
    assert "suggest" in measured.stdout


def test_without_a_request_nobody_sees_an_answer(coded: list[str], server: MisbehavingServer) -> None:
    undecided(8)
    code("--store", "new.db")
    shown = run("label", "--annotator", "eva", "--plain", "--size", "8", "--store", "new.db", typed="n\n" * 8 + "q\n")
    assert shown.exit_code == 0
    with Store("new.db") as store:
        assert {one.suggestion for one in standing(store.events.all()).annotations.values()} == {None}


@pytest.mark.parametrize("words", [["llm:words"], ["--suggest", "ana"], ["--suggest", "llm:words", "--model", "m"]])
def test_the_name_of_a_coder_stands_only_after_suggest(coded: list[str], words: list[str]) -> None:
    refused = run("label", "--annotator", "eva", *words)
    assert refused.exit_code == 2
    assert "is unexpected here" in refused.output


def test_the_latest_model_is_never_a_language_model(coded: list[str]) -> None:
    with Store("s.db") as store:
        store.scores.add_model(replace(model("trained", labels=("aid", "truce")), created_at="2020"))
        code()
        assert choose_model(store, small_codebook()).id == "trained"
        assert choose_model(store, small_codebook(), "llm:words").id == "llm:words"
        with pytest.raises(InputError, match="there are no scores by model 'llm:'"):
            choose_model(store, small_codebook(), "llm:")


# -- disputes


def test_disputed_sentences_are_those_to_which_a_person_gave_other_labels(
    coded: list[str], server: MisbehavingServer
) -> None:
    server.faults = deque(["unreadable"] * 2)
    code()
    with Store("s.db") as store:
        answers = known_coder(store, "words").answers
        decided = {one.sentence_id: one.labels for one in store.events.all() if one.event == "annotate"}
        differing = sorted(one for one, event in answers.items() if event.labels != decided[one])
        assert differing
        assert disputed_sentences(store, "llm:words", "eva") == differing
        # Also their own coder's: a team of one can look again.
        assert disputed_sentences(store, "words", "ana") == differing
        request = DrawRequest("disputed-by", size=3, query="llm:words")
        drawn = next_assignment(store, "ana", request)
        assert drawn is not None
        assert len(drawn.pending) == 3


def test_a_settled_dispute_is_not_drawn_again_and_a_skip_keeps_the_decision(
    coded: list[str], server: MisbehavingServer
) -> None:
    code()
    with Store("s.db") as store:
        before = standing(store.events.all()).annotations
    words = ["label", "--annotator", "ana", "--strategy", "disputed-by llm:words", "--plain"]
    shown = run(*words, "--size", "6", typed="a\ns\nat\nat\nat\nat\nq\n")
    assert shown.exit_code == 0, shown.output
    with Store("s.db") as store:
        events = store.events.all()
        made = [event for event in events if event.strategy == "disputed-by"]
        assert len(made) == 6
        after = standing(events).annotations
        skipped = next(event for event in made if event.state == "skipped")
        assert after[skipped.sentence_id, "ana"] == before[skipped.sentence_id, "ana"]
        assert disputed_sentences(store, "llm:words", "ana") == []
    again = run(*words)
    assert again.exit_code == 0
    assert "You have decided on every sentence to which llm:words" in again.output


@pytest.mark.parametrize(
    ("strategy", "said"),
    [("disputed-by", "needs a model coder"), ("disputed-by llm:wrods", "did you mean 'llm:words'?")],
)
def test_a_queue_of_disputes_needs_a_known_coder(coded: list[str], strategy: str, said: str) -> None:
    code("--size", "3")
    refused = run("label", "--annotator", "ana", "--strategy", strategy)
    assert refused.exit_code == 2
    assert said in " ".join(refused.output.split())


# -- estimates


def audited(store: Store, size: int) -> None:
    """An audit of a new store, answered by ana as `make_examples` would."""
    drawn = next_assignment(store, "ana", DrawRequest("audit", size=size, model_id="llm:words"))
    assert drawn is not None
    texts = {one.text: one.labels for one in make_examples(60)}
    from labels.records import Annotation

    for draw in drawn.draws:
        sentences = store.documents.sentences(item.sentence_id for item in draw.items)
        store.events.add(
            [
                Annotation(f"a{one.id}", one.id, "ana", "annotate", "reviewed", texts[one.text], small_codebook().hash,
                           now(), draw_id=draw.id)
                for one in sentences
            ]
        )  # fmt: skip


def test_a_model_coder_is_a_surrogate_for_estimates_and_audits(coded: list[str], server: MisbehavingServer) -> None:
    undecided(60)
    server.faults = deque(["", *["unreadable"] * 6])
    write_settings(server, concurrency=1)
    code("--store", "new.db")
    with Store("new.db") as store:
        unanswered = known_coder(store, "words").unanswered
        audited(store, 40)
        (draw,) = store.designs.samples()
        strata = {item.stratum: item.stratum_size for item in draw.items}
        found = estimate(store=store, model="llm:words")
        plan = plan_audit(Sources(store=store, model="llm:words"), width=0.2)
    assert len(unanswered) == 3
    assert strata["no answer"] == 3
    truth = {name: sum(name in one.labels for one in make_examples(60)) / 60 for name in ("aid", "truce")}
    for name, share in truth.items():
        own = found.cell(name).published
        assert own.low is not None
        assert own.high is not None
        assert own.low <= share <= own.high
    assert any("llm:words gave no answer to 3 sentences" in note for note in found.notes)
    assert sum(plan.plan.drawn) > 0


def test_an_estimate_never_takes_a_model_coder_by_itself(coded: list[str]) -> None:
    code()
    with Store("s.db") as store, pytest.raises(InputError, match="--model llm:NAME"):
        estimate(store=store)


def test_an_estimate_needs_answers_to_all_sentences(coded: list[str]) -> None:
    code("--size", "10")
    with Store("s.db") as store, pytest.raises(InputError, match="14 sentences have no score by model llm:words"):
        estimate(store=store, model="llm:words")


# -- teaching


def silver(isolated: Path, **data: object) -> dict[str, object]:
    content = {"source": "store", "store": "s.db", "codebook": "book.toml", "silver": "llm:words", **data}
    return {
        "name": "silver",
        "seed": 7,
        "data": content,
        "split": {"train": 0.4, "validation": 0.3, "test": 0.3},
        "model": {"kind": "tfidf"},
        "tracking": {"enabled": False},
    }


def test_a_teachers_answers_are_only_for_training_and_the_report_says_so(
    coded: list[str], server: MisbehavingServer, isolated: Path
) -> None:
    # Sentences of documents of their own, with the words of the examples in another order.
    lines = [" ".join(reversed(example.text.split())) for example in make_examples(40)]
    for number, line in enumerate(lines):
        Path(f"doc{number}.txt").write_text(line, encoding="utf-8")
    assert run("ingest", *(f"doc{number}.txt" for number in range(40))).exit_code == 0
    server.rule = lambda _, text: json.dumps({"labels": ["aid"] if "trucks" in text else []})
    code()
    dataset = load_dataset(parse_experiment(silver(isolated, silver_weight=0.5), "test"))
    plain = load_dataset(parse_experiment(silver(isolated, silver=""), "test"))
    assert dataset.parts == plain.parts
    assert dataset.evaluation_hash == plain.evaluation_hash
    human = {one.id for part in dataset.parts.values() for one in part}
    assert human == set(coded)
    assert dataset.extra
    assert not human & {one.id for one in dataset.extra}
    assert {one.weight for one in dataset.extra} == {0.5}
    assert {one.labels for one in dataset.extra} == {("aid",), ()}
    assert any("validation and test contain only labels by people" in note for note in dataset.notes)
    assert any("llm:words (model word-model)" in note for note in dataset.notes)


def test_a_teacher_without_usable_answers_is_refused(coded: list[str], isolated: Path) -> None:
    with pytest.raises(InputError, match="has no answers by 'llm:words'"):
        load_dataset(parse_experiment(silver(isolated), "test"))
    code()
    with pytest.raises(ExperimentError, match="none of the 24 sentences that this model has coded can be used"):
        load_dataset(parse_experiment(silver(isolated), "test"))
    with pytest.raises(ExperimentError, match="answers are in a label store"):
        parse_experiment(silver(isolated, source="seeds"), "test")
