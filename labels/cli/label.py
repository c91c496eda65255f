"""`communique label`: label sentences on the full screen, or line by line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labels.cli.terminal import CodebookOption, StoreOption, console, opened_store, print_next, say
from labels.errors import InputError, counted
from labels.settings import command
from labels.unicode.invisible import clean, person_name

if TYPE_CHECKING:
    from labels.annotate.session import Session
    from labels.codebook.schema import Codebook
    from labels.sampling.drawing import DrawRequest
    from labels.sampling.suggestions import Suggester
    from labels.store import Store

_BLIND = 0.2
"""The default share of withheld suggestions."""
_CENTURY = 100 * 365 * 24
"""A hundred years in hours: the maximum of --retest-after, because earlier dates may not exist in the calendar."""


def checked_annotator(name: str) -> str:
    """The name in the option --annotator; see `person_name`."""
    return person_name(name, "--annotator")


AnnotatorOption = Annotated[
    str, typer.Option("--annotator", callback=checked_annotator, help="Your name, recorded with each decision.")
]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Ask line by line instead of on a full screen, for screen readers and scripts.")
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="How to choose sentences: random, uncertainty, diverse, uncertain-diverse, 'search WORDS', overlap, "
        "'also-by NAME', skipped, audit, retest, relabel \\[default: random].",
    ),
]
SizeOption = Annotated[int, typer.Option("--size", min=1, help="Number of sentences to draw if no draw is unfinished.")]
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
SuggestOption = Annotated[bool, typer.Option("--suggest", help="Show the labels that a model suggests (see `score`).")]
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


def label_command(
    annotator: AnnotatorOption,
    strategy: StrategyOption = None,
    size: SizeOption = 100,
    overlap: OverlapOption = None,
    also_by: AlsoByOption = "",
    share: ShareOption = None,
    suggest: SuggestOption = False,
    blind: BlindOption = None,
    model: ModelOption = "",
    by: MeasureOption = "entropy",
    retest: RetestOption = False,
    retest_after: RetestAfterOption = 24,
    seed: SeedOption = 13,
    plain: PlainOption = False,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Label sentences one by one, one key per label; every key press is saved at once."""
    from labels.sampling.drawing import DrawRequest
    from labels.sampling.strategies import SCORED
    from labels.sampling.suggestions import Suggester, choose_model
    from labels.store.codebook_migration import refuse_replaced

    kind, query = _checked_strategy(strategy, retest=retest, also_by=clean(also_by))
    if share is not None and kind != "also-by":
        raise InputError("--share is a share of another annotator's sentences. Add --also-by NAME, or remove --share.")
    withheld = _checked_blind(blind, suggest=suggest)
    with opened_store(store, codebook) as (opened, book, settings):
        if kind == "relabel":
            refuse_replaced(opened, book, annotator)
        # Without scores, an audit is a simple random sample.
        scored = kind in SCORED and (kind != "audit" or bool(model or opened.scores.models()))
        chosen = choose_model(opened, book, model) if suggest or scored else None
        request = DrawRequest(
            strategy=kind,
            size=size,
            seed=seed,
            share=share,
            coders=settings.team.coders_per_sentence,
            overlap=(settings.team.overlap if kind == "random" else 0.0) if overlap is None else overlap,
            model_id=chosen.id if chosen and kind in SCORED else "",
            by=by,
            query=query,
            retest_after=timedelta(hours=retest_after),
        )
        suggester = Suggester(opened, chosen, annotator, withheld) if suggest and chosen else None
        draw = partial(_next_session, opened, book, annotator, request, suggester)
        report_similar_names(opened, annotator)
        first = draw()
        if first is None:
            console.print(_nothing_left(opened, kind, annotator), soft_wrap=True)
            return
        last = run_session(first, book, annotator, plain=plain, more=draw)
        console.print(
            f"{last.decided} decided, {last.remaining} left in this draw. All decisions are saved in {opened.name}."
        )
    print_next(
        command("label", "--annotator", annotator, store=settings.store, codebook=settings.codebook),
        command("status", store=settings.store),
        command("annotations", "export", "labels.jsonl", store=settings.store, codebook=settings.codebook),
    )


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
) -> Session:
    """Run a session on the full screen, or line by line if `plain` is true or there is no terminal.

    Args:
        more: returns the next session for the full screen, or None if nothing is left.

    Returns:
        The last session that ran.
    """
    # The full screen needs a terminal with a keyboard, which scripts and tests do not have.
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from labels.annotate.prompt import run_prompt

        run_prompt(session, codebook, _ask, say)
        return session
    from labels.annotate.screen import CodingApp

    app = CodingApp(session, codebook, annotator, more=more)
    app.run()
    return app.session


