"""`communique explain`: which words of a sentence speak for a label, and which against it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console, write_out
from labels.errors import InputError
from labels.unicode import visible
from trainer.cli.evaluate import ArtefactArgument, load_model

if TYPE_CHECKING:
    from rich.text import Text

    from trainer.classifiers.explanations import Explanation
    from trainer.model.model import Model

_SIGNS = 3
"""Maximum number of signs in front of a word."""
_FAINT = 0.1
"""Words of a smaller weight, as a share of the largest weight, are not marked."""


def explain(
    artefact: ArtefactArgument,
    sentences: Annotated[
        list[str] | None, typer.Argument(help="Sentences to explain \\[default: the lines of standard input].")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="Label to explain; may be repeated.", show_default="the assigned labels"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, help="Mark only the words with the largest weights.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines with offsets and weights.")] = False,
) -> None:
    """Show which words of sentences speak for their labels, and which against them.

    If no label is assigned to a sentence, its most probable label is explained.
    """
    model = load_model(artefact)
    texts = sentences or [line.strip() for line in sys.stdin if line.strip()]
    if not texts:
        raise InputError("no sentence was given. Pass sentences as arguments, or one per line on stdin.")
    found = model.explain(texts, labels=labels, top_k=top_k)
    if as_json:
        for text, own in zip(texts, found, strict=True):
            write_out(
                json.dumps({"text": text, "explanations": [asdict(one) for one in own]}, ensure_ascii=False) + "\n"
            )
        return
    probabilities = model.predict_proba(texts)
    for text, own, row in zip(texts, found, probabilities, strict=True):
        _print_sentence(model, text, own, row)
    console.print("+ speaks for the label, - against it; more signs mean more weight.", style="dim")


def _print_sentence(model: Model, text: str, explanations: Sequence[Explanation], row: Sequence[float]) -> None:
    assigned = model.label_sets(row[None])[0]  # type: ignore[call-overload]
    for explanation in explanations:
        probability = row[model.labels.index(explanation.label)]
        state = "assigned" if explanation.label in assigned else "not assigned"
        words = sum(span.weight for span in explanation.spans) + explanation.rest
        console.print(f"{explanation.label}: {state}, probability {probability:.2f}", style="bold")
        console.print(marked(text, explanation))
        error = f", error {explanation.delta:+.2f}" if abs(explanation.delta) >= 0.005 else ""
        console.print(
            f"logit {explanation.logit:.2f} = {explanation.bias:.2f} (without the words) {words:+.2f} (from the words)"
            f"{error} ({explanation.method})\n",
            style="dim",
        )


def marked(text: str, explanation: Explanation) -> Text:
    """The text with signs and colours for the weights of its words."""
    from rich.text import Text

    found, position = Text(), 0
    largest = max((abs(span.weight) for span in explanation.spans), default=0.0)
    for span in explanation.spans:
        found.append(visible(text[position : span.start]))
        share = abs(span.weight) / largest if largest else 0.0
        count = math.ceil(_SIGNS * share) if share >= _FAINT else 0
        sign, style = ("+", "bold green") if span.weight > 0 else ("-", "bold magenta")
        found.append(sign * count + visible(text[span.start : span.end]), style if count else "")
        position = span.end
    found.append(visible(text[position:]))
    return found
