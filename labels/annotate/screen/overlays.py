"""Overlays on the labelling screen, shown until they are closed: help, the whole article, the list of the draw."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from labels.annotate import render
from labels.annotate.article import Article
from labels.annotate.items import Entry
from labels.annotate.shown import Hanging, ShownText
from labels.errors import counted

HELP = """\
label keys   choose a label or remove it; exclusive codebook: decide
#            choose a label by the beginning of its name; or click on it
Enter        save the chosen labels and go on
n            none: you read the sentence, and no label applies
s            skip; skipped sentences come back at the end of the draw
F9, Ctrl-N   not a sentence: this text does not belong to the corpus
Ctrl-Y       accept the labels that the model suggests
u            undo the last decision; press again for earlier decisions
digits       at adjudication: take the whole answer of that coder
!            add a note, saved with the decision
left, right  go to the previous or next sentence, decided or not
End          go to the next undecided one; Ctrl-L draws the screen again
:            go to a sentence by its number
/  F7  F8    find words in this draw; find previous; find next
F4  F5       list of the draw; the whole article
F2  F3  Tab  codebook: definitions; all rules; next of the two or none
Ctrl-F       look for words in the codebook; Esc shows all of it again
up, down     scroll the text, whatever is open
PgUp, PgDn   scroll the codebook; Ctrl-up and Ctrl-down: the labels
q, Ctrl-C    quit; everything is saved, unconfirmed choices too
"""

_NAMED = {
    **{name: name for name in ("n", "s", "u", "!", "#", ":", "/", "left", "right", "up", "down", "q")},
    **{f"F{number}": f"f{number}" for number in range(1, 10)},
    **{f"Ctrl-{letter}": f"ctrl+{letter.lower()}" for letter in "NYLF"},
    "Enter": "enter",
    "End": "end",
    "Tab": "tab",
    "PgUp": "pageup",
    "PgDn": "pagedown",
}
"""The keys that can be clicked on in the help, and their names in Textual."""
_KEYS_WIDTH = 13
_ANY_KEY = "Any key closes this page."
_KEY = re.compile(r"[^\s,]+")


def help_text() -> Text:
    """The help. A click on a key, or on the text between it and the next key of the line, acts as the key."""
    page = ShownText()
    for line in HELP.splitlines():
        found = [match for match in _KEY.finditer(line[:_KEYS_WIDTH]) if match.group() in _NAMED]
        begun = len(page)
        page.append(f"{line}\n")
        # The last key of a line keeps the rest of the line: a later style hides an earlier one.
        for match in found:
            page.stylize(render.pressing(_NAMED[match.group()]), begun + match.start(), begun + len(line))
    return page.append(_ANY_KEY)


PAGES_CSS = """
    Page { background: transparent; }
    HelpPage { align: center middle; }
    #help { width: 78; max-width: 100%; height: auto; max-height: 100%; padding: 0 2; }
    #help { border: round $accent; background: $surface; scrollbar-size-vertical: 1; }
    #keys-help { height: auto; }
    #cover { width: 100%; height: 1fr; background: $background; }
    .wide #cover { width: 60%; }
    #article { height: 1fr; padding: 1 2; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    #earlier, #later { padding: 0 1 0 0; }
    #here { margin: 1 0; padding: 0 1; border-left: thick $accent; }
    #name { height: 1; padding: 0 1; background: $panel; }
    #entries { height: 1fr; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1; }
    #close { height: 1; padding: 0 1; background: $panel; }
    ListPage #cover, ListPage #close { visibility: hidden; }
    ListPage.settled #cover, ListPage.settled #close { visibility: visible; }
    /* What is hidden has no place to scroll to. */
    ArticlePage #cover, ArticlePage #close { offset-x: 1000; }
    ArticlePage.settled #cover, ArticlePage.settled #close { offset-x: 0; }
    #name, #close { text-wrap: nowrap; text-overflow: ellipsis; }
"""
"""The layout of all pages. In the CSS of the pages themselves, Textual would read it when a page is opened.

