"""`communique label` and `communique adjudicate`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import CodebookOption, StoreOption, console, reporting_errors

if TYPE_CHECKING:
    from labels.annotate.session import Session
    from labels.codebook.schema import Codebook
    from labels.sampling.strategies import DrawRequest
    from labels.sampling.suggestions import Suggester
    from labels.settings import Settings
    from labels.store import Store

_BLIND = 0.2
"""The share of suggestions withheld where nothing is said of it."""
_CENTURY = 100 * 365 * 24
"""In hours: no decision is older, and there are dates so far back."""

AnnotatorOption = Annotated[str, typer.Option("--annotator", help="Your name, recorded with each decision.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="Line by line: for screen readers and scripts.")]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="What to label next: random, uncertainty, diverse, uncertain-diverse, 'search WORDS', audit, retest, "
        "relabel \\[default: random].",
    ),
]
SizeOption = Annotated[int, typer.Option("--size", min=1, help="Sentences to draw when nothing is unfinished.")]
OverlapOption = Annotated[
    float, typer.Option("--overlap", min=0, max=1, help="Share of a random draw that two people label, blind.")
]
SuggestOption = Annotated[bool, typer.Option("--suggest", help="Show what a model suggests (see `score`).")]
BlindOption = Annotated[
    float | None,
    typer.Option(
        "--blind", min=0, max=1, help="Share of suggestions withheld, to measure their effect \\[default: 0.2]."
    ),
]
ModelOption = Annotated[str, typer.Option("--model", help="Whose scores, by the start of its id \\[default: last].")]
MeasureOption = Annotated[str, typer.Option("--by", help="Measure of uncertainty: entropy or margin.")]
RetestOption = Annotated[bool, typer.Option("--retest", help="Your own earlier decisions again: --strategy retest.")]
RetestAfterOption = Annotated[
    float,
    typer.Option("--retest-after", min=0, max=_CENTURY, help="Hours since a decision before it is asked again."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every draw.")]


def label_command(
    annotator: AnnotatorOption,
    strategy: StrategyOption = None,
    size: SizeOption = 100,
    overlap: OverlapOption = 0.0,
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
    """Label sentence by sentence, one key a label; every key press is kept at once."""
    from labels.sampling.relabelling import refuse_replaced
    from labels.sampling.strategies import SCORED, DrawRequest
    from labels.sampling.suggestions import Suggester, check_measure, choose_model
    from labels.settings import load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook

    with reporting_errors():
        settings = load_settings(store=store, codebook=codebook)
        book = find_codebook(settings.codebook, settings.store)
        name = _checked_name(annotator)
        kind, query = _checked_strategy(strategy, retest=retest)
        withheld = _checked_blind(blind, suggest=suggest)
        with Store(settings.store, create=False) as opened:
            if kind == "relabel":
                refuse_replaced(opened, book, name)
            chosen = choose_model(opened, book, model) if suggest or kind in SCORED else None
            request = DrawRequest(
                strategy=kind,
                size=size,
                seed=seed,
                overlap=overlap,
                model_id=chosen.id if chosen and kind in SCORED else "",
                by=check_measure(by),
                query=query,
                retest_after=timedelta(hours=retest_after),
            )
            suggester = Suggester(opened, chosen, name, withheld) if suggest and chosen else None
            last = _label(opened, book, name, request, suggester, plain=plain)
            if last is None:
                return
            console.print(f"{last.decided} decided, {last.remaining} left in this draw. All saved in {opened.name}.")
            _print_next(name, settings)


def _label(
    store: Store, codebook: Codebook, annotator: str, request: DrawRequest, suggester: Suggester | None, *, plain: bool
) -> Session | None:
    """Have the draw labelled, and those that follow it: the last session, or None where nothing was left to draw."""
    from labels.annotate.labelling import LabellingSession

    session = LabellingSession(store, codebook, annotator, request, suggester=suggester)
    if not session.remaining:
        console.print(_nothing_left(store, request.strategy, annotator), soft_wrap=True)
        return None
    more = _next_session(store, codebook, annotator, request, suggester)
    return _run_interface(session, codebook, annotator, plain=plain, more=more)


def _print_next(annotator: str, settings: Settings) -> None:
    from labels.settings import command

    where, under = settings.store, settings.codebook
    following = (
        command("label", "--annotator", annotator, store=where, codebook=under),
        command("status", store=where),
        command("annotations", "export", "labels.jsonl", store=where, codebook=under),
    )
    console.print("Next: " + "\n      ".join(following), soft_wrap=True)


def adjudicate_command(
    annotator: AnnotatorOption,
    plain: PlainOption = False,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Decide the sentences on which annotators differ; what they said stays as it is, beside your decision."""
    from labels.annotate.adjudication import AdjudicationSession
    from labels.settings import command, load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook

    with reporting_errors():
        settings = load_settings(store=store, codebook=codebook)
        book = find_codebook(settings.codebook, settings.store)
        name = _checked_name(annotator)
        with Store(settings.store, create=False) as opened:
            session = AdjudicationSession(opened, book, name)
            if not session.total:
                console.print(f"Nothing to adjudicate in {opened.name}: no two people differ on a sentence.")
                return
            _run_interface(session, book, name, plain=plain, more=None)
            others = f", {session.decided_by_others} of them by others" if session.decided_by_others else ""
            console.print(f"{session.decided} of {session.total} disputes decided{others}. All saved in {opened.name}.")
            following = command("agreement", store=settings.store, codebook=settings.codebook)
            console.print(f"Next: {following}", soft_wrap=True)


