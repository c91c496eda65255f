"""Options that the commands of `communique llm` share, and the confirmation before texts are sent."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import console
from labels.environment.settings import LanguageModel, Settings
from labels.errors import InputError

NameOption = Annotated[
    str,
    typer.Option("--name", metavar="NAME", help="Name of the coder \\[default: `name` under \\[llm], or the model's]."),
]
BaseUrlOption = Annotated[
    str,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Address of the endpoint \\[default: `base_url` under \\[llm] in communique.toml].",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="MODEL", help="The endpoint's name for the model \\[default: `model` under \\[llm]]."
    ),
]
ShortOption = Annotated[
    bool,
    typer.Option(
        "--short", help="Shorten the prompt for small models: names, definitions and at most two rules per label."
    ),
]
ShotsOption = Annotated[
    int,
    typer.Option("--shots", min=0, max=100, help="Number of coded sentences to show in the prompt, from --split."),
]
SplitOption = Annotated[
    Path | None,
    typer.Option(
        "--split", metavar="FILE", help="With --shots: split.json of a run; examples come only from its train part."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Send the requests without asking for confirmation.")]


@dataclass(frozen=True)
class CoderOptions:
    """The options that describe a coder."""

    name: str = ""
    base_url: str = ""
    model: str = ""
    short: bool = False
    shots: int = 0
    split: Path | None = None

    def settings(self, settings: Settings) -> LanguageModel:
        """The table `[llm]` with the options given."""
        configured = settings.llm
        return replace(
            configured,
            base_url=self.base_url or configured.base_url,
            model=self.model or configured.model,
            name=self.name.removeprefix("llm:") or configured.name,
        )


def confirm_sending(settings: LanguageModel, what: str, *, yes: bool) -> None:
    """Print where texts are sent, and ask for confirmation.

    Raises:
        InputError: there is no terminal and no --yes.
    """
    from trainer.active.llm.endpoint import proxies, shown_address

    through = f" through the proxy {proxy} (from the environment)" if (proxy := proxies(settings)) else ""
    console.print(f"Texts are sent to {shown_address(settings)}{through}, and nowhere else.", soft_wrap=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("Nothing was sent: there is no terminal to ask for confirmation. Add --yes.")
    typer.confirm(f"Send {what}?", abort=True)
