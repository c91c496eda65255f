"""The `communique` command and its subcommands, which are defined in the modules of this room and of `labels.cli`.

A module is imported only when one of its subcommands or its help is called, so that every command starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from labels.cli.terminal import reporting_errors, say, show_warnings
from labels.errors import did_you_mean
from labels.unicode import visible
from trainer.environment import collect_garbage_rarely, repeat_lost_interrupts, silence_libraries


class Subcommand(NamedTuple):
    """The definition of a subcommand, as `module:name` of a function or a Typer app, and example arguments."""

    place: str
    example: str = ""


SUBCOMMANDS = {
    "demo": Subcommand("trainer.cli.demo:demo", "--out demo"),
    "init": Subcommand("labels.cli.init:init_command", "--codebook mine.toml"),
    "codebook": Subcommand("labels.cli.codebook:app"),
    "ingest": Subcommand("labels.cli.ingest:ingest_command", "articles/ more.jsonl"),
    "documents": Subcommand("labels.cli.documents:app"),
    "label": Subcommand("labels.cli.label:label_command", "--annotator ana --size 50"),
    "status": Subcommand("labels.cli.status:status_command", "--store team.db"),
    "agreement": Subcommand("labels.cli.agreement:agreement_command", "--suggestions --json agreement.json"),
    "adjudicate": Subcommand("labels.cli.adjudicate:adjudicate_command", "--annotator eva"),
    "annotators": Subcommand("labels.cli.annotators:app"),
    "store": Subcommand("labels.cli.store:app"),
    "annotations": Subcommand("labels.cli.exchange:app"),
    "train": Subcommand("trainer.cli.train:train", "experiments/finetune.toml --out runs/long --set model.epochs=6"),
    "sweep": Subcommand("trainer.cli.sweep:sweep", "experiments/sweep.toml --out runs/sweep --set sweep.trials=40"),
    "split": Subcommand("trainer.cli.choice.split:app"),
    "evaluate": Subcommand("trainer.cli.evaluate:evaluate", "runs/finetune held_out.jsonl --out reports/held_out"),
    "checks": Subcommand("trainer.cli.choice.checks:checks", "runs/finetune --show 20"),
    "compare": Subcommand("trainer.cli.choice.compare:compare", "runs/tfidf runs/finetune --html changes.html"),
    "promote": Subcommand("trainer.cli.choice.promote:promote", "runs/finetune --margin 0.02"),
    "report": Subcommand("trainer.cli.choice.report:report", "runs/finetune --out reports/finetune"),
    "archive": Subcommand("trainer.cli.choice.archive:archive", "runs/finetune --without-texts --out finetune.zip"),
    "export": Subcommand("trainer.cli.export:export", "runs/finetune --onnx --int8 --out runs/fast"),
    "distill": Subcommand("trainer.cli.distill:distill", "runs/finetune --texts articles/ --layers 2 --out runs/small"),
    "score": Subcommand("trainer.cli.counting.score:score", "runs/tfidf --embed"),
    "doubts": Subcommand("trainer.cli.doubts:doubts", "--kind embedding --limit 50 --queue"),
    "loop": Subcommand("trainer.cli.loop:loop", "--annotator ana --experiment tfidf --every 50"),
    "track": Subcommand("trainer.cli.choice.track:track", "runs/finetune runs/tfidf"),
    "leaderboard": Subcommand("trainer.cli.choice.leaderboard:leaderboard", "--experiment communique-demo"),
    "runs": Subcommand("trainer.cli.choice.runs:runs", "--sort -macro_f1 --csv runs.csv"),
    "predict": Subcommand("trainer.cli.predict:predict", "runs/finetune articles/ --out tagged.csv"),
    "calibrate": Subcommand("trainer.cli.counting.calibrate:calibrate", "runs/mine sample.csv --out runs/calibrated"),
    "audit": Subcommand("trainer.cli.counting.audit:app"),
    "bridge": Subcommand("trainer.cli.counting.bridge:bridge", "old.parquet new.parquet --before 2025 --after 2026"),
    "estimate": Subcommand("trainer.cli.counting.estimate:estimate", "--by month --out estimates/2026"),
    "llm": Subcommand("trainer.cli.counting.llm:app"),
    "explain": Subcommand("trainer.cli.explain:explain", "runs/finetune 'The envoy called for a truce.'"),
    "serve": Subcommand("trainer.cli.serve:serve", "models:/diplomatic-statements@champion --port 8000"),
    "keys": Subcommand("trainer.cli.keys:app"),
}
"""The subcommands in the order of a user's workflow."""


@contextmanager
def _visible_arguments() -> Iterator[None]:
    """Show control characters in the message of a usage error: it quotes arguments, and Typer prints it unchanged.

    Pydantic, by which Typer checks choices, begins the message with words that say nothing to a user.
    """
    try:
        yield
    except Exception as error:
        # Not a class: it differs between versions of Typer.
        if hasattr(error, "format_message"):
            vars(error)["message"] = visible(str(vars(error).get("message", "")).removeprefix("Value error, "))
        raise


class Subcommands(TyperGroup):
    """The group of `SUBCOMMANDS`, which imports a subcommand when it is first needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the subcommands in the order of a user's workflow."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the subcommand with this name, or None if there is no such subcommand."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, name = SUBCOMMANDS[cmd_name].place.partition(":")
        defined = getattr(import_module(module), name)
        if isinstance(defined, typer.Typer):
            command: Any = typer.main.get_group(defined)
        else:
            # A separate app per subcommand: the root app would need all functions, and so all modules, at once.
            alone = typer.Typer(add_completion=False)
            alone.command(epilog=f"Example: communique {cmd_name} {SUBCOMMANDS[cmd_name].example}")(defined)
            command = typer.main.get_command(alone)
        command.name = cmd_name
        return command

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments; control characters in a message about wrong arguments are made visible."""
        with _visible_arguments():
            return super().make_context(*args, **options)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve a subcommand; suggests a similar name, which Typer cannot do for modules not imported yet."""
        if args[0] not in SUBCOMMANDS:
            ctx.fail(f"No such command '{args[0]}'{did_you_mean(args[0], SUBCOMMANDS)}.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; turns the errors of communique into a message and an exit code."""
        collect_garbage_rarely()
        repeat_lost_interrupts()
        # Before a subcommand imports the libraries: several libraries read their settings only on import.
        silence_libraries()
        show_warnings()
        with reporting_errors(), _visible_arguments():
            return super().invoke(ctx)


app = typer.Typer(cls=Subcommands, no_args_is_help=True, pretty_exceptions_show_locals=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"communique {version('communique')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Code diplomatic statements: codebook, labels, classifiers, honest evaluation, serving.

    Start with `communique demo`; then `communique ingest`, `label`, `train`, `serve`.
    """
