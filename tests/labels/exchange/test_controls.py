"""Projects of other tools with other controls than a choice of labels: named by the user, or left out and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.errors import DataError
from labels.store import Store
from tests.labels.exchange.steps import Row, bring_in, decided, export, imported, unseen, write_json
from tests.labels.exchange.test_prodigy import binary, choice
from trainer.cli import app

Write = Callable[[str, list[Row]], Path]
NewStore = Callable[[], Store]

TEXT = "Oslo will send winter fuel."
SPAN = {"start": 0, "end": 4, "text": "Oslo"}


def result(control: str, kind: str, value: Any) -> Row:
    """A result as Label Studio exports it."""
    return {"id": "x1", "from_name": control, "to_name": "text", "type": kind, "origin": "manual", "value": value}


def chosen(control: str, *labels: str) -> Row:
    return result(control, "choices", {"choices": list(labels)})


def task(*results: Row, text: str = TEXT, **changes: Any) -> Row:
    """A task with one annotation."""
    annotation = {"id": 1, "completed_by": 1, "result": list(results), "was_cancelled": False} | changes
    return {"id": len(text), "data": {"text": text}, "annotations": [annotation]}


RESULTS: list[tuple[str, Any, tuple[str, ...]]] = [
    ("taxonomy", {"taxonomy": [["support", "aid"], ["truce"]]}, ("aid", "truce")),
    ("labels", SPAN | {"labels": ["aid"]}, ("aid",)),
    ("hypertextlabels", SPAN | {"hypertextlabels": ["aid"]}, ("aid",)),
    ("choices", SPAN | {"choices": ["aid"]}, ("aid",)),
    ("rating", {"rating": 4}, ("4",)),
    ("number", {"number": 4}, ("4",)),
    ("text", {"text": ["truce"]}, ("truce",)),
    ("textarea", {"text": ["truce"]}, ("truce",)),
    ("pairwise", {"selected": "aid"}, ("aid",)),
    ("datetime", {"datetime": "2026-01-31"}, ("2026-01-31",)),
]
KINDS = [f"{kind} {position}" for position, (kind, *_) in enumerate(RESULTS)]


# -- Label Studio


@pytest.mark.parametrize(("kind", "value", "labels"), RESULTS, ids=KINDS)
def test_a_result_that_is_not_a_choice_is_left_out_and_counted(
    store: Store, isolated: Path, kind: str, value: Any, labels: tuple[str, ...]
) -> None:
    path = write_json(isolated / "in.json", [task(result("tone", kind, value))])

    done = imported(store, "label-studio", path)
    named = "choices for spans" if kind == "choices" else kind
    assert done.new == 0
    assert done.left_out == {f"results of tone ({named})": 1, "annotations without choices": 1}
    assert done.unseen == {"tasks without choices": 1}
    assert [note.partition(". ")[0] for note in done.notes] == [f"no labels were read from the controls tone ({named})"]
    assert "--control NAME" in done.notes[0]
    assert (store.events.all(), unseen(store)) == ([], [TEXT])


@pytest.mark.parametrize(("kind", "value", "labels"), RESULTS, ids=KINDS)
def test_any_control_is_read_if_it_is_named(
    store: Store, new_store: NewStore, isolated: Path, kind: str, value: Any, labels: tuple[str, ...]
) -> None:
    path = write_json(isolated / "in.json", [task(result("tone", kind, value), chosen("topic", "aid"))])

    if set(labels) <= {"aid", "truce"}:
        assert bring_in(store, "label-studio", path, control="tone")[:2] == (1, 0)
        assert decided(store) == [(TEXT, "1", "reviewed", labels)]
        assert bring_in(store, "label-studio", path, control="tone")[:2] == (0, 1)
    else:  # values that are no labels of this codebook
        with pytest.raises(DataError, match=rf"in\.json:1: label '{labels[0]}' is not in codebook 'small'"):
            bring_in(store, "label-studio", path, control="tone")


def test_a_control_without_label_names_is_refused(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [task(result("order", "ranker", {"ranker": {"_": ["a"], "b": []}}))])

    with pytest.raises(DataError, match=r"in\.json:1: this value has no label names: .*another control with --control"):
        bring_in(store, "label-studio", path, control="order")


@pytest.mark.parametrize("apart", [False, True], ids=["in one task", "in two tasks"])
def test_two_controls_with_choices_need_a_name(store: Store, isolated: Path, apart: bool) -> None:
    topic, tone = chosen("topic", "aid"), chosen("tone", "truce")
    tasks = [task(topic), task(tone, text="Stop.")] if apart else [task(topic, tone)]
    path = write_json(isolated / "in.json", tasks)

    with pytest.raises(
        DataError, match=r"in\.json: there are several controls: topic \(choices\), tone \(choices\)\. .*--control NAME"
    ):
        bring_in(store, "label-studio", path)
    assert store.counts.texts().sentences == 0
    bring_in(store, "label-studio", path, control="topic")
    assert decided(store)[0] == (TEXT, "1", "reviewed", ("aid",))


def test_several_controls_can_be_read_together(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [task(chosen("topic", "aid"), chosen("tone", "truce"))])

    assert bring_in(store, "label-studio", path, control="topic, tone") == (1, 0, {})
    assert decided(store) == [(TEXT, "1", "reviewed", ("aid", "truce"))]


def test_an_annotation_without_the_named_control_is_none(store: Store, isolated: Path) -> None:
    tasks = [task(chosen("topic", "aid")), task(result("note", "textarea", {"text": ["unsure"]}), text="It rained.")]
    path = write_json(isolated / "in.json", tasks)

    done = imported(store, "label-studio", path)
    assert (done.new, done.unseen) == (1, {"tasks without choices": 1})
    bring_in(store, "label-studio", path, control="topic")
    assert decided(store)[-1] == ("It rained.", "1", "reviewed", ())


def test_an_empty_result_is_no_decision_where_only_other_things_were_asked(store: Store, isolated: Path) -> None:
    tasks = [task(result("tone", "rating", {"rating": 4})), task(text="It rained.")]

    assert bring_in(store, "label-studio", write_json(isolated / "in.json", tasks))[0] == 0
    assert store.events.all() == []


def test_results_of_other_controls_beside_a_choice_are_counted_and_kept(store: Store, isolated: Path) -> None:
    told = task(chosen("topic", "aid"), result("note", "textarea", {"text": ["unsure"]}))
    path = write_json(isolated / "in.json", [told])

    assert bring_in(store, "label-studio", path) == (1, 0, {"results of note (textarea)": 1})
    export(store, "label-studio", isolated / "out.json")
    (written,) = json.loads((isolated / "out.json").read_text(encoding="utf-8"))
    assert written["annotations"][0]["result"] == told["annotations"][0]["result"]


def test_an_unknown_control_is_refused_with_the_names_in_the_file(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [task(chosen("topic", "aid"), result("tone", "rating", {"rating": 1}))])

    with pytest.raises(
        DataError, match=r"control 'tpic' \(did you mean 'topic'\?\)\. .*: topic \(choices\), tone \(rating\)\."
    ):
        bring_in(store, "label-studio", path, control="tpic")


def test_an_export_with_controls_of_several_projects_is_recognised(store: Store, isolated: Path) -> None:
    for number, control in enumerate(("topic", "tone")):
        path = write_json(isolated / f"{number}.json", [task(chosen(control, "aid"), text=f"Text {number}.")])
        bring_in(store, "label-studio", path)
    export(store, "label-studio", isolated / "out.json")

    assert bring_in(store, "label-studio", isolated / "out.json") == (0, 2, {})


def test_a_prediction_of_another_kind_is_no_suggestion_of_none(store: Store, isolated: Path) -> None:
    predictions = [{"id": 1, "result": [result("tone", "rating", {"rating": 4})]}]
    bring_in(
        store,
        "label-studio",
        write_json(isolated / "in.json", [task(chosen("topic", "aid")) | {"predictions": predictions}]),
    )

    assert [event.suggestion for event in store.events.all()] == [None]


def test_a_cancelled_annotation_must_say_so_by_a_boolean(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [task(chosen("topic", "aid"), was_cancelled="true")])

    with pytest.raises(DataError, match=r"in\.json:1: `was_cancelled` must be true or false"):
        bring_in(store, "label-studio", path)


# -- JSON_MIN


def flat(**changes: Any) -> Row:
    """A flat annotation."""
    return {"text": TEXT, "page": "x", "annotator": 1, "annotation_id": 11, "lead_time": 2.0} | changes


FLAT: list[tuple[str, Any]] = [
    ("taxonomy", [{"taxonomy": [["support", "aid"]]}]),
    ("spans", [SPAN | {"labels": ["aid"]}]),
    ("choices for spans", [SPAN | {"choices": ["aid"]}]),
    ("pairwise", [{"selected": "aid"}]),
]


@pytest.mark.parametrize(("kind", "value"), FLAT, ids=[kind for kind, _ in FLAT])
def test_a_flat_result_that_is_not_a_choice_is_left_out_or_named(
    store: Store, isolated: Path, kind: str, value: Any
) -> None:
    path = write_json(isolated / "in.json", [flat(label="truce", text="Stop."), flat(label=value)])

    done = imported(store, "label-studio-min", path)
    assert (done.new, done.unseen) == (1, {"annotations whose `label` is not a choice": 1})
    assert unseen(store) == [TEXT]
    assert bring_in(store, "label-studio-min", path, control="label")[0] == 1
    assert decided(store)[-1] == (TEXT, "1", "reviewed", ("aid",))


def test_a_choice_under_another_key_needs_its_name(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [flat(topic="aid"), flat(text="It rained.")])

    with pytest.raises(DataError, match=r"in\.json: no record has the key `label`.*Keys in this file: page, topic\."):
        bring_in(store, "label-studio-min", path)
    assert bring_in(store, "label-studio-min", path, control="topic") == (2, 0, {})
    assert decided(store) == [(TEXT, "1", "reviewed", ("aid",)), ("It rained.", "1", "reviewed", ())]


def test_choices_under_two_keys_need_a_name(store: Store, isolated: Path) -> None:
    path = write_json(
        isolated / "in.json", [flat(label="aid"), flat(topic={"choices": ["aid", "truce"]}, text="Stop.")]
    )

    with pytest.raises(DataError, match=r"in\.json: there are several keys that may contain labels: label.*, topic"):
        bring_in(store, "label-studio-min", path)
    assert bring_in(store, "label-studio-min", path, control="label,topic") == (2, 0, {})
    assert decided(store)[1] == ("Stop.", "1", "reviewed", ("aid", "truce"))


def test_a_label_under_another_key_than_the_other_records_is_not_none(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [flat(label="aid"), flat(topic="truce", text="Stop.")])

    assert bring_in(store, "label-studio-min", path) == (1, 0, {"annotations with a label under another key": 1})
    assert unseen(store) == ["Stop."]


def test_a_label_in_the_data_of_a_task_without_annotation_is_no_decision(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [flat(label="aid"), flat(label="truce", text="Stop.", annotation_id=None)])

    assert bring_in(store, "label-studio-min", path) == (1, 0, {"tasks without an annotation": 1})


def test_a_null_label_is_no_decision(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [flat(label="aid"), flat(label=None, text="Stop.")])

    assert bring_in(store, "label-studio-min", path) == (1, 0, {"records without a label": 1})


# -- Prodigy


def test_a_choice_without_accept_is_no_decision(store: Store, write_jsonl: Write) -> None:
    without = {key: value for key, value in choice(text="It rained.").items() if key != "accept"}
    path = write_jsonl("in.jsonl", [choice(), without, choice(text="It snowed.", accept=None)])

    assert bring_in(store, "prodigy", path) == (1, 0, {"choice records without `accept`": 2})
    assert unseen(store) == ["It rained.", "It snowed."]


OTHER_TASKS: list[tuple[str, Row, str]] = [
    (
        "spans",
        {"spans": [SPAN | {"label": "aid"}], "_view_id": "spans_manual"},
        "records of the interface spans_manual",
    ),
    ("relations", {"relations": [{"head": 0, "child": 3, "label": "aid"}]}, "records without `accept` or `label`"),
    ("topic", {"topic": "aid", "_view_id": "text_input"}, "records of the interface text_input"),
]


@pytest.mark.parametrize(("key", "record", "reason"), OTHER_TASKS, ids=[key for key, *_ in OTHER_TASKS])
def test_records_of_other_interfaces_are_left_out_or_named(
    store: Store, write_jsonl: Write, isolated: Path, key: str, record: Row, reason: str
) -> None:
    shared = {"answer": "accept", "_annotator_id": "ana"}
    records = [
        {"text": TEXT} | record | shared,
        {"text": "It rained."} | record | shared | {key: []},
        {"text": "What?"} | record | shared | {"answer": "ignore"},
        {"text": "New.", **shared},
    ]
    path = write_jsonl("in.jsonl", records)

    assert sum(imported(store, "prodigy", path).unseen.values()) == 4
    assert imported(store, "prodigy", path).unseen[reason] >= 3
    assert store.events.all() == []
    assert bring_in(store, "prodigy", path, control=key) == (3, 0, {f"records without `{key}`": 1})
    assert decided(store) == [
        (TEXT, "ana", "reviewed", ("aid",)),
        ("It rained.", "ana", "reviewed", ()),
        ("What?", "ana", "skipped", ()),
    ]
    export(store, "prodigy", isolated / "out.jsonl")
    assert bring_in(store, "prodigy", isolated / "out.jsonl") == (0, 3, {})


def test_an_unknown_key_of_prodigy_is_refused(store: Store, write_jsonl: Write) -> None:
    with pytest.raises(DataError, match=r"in\.jsonl: no record has the control 'span'.*in this file: accept\."):
        bring_in(store, "prodigy", write_jsonl("in.jsonl", [choice()]), control="span")


def test_labels_that_were_not_asked_are_reported(store: Store, write_jsonl: Write) -> None:
    records = [
        *(binary(label, "reject") for label in ("aid", "truce")),
        binary("aid", "reject", text="It rained.", _input_hash=8),
        binary("aid", "ignore", text="What?", _input_hash=9),
    ]

    (note,) = imported(store, "prodigy", write_jsonl("in.jsonl", records), annotator="ana").notes
    assert note.startswith("binary records: for 1 of 2 texts, annotators were not asked about every label.")


# -- Argilla


def answered(question: str, *values: Any, text: str = TEXT) -> Row:
    """A record with submitted responses to one question."""
    return {
        "text": text,
        f"{question}.responses": list(values),
        f"{question}.responses.users": ["ana", "ben"][: len(values)],
        f"{question}.responses.status": ["submitted"] * len(values),
    }


ANSWERS: list[tuple[str, Any, tuple[str, ...]]] = [
    ("a span", [SPAN | {"label": "aid"}], ("aid",)),
    ("a rating", 4, ("4",)),
    ("a ranking", [{"value": "aid", "rank": 1}], ()),
]


@pytest.mark.parametrize(("value", "labels"), [pytest.param(*rest, id=name) for name, *rest in ANSWERS])
def test_a_question_that_is_not_about_labels_is_left_out_or_named(
    store: Store, write_jsonl: Write, isolated: Path, value: Any, labels: tuple[str, ...]
) -> None:
    path = write_jsonl("in.jsonl", [answered("quality", value)])

    done = imported(store, "argilla", path)
    assert (done.new, done.left_out) == (0, {"responses that are not label names": 1})
    assert done.unseen == {"unanswered records": 1}
    if labels == ("aid",):
        assert bring_in(store, "argilla", path, control="quality") == (1, 0, {})
        assert decided(store) == [(TEXT, "ana", "reviewed", labels)]
        export(store, "argilla", isolated / "out.jsonl")
        assert bring_in(store, "argilla", isolated / "out.jsonl") == (0, 1, {})
    else:
        with pytest.raises(DataError, match=r"in\.jsonl:1: (label '4' is not in|this value has no label names)"):
            bring_in(store, "argilla", path, control="quality")


def test_several_questions_need_a_name(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [answered("mood", "truce") | answered("topic", "aid")])

    with pytest.raises(DataError, match=r"in\.jsonl: there are several questions: mood, topic\. .*--control NAME"):
        bring_in(store, "argilla", path)
    assert bring_in(store, "argilla", path, control="topic") == (1, 0, {})
    assert decided(store) == [(TEXT, "ana", "reviewed", ("aid",))]


def test_another_question_of_a_record_is_not_taken_for_the_labels(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [answered("label", "aid"), answered("mood", "truce", text="Stop.")])

    assert bring_in(store, "argilla", path) == (1, 0, {"records without an answer to `label`": 1})
    assert unseen(store) == ["Stop."]


def test_a_submitted_response_without_a_value_is_not_none(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [answered("label", None, ["aid"])])

    assert bring_in(store, "argilla", path) == (1, 0, {"submitted responses without an answer": 1})
    assert decided(store) == [(TEXT, "ben", "reviewed", ("aid",))]


def test_responses_without_a_status_are_refused(store: Store, write_jsonl: Write) -> None:
    record = {"text": TEXT, "label.responses": ["aid"], "label.responses.users": ["ana"]}

    with pytest.raises(DataError, match=r"in\.jsonl:1: .*must be lists of the same length"):
        bring_in(store, "argilla", write_jsonl("in.jsonl", [record]))


def test_an_export_with_several_questions_is_recognised(store: Store, write_jsonl: Write, isolated: Path) -> None:
    for question in ("label", "topic"):
        bring_in(store, "argilla", write_jsonl("in.jsonl", [answered(question, ["aid"], text=f"About {question}.")]))
    export(store, "argilla", isolated / "out.jsonl")

    assert bring_in(store, "argilla", isolated / "out.jsonl") == (0, 2, {})


# -- doccano


def test_spans_of_doccano_are_left_out_or_named(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("ana.jsonl", [{"id": 1, "text": TEXT, "label": [[0, 4, "aid"]], "Comments": []}])

    assert bring_in(store, "doccano", path) == (0, 0, {"records with spans": 1})
    assert unseen(store) == [TEXT]
    assert bring_in(store, "doccano", path, control="label") == (1, 0, {})
    assert decided(store) == [(TEXT, "ana", "reviewed", ("aid",))]


def test_another_key_of_doccano_needs_its_name(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("ana.jsonl", [{"id": 1, "text": TEXT, "entities": [], "cats": ["aid"]}])

    with pytest.raises(
        DataError, match=r"ana\.jsonl:1: this record has no key `label`\. Its keys: id, text, entities, cats"
    ):
        bring_in(store, "doccano", path)
    assert bring_in(store, "doccano", path, control="cats") == (1, 0, {})


def test_records_that_nobody_labelled_have_no_annotator_unknown(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("unknown.jsonl", [{"id": 1, "text": TEXT, "label": ["aid"], "Comments": []}])

    with pytest.raises(DataError, match=r"unknown\.jsonl:1: this record does not name an annotator"):
        bring_in(store, "doccano", path)


# -- the option


def test_a_format_without_controls_refuses_the_option(store: Store, write_jsonl: Write) -> None:
    with pytest.raises(DataError.__mro__[1], match=r"format csv has no option 'control'"):
        bring_in(store, "jsonl", write_jsonl("in.jsonl", [{"text": TEXT, "label": "aid"}]), control="label")


def test_the_command_names_the_controls(isolated: Path) -> None:
    (isolated / "book.toml").write_text('name = "small"\n[[labels]]\nname = "aid"\n[[labels]]\nname = "truce"\n')
    write_json(isolated / "in.json", [task(chosen("topic", "aid"), chosen("tone", "truce"))])
    arguments = ["annotations", "import", "in.json", "--format", "label-studio", "--codebook", "book.toml"]

    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "there are several controls: topic (choices), tone (choices)" in refused.stderr
    assert not (isolated / "communique.db").exists()
    done = CliRunner().invoke(app, [*arguments, "--control", "topic"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:-1] == [
        "Decisions added to communique.db: 1 (already there: 0).",
        "Sentences in the file: 1, of which 0 were already in the store.",
        "Left out: results of tone (choices) (1).",
    ]
