"""The driver of a labelling screen whose terminal is a browser."""

from __future__ import annotations

from textual import messages
from textual.drivers.web_driver import WebDriver

NAME = f"{__name__}:BrowserDriver"
"""The value of TEXTUAL_DRIVER that selects this driver."""


class BrowserDriver(WebDriver):
    """Textual's driver for the web, which also ends when the server is gone."""

    def run_input_thread(self) -> None:
        """Pass on what the browser sends, until the server closes the pipe."""
        super().run_input_thread()
        # A killed server cannot ask this process to quit.
        self._app.post_message(messages.ExitApp())
