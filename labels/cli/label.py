"""`communique label`: label sentences on the full screen, or line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.labelling.label_options import (
    AlsoByOption,
    BlindOption,
    HostOption,
    LabelAnnotatorOption,
    LabelFilter,
    LabelKeysOption,
    MeasureOption,
    ModelOption,
    NoteFilter,
    OverlapOption,
    PlantedOption,
    PortOption,
    ReleaseFromOption,
    ReleaseOption,
    RetestAfterOption,
    RetestOption,
    ReviewOption,
    SearchFilter,
    SeedOption,
    ShareOption,
    SinceFilter,
    SizeOption,
    StateFilter,
    StrategyOption,
    SuggestOption,
    UnblindOption,
    WebOption,
    checked_blind,
    checked_strategy,
)
from labels.cli.labelling.review_list import print_rows, utc_moment
from labels.cli.terminal import (
    CodebookOption,
    StoreOption,
    console,
    local_time,
    opened_store,
    print_next,
    say,
)
from labels.environment.settings import command
from labels.errors import InputError, counted, did_you_mean
from labels.output.folders import free_name
from labels.unicode import clean

if TYPE_CHECKING:
    from labels.annotate.reviewing import Filters
    from labels.annotate.session import Session
    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.sampling.drawing import DrawRequest
    from labels.sampling.suggestions import Suggester
    from labels.store import Store, Window

PlainOption = Annotated[
    bool, typer.Option("--plain", help="Ask line by line instead of on a full screen, for screen readers and scripts.")
]


def label_command(
    context: typer.Context,
    annotator: LabelAnnotatorOption = "",
    strategy: StrategyOption = None,
    size: SizeOption = None,
    overlap: OverlapOption = None,
    also_by: AlsoByOption = "",
    share: ShareOption = None,
    planted: PlantedOption = None,
    suggest: SuggestOption = False,
    blind: BlindOption = None,
    model: ModelOption = "",
    by: MeasureOption = "entropy",
    retest: RetestOption = False,
    retest_after: RetestAfterOption = 24,
    seed: SeedOption = 13,
    release: ReleaseOption = False,
    release_from: ReleaseFromOption = "",
    review: ReviewOption = False,
    label: LabelFilter = "",
    state: StateFilter = None,
    note: NoteFilter = False,
    search: SearchFilter = "",
    since: SinceFilter = "",
    unblind: UnblindOption = False,
    plain: PlainOption = False,
    web: WebOption = False,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8001,
    keys: LabelKeysOption = Path("communique-keys.json"),
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Label sentences one by one, one key per label; every key press is saved at once."""
    from labels.annotate.reviewing import Filters
    from labels.sampling.drawing import DrawRequest
    from labels.sampling.exhausted import following
    from labels.sampling.planting import PLANTABLE
    from labels.sampling.strategies import SCORED
    from labels.sampling.suggestions import Suggester, choose_model
    from labels.store.codebook_migration import refuse_replaced

    kind, query = checked_strategy(strategy, retest=retest, also_by=clean(also_by))
    if share is not None and kind != "also-by":
        raise InputError("--share is a share of another annotator's sentences. Add --also-by NAME, or remove --share.")
    withheld = checked_blind(blind, suggest=suggest)
    filters = Filters(clean(label), state, note, clean(search), utc_moment(since))
    _check_review(filters, review=review, unblind=unblind, draws=bool(strategy or also_by or retest or suggest or size))
    if share is not None and size is not None:
        raise InputError("--share and --size both set the size of the draw. Remove one of them.")
    if web:
        from labels.cli.labelling.in_browser import WebOptions, label_in_browser

        label_in_browser(context, WebOptions(host, port, keys))
        return
    with opened_store(store, codebook) as (opened, book, settings):
        if released := [annotator] * release + [clean(release_from)] * bool(release_from):
            _release(opened, annotator, released, settings)
            return
        if review:
            _review(opened, book, annotator, filters, unblind=unblind, plain=plain)
            return
        if kind == "relabel":
            refuse_replaced(opened, book, annotator)
        # Without scores, an audit is a simple random sample.
        scored = kind in SCORED and (kind != "audit" or bool(model or opened.scores.models()))
        chosen = choose_model(opened, book, model) if suggest or scored else None
        request = DrawRequest(
            strategy=kind,
            size=size or 0,
            seed=seed,
            share=share,
            coders=settings.team.coders_per_sentence,
            overlap=(settings.team.overlap if kind == "random" else 0.0) if overlap is None else overlap,
            model_id=chosen.id if chosen and kind in SCORED else "",
            by=by,
            query=query,
            retest_after=timedelta(hours=retest_after),
            planted=(settings.team.planted if kind in PLANTABLE else 0.0) if planted is None else planted,
            experts=settings.team.experts,
        )
        suggester = Suggester(opened, chosen, annotator, withheld) if suggest and chosen else None
        draw = partial(_next_session, opened, book, annotator, request, suggester)
        report_similar_names(opened, annotator)
        first = draw()
        if first is None:
            _print_nothing(opened, annotator, request, settings)
            return
        with opened.windows.open(annotator) as windows:
            last = run_session(first, book, annotator, plain=plain, more=draw, windows=windows)
        drafts = f"; {last.drafts} with choices or notes not confirmed yet" if last.drafts else ""
        progress = f"{last.decided} decided, {last.remaining} left in this draw{drafts}"
        console.print(f"{progress}. All decisions are saved in {opened.name}.")
        again = partial(command, "label", "--annotator", annotator, store=settings.store, codebook=settings.codebook)
        same = again(*(("--strategy", f"{kind} {query}".strip()) if kind != "random" else ()))
        onward = following(opened, annotator, settings.codebook, coders=settings.team.coders_per_sentence)
    print_next(
        same if last.remaining else onward,
        command("status", store=settings.store),
        command("annotations", "export", free_name("labels.jsonl"), store=settings.store, codebook=settings.codebook),
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
    windows: Sequence[Window] = (),
) -> Session:
    """Run a session on the full screen, or line by line if `plain` is true or there is no terminal.

    Args:
        more: returns the next session, or None if nothing is left.
        windows: other open windows of the annotator, of which a message warns.

    Returns:
        The last session that ran.
    """
    where = "; ".join(f"on {one.host} since {local_time(one.opened_at)}" for one in windows)
    notice = (
        f"{annotator} has another window open ({where}). Close it: both show the same sentences." if windows else ""
    )
    if plain or not _has_screen():
        from labels.annotate.prompt import run_prompt

        if notice:
            console.print(f"Warning: {notice}", soft_wrap=True)
        return run_prompt(session, codebook, _ask, say, more)
    from labels.annotate.screen.coding_app import CodingApp

    app = CodingApp(session, codebook, annotator, more=more, notice=notice)
    app.run()
    return app.session