def _checked_name(annotator: str) -> str:
    if not annotator.strip():
        raise typer.BadParameter("a name is needed", param_hint="--annotator")
    return annotator.strip()


def _checked_strategy(strategy: str | None, *, retest: bool) -> tuple[str, str]:
    """The strategy, and the words that it looks for.

    Raises:
        InputError: --retest stands beside another strategy.
    """
    from labels.errors import InputError

    kind, _, query = (strategy or ("retest" if retest else "random")).strip().partition(" ")
    if retest and kind != "retest":
        raise InputError(f"--retest is --strategy retest, and --strategy {kind} is given too. Leave one of them out.")
    return kind, query.strip()


def _checked_blind(blind: float | None, *, suggest: bool) -> float:
    """The share of suggestions to be withheld.

    Raises:
        InputError: it is given, and no suggestions are asked for.
    """
    from labels.errors import InputError

    if blind is not None and not suggest:
        raise InputError("--blind withholds suggestions, and none are asked for. Add --suggest, or leave --blind out.")
    return _BLIND if blind is None else blind


def _nothing_left(store: Store, strategy: str, annotator: str) -> str:
    from labels.settings import command

    reasons = {
        "random": f"Add text with `{command('ingest', 'PATH', store=store.name)}`.",
        "retest": "There is no random decision of yours that is old enough; --retest-after 0 takes any.",
        "relabel": "`communique doubts --queue` and `communique codebook migrate` fill this queue.",
        "search": "No unseen sentence holds these words.",
    }
    reason = reasons.get(strategy, "Every sentence that has scores is labelled or taken.")
    held = _count_held(store, strategy, annotator)
    if not held:
        return f"Nothing to label in {store.name}. {reason}"
    why = "" if strategy in ("random", "relabel") else f" {reason}"
    return f"Nothing to label in {store.name} now.{why} {_held_by(store, annotator, held)}"


def _count_held(store: Store, strategy: str, annotator: str) -> int:
    """How many sentences others hold and would be left for this annotator, without regard to words and scores."""
    from labels.sampling.strategies import lease_end
    from labels.store import SHARED

    if strategy == "relabel":
        left = [entry.sentence_id for entry in store.relabelling.waiting()]
    else:
        left = [] if strategy in SHARED else store.unseen.ids(at=lease_end())
    return len(store.draws.held_by_others(annotator).intersection(left))


def _held_by(store: Store, annotator: str, held: int) -> str:
    """Who holds that many sentences, how long, and what to do."""
    from labels.sampling.strategies import LEASE
    from labels.store import last_midnight

    others = [one for one in store.counts.annotators(today=last_midnight()) if one.annotator != annotator]
    holders = [one.annotator for one in others if one.reserved]
    if sum(one.reserved for one in others) < held:
        holders.append("somebody who has not decided on any yet")
    hours = LEASE / timedelta(hours=1)
    return (
        f"{held} sentences are held for {', '.join(holders)}: until they are labelled, or {hours:g} hours after "
        "their holder last began to label. Wait for that. From then on a smaller --size in each person's draw leaves "
        "more for the others, and --overlap in a random draw has two people label the same."
    )


def _next_session(
    store: Store, codebook: Codebook, annotator: str, request: DrawRequest, suggester: Suggester | None
) -> Callable[[], Session | None]:
    def draw() -> Session | None:
        from labels.annotate.labelling import LabellingSession

        session = LabellingSession(store, codebook, annotator, request, suggester=suggester)
        return session if session.remaining else None

    return draw


def _run_interface(
    session: Session, codebook: Codebook, annotator: str, *, plain: bool, more: Callable[[], Session | None] | None
) -> Session:
    """Hand the session to the screen, or to the prompt where that was asked for or there is no terminal."""
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from labels.annotate.prompt import run_prompt

        run_prompt(session, codebook, _ask, typer.echo)
        return session
    from labels.annotate.screen import CodingApp

    app = CodingApp(session, codebook, annotator, more=more)
    app.run()
    return app.session


def _ask(prompt: str) -> str:
    typer.echo(prompt, nl=False)
    return input()
