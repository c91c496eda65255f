"""The labelling screen: turns key presses into decisions of a session and shows the text made by `render`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual import events

from labels.annotate.keyboard import small
from labels.annotate.render import KEY
from labels.annotate.screen.overlays import Page
from labels.annotate.screen.panels import LabelPanel
from labels.annotate.screen.session_view import EDGE, SessionView
from labels.annotate.screen.text_line import Question
from labels.annotate.session import Session
from labels.codebook.schema import BY_NAME, Codebook
from labels.errors import DecidedMeanwhileError


class CodingApp(SessionView):
    """Label, or adjudicate, the sentences of a session.

    Args:
        session: hands out sentences and records decisions.
        codebook: the codebook with the labels to choose from.
        annotator: the name to show in the top bar.
        more: makes the next session when this session is done, or returns None; without it, one can only undo or quit.
        notice: a message to show beside the first sentence.
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
        super().__init__(session, codebook, annotator, more=more, notice=notice)
        self._leaving = False
        self._commands: dict[str, Callable[[], None]] = {
            "enter": self._enter,
            "left": lambda: self._show_or_say(self.session.move(-1), EDGE),
            "right": lambda: self._show_or_say(self.session.move(1), EDGE),
            "end": self._go_on,
            "n": partial(self._review, ()),
            "s": lambda: self._decide(partial(self.session.skip, self._note)),
            "ctrl+n": lambda: self._decide(partial(self.session.mark_not_a_sentence, self._note)),
            "f9": lambda: self._decide(partial(self.session.mark_not_a_sentence, self._note)),  # browsers take Ctrl-N
            "u": self._undo,
            "ctrl+y": self._accept,
            "q": self._leave,
            "!": lambda: self._ask("note", self._note),
            "/": lambda: self._ask("find"),
            ":": lambda: self._ask("jump"),
            BY_NAME: lambda: self._ask("label"),
        }
        self._commands |= self._looks()
        self._commands |= {key: partial(self._choose, label) for key, label in codebook.keys.items()}

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
        page = self.screen
        if isinstance(page, Page):
            if not page.press(event.key):
                self.pop_screen()
            return True
        return self._handle_command(event) if self._line.asking is None else self._handle_text_input(event)

    def _handle_command(self, event: events.Key) -> bool:
        """Handle a key while the input line is closed; returns False if the key has no meaning."""
        key = event.character if event.character and event.is_printable else event.key
        answers = self._item.answers if self._item else {}
        key = small(key, {*self._commands, *answers})
        if key == "ctrl+c":
            self._leave()
        elif key == "escape" and self._book.searching:
            self._book.search("")
        elif key in self._commands:
            self._guarded(self._commands[key])
        elif key in answers:
            self._guarded(lambda: self._decide(partial(self.session.take, answers[key], self._note)))
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
        elif event.key in ("escape", "ctrl+c"):
            self._close_line()
            self._book.search("")
        elif event.key == "tab" and self._line.asking == "label":
            self._line.complete(self._codebook.labels_beginning(self._line.value))
        elif not self._line.edit(event):
            return False
        if self._line.asking == "label":
            self._show_choices()
        elif self._line.asking == "rules":
            self._book.search(self._line.value)
        return True

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
            self._say(self._choose_first(), wrong=True)
            return
        self._review(self._chosen)

    def _choose_first(self) -> str:
        """What to press if Enter finds no chosen label."""
        none = [] if self._codebook.requires_label else ["n if no label applies"]
        accept = ["Ctrl-Y to accept the suggestion"] if self._item and self._item.suggestion else []
        ways = ", or ".join([*accept, "a label's key", *none])
        return f"Nothing is chosen: press {ways}."

    def _accept(self) -> None:
        """Record the suggested labels."""
        item = self._item
        if item and item.suggestion:
            self._decide(partial(self.session.accept, self._note))
        elif item:
            withheld = "The suggestion is withheld here. Press the label keys."
            self._say(withheld if item.withheld else "No suggestion is shown for this sentence.", wrong=True)

    def _review(self, labels: Sequence[str]) -> None:
        self._decide(partial(self.session.review, labels, self._note))

    def _decide(self, decide: Callable[[], object]) -> None:
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

    def _undo(self) -> None:
        self._show_or_say(undone := self.session.undo(), "Nothing to undo.")
        if undone:
            self._say("Undone. Your decision is now a draft: save it again, or change it.")

    def _go_on(self) -> None:
        self.session.go_on()
        self._show()

    def on_click(self, event: events.Click) -> None:
        """Act on the key that the text under the mouse stands for; while a line is typed, not on letters."""
        key = event.style.meta.get(KEY)
        if key is None or (self._line.asking is not None and key not in ("enter", "escape", "tab")):
            return
        if isinstance(self.screen, Page):
            self.pop_screen()
        self._handle_key(events.Key(key, key if len(key) == 1 else None))

    def on_label_panel_clicked(self, event: LabelPanel.Clicked) -> None:
        """Tick the label that was clicked on."""
        self._guarded(partial(self._choose, event.label))

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

    def _ask(self, question: Question, value: str = "") -> None:
        if self._item is not None or question not in ("note", "label"):
            self._line.ask(question, value)
            self._show_keys()

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
            self._words = typed
            self._find_again(back=False)
        elif question == "jump" and typed:
            number = int(typed) if typed.isdecimal() else 0
            self._show_or_say(self.session.go_to(number), f"There is no sentence {typed} in this draw.")
        elif label:
            self._choose(label)

    def _close_line(self) -> None:
        self._line.close()
        self._show_choices()
        self._show_keys()