def _has_screen() -> bool:
    """Whether there is a terminal with a keyboard, which scripts and tests do not have, that can show a full screen.

    With TEXTUAL_DRIVER, something else takes the place of a terminal, such as a browser.
    """
    if "TEXTUAL_DRIVER" in os.environ:
        return True
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


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


# -- one's own decisions


def _check_review(filters: Filters, *, review: bool, unblind: bool, draws: bool) -> None:
    """Check that --review is combined with its own options only.

    Raises:
        InputError: filters or --unblind are used without --review, or --review with the options of a draw.
    """
    from labels.annotate.reviewing import Filters

    if review and draws:
        raise InputError(
            "--review shows decisions that you have made and draws no sentences. Remove --strategy, --also-by, "
            "--retest, --suggest and --size, or remove --review."
        )
    if not review and (unblind or filters != Filters()):
        raise InputError(
            "--label, --state, --note, --search, --since and --unblind choose among your own decisions. Add --review; "
            "to label sentences that contain words, use --strategy 'search WORDS'."
        )


def _review(store: Store, codebook: Codebook, annotator: str, filters: Filters, *, unblind: bool, plain: bool) -> None:
    """Show the annotator's decisions on the screen or, with --plain or without a terminal, print them.

    With --plain on a terminal, a prompt follows: a number goes to a decision, which can then be corrected.
    """
    from labels.annotate.reviewing import ReviewSession

    session = ReviewSession(store, codebook, annotator, filters, unblind=unblind)
    if not session.total:
        console.print(f"{store.name} has no such decisions by {annotator}.")
        return
    on_terminal = _has_screen() or (sys.stdin.isatty() and sys.stdout.isatty())
    if plain or not _has_screen():
        print_rows(session.rows(), annotator)
    if not on_terminal:
        return
    before = session.today
    with store.windows.open(annotator) as windows:
        last = run_session(session, codebook, annotator, plain=plain, windows=windows)
    console.print(f"{counted(last.today - before, 'correction')}. All decisions are saved in {store.name}.")


# -- the end of draws


def _release(store: Store, annotator: str, names: list[str], settings: Settings) -> None:
    """End the open draws of annotators.

    Raises:
        InputError: the store has neither draws nor decisions under a name.
    """
    from labels.sampling.exhausted import following

    known = {*store.events.annotators(), *store.draws.annotators(), annotator}
    for name in names:
        if name not in known:
            raise InputError(
                f"'{name}' has no draws in {store.name}{did_you_mean(name, known)}. "
                f"Annotators: {', '.join(sorted(known))}."
            )
    for name in names:
        freed = store.draws.release(name)
        whose = "you" if name == annotator else name
        console.print(f"{counted(freed, 'sentence')} that {whose} held {'is' if freed == 1 else 'are'} free again.")
    print_next(following(store, annotator, settings.codebook, coders=settings.team.coders_per_sentence))


def _print_nothing(store: Store, annotator: str, request: DrawRequest, settings: Settings) -> None:
    """Print why nothing is left to label, who holds the rest, and a command that continues."""
    from labels.sampling.exhausted import explain

    found = explain(store, annotator, request, settings.codebook)
    held = [
        f"{counted(one.sentences, 'sentence')} by {'you' if one.annotator == annotator else one.annotator} until "
        f"{local_time(one.until)}"
        for one in found.held
    ]
    holders = f" Held: {'; '.join(held)}." if held else ""
    console.print(f"Nothing to label in {store.name}. {found.reason}{holders}", soft_wrap=True)
    print_next(found.following)
