"""Sentences go to another tool as tasks, and the answers that the tool writes come back to the same sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import DataError, InputError
from labels.exchange.driver import OVERRULED, export_tasks, import_file
from labels.records import Annotation, Document
from labels.sampling.drawing import DrawRequest
from labels.store import Store
from labels.text.sentences import split_sentences
from tests.labels.exchange.steps import Row, write_json
from tests.labels.store.builders import decision

ARTICLE = (
    "Oslo will send fuel to its neighbour. Paris urged both sides to stop. It rained all day. Rome refused the plan."
)
EARLIER, LATER = "2026-01-01T10:00:00+00:00", "2999-01-01T10:00:00+00:00"


@dataclass(frozen=True)
class Tool:
    """A tool: its file of tasks, and the record that it writes for a task with an answer.

    `answer` takes a task, the labels (None: skipped; "": not answered), the tool's user, and the time of the answer.
    """

    name: str
    tasks: str
    project: str
    answer: Callable[[Row, Any, str, str], Row]
    array: bool = False
    times: bool = True
    skips: bool = True
    users: bool = True


def _label_studio(task: Row, labels: Any, user: str, moment: str) -> Row:
    """A task as Label Studio 1.13 exports it in JSON."""
    value = {"choices": labels}
    result = [
        {"value": value, "id": "q", "from_name": "label", "to_name": "text", "type": "choices", "origin": "manual"}
    ]
    annotation = {
        "id": 71,
        "completed_by": user,
        "result": result if labels else [],
        "was_cancelled": labels is None,
        "ground_truth": False,
        "created_at": moment,
        "updated_at": moment,
        "draft_created_at": None,
        "lead_time": 7.5,
        "prediction": {},
        "result_count": 0,
        "unique_id": "c1",
        "import_id": None,
        "last_action": None,
        "task": 5,
        "project": 2,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    }
    return {
        "id": 5,
        "annotations": [] if labels == "" else [annotation],
        "file_upload": "8f-tasks.json",
        "drafts": [],
        "predictions": [],
        "data": task["data"],
        "meta": {},
        "created_at": EARLIER,
        "updated_at": moment,
        "inner_id": 1,
        "total_annotations": 1,
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 2,
        "updated_by": 1,
        "comment_authors": [],
    }


def _prodigy(task: Row, labels: Any, user: str, moment: str) -> Row:
    """A record as `prodigy db-out` writes it after `prodigy mark --view-id choice`."""
    from datetime import datetime

    record = task | {"_input_hash": -11, "_task_hash": 12, "_view_id": "choice"}
    if labels == "":
        return record
    answer = {"accept": [], "answer": "ignore"} if labels is None else {"accept": labels, "answer": "accept"}
    named = {"_annotator_id": user, "_session_id": f"set-{user}"}
    return record | answer | {"_timestamp": int(datetime.fromisoformat(moment).timestamp()), **named}


def _doccano(task: Row, labels: Any, user: str, moment: str) -> Row:
    """A record as doccano exports it in JSONL: the metadata beside the text, and no sign of a skip."""
    meta = {key: value for key, value in task.items() if key not in ("text", "label")}
    return {"id": 9, "text": task["text"], **meta, "label": labels or [], "Comments": []}


TOOLS = [
    Tool("label-studio", "tasks.json", "tasks.config.xml", _label_studio, array=True),
    Tool("prodigy", "tasks.jsonl", "tasks.labels.txt", _prodigy),
    Tool("doccano", "tasks.jsonl", "tasks.labels.json", _doccano, times=False, skips=False, users=False),
]


@pytest.fixture(params=TOOLS, ids=lambda tool: tool.name)
def tool(request: pytest.FixtureRequest) -> Tool:
    found: Tool = request.param
    return found


@pytest.fixture
def ids(store: Store) -> list[str]:
    """The sentences of an article in the store."""
    document = Document("wire", ARTICLE, title="Fuel", date="2026-01-01")
    store.documents.add_new([(document, split_sentences(document))])
    return [one.id for one in store.documents.sentences()]


def tasks_for(store: Store, tool: Tool, codebook: Codebook, annotator: str = "ana", **more: Any) -> list[Row]:
    """The tasks that are written for the tool."""
    request = DrawRequest(**({"size": 4} | more)) if annotator else None
    export_tasks(store, tool.tasks, codebook, tool.name, annotator, request)
    content = Path(tool.tasks).read_text(encoding="utf-8")
    found: list[Row] = json.loads(content) if tool.array else [json.loads(line) for line in content.splitlines()]
    return found


def text_of(task: Row) -> str:
    return str(task.get("text") or task["data"]["text"])


def bring(store: Store, tool: Tool, codebook: Codebook, records: list[Row], annotator: str = "ana") -> Any:
    """Import what the tool has written."""
    path = Path("answers.json" if tool.array else "answers.jsonl")
    if tool.array:
        write_json(path, records)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return import_file(store, path, codebook, tool.name, annotator)


def test_answers_come_back_to_their_sentences_and_draw(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook
) -> None:
    tasks = tasks_for(store, tool, codebook)
    (draw,) = store.draws.last("ana", ["random"])
    given = (["aid"], ["truce", "aid"], None, "")
    answers = [tool.answer(task, labels, "7", LATER) for task, labels in zip(tasks, given, strict=True)]

    done = bring(store, tool, codebook, answers)
    found = {event.sentence_id: event for event in store.events.all()}
    expected = {draw.items[0].sentence_id: ("aid",), draw.items[1].sentence_id: ("aid", "truce")}
    assert {one: event.labels for one, event in found.items() if event.state == "reviewed"} == expected
    skipped = {one for one, event in found.items() if event.state == "skipped"}
    assert skipped == ({draw.items[2].sentence_id} if tool.skips else set())
    assert {(event.annotator, event.draw_id, event.strategy) for event in found.values()} == {
        ("ana", draw.id, "random")
    }
    assert {event.inclusion_probability for event in found.values()} == {1.0}
    assert sum(done.unseen.values()) == 4 - len(found)
    assert store.counts.texts().sentences == 4
    assert ("'7' is recorded as 'ana', for whom the tasks were drawn" in done.notes) == tool.users
    assert store.draws.hold_pending([draw], expires_at=LATER) == set(ids) - found.keys()

    again = bring(store, tool, codebook, answers)
    assert (again.new, again.known) == (0, len(found))


def test_answers_survive_a_round_trip_as_decisions(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook
) -> None:
    from labels.exchange.driver import export_file

    bring(store, tool, codebook, [tool.answer(task, ["aid"], "7", LATER) for task in tasks_for(store, tool, codebook)])
    export_file(store, f"again{Path(tool.tasks).suffix}", codebook, tool.name)

    done = import_file(store, f"again{Path(tool.tasks).suffix}", codebook, tool.name, "ana")
    assert (done.new, done.known) == (0, 4)


def test_nothing_applies_is_an_answer(store: Store, ids: list[str], tool: Tool, codebook: Codebook) -> None:
    task = tasks_for(store, tool, codebook)[0]
    bring(store, tool, codebook, [tool.answer(task, [] if tool.skips else ["none"], "ana", LATER)])

    assert [(event.state, event.labels) for event in store.events.all()] == [("reviewed", ())]


def test_a_sentence_decided_meanwhile_keeps_the_later_decision(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook
) -> None:
    tasks = tasks_for(store, tool, codebook)
    (draw,) = store.draws.last("ana", ["random"])
    first, second, *_ = (item.sentence_id for item in draw.items)
    store.events.add([decision(first, "ana", created_at=LATER), decision(second, "ben", created_at=LATER)])
    answers = [tool.answer(task, ["aid"], "ana", EARLIER) for task in tasks[:2]]

    done = bring(store, tool, codebook, answers)
    assert done.left_out == {OVERRULED: 1}
    assert {(event.sentence_id, event.annotator, event.labels) for event in store.events.all()} == {
        (first, "ana", ()),
        (second, "ben", ()),
        (second, "ana", ("aid",)),
    }


def test_a_later_answer_replaces_an_earlier_decision(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook
) -> None:
    tasks = tasks_for(store, tool, codebook)
    (draw,) = store.draws.last("ana", ["random"])
    store.events.add([decision(draw.items[0].sentence_id, "ana", created_at=EARLIER)])

    done = bring(store, tool, codebook, [tool.answer(tasks[0], ["aid"], "ana", "2998-01-01T10:00:00+00:00")])
    assert (done.new, done.left_out) == (1, {})


def test_an_edited_text_is_refused(store: Store, ids: list[str], tool: Tool, codebook: Codebook) -> None:
    tasks = tasks_for(store, tool, codebook)
    (tasks[1]["data"] if tool.array else tasks[1])["text"] = "Another text."
    answers = [tool.answer(task, ["aid"], "ana", LATER) for task in tasks]

    with pytest.raises(DataError, match=r"answers\.jsonl?:2: sentence .* 'Another text\.' in the file, .* restore it"):
        bring(store, tool, codebook, answers)
    assert store.events.all() == []


@pytest.mark.parametrize(
    "change", [{"start": 1}, {"start": "a"}, {"more": 1}, {"inclusion_probability": 2}, {"document_id": 7}, None]
)
def test_an_edited_stamp_is_refused(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook, change: Row | None
) -> None:
    task = tasks_for(store, tool, codebook)[0]
    place = task["data"] if tool.array else task.get("meta", task)
    place["communique"]["task"] = change and place["communique"]["task"] | change

    with pytest.raises(DataError, match=r"answers\.jsonl?:1: the value of `communique` was altered"):
        bring(store, tool, codebook, [tool.answer(task, ["aid"], "ana", LATER)])


def test_a_removed_stamp_makes_a_new_document(store: Store, ids: list[str], tool: Tool, codebook: Codebook) -> None:
    task = tasks_for(store, tool, codebook)[0]
    del (task["data"] if tool.array else task.get("meta", task))["communique"]
    bring(store, tool, codebook, [tool.answer(task, ["aid"], "ana", LATER)])

    assert [event.sentence_id in ids for event in store.events.all()] == [False]
    assert store.counts.texts().sentences == 5


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.users], indirect=True, ids=lambda tool: tool.name)
def test_other_users_answer_under_their_names(store: Store, ids: list[str], tool: Tool, codebook: Codebook) -> None:
    tasks = tasks_for(store, tool, codebook)
    answers = [tool.answer(task, ["aid"], user, LATER) for task, user in zip(tasks, ("ben", "eva"), strict=False)]

    with pytest.raises(DataError, match=r"the tasks drawn for ana were answered by ben and eva\. Remove --annotator"):
        bring(store, tool, codebook, answers)
    bring(store, tool, codebook, answers, annotator="")
    found = store.events.all()
    assert {(event.annotator, event.strategy) for event in found} == {("ben", "random"), ("eva", "random")}
    assert store.draws.last("ana", ["random"])[0].id not in {event.draw_id for event in found}


def test_all_free_sentences_are_drawn_for_nobody(store: Store, ids: list[str], tool: Tool, codebook: Codebook) -> None:
    store.events.add([decision(ids[0], "ben")])
    tasks = tasks_for(store, tool, codebook, annotator="")
    assert len(tasks) == 3
    assert store.draws.annotators() == []

    bring(store, tool, codebook, [tool.answer(task, ["aid"], "zoe", LATER) for task in tasks], annotator="zoe")
    found: list[Annotation] = store.events.all(annotator="zoe")
    assert {event.sentence_id for event in found} == set(ids[1:])
    assert {(event.strategy, event.inclusion_probability) for event in found} == {("", None)}


def test_tasks_of_one_store_can_be_answered_into_another(
    store: Store, new_store: Callable[[], Store], ids: list[str], tool: Tool, codebook: Codebook
) -> None:
    answers = [tool.answer(task, ["aid"], "ana", LATER) for task in tasks_for(store, tool, codebook)]

    with new_store() as other:
        bring(other, tool, codebook, answers)
        assert {event.sentence_id for event in other.events.all()} == set(ids)


def test_the_project_names_every_label(store: Store, ids: list[str], tool: Tool, codebook: Codebook) -> None:
    tasks = tasks_for(store, tool, codebook)
    content = Path(tool.project).read_text(encoding="utf-8")
    if tool.name == "label-studio":
        root = ElementTree.fromstring(content)
        (choices,) = root.iter("Choices")
        assert choices.attrib == {"name": "label", "toName": "text", "choice": "multiple"}
        assert [choice.get("alias") for choice in choices] == list(codebook.label_names)
        shown = {str(node.get("value")) for node in root if str(node.get("value")).startswith("$")}
        assert {f"${key}" for key in tasks[0]["data"]} - {"$communique", "$date"} == shown
        first = next(task for task in tasks if text_of(task).startswith("Paris"))["data"]
        assert (first["before"], first["title"]) == ("Oslo will send fuel to its neighbour.", "Fuel")
    elif tool.name == "prodigy":
        assert content.split() == list(codebook.label_names)
        assert [option["id"] for option in tasks[0]["options"]] == list(codebook.label_names)
    else:
        assert [kind["text"] for kind in json.loads(content)] == [*codebook.label_names, "none"]


def test_doccano_gets_only_the_shortcuts_that_it_allows(store: Store, ids: list[str]) -> None:
    keys = ("a", "Z", "é", "7")
    labels = [{"name": f"l{place}", "key": key} for place, key in enumerate(keys)]
    export_tasks(store, "tasks.jsonl", codebook_from_dict({"name": "keys", "labels": labels}, "keys"), "doccano")
    kinds = json.loads(Path("tasks.labels.json").read_text(encoding="utf-8"))

    assert [kind["suffix_key"] for kind in kinds] == ["a", None, None, "7", None]


def test_only_some_formats_have_tasks(store: Store, ids: list[str], codebook: Codebook) -> None:
    with pytest.raises(InputError, match=r"csv has no tasks\. Use one of prodigy, label-studio, doccano"):
        export_tasks(store, "tasks.csv", codebook, "csv", "ana")
    assert store.draws.annotators() == []


def test_without_sentences_the_cause_is_named(store: Store, tool: Tool, codebook: Codebook) -> None:
    for annotator in ("ana", ""):
        with pytest.raises(InputError, match="there is nothing to label"):
            export_tasks(store, tool.tasks, codebook, tool.name, annotator)
    assert not Path(tool.tasks).exists()


@pytest.mark.parametrize("annotator", ["", "eva"])
def test_answers_under_one_other_name_are_refused(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook, annotator: str
) -> None:
    answers = [tool.answer(task, ["aid"], "7", LATER) for task in tasks_for(store, tool, codebook)]
    who = "7" if tool.users else "answers"

    with pytest.raises(DataError, match=rf"drawn for ana, but the file names '{who}'\. .*use `--annotator ana`"):
        bring(store, tool, codebook, answers, annotator)
    assert store.events.all() == []
    bring(store, tool, codebook, answers, annotator=who)  # another person, as the file says
    assert {event.annotator for event in store.events.all()} == {who}


def test_sessions_without_a_name_are_nobody(store: Store, ids: list[str], codebook: Codebook) -> None:
    tool = next(one for one in TOOLS if one.name == "prodigy")
    session = {"_annotator_id": "set-2026-01-01_10-00-00", "_session_id": "set-2026-01-01_10-00-00"}
    answers = [tool.answer(task, ["aid"], "", LATER) | session for task in tasks_for(store, tool, codebook)]

    for annotator in ("", "eva"):
        with pytest.raises(DataError, match=r"these tasks were drawn for ana.* use `--annotator ana`"):
            bring(store, tool, codebook, answers, annotator)
    bring(store, tool, codebook, answers)
    assert {event.annotator for event in store.events.all()} == {"ana"}


@pytest.mark.parametrize("answered", [False, True], ids=["as written", "answered"])
@pytest.mark.parametrize("format", ["jsonl", "csv", *(one.name for one in TOOLS), "label-studio-min", "argilla"])
def test_a_file_of_another_tool_is_refused(
    store: Store, ids: list[str], tool: Tool, codebook: Codebook, format: str, answered: bool
) -> None:
    tasks = tasks_for(store, tool, codebook)
    path = Path(tool.tasks)
    if answered:
        records = [tool.answer(task, ["aid"], "ana", LATER) for task in tasks]
        path.write_text(json.dumps(records) if tool.array else "\n".join(map(json.dumps, records)), encoding="utf-8")
    if format == tool.name:
        assert import_file(store, path, codebook, format, "ana").new == (4 if answered else 0)
        return

    with pytest.raises(InputError, match=rf"is in the format {tool.name}\.|files in format {format} have the ext"):
        import_file(store, path, codebook, format, "ana")
    assert store.events.all() == []
    assert store.counts.texts().sentences == 4


def test_decisions_written_for_another_tool_add_no_texts(store: Store, ids: list[str], codebook: Codebook) -> None:
    from labels.exchange.driver import export_file

    store.events.add([decision(ids[0], "ana")])
    export_file(store, "ana.jsonl", codebook, "doccano")

    with pytest.raises(DataError, match=r"ana\.jsonl:1: this record is in the format doccano"):
        import_file(store, "ana.jsonl", codebook, "prodigy")
    for name in ("argilla", "jsonl"):
        assert import_file(store, "ana.jsonl", codebook, name).new == 0
    assert store.counts.texts().sentences == 4
