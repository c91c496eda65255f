"""What a new project of Label Studio needs: tasks without annotations, and the labelling configuration."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from labels.codebook.schema import Codebook, Label
from labels.exchange.stamps import Task
from labels.records import Sentence
from labels.text.rows import Row


def task_record(task: Task) -> Row:
    """A task with the sentences around the sentence. Every task has every key, which the configuration shows."""
    around = {"before": _joined(task.context.before), "after": _joined(task.context.after)}
    return {"data": {"text": task.sentence.text, "title": "", "date": ""} | around | task.meta}


def _joined(sentences: Iterable[Sentence]) -> str:
    return " ".join(one.text for one in sentences)


def configuration(codebook: Codebook) -> str:
    """The configuration in Label Studio's XML: the sentence in its context, and one choice a label.

    The name of a label is the alias of its choice, so that results have names, and annotators see titles.
    """
    style = "single" if codebook.exclusive else "multiple"
    lines = (
        "<View>",
        '  <Header value="$title" size="5"/>',
        '  <Text name="before" value="$before"/>',
        '  <Text name="text" value="$text" highlightColor="#fff3bf"/>',
        '  <Text name="after" value="$after"/>',
        f'  <Choices name="label" toName="text" choice="{style}">',
        *(f"    <Choice {_attributes(label)}/>" for label in codebook.labels),
        "  </Choices>",
        "</View>",
    )
    return "\n".join(lines) + "\n"


def _attributes(label: Label) -> str:
    values = {"value": label.title or label.name, "alias": label.name, "hotkey": label.key, "hint": label.definition}
    return " ".join(f"{name}={quoteattr(value)}" for name, value in values.items() if value)
