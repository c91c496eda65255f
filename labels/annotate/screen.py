"""The labelling screen: turns key presses into decisions of a session and shows the text made by `render`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Group
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from labels.annotate import render
from labels.annotate.session import Item, Session
from labels.codebook.schema import BY_NAME, Codebook
from labels.errors import CommuniqueError, DecidedMeanwhileError
from labels.store import Draft

_WIDE = 100
"""Minimum width in columns for showing the codebook beside the text; on narrower screens it covers the text."""
_ANY_PAGE = frozenset({"tab", "up", "down", "pageup", "pagedown", "?", "q"})
"""Keys that work while the codebook covers the sentence. No other key works, so that no unseen sentence is decided."""
_EDGE = "There are no more sentences in that direction."


class CodingApp(App[None]):
    """Label, or adjudicate, the sentences of a session.

    Args:
        session: hands out sentences and records decisions.
        codebook: the codebook with the labels to choose from.
        annotator: the name to show in the top bar.
        more: makes the next session when this session is done, or returns None; without it, one can only undo or quit.
        notice: a message to show beside the first sentence.
    """

    TITLE = "communique"
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #top { height: 1; background: $panel; padding: 0 1; }
    #page { width: 3fr; }
    #heading { height: 1; padding: 0 1; color: $text-muted; }
    #text { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    #sentence { margin: 1 0; padding: 0 1; border-left: thick $accent; }
    #remarks { padding: 0 1; height: auto; max-height: 50%; }
    #choices { padding: 1 1 0 1; height: auto; max-height: 14; }
    #codebook { width: 2fr; padding: 0 1; border-left: solid $panel-lighten-2; scrollbar-size-vertical: 1; }
    #message { height: auto; min-height: 1; max-height: 4; padding: 0 1; }
    #keys { height: 1; background: $panel; padding: 0 1; }
    """

    def __init__(
        self,
        session: Session,
        codebook: Codebook,
        annotator: str,
        *,
        more: Callable[[], Session | None] | None = None,
        notice: str = "",
    ) -> None:
        super().__init__()
        self._notice = notice
        self.session = session
        self._codebook = codebook
        self._annotator = annotator
        self._more = more
        self._cues = render.CueMarker(codebook)
        self._item: Item | None = None
        self._chosen: list[str] = []
        self._note = ""
        self._wide, self._fold = True, 0  # the number of Tab presses selects how much of the codebook is shown
        self._leaving = False
        self._commands: dict[str, Callable[[], None]] = {
            "enter": self._enter,
            "left": lambda: self._show_or_say(self.session.move(-1), _EDGE),
            "right": lambda: self._show_or_say(self.session.move(1), _EDGE),
            "end": self._go_on,
            "tab": self._turn_fold,
            "up": partial(self._scroll, -2),
            "down": partial(self._scroll, 2),
            "pageup": partial(self._scroll, -12),
            "pagedown": partial(self._scroll, 12),
            "n": partial(self._review, ()),
            "s": lambda: self._decide(partial(self.session.skip, self._note)),
            "ctrl+n": lambda: self._decide(partial(self.session.mark_not_a_sentence, self._note)),
            "u": lambda: self._show_or_say(self.session.undo(), "Nothing to undo."),
            "q": self._leave,
            "?": self._help,
            "!": lambda: self._ask("note", self._note),
            "/": lambda: self._ask("find"),
            ":": lambda: self._ask("jump"),
            BY_NAME: lambda: self._ask("label"),
        }
        self._commands |= {key: partial(self._choose, label) for key, label in codebook.keys.items()}

    def compose(self) -> ComposeResult:
        """Yield the bars at the top and the bottom, with the page and the codebook between them."""
        yield Static(id="top")
        with Horizontal():
            with Vertical(id="page"):
                yield Static(id="heading")
                with VerticalScroll(id="text", can_focus=False):
                    yield Static(id="before")
                    yield Static(id="sentence")
                    yield Static(id="after")
                yield Static(id="remarks")
                yield Static(id="choices")
            with VerticalScroll(id="codebook", can_focus=False):
                yield Static(id="rules")
        yield render.TextLine()
        yield Static(id="message")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Show the first sentence."""
        self._set("keys", render.keys_bar(self._codebook, adjudicating=self.session.task == "adjudicating"))
        self._lay_out(self.size.width)
        self._guarded(self._show)
        if self._notice:
            self._say(self._notice, wrong=True)

    def on_resize(self, event: events.Resize) -> None:
        """Place the codebook beside the text or over it, depending on the new width."""
        self._lay_out(event.size.width)

    # -- showing

    def _set(self, name: str, content: Text | Group | str) -> None:
        self.query_one(f"#{name}", Static).update(content)

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
        self.call_after_refresh(self.query_one("#sentence").scroll_visible, animate=False)

    def _show_choices(self) -> None:
        item = self._item
        self._set("remarks", render.remarks(item, self._note) if item else "")
        typed = self._line.value if self._line.asking == "label" else ""
        self._set("choices", render.choices(item, self._codebook, self._chosen, typed) if item else "")

    def _lay_out(self, width: int) -> None:
        # Reset: a codebook hidden on a wide screen (second Tab press) must not affect the text on a narrow screen.
        if self._wide != (width >= _WIDE):
            self._wide, self._fold = not self._wide, 0
        shown = self._fold < 2 if self._wide else self._fold == 1
        self.query_one("#codebook").display = shown
        self.query_one("#page").display = self._wide or not shown
        self._set("rules", render.codebook_page(self._codebook, full=self._fold == 0 or not self._wide))

    # -- keys

    async def on_event(self, event: events.Event) -> None:
        """Handle each key press before Textual does."""
        # With Textual's bindings, Enter could overtake a label's key if both are pressed within one refresh.
        if not (isinstance(event, events.Key) and not event.is_forwarded and self._handle_key(event)):
            await super().on_event(event)

    def _handle_key(self, event: events.Key) -> bool:
        """Handle a key; returns True if it was handled."""
        if self._leaving:
            return True
        if len(self.screen_stack) > 1:
            self.pop_screen()
            return True
        return self._handle_command(event) if self._line.asking is None else self._handle_text_input(event)

    def _handle_command(self, event: events.Key) -> bool:
        """Handle a key while the input line is closed; returns False if the key has no meaning."""
        key = event.character if event.character and event.is_printable else event.key
        if key in self._commands and key not in _ANY_PAGE and not self.query_one("#page").display:
            self._say("Tab goes back to the sentence.", wrong=True)
        elif key in self._commands:
            self._guarded(self._commands[key])
        elif event.is_printable:
            self._say(f"'{key}' is not one of the keys; ? lists all keys.", wrong=True)
        else:
            return False
        return True

    def _handle_text_input(self, event: events.Key) -> bool:
        """Handle a key while the input line is open; returns False if the key has no meaning."""
        self._say("")
        if event.key == "enter":
            self._guarded(self._answer)
        elif event.key == "escape":
            self._close_line()
        elif event.key == "tab" and self._line.asking == "label":
            self._line.complete(self._codebook.labels_beginning(self._line.value))
        elif not self._line.edit(event):
            return False
        if self._line.asking == "label":
            self._show_choices()
        return True

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run a command; if it raises an error, show the message and keep the typed text."""
        try:
            self._say("")
            act()
        except CommuniqueError as error:
            self._say(str(error), wrong=True)

    # -- commands

    def _choose(self, label: str) -> None:
        if self._item is None:
            return
        if self._codebook.exclusive:
            self._chosen = [label]
            self._show_choices()
            self._confirm()
            return
        chosen = [name for name in self._chosen if name != label] + [label] * (label not in self._chosen)
        self.session.keep_draft(chosen, self._note)
        # After saving: if saving fails, the screen still shows the state of the store.
        self._chosen = chosen
        self._show_choices()

    def _enter(self) -> None:
        """Save the chosen labels; at the end of a draw, draw more."""
        if self._item is not None:
            self._confirm()
        elif self.session.current() is None:
            self._draw_more()
        else:
            self._show()

    def _confirm(self) -> None:
        if not self._chosen:
            self._say("Nothing is chosen: press a label's key, or n if no label applies.", wrong=True)
            return
        self._review(self._chosen)

    def _review(self, labels: Sequence[str]) -> None:
        self._decide(partial(self.session.review, labels, self._note))

    def _decide(self, decide: Callable[[], None]) -> None:
        if self._item is None:
            return
        try:
            decide()
        except DecidedMeanwhileError:
            # Show the other decision beside the labels chosen here, so that the annotator can decide again.
            self._item = self.session.current()
            self._show_choices()
            raise
        self._show()

    def _go_on(self) -> None:
        self.session.go_on()
        self._show()

    def _show_or_say(self, moved: bool, otherwise: str) -> None:
        """Show the new current sentence if `moved` is true; otherwise, show the message `otherwise`."""
        if moved:
            self._show()
        else:
            self._say(otherwise)

    def _turn_fold(self) -> None:
        """Switch between full codebook, definitions only and hidden; on a narrow screen, between text and codebook."""
        self._fold = (self._fold + 1) % (3 if self._wide else 2)
        self._lay_out(self.size.width)

    def _scroll(self, lines: int) -> None:
        """Scroll the codebook, or the text if the codebook is hidden."""
        book = self.query_one("#codebook")
        pane = book if book.display else self.query_one("#text")
        pane.scroll_relative(y=lines, animate=False, immediate=True)

    def _help(self) -> None:
        self.push_screen(render.HelpScreen())

    def _leave(self) -> None:
        """Quit; later key presses are ignored."""
        self._leaving = True
        self.exit()

    def _draw_more(self) -> None:
        session = self._more() if self._more else None
        if session is None:
            self._say("Nothing is left to draw.")
            return
        self.session = session
        self._show()

    # -- a line of text

    @property
    def _line(self) -> render.TextLine:
        return self.query_one("#line", render.TextLine)

    def _ask(self, question: render.Question, value: str = "") -> None:
        if self._item is not None or question not in ("note", "label"):
            self._line.ask(question, value)

    def _answer(self) -> None:
        """Act on the typed answer. An unknown or ambiguous label name raises an error, and the line stays open."""
        question, typed = self._line.asking, self._line.value.strip()
        label = self._codebook.label_beginning(typed) if question == "label" and typed else ""
        self._close_line()
        if question == "note":
            self._note = typed
            self._show_choices()
            self.session.keep_draft(self._chosen, typed)
        elif question == "find" and typed:
            self._show_or_say(self.session.find(typed), f"No sentence of this draw contains '{typed}'.")
        elif question == "jump" and typed:
            number = int(typed) if typed.isdecimal() else 0
            self._show_or_say(self.session.go_to(number), f"There is no sentence {typed} in this draw.")
        elif label:
            self._choose(label)

    def _close_line(self) -> None:
        self._line.close()
        self._show_choices()
