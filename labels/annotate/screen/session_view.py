"""The view of a session: the layout of the screen, and what changes only what is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from rich.columns import Columns
from rich.console import RenderableType
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from textual import events
from textual._compositor import CompositorUpdate
from textual.app import App, ComposeResult
from textual.containers import Container, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from labels.annotate import render
from labels.annotate.items import Item
from labels.annotate.screen.overlays import PAGES_CSS, WIDE, ArticlePage, HelpPage, ListPage, Page
from labels.annotate.screen.painting import Changes, Frame
from labels.annotate.screen.panels import BookPanel, Depth, LabelPanel, TextPane
from labels.annotate.screen.text_line import TYPING_KEYS, TextLine
from labels.annotate.session import Session
from labels.codebook.schema import Codebook
from labels.errors import CommuniqueError
from labels.store import Draft

_RECENT_WIDTH, _RECENT = 120, 8
"""Minimum width in columns for showing recent decisions at the side, and their number."""
COLOURS = TerminalTheme(
    (18, 18, 18),
    (224, 224, 224),
    [
        (26, 26, 26),
        (255, 110, 110),
        (152, 224, 36),
        (255, 190, 80),
        (120, 175, 255),
        (220, 160, 255),
        (88, 209, 235),
        (196, 197, 181),
    ],
)
"""The colours of names such as "red", each readable on the background. In Textual's own, magenta and red are the same.

