"""The screen: keys in, decisions of a desk out. What is shown comes from `render`, what is decided goes to the desk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from labels.codebook import Codebook
from labels.desk import Desk, Item
from labels.errors import CommuniqueError
from labels.tui import render

Question = Literal["note", "find", "jump"]
_WIDE = 100
"""From this many columns on the codebook stands beside the text; below it takes the text's place."""
_PROMPTS: dict[Question, str] = {"note": "Note", "find": "Find words", "jump": "Number of the sentence"}


class CodingApp(App[None]):
    """Label, or adjudicate, the sentences of a desk.

    Args:
        desk: hands out sentences and records decisions.
        codebook: what may be decided.
        annotator: shown in the top bar.
        more: makes the next desk when this one is done, None when there is nothing more; without it the screen ends.
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
    #remarks { padding: 0 1; height: auto; max-height: 8; }
    #choices { padding: 1 1 0 1; height: auto; max-height: 14; }
    #codebook { width: 2fr; padding: 0 1; border-left: solid $panel-lighten-2; scrollbar-size-vertical: 1; }
    #line { height: 3; display: none; }
    #message { height: 1; padding: 0 1; }
    #keys { height: 1; background: $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "confirm", priority=True, show=False),
        Binding("left", "move(-1)", priority=True, show=False),
        Binding("right", "move(1)", priority=True, show=False),
        Binding("end", "go_on", priority=True, show=False),
        Binding("tab", "fold", priority=True, show=False),
        Binding("up", "scroll(-2)", priority=True, show=False),
        Binding("down", "scroll(2)", priority=True, show=False),
        Binding("pageup", "scroll(-12)", priority=True, show=False),
        Binding("pagedown", "scroll(12)", priority=True, show=False),
        Binding("escape", "cancel", show=False),
    ]

    def __init__(
        self, desk: Desk, codebook: Codebook, annotator: str, *, more: Callable[[], Desk | None] | None = None
    ) -> None:
        super().__init__()
        self.desk = desk
        self._codebook = codebook
        self._annotator = annotator
        self._more = more
        self._cues = render.CueMarker(codebook)
        self._chosen: list[str] = []
        self._note = ""
        self._asking: Question | None = None
        self._fold = 0
        self._commands: dict[str, Callable[[], None]] = {
            "n": self._none,
            "s": self._skip,
            "u": self._undo,
            "q": self.exit,
            "?": self._help,
            "!": lambda: self._ask("note", self._note),
            "/": lambda: self._ask("find"),
            ":": lambda: self._ask("jump"),
        }

    def compose(self) -> ComposeResult:
        """Bars above and below, the page and the codebook between them."""
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
        yield Input(id="line")
        yield Static(id="message")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Show the first sentence."""
        self._set("keys", render.keys_bar(self._codebook, adjudicating=self.desk.task == "adjudicating"))
        self._lay_out()
        self._show()

    def on_resize(self) -> None:
        """Put the codebook where there is room for it."""
        self._lay_out()

    # -- showing

    def _set(self, name: str, content: Text | str) -> None:
        self.query_one(f"#{name}", Static).update(content)

    def _say(self, message: str, *, wrong: bool = False) -> None:
        self._set("message", Text(message, style="bold red" if wrong else "dim", no_wrap=True, overflow="ellipsis"))

    def _show(self) -> None:
        """Show the current sentence, with what was typed on it before."""
        item = self.desk.current()
        given = item.decision if item else None
        self._chosen = list(item.draft.labels or (given.labels if given else ())) if item else []
        self._note = (item.draft.note or (given.note if given else "")) if item else ""
        self._set("top", render.top_bar(self.desk, self._annotator))
        self._set("heading", render.heading(item) if item else "")
        self._set("before", render.before(item) if item else "")
        self._set("sentence", self._cues.mark(item.sentence.text) if item else self._done())
        self._set("after", render.after(item) if item else "")
        self._show_choices(item)
        self.call_after_refresh(self.query_one("#sentence").scroll_visible, animate=False)

    def _done(self) -> Text:
        more = "Enter draws more, q quits." if self._more else "q quits."
        return Text(f"All {self.desk.total} are decided. u takes the last one back; {more}")

    def _show_choices(self, item: Item | None) -> None:
        self._set("remarks", render.remarks(item, self._note) if item else "")
        self._set("choices", render.choices(item, self._codebook, self._chosen) if item else "")

    def _lay_out(self) -> None:
        wide = self.size.width >= _WIDE
        shown = self._fold < 2 if wide else self._fold == 1
        self.query_one("#codebook").display = shown
        self.query_one("#page").display = wide or not shown
        self._set("rules", render.codebook_page(self._codebook, full=self._fold == 0 or not wide))

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a line is typed, and above a help page, keys are theirs."""
        free = self._asking is None and len(self.screen_stack) == 1
        return free or action not in ("confirm", "move", "go_on", "fold", "scroll")

    def on_key(self, event: events.Key) -> None:
        """Label keys and the commands of one character."""
        if self._asking is not None or len(self.screen_stack) > 1 or event.character is None:
            return
        if event.character in "nsu" + "".join(self._codebook.keys) and not self.query_one("#page").display:
            self._say("Tab goes back to the sentence.", wrong=True)
        elif event.character in self._codebook.keys:
            self._guarded(lambda: self._choose(self._codebook.keys[event.character or ""]))
        elif event.character in self._commands:
            self._guarded(self._commands[event.character])
        elif event.character.isprintable():
            self._say(f"'{event.character}' is not a key here; ? lists them.", wrong=True)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run a command; what is refused is said, and what was typed stays."""
        try:
            self._say("")
            act()
        except CommuniqueError as error:
            self._say(str(error), wrong=True)

    def action_confirm(self) -> None:
        """Save what is chosen; on a finished desk, draw more."""
        self._guarded(self._confirm if self.desk.current() else self._draw_more)

    def action_move(self, step: int) -> None:
        """Go back or forward."""
        self._guarded(lambda: self._went(self.desk.move(step), "There is nothing further that way."))

    def action_go_on(self) -> None:
        """Go to the next undecided sentence."""
        self._guarded(self._go_on)

    def action_fold(self) -> None:
        """Full codebook, definitions, none; on a narrow screen: text or codebook."""
        self._fold = (self._fold + 1) % (3 if self.size.width >= _WIDE else 2)
        self._lay_out()

    def action_scroll(self, lines: int) -> None:
        """Scroll the codebook, or the text where no codebook is shown."""
        book = self.query_one("#codebook")
        pane = book if book.display else self.query_one("#text")
        pane.scroll_relative(y=lines, animate=False)

    def action_cancel(self) -> None:
        """Leave the line that is typed."""
        self._close_line()

    # -- commands

    def _choose(self, label: str) -> None:
        item = self.desk.current()
        if item is None:
            return
        if self._codebook.exclusive:
            self._chosen = [label]
            self._confirm()
            return
        chosen = [name for name in self._chosen if name != label] + [label] * (label not in self._chosen)
        self.desk.keep_draft(chosen, self._note)
        self._chosen = chosen
        self._show_choices(item)

    def _confirm(self) -> None:
        if not self._chosen:
            self._say("Nothing is chosen: a label's key chooses it, n says that none applies.", wrong=True)
            return
        self.desk.review(self._chosen, self._note)
        self._show()

    def _none(self) -> None:
        if self.desk.current() is not None:
            self.desk.review((), self._note)
            self._show()

    def _skip(self) -> None:
        if self.desk.current() is not None:
            self.desk.skip(self._note)
            self._show()

    def _undo(self) -> None:
        self._went(self.desk.undo(), "Nothing to undo.")

    def _went(self, moved: bool, otherwise: str) -> None:
        if moved:
            self._show()
        else:
            self._say(otherwise)

    def _go_on(self) -> None:
        self.desk.go_on()
        self._show()

    def _help(self) -> None:
        self.push_screen(HelpScreen())

    def _draw_more(self) -> None:
        desk = self._more() if self._more else None
        if desk is None:
            self._say("Nothing is left to draw.")
            return
        self.desk = desk
        self._show()

    # -- a line of text

    def _ask(self, question: Question, value: str = "") -> None:
        if question == "note" and self.desk.current() is None:
            return
        line = self.query_one("#line", Input)
        self._asking = question
        line.value, line.placeholder, line.display = value, f"{_PROMPTS[question]}; Enter keeps, Esc leaves", True
        line.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do what the line was asked for."""
        question, typed = self._asking, event.value.strip()
        self._close_line()
        if question == "note":
            self._guarded(lambda: self._keep_note(typed))
        elif question == "find" and typed:
            self._guarded(lambda: self._went(self.desk.find(typed), f"No sentence of this draw holds '{typed}'."))
        elif question == "jump" and typed:
            number = int(typed) if typed.isdecimal() else 0
            self._guarded(lambda: self._went(self.desk.go_to(number), f"There is no sentence {typed} in this draw."))

    def _keep_note(self, note: str) -> None:
        self.desk.keep_draft(self._chosen, note)
        self._note = note
        self._show_choices(self.desk.current())

    def _close_line(self) -> None:
        line = self.query_one("#line", Input)
        line.display = False
        line.blur()
        self._asking = None


class HelpScreen(ModalScreen[None]):
    """All keys."""

    CSS = """
    HelpScreen { align: center middle; }
    #help { width: 78; max-height: 90%; height: auto; padding: 1 2; border: round $accent; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        """One page of text."""
        yield Static(Text(f"{render.HELP}\nAny key closes this."), id="help")

    def on_key(self, event: events.Key) -> None:
        """Close."""
        event.stop()
        self.dismiss()
