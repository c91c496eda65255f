"""Run a session on the full screen or line by line, for all commands that ask people to decide."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from labels.cli.terminal import console, local_time, say

if TYPE_CHECKING:
    from labels.annotate.session import Session
    from labels.codebook.schema import Codebook
    from labels.store import Store, Window


def report_similar_names(store: Store, annotator: str) -> None:
    """Print a note if the store has decisions under similar names, but none under this name."""
    from labels.exchange.people import similar_names

    names = store.events.annotators()
    if annotator not in names:
        for note in similar_names([annotator], names):
            console.print(f"Note: {note}.")


def run_session(
    session: Session,
    codebook: Codebook,
    annotator: str,
    *,
    plain: bool,
    more: Callable[[], Session | None] | None = None,
    windows: Sequence[Window] = (),
    notice: str = "",
) -> Session:
    """Run a session on the full screen, or line by line if `plain` is true or there is no terminal.

    Args:
        more: returns the next session, or None if nothing is left.
        windows: other open windows of the annotator, of which a message warns.
        notice: another message to show at the beginning.

    Returns:
        The last session that ran.
    """
    notices = [one for one in (_warning(annotator, windows), notice) if one]
    if plain or not has_screen():
        from labels.annotate.prompt import run_prompt

        for one in notices:
            console.print(one, soft_wrap=True)
        return run_prompt(session, codebook, _ask, say, more)
    from labels.annotate.screen.coding_app import CodingApp

    app = CodingApp(session, codebook, annotator, more=more, notice="\n".join(notices))
    app.run()
    return app.session


def _warning(annotator: str, windows: Sequence[Window]) -> str:
    """A warning of the annotator's other open windows; empty if there are none."""
    if not windows:
        return ""
    where = "; ".join(f"on {one.host} since {local_time(one.opened_at)}" for one in windows)
    return (
        f"Warning: {annotator} has another window open ({where}). Close one of them: if both show the same sentence, "
        "the later decision stands."
    )


def has_screen() -> bool:
    """Whether there is a terminal with a keyboard, which scripts and tests do not have, that can show a full screen.

    With TEXTUAL_DRIVER, something else takes the place of a terminal, such as a browser.
    """
    return in_browser() or (on_terminal() and os.environ.get("TERM") != "dumb")


def in_browser() -> bool:
    """Whether somebody labels on a server, whose options and command line are not theirs."""
    return "TEXTUAL_DRIVER" in os.environ


def on_terminal() -> bool:
    """Whether a person can type answers and read them."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(prompt: str) -> str:
    say(prompt, newline=False)
    return input()
