"""The options of `communique label`, and which of them can be combined."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from labels.cli.terminal import checked_annotator

_BLIND = 0.2
"""The default share of withheld suggestions."""
_CENTURY = 100 * 365 * 24
"""A hundred years in hours: the maximum of --retest-after, because earlier dates may not exist in the calendar."""

StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="How to choose sentences: random, document, uncertainty, diverse, uncertain-diverse, 'likely LABEL', "
        "'search WORDS', "
        "overlap, 'also-by NAME', skipped, audit, retest, relabel, 'disputed-by llm:NAME' \\[default: random].",
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=1,
        help="Number of sentences to draw if no draw is unfinished \\[default: 100, or a quarter of what is free].",
    ),
]
ReleaseOption = Annotated[
    bool, typer.Option("--release", help="End your open draws, so that others can draw their undecided sentences.")
]
ReleaseFromOption = Annotated[
    str,
    typer.Option(
        "--release-from", metavar="NAME", help="End the open draws of another annotator; their decisions are kept."
    ),
]
OverlapOption = Annotated[
    float | None,
    typer.Option(
        "--overlap",
        min=0,
        max=1,
        help="Share of a random draw that several annotators label independently of each other \\[default: `overlap` "
        "under \\[team] in communique.toml, or 0].",
    ),
]
AlsoByOption = Annotated[
    str,
    typer.Option(
        "--also-by",
        metavar="NAME",
        help="Label sentences that this annotator has decided, drawn at random, without seeing their labels.",
    ),
]
ShareOption = Annotated[
    float | None,
    typer.Option("--share", min=0, max=1, help="Share of that annotator's sentences to draw, instead of --size."),
]
PlantedOption = Annotated[
    float | None,
    typer.Option(
        "--planted",
        min=0,
        max=0.5,
        help="Share of the draw that consists of sentences with known answers, to measure your work \\[default: "
        "`planted` under \\[team] in communique.toml, or 0].",
    ),
]
SuggestOption = Annotated[bool, typer.Option("--suggest", help="Show the labels that a model suggests (see `score`).")]
SuggestedByArgument = Annotated[
    str,
    typer.Argument(
        metavar="llm:NAME", help="With --suggest: the model coder whose answers are shown (see `llm code`)."
    ),
]
BlindOption = Annotated[
    float | None,
    typer.Option(
        "--blind", min=0, max=1, help="Share of suggestions withheld, to measure their effect \\[default: 0.2]."
    ),
]
ModelOption = Annotated[
    str, typer.Option("--model", help="Beginning of the id of the scoring model \\[default: the model added last].")
]
MeasureOption = Annotated[Literal["entropy", "margin"], typer.Option("--by", help="Measure of uncertainty.")]
RetestOption = Annotated[
    bool,
    typer.Option(
        "--retest", help="Label again some sentences that you have already labelled (same as --strategy retest)."
    ),
]
RetestAfterOption = Annotated[
    float,
    typer.Option("--retest-after", min=0, max=_CENTURY, help="Minimum age in hours of a decision to retest."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the draw.")]
ReviewOption = Annotated[
    bool,
    typer.Option("--review", help="Look at your own decisions and correct them; without a terminal, print them."),
]
LabelFilter = Annotated[
    str, typer.Option("--label", metavar="LABEL", help="With --review: only decisions with this label, or `none`.")
]
StateFilter = Annotated[
    Literal["reviewed", "skipped", "not_a_sentence"] | None,
    typer.Option("--state", help="With --review: only decisions in this state."),
]
NoteFilter = Annotated[bool, typer.Option("--note", help="With --review: only decisions with a note.")]
SearchFilter = Annotated[
    str,
    typer.Option("--search", metavar="WORDS", help="With --review: only sentences or notes that contain all words."),
]
SinceFilter = Annotated[
    str,
    typer.Option("--since", metavar="DATE", help="With --review: only decisions from this day on, e.g. 2026-01-31."),
]
UnblindOption = Annotated[
    bool,
    typer.Option(
        "--unblind",
        help="With --review: also show others' decisions on these sentences. Your later decisions on them no longer "
        "count as independent.",
    ),
]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Ask line by line instead of on a full screen, for screen readers and scripts.")
]


def _annotator(context: typer.Context, name: str) -> str:
    """The annotator; with --web, keys may name the annotators instead."""
    return name if context.params.get("web") else checked_annotator(name)


LabelAnnotatorOption = Annotated[
    str,
    typer.Option(
        "--annotator",
        callback=_annotator,
        help="Your name, recorded with each decision \\[default: `annotator` in communique.toml].",
    ),
]
WebOption = Annotated[
    bool,
    # Eager, because the name of the annotator depends on it.
    typer.Option("--web", is_eager=True, help="Show the screen in a browser (extra `web`) until Ctrl-C is pressed."),
]
HostOption = Annotated[
    str,
    typer.Option("--host", help="With --web: address to listen on. If other machines can reach it, they need a key."),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="With --web: port to listen on.")]
LabelKeysOption = Annotated[
    Path,
    typer.Option("--keys", help="With --web: file of keys with the scope `label`, each of one annotator."),
]