Nothing but errors and exclusions is red: notes and news are magenta.
"""
EDGE = "There are no more sentences in that direction."

Part = TypeVar("Part", bound=Widget)


class SessionView(App[None]):
    """Shows the current sentence of a session with its draft; `CodingApp` adds the keys that decide."""

    TITLE = "communique"
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = False
    CSS = (
        """
    #top { height: 1; background: $panel; padding: 0 1; }
    #body { height: 1fr; layout: horizontal; }
    #page { width: 3fr; height: 100%; }
    #side { width: 2fr; height: 100%; border-left: solid $panel-lighten-2; }
    #body.narrow { layout: vertical; }
    #body.narrow #page { width: 100%; height: 3fr; }
    #body.narrow #side { width: 100%; height: 2fr; border-left: none; border-top: solid $panel-lighten-2; }
    #heading { height: 1; padding: 0 1; color: $text-muted; }
    #text { height: 1fr; min-height: 3; padding: 0 1; scrollbar-size-vertical: 1; }
    #sentence { margin: 1 0; padding: 0 1; border-left: thick $accent; }
    .narrow.book #sentence { margin: 0; }
    #remarks { padding: 0 1; height: auto; max-height: 30%; }
    #chosen { padding: 0 1; height: 1; color: $text-success; }
    #labels { padding: 0 1; margin: 1 0 0 0; height: auto; max-height: 40%; scrollbar-size-vertical: 1; }
    .narrow.book #labels { margin: 0; }
    #choices { height: auto; }
    #codebook { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    #rules { padding: 0 1 0 0; }
    #recent { height: auto; max-height: 40%; padding: 0 1; border-top: solid $panel-lighten-2; }
    #message { height: auto; min-height: 1; max-height: 4; padding: 0 1; }
    #keys { height: 1; background: $panel; padding: 0 1; }
    #top, #heading, #keys { text-wrap: nowrap; text-overflow: ellipsis; }
    """
        + PAGES_CSS
    )

    def __init__(
        self,
        session: Session,
        codebook: Codebook,
        annotator: str,
        *,
        more: Callable[[], Session | None] | None,
        notice: str,
    ) -> None:
        super().__init__()
        self.ansi_theme_dark = COLOURS
        self._notice = notice
        self.session = session
        self._codebook = codebook
        self._annotator = annotator
        self._more = more
        self._cues = render.CueMarker(codebook)
        self._item: Item | None = None
        self._chosen: list[str] = []
        self._note = ""
        self._is_wide: bool | None = None
        self._width = 0
        self._words = ""
        self._frame = Frame()

    def compose(self) -> ComposeResult:
        """Yield the bars at the top and the bottom, with the page and the codebook between them."""
        yield Static(id="top")
        with Container(id="body"):
            with Vertical(id="page"):
                yield Static(id="heading")
                yield TextPane()
                yield Static(id="remarks")
                yield LabelPanel()
                yield Static(id="chosen")
            with Vertical(id="side"):
                yield BookPanel(self._codebook)
                yield Static(id="recent")
        yield TextLine()
        yield Static(id="message")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Show the first sentence."""
        self._lay_out(self.size.width)
        self._guarded(self._show)
        if self._notice:
            self._say(self._notice, wrong=self._notice.startswith("Warning"))

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Write an update to the terminal: only what has changed."""
        if isinstance(renderable, CompositorUpdate):
            renderable = Changes(renderable, self._frame)
        super()._display(screen, renderable)

    def _repaint(self) -> None:
        """Write the whole screen, as another program may have written to the terminal."""
        self._frame.forget()
        self.screen.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Place the codebook beside the text or over it, depending on the new width."""
        self._frame.forget()
        self._lay_out(event.size.width)

    # -- showing

    def _part(self, name: str, kind: type[Part]) -> Part:
        """A part of the main screen, whichever page covers it."""
        return self.screen_stack[0].query_one(f"#{name}", kind)

    def _set(self, name: str, content: Text | Columns | str) -> None:
        part = self._part(name, Static)
        # Nothing is written to the terminal for a part that stays as it is.
        if part.content != content:
            part.update(content)

    def _say(self, message: str, *, wrong: bool = False) -> None:
        self._set("message", render.remark(message, wrong=wrong))

    def _show(self) -> None:
        """Show the current sentence with its draft.

        If the sentence cannot be read, none is shown: a key must never decide a sentence that is not on the screen.
        """
        try:
            self._item = self.session.current()
        except CommuniqueError:
            self._item = None
            self._fill("This sentence could not be read. Press Enter to try again.")
            raise
        self._fill(
            self._cues.mark(self._item.sentence.text)
            if self._item
            else render.end(self.session, more=self._more is not None)
        )

    def _fill(self, sentence: Text | str) -> None:
        item = self._item
        draft = item.draft if item else Draft()
        # Going back to a decided sentence shows its labels as chosen, ready to be changed.
        if item and item.decision and draft == Draft() and not item.undone:
            draft = Draft(item.reading.labels if item.reading else (), item.decision.note)
        self._chosen, self._note = list(draft.labels), draft.note
        self._set("top", render.top_bar(self.session, self._annotator))
        self._set("heading", render.heading(item) if item else "")
        self._set("before", render.before(item) if item else "")
        self._set("sentence", sentence)
        self._set("after", render.after(item) if item else "")
        self._show_choices()
        self._show_recent()
        self._show_keys()
        self._book.put_first(item.asked if item else ())
        self._part("text", TextPane).show_sentence()

    def _show_choices(self) -> None:
        item = self._item
        self._set("remarks", render.remarks(item, self._note) if item else "")
        typed = self._line.value if self._line.asking == "label" else ""
        self._set("choices", render.choices(item, self._codebook, self._chosen, typed) if item else "")
        chosen = render.chosen_line(self._codebook, self._chosen) if item else ""
        self._part("chosen", Static).display = bool(chosen)
        self._set("chosen", chosen)

    def _show_recent(self) -> None:
        recent = self._part("recent", Static)
        rows = self.session.recent(_RECENT) if self._width >= _RECENT_WIDTH else []
        recent.display = bool(rows)
        if rows:
            self._set("recent", render.recent(rows, self._width * 2 // 5 - 3))
        self._part("side", Vertical).display = recent.display or self._book.display

    def _lay_out(self, width: int) -> None:
        """Place the codebook beside or below the text; it is open at first where it stands beside it."""
        self._width = width  # during a resize, `size` may still be the former size
        if self._is_wide != (width >= WIDE):
            self._is_wide = width >= WIDE
            self._book.show("rules" if self._is_wide else "hidden")
        self._part("body", Container).set_class(not self._is_wide, "narrow")
        self._part("body", Container).set_class(self._book.display, "book")
        self._show_keys()
        self._show_recent()

    def _show_keys(self) -> None:
        """Show the keys that act now."""
        if self._line.asking is not None:
            bar = render.bar_of(TYPING_KEYS[self._line.asking])
        elif self._item is None:
            bar = render.end_bar(self.session, more=self._more is not None)
        else:
            keeps = bool(self._item.kept)
            bar = render.keys_bar(self._codebook, task=self.session.task, width=self._width - 2, keeps=keeps)
        self._set("keys", bar)

    @property
    def _book(self) -> BookPanel:
        return self._part("codebook", BookPanel)

    @property
    def _line(self) -> TextLine:
        return self._part("line", TextLine)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run a command; if it raises an error, show the message and keep the typed text."""
        try:
            self._say("")
            act()
        except CommuniqueError as error:
            self._say(str(error), wrong=True)

    def _show_or_say(self, moved: bool, otherwise: str) -> None:
        """Show the new current sentence if `moved` is true; otherwise, show the message `otherwise`."""
        if moved:
            self._show()
        else:
            self._say(otherwise)

    # -- looking around

    def _turn_book(self, depth: Depth | None = None) -> None:
        """Show the codebook at a depth or hide it; without a depth, go to the next."""
        if depth is None:
            self._book.turn()
        else:
            self._book.toggle(depth)
        self._lay_out(self._width)

    def _search_book(self) -> None:
        if not self._book.display:
            self._turn_book("rules")
        self._line.ask("rules")
        self._show_keys()

    def _scroll(self, name: str, lines: int) -> None:
        """Scroll the codebook, the labels or the text; the text if the codebook is hidden."""
        pane = self._part(name, Widget)
        pane = pane if pane.display else self._part("text", Widget)
        pane.scroll_relative(y=lines, animate=False, immediate=True)

    def _open(self, page: Page) -> None:
        page.set_class(self.size.width >= WIDE, "wide")
        self.push_screen(page)

    def _article(self) -> None:
        article = self.session.article()
        if article is not None:
            self._open(ArticlePage(article))

    def _list(self) -> None:
        position = self._item.position if self._item else 0
        self._open(ListPage(self.session.entries(), position, self.size.width, self._go_to))

    def _go_to(self, position: int) -> None:
        self._guarded(lambda: self._show_or_say(self.session.go_to(position), EDGE))

    def _find_again(self, *, back: bool) -> None:
        if not self._words:
            self._say("Press / and type the words to find.", wrong=True)
            return
        found = self.session.find(self._words, back=back)
        self._show_or_say(found, f"No sentence of this draw contains '{self._words}'.")

    def _looks(self) -> dict[str, Callable[[], None]]:
        """The keys that change what is shown. No codebook can use function keys or control keys."""
        return {
            "?": lambda: self._open(HelpPage()),
            "f1": lambda: self._open(HelpPage()),
            "f2": lambda: self._turn_book("definitions"),
            "f3": lambda: self._turn_book("rules"),
            "tab": self._turn_book,
            "ctrl+f": self._search_book,
            "f4": self._list,
            "ctrl+l": self._repaint,
            "f5": self._article,
            "f7": partial(self._find_again, back=True),
            "f8": partial(self._find_again, back=False),
            "up": partial(self._scroll, "text", -2),
            "down": partial(self._scroll, "text", 2),
            "pageup": partial(self._scroll, "codebook", -12),
            "pagedown": partial(self._scroll, "codebook", 12),
            "ctrl+up": partial(self._scroll, "labels", -2),
            "ctrl+down": partial(self._scroll, "labels", 2),
        }