def _ask(prompt: str) -> str:
    say(prompt, newline=False)
    return input()


def _next_session(
    store: Store, codebook: Codebook, annotator: str, request: DrawRequest, suggester: Suggester | None
) -> Session | None:
    """A session for the unfinished draw or a new draw; None if no sentence is left to draw."""
    from labels.annotate.tasks import LabellingSession

    session = LabellingSession(store, codebook, annotator, request, suggester=suggester)
    return session if session.remaining else None


def _checked_strategy(strategy: str | None, *, retest: bool, also_by: str) -> tuple[str, str]:
    """The strategy, and its search words or name.

    Raises:
        InputError: --retest or --also-by are combined with another strategy.
    """
    options = {"--retest": "retest" if retest else "", "--also-by": f"also-by {also_by}" if also_by else ""}
    chosen = [own for own in (strategy, *options.values()) if own] or ["random"]
    kind, _, query = chosen[0].strip().partition(" ")
    for option, own in options.items():
        if own and own != f"{kind} {query}".strip():
            other = f"--strategy {kind}" if strategy else f"--{kind}"
            raise InputError(
                f"{option} means --strategy {own.partition(' ')[0]} and cannot be combined with {other}. "
                "Remove one of them."
            )
    return kind, query.strip()


def _checked_blind(blind: float | None, *, suggest: bool) -> float:
    """The share of suggestions to withhold.

    Raises:
        InputError: --blind is used without --suggest.
    """
    if blind is not None and not suggest:
        raise InputError("--blind withholds suggestions, but --suggest is missing. Add --suggest, or remove --blind.")
    return _BLIND if blind is None else blind


# -- nothing to label


def _nothing_left(store: Store, strategy: str, annotator: str) -> str:
    reasons = {
        "random": f"Add text with `{command('ingest', 'PATH', store=store.name)}`.",
        "retest": "None of your decisions on randomly drawn sentences is old enough. --retest-after 0 allows any age.",
        "relabel": "`communique doubts --queue` and `communique codebook migrate` add sentences to this queue.",
        "search": "No unseen sentence contains these words.",
    }
    reason = reasons.get(strategy, "Every sentence that has scores is labelled or reserved.")
    reserved = _count_reserved(store, strategy, annotator)
    if not reserved:
        return f"Nothing to label in {store.name}. {reason}"
    why = "" if strategy in ("random", "relabel") else f" {reason}"
    return f"Nothing to label in {store.name} now.{why} {_reserved_by(store, annotator, reserved)}"


def _count_reserved(store: Store, strategy: str, annotator: str) -> int:
    """The number of sentences that this annotator could label if they were not reserved; ignores words and scores."""
    from labels.sampling.strategies import lease_end
    from labels.store import SHARED

    # Shared strategies also draw reserved sentences, so reservations do not exclude any.
    if strategy == "relabel":
        left = [entry.sentence_id for entry in store.relabelling.waiting()]
    else:
        left = [] if strategy in SHARED else store.unseen.ids(at=lease_end())
    return len(store.draws.held_by_others(annotator).intersection(left))


def _reserved_by(store: Store, annotator: str, reserved: int) -> str:
    """A message with the annotators who hold reservations, the time limit, and advice."""
    from labels.sampling.strategies import LEASE
    from labels.store import last_midnight

    others = [one for one in store.counts.annotators(today=last_midnight()) if one.annotator != annotator]
    holders = [one.annotator for one in others if one.reserved]
    # The counts contain only annotators with decisions.
    if sum(one.reserved for one in others) < reserved:
        holders.append("an annotator without decisions")
    hours = LEASE / timedelta(hours=1)
    return (
        f"{counted(reserved, 'sentence')} reserved for {', '.join(holders)}. A reservation ends {hours:g} hours after "
        "its annotator last started labelling. Try again later. Next time, a smaller --size leaves more sentences to "
        "other annotators, and --overlap in a random draw gives the same sentences to two annotators."
    )
