"""Parts of the labelling screen: the text, the labels to choose from, and the codebook."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static

from labels.annotate.render import LABEL
from labels.annotate.shown import Hanging, ShownText
from labels.codebook.schema import Codebook, Label
from labels.unicode import search_form

Depth = Literal["rules", "definitions", "hidden"]
"""How much of the codebook is shown."""
_MARK = re.compile(r" ([+-]|yes:|no:) ")
_TURNS: dict[Depth, Depth] = {"rules": "definitions", "definitions": "hidden", "hidden": "rules"}


class TextPane(VerticalScroll):
    """The sentence with its context. Whenever the pane gets another size, it scrolls to the sentence."""

    def __init__(self) -> None:
        super().__init__(id="text", can_focus=False)

    def compose(self) -> ComposeResult:
        """Yield the context before the sentence, the sentence, and the context after it."""
        yield Static(id="before")
        yield Static(id="sentence")
        yield Static(id="after")

    def on_resize(self) -> None:
        """Keep the sentence in view."""
        self.show_sentence()

    def show_sentence(self) -> None:
        """Scroll to the beginning of the sentence, once the new contents have their places."""
        self.call_after_refresh(self.query_one("#sentence").scroll_visible, animate=False, immediate=True)


class LabelPanel(VerticalScroll):
    """The labels to choose from; a click on a label ticks it."""

    class Clicked(Message):
        """A label was clicked on."""

        def __init__(self, label: str) -> None:
            super().__init__()
            self.label = label

    def __init__(self) -> None:
        super().__init__(id="labels", can_focus=False)

    def compose(self) -> ComposeResult:
        """Yield the text with all labels."""
        yield Static(id="choices")

    def on_click(self, event: events.Click) -> None:
        """Report the label under the mouse."""
        label = event.style.meta.get(LABEL)
        if label:
            self.post_message(self.Clicked(str(label)))


class BookPanel(VerticalScroll):
    """The codebook: all rules, definitions only, or hidden; or only what contains the words that are searched for."""

    def __init__(self, codebook: Codebook) -> None:
        super().__init__(id="codebook", can_focus=False)
        self._codebook = codebook
        self._words = ""
        self._first: tuple[str, ...] = ()
        self.depth: Depth = "rules"

    def compose(self) -> ComposeResult:
        """Yield the page."""
        yield Static(id="rules")

    def show(self, depth: Depth) -> None:
        """Show the codebook at another depth, without a search."""
        self.depth, self._words = depth, ""
        self.display = depth != "hidden"
        self._fill()

    def toggle(self, depth: Depth) -> None:
        """Show the codebook at a depth, or hide it if it is shown so."""
        self.show("hidden" if self.depth == depth and not self._words else depth)

    def turn(self) -> None:
        """Go to the next depth."""
        self.show(_TURNS[self.depth])

    def search(self, words: str) -> None:
        """Show only what contains all words; everything if there are none."""
        if words != self._words:
            self._words = words
            self._fill()
            self.scroll_home(animate=False, immediate=True)

    def put_first(self, labels: tuple[str, ...]) -> None:
        """Begin with certain labels, because the task is only about these."""
        if labels != self._first:
            self._first = labels
            self._fill()
            self.scroll_home(animate=False, immediate=True)

    @property
    def searching(self) -> bool:
        """Whether only what contains the words is shown."""
        return bool(self._words.split())

    def _fill(self) -> None:
        if self.searching:
            hint = ShownText(f"Only what contains “{self._words.strip()}”. Esc shows all.\n\n", style="magenta")
            page = hint.append_text(found_text(self._codebook, self._words))
        else:
            page = book_text(self._codebook, full=self.depth == "rules", first=self._first)
        self.query_one("#rules", Static).update(Hanging(page, _indent))


def _indent(line: str) -> int:
    """The width of the mark of a rule or an example."""
    mark = _MARK.match(line)
    return mark.end() if mark else 0


def book_text(codebook: Codebook, *, full: bool, first: Sequence[str] = ()) -> Text:
    """The codebook's definitions, those of the labels `first` before the others; if `full`, also rules and examples."""
    page = ShownText.assemble((f"{codebook.name} {codebook.version}", "bold"), "\n")
    keys = codebook.shown_keys
    for label in sorted(codebook.labels, key=lambda label: label.name not in first):
        page.append("\n").append_text(_head(label, keys[label.name]))
        page.append(f"{label.definition or 'No definition yet.'}\n")
        if full:
            for line in _rules(label):
                page.append_text(line)
    if full and codebook.rules:
        page.append("\nFor all\n", style="bold")
        for rule in codebook.rules:
            page.append(f" - {rule}\n")
    return page


def found_text(codebook: Codebook, words: str) -> Text:
    """What in the codebook contains all words, ignoring case and typography: rules, or whole labels by their names."""
    wanted = search_form(words).split()
    page, keys = ShownText(), codebook.shown_keys
    for label in codebook.labels:
        lines = [ShownText(f"{label.definition or 'No definition yet.'}\n"), *_rules(label)]
        by_name = _holds(f"{label.name} {label.title}", wanted)
        found = [line for line in lines if by_name or _holds(line.plain, wanted)]
        if found:
            page.append("\n" if page else "").append_text(_head(label, keys[label.name]))
            for line in found:
                page.append_text(line)
    common = [rule for rule in codebook.rules if _holds(rule, wanted)]
    if common:
        page.append("\nFor all\n" if page else "For all\n", style="bold")
        for rule in common:
            page.append(f" - {rule}\n")
    return page if page else ShownText(f"Nothing in the codebook contains '{words.strip()}'.", style="bold red")


def _holds(text: str, wanted: list[str]) -> bool:
    plain = search_form(text)
    return all(word in plain for word in wanted)


def _head(label: Label, key: str) -> Text:
    return ShownText.assemble((f" {key} ", "reverse"), (f" {label.name}\n", "bold"))


def _rules(label: Label) -> list[Text]:
    """The rules and examples of a label, one per line."""
    lines: list[Text] = []
    for mark, style, rules in (("+", "green", label.include), ("-", "red", label.exclude)):
        lines += [ShownText.assemble((f" {mark} ", f"bold {style}"), f"{rule}\n") for rule in rules]
    for mark, style, examples in (("yes", "green", label.examples), ("no", "red", label.counterexamples)):
        for example in examples:
            line = ShownText.assemble((f" {mark}: ", style), (f"“{example.text}”", "italic"))
            lines.append(line.append(f" {example.why}\n" if example.why else "\n", style="dim"))
    return lines
