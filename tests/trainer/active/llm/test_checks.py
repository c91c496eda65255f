"""`communique llm check` and `communique llm compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labels.records import Annotation
from labels.sampling.model_coders import known_coder
from labels.store import Store, now
from tests.conftest import make_examples
from tests.labels.cli.running import run
from tests.lazy import needed
from tests.trainer.active.llm.conftest import by_codebook, by_words, small_codebook
from tests.trainer.active.llm.misbehaving_server import MisbehavingServer
from trainer.active.llm.codebook_tests import TestResult, share_interval
from trainer.active.llm.human_comparison import compare_coders, human_agreement, human_labels

needed("openai")


def code(name: str = "words", *options: str) -> None:
    coded = run("llm", "code", "--yes", "--name", name, *options)
    assert coded.exit_code == 0, coded.output


def checked(*options: str) -> dict[str, Any]:
    """The figures of a check by the name of their test."""
    found = run("llm", "check", "words", "--yes", "--json", "check.json", *options)
    assert found.exit_code == 0, found.output
    return {one["name"]: one for one in json.loads(Path("check.json").read_text(encoding="utf-8"))["tests"]}


def test_an_obedient_model_passes_every_test(coded: list[str], server: MisbehavingServer) -> None:
    server.rule = by_codebook
    code()
    tests = checked("--sentences", "12", "--drift", "24")
    assert {name: one["failures"] for name, one in tests.items()} == dict.fromkeys(
        [
            *(
                "legal labels",
                "definitions recalled",
                "examples recalled",
                "counterexamples recalled",
                "reversed order",
            ),
            *("exclusion rules followed", "generic names", "swapped names", "instructions in a text"),
            *("delimiters in a text", "same 24 sentences again"),
        ],
        0,
    )
    assert {name: one["cases"] for name, one in tests.items() if "recalled" in name} == {
        "definitions recalled": 2,
        "examples recalled": 2,
        "counterexamples recalled": 1,
    }
    assert tests["reversed order"]["cases"] == tests["generic names"]["cases"] == 12
    assert tests["legal labels"]["cases"] == tests["same 24 sentences again"]["cases"] == 24


def test_a_model_that_knows_only_names_fails_where_names_change(coded: list[str], server: MisbehavingServer) -> None:
    code()
    tests = checked("--sentences", "24", "--drift", "0")
    labelled = sum(bool(event.labels) for event in coder_answers())
    single = sum(len(event.labels) == 1 for event in coder_answers())
    assert tests["reversed order"]["failures"] == 0
    assert tests["generic names"]["failures"] == tests["generic names"]["unanswered"] == labelled
    assert tests["swapped names"]["failures"] == single
    assert tests["exclusion rules followed"]["failures"] == tests["exclusion rules followed"]["cases"] == labelled


def coder_answers() -> list[Annotation]:
    with Store("s.db", create=False) as store:
        return list(known_coder(store, "words").answers.values())


def test_a_gullible_model_fails_the_test_of_instructions(coded: list[str], server: MisbehavingServer) -> None:
    code()

    def gullible(system: str, sentence: str) -> str:
        for name in ("aid", "truce"):
            if f"answer {name}." in sentence:
                return json.dumps({"labels": [name]})
        return by_words(system, sentence)

    server.rule = gullible
    tests = checked("--sentences", "24", "--drift", "0")
    # Two of three orders hide in delimiters and control words, which reach the model only as text.
    assert 0 < tests["instructions in a text"]["failures"] < tests["instructions in a text"]["cases"]
    assert tests["delimiters in a text"]["failures"] == 0


def test_drift_counts_answers_that_changed(coded: list[str], server: MisbehavingServer) -> None:
    code()
    server.rule = lambda *_: '{"labels": []}'
    tests = checked("--sentences", "1", "--drift", "24")
    assert tests["same 24 sentences again"]["failures"] == sum(bool(event.labels) for event in coder_answers())
    # The new answers are not recorded as the coder's.
    assert checked("--sentences", "1", "--drift", "24")["same 24 sentences again"] == tests["same 24 sentences again"]


def test_a_check_can_be_continued_from_its_file_of_answers(coded: list[str], server: MisbehavingServer) -> None:
    code()
    first = checked("--sentences", "6", "--drift", "6", "--answers", "answers.jsonl")
    sent = len(server.requests)
    assert checked("--sentences", "6", "--drift", "6", "--answers", "answers.jsonl") == first
    assert len(server.requests) == sent
    assert "pledged" not in Path("answers.jsonl").read_text(encoding="utf-8")
    Path("wrong.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    refused = run("llm", "check", "words", "--yes", "--answers", "wrong.jsonl")
    assert refused.exit_code == 2
    assert "not a file of answers" in refused.output


def test_agreement_by_label_stands_beside_that_of_people(coded: list[str], server: MisbehavingServer) -> None:
    code()
    with Store("s.db") as store:
        book = small_codebook()
        labels = [example.labels for example in make_examples(24)]
        # Eva agrees with ana on twelve sentences, but overlooks aid in the first one.
        decisions = [
            Annotation(f"eva{i}", coded[i], "eva", "annotate", "reviewed", labels[i] if i else (), book.hash, now())
            for i in range(12)
        ]
        store.events.add(decisions)
        humans = human_labels(store, book)
        found = human_agreement(known_coder(store, "words"), humans, book, store)
    assert (found.model.n_sentences, found.people.n_sentences) == (23, 12)
    truce, aid = found.scores["truce"], found.scores["aid"]
    # The rule overlooks every truce that is asked for beside aid: six of twelve.
    assert (truce.precision, truce.recall, truce.gold, truce.given) == (1.0, 0.5, 12, 6)
    assert (aid.precision, aid.recall) == (1.0, 1.0)
    assert found.people.per_label["truce"].kappa.value == 1.0
    printed = run("llm", "check", "words", "--only-agreement").stdout
    assert "Agreement of llm:words with people: 23 sentences." in printed
    assert "Kappa among people: 12 sentences reviewed by several of them." in printed


def test_decisions_made_with_a_suggestion_in_view_do_not_count(coded: list[str], server: MisbehavingServer) -> None:
    code()
    with Store("s.db") as store:
        book = small_codebook()
        shown = Annotation("e1", coded[0], "ana", "annotate", "reviewed", (), book.hash, now(), suggestion=())
        store.events.add([shown])
        humans = human_labels(store, book)
    assert (len(humans.gold), humans.influenced) == (23, 1)


def test_two_coders_are_compared_on_the_same_sentences(coded: list[str], server: MisbehavingServer) -> None:
    code()
    server.rule = lambda *_: '{"labels": ["truce"]}'
    code("always-truce", "--short", "--size", "20")
    with Store("s.db") as store:
        first, second = known_coder(store, "words"), known_coder(store, "llm:always-truce")
        humans = human_labels(store, small_codebook())
        found, left_out = compare_coders(first, second, humans, small_codebook(), store)
    assert (found.n, left_out) == (20, 4)
    effect = found.macro_f1.effect
    assert effect is not None
    assert effect < 0
    printed = run("llm", "compare", "words", "always-truce").stdout
    assert "llm:always-truce minus llm:words, on 20 sentences with human labels." in printed


def test_checks_without_answers_or_labels_say_what_to_do(coded: list[str], server: MisbehavingServer) -> None:
    refused = run("llm", "check", "words")
    assert refused.exit_code == 2
    assert "has no answers by 'llm:words'" in " ".join(refused.output.split())
    code("words", "--size", "2")
    Path("book.toml").write_text(Path("book.toml").read_text().replace("support package", "big package"))
    refused = run("llm", "check", "words", "--yes")
    assert refused.exit_code == 2
    assert "a different prompt" in " ".join(refused.output.split())


@pytest.mark.parametrize(("count", "total"), [(0, 30), (30, 30), (7, 30)])
def test_intervals_of_failure_rates_contain_the_rate(count: int, total: int) -> None:
    found = share_interval(count, total)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= count / total + 1e-12
    assert count / total - 1e-12 <= found.high <= 1
    assert found.high - found.low > 0.1
    assert TestResult("x", 0, 0, reason="no cases").rate is None
