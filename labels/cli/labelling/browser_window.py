"""The `communique label` process of a browser window: python -m labels.cli.labelling.browser_window OPTIONS."""

from __future__ import annotations

from functools import wraps
from typing import Any

import typer

from labels.cli.label import label_command
from labels.cli.terminal import reporting_errors, show_warnings

app = typer.Typer(add_completion=False)


@app.command()
@wraps(label_command)
def window_command(**options: Any) -> None:
    """Label the sentences of an annotator."""
    show_warnings()
    with reporting_errors():
        label_command(**options)


if __name__ == "__main__":
    app()
