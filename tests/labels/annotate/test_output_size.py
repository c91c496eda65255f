"""A key press writes little, as the terminal may be at the other end of a slow line."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console
from textual._compositor import CompositorUpdate

from labels.annotate.screen.coding_app import CodingApp
from labels.annotate.screen.painting import Frame
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import load_codebook
from labels.sampling.drawing import DrawRequest
from labels.store import Store
from tests.conftest import make_examples
from tests.labels.annotate.conftest import WIDE, Screen, article

LIMIT = 6 * 1024
KEYS = ("a", "enter", "n", "s", "u", "right", "left", "tab", "tab", "tab", "f4", "down", "escape", "f5", "x", "?", "x")


class Counting(CodingApp):
    """Counts what a terminal would be sent; the screen of a test sends nothing."""

    written = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._shown = Frame()
        self._terminal = Console(file=StringIO(), color_system="truecolor", force_terminal=True)

    def _display(self, screen: Any, renderable: Any) -> None:
        if isinstance(renderable, CompositorUpdate):
            self.written += len(self._shown.paint(renderable, self._terminal).encode())
        super()._display(screen, renderable)


def test_no_key_writes_more_than_six_kilobytes(isolated: object) -> None:
    texts = tuple(one.text for one in make_examples(60))
    book = load_codebook("diplomatic")
    with Store("store.db") as store:
        store.documents.add([article(" ".join(texts), texts)])
        session = LabellingSession(store, book, "ana", DrawRequest("document", size=60))
        app = Counting(session, book, "ana")
        screen = Screen(app, WIDE)
        try:
            screen.press("n")
            written = dict.fromkeys(KEYS, 0)
            for key in KEYS * 2:
                app.written = 0
                screen.press(key)
                written[key] = max(written[key], app.written)
        finally:
            screen.close()
    assert {key: size for key, size in written.items() if size > LIMIT} == {}
    assert written["f5"] > 1000
