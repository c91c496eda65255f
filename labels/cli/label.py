"""`communique label`."""

from __future__ import annotations

from typing import Annotated

import typer

from labels.cli.options import CodebookOption, StoreOption
from labels.terminal import console, reporting_errors


def label_command(
    annotator: Annotated[str, typer.Option("--annotator", help="Your name, recorded with each decision.")],
    size: Annotated[int, typer.Option("--size", min=1, help="Sentences to draw when nothing is unfinished.")] = 100,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random draw.")] = 13,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Label sentence by sentence, one key a label; every decision is kept at once."""
    from labels.codebook import load_codebook
    from labels.prompt import run_prompt
    from labels.session import LabellingSession
    from labels.settings import load_settings
    from labels.store import Store

    with reporting_errors():
        settings = load_settings(store=store, codebook=codebook)
        book = load_codebook(settings.codebook)
        if not annotator.strip():
            raise typer.BadParameter("a name is needed", param_hint="--annotator")
        with Store(settings.store, create=False) as opened:
            session = LabellingSession(opened, book, annotator.strip(), size=size, seed=seed)
            if not session.remaining:
                console.print(f"Nothing to label in {settings.store}. Add text with `communique ingest PATH`.")
                return
            decided = run_prompt(session, book, _ask, _say)
            console.print(f"{decided} decided, {session.remaining} left in this draw. All saved in {settings.store}.")
            console.print(f"Next: communique label --annotator {annotator}", soft_wrap=True)
            console.print("      communique annotations export labels.jsonl", soft_wrap=True)


def _ask(prompt: str) -> str:
    typer.echo(prompt, nl=False)
    return input()


def _say(line: str) -> None:
    typer.echo(line)