On a wide screen, a page covers only the text and the bottom bar: what stays at the side need not be written again.
"""
WIDE = 100
"""Minimum width in columns of a wide screen, on which the codebook stands beside the text."""


_STEPS = {"up": -2, "down": 2, "pageup": -12, "pagedown": 12}
"""Keys that scroll a page, and by how many lines."""


class Page(ModalScreen[None]):
    """A page over the screen. The application passes key presses to `press` and closes the page if it returns False."""

    def press(self, key: str) -> bool:
        """Act on a key; returns False if the key closes the page."""
        return False

    def settle(self, scroll: Callable[[], None]) -> None:
        """Scroll once everything has its place, then show the page: what is shown before is written for nothing."""

        def show() -> None:
            scroll()
            self.call_after_refresh(self.add_class, "settled")

        self.call_after_refresh(show)

    def on_click(self, event: events.Click) -> None:
        """Close the page if its last line or the help is clicked on."""
        if self.get_widget_at(*event.screen_offset)[0].id in ("close", "help", "keys-help"):
            self.dismiss()

    def on_resize(self, event: events.Resize) -> None:
        """Leave the side of a wide screen uncovered."""
        self.set_class(event.size.width >= WIDE, "wide")


class HelpPage(Page):
    """All keys. The arrow keys scroll if the page is too long, any other key closes it; a click on a key acts as it."""

    def compose(self) -> ComposeResult:
        """Yield one page of text."""
        with VerticalScroll(id="help", can_focus=False):
            yield Static(Hanging(help_text(), lambda line: _KEYS_WIDTH if line != _ANY_KEY else 0), id="keys-help")

    def on_mount(self) -> None:
        """Name the keys that scroll, if there is more than fits."""
        self.call_after_refresh(self._name_keys)

    def _name_keys(self) -> None:
        page = self.query_one("#help")
        page.border_subtitle = "up, down scroll; any other key closes" if page.max_scroll_y else ""

    def press(self, key: str) -> bool:
        """Scroll the help if it is longer than the screen."""
        page = self.query_one("#help")
        if key not in _STEPS or not page.max_scroll_y:
            return False
        page.scroll_relative(y=_STEPS[key], animate=False, immediate=True)
        return True


class ArticlePage(Page):
    """The whole article, with the sentence marked; the arrow keys scroll, any other key closes the page."""

    def __init__(self, article: Article) -> None:
        super().__init__()
        self._article = article

    def compose(self) -> ComposeResult:
        """Yield the title, the text around the sentence, and a line about the keys."""
        before, sentence, after = render.article_parts(self._article)
        with Vertical(id="cover"):
            yield Static(ShownText(f"{self._article.title}  {self._article.date}".strip()), id="name")
            with VerticalScroll(id="article", can_focus=False):
                yield Static(before, id="earlier")
                yield Static(sentence, id="here")
                yield Static(after, id="later")
        yield Static("Any other key: back   up, down, PgUp, PgDn: scroll", id="close")

    def on_mount(self) -> None:
        """Scroll to the sentence."""
        self.settle(self._scroll)

    def _scroll(self) -> None:
        sentence = self.query_one("#here").virtual_region
        self.query_one("#article").scroll_to_region(sentence, animate=False, immediate=True)

    def press(self, key: str) -> bool:
        """Scroll the article."""
        if key not in _STEPS:
            return False
        self.query_one("#article").scroll_relative(y=_STEPS[key], animate=False, immediate=True)
        return True


class ListPage(Page):
    """The sentences of a session with their states; Enter or a click goes to one.

    Args:
        entries: all sentences in order.
        position: the position of the current sentence, from 1; 0 if there is none.
        width: the width of the screen in columns.
        go_to: called with the position of the chosen sentence.
    """

    _MOVES: ClassVar = {
        "up": "cursor_up",
        "down": "cursor_down",
        "pageup": "page_up",
        "pagedown": "page_down",
        "home": "first",
        "end": "last",
    }

    def __init__(self, entries: Sequence[Entry], position: int, width: int, go_to: Callable[[int], None]) -> None:
        super().__init__()
        self._entries, self._position, self._width, self._go_to = entries, position, width, go_to

    def compose(self) -> ComposeResult:
        """Yield one row per sentence and a line about the keys."""
        # The rows leave room for the padding of the list and its scroll bar.
        width = self._width * 3 // 5 if self._width >= WIDE else self._width
        rows = (Option(render.entry(entry, width - 4)) for entry in self._entries)
        with Vertical(id="cover"):
            yield Static(counted(len(self._entries), "sentence"), id="name")
            yield OptionList(*rows, id="entries", markup=False)
        yield Static("Enter: go there  Esc: back   ✓ reviewed  s skipped  – not a sentence  … draft", id="close")

    def on_mount(self) -> None:
        """Highlight the current sentence."""
        # At once, because a key may already have been pressed.
        self._list.highlighted = max(self._position - 1, 0) if self._entries else None
        self.settle(self._list.scroll_to_highlight)

    @property
    def _list(self) -> OptionList:
        return self.query_one("#entries", OptionList)

    def press(self, key: str) -> bool:
        """Move in the list, or go to the highlighted sentence."""
        if key in self._MOVES:
            getattr(self._list, f"action_{self._MOVES[key]}")()
            return True
        if key == "enter" and self._list.highlighted is not None:
            self._go_to(self._list.highlighted + 1)
        return False

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go to the sentence that was clicked on."""
        self.dismiss()
        self._go_to(event.option_index + 1)

    async def on_event(self, event: events.Event) -> None:
        """Leave keys to the application: the list's own bindings would act on them a second time."""
        if not isinstance(event, events.Key):
            await super().on_event(event)
