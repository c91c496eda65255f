"""`communique adjudicate`: decide the sentences on which annotators differ."""

from __future__ import annotations

from typing import Annotated

import typer

from labels.cli.label import PlainOption, report_similar_names, run_session
from labels.cli.terminal import AnnotatorOption, CodebookOption, StoreOption, console, opened_store, print_next
from labels.environment.settings import command
from labels.errors import InputError, counted

MajorityOption = Annotated[
    bool,
    typer.Option(
        "--majority",
        help="Settle the disputes in which more than half of at least three annotators gave the same answer; recorded "
        "as decided by rule.",
    ),
]
BlindNamesOption = Annotated[
    bool, typer.Option("--blind", help="Show annotators as numbers, in an order that changes between sentences.")
]


def adjudicate_command(
    annotator: AnnotatorOption = "",
    majority: MajorityOption = False,
    blind: BlindNamesOption = False,
    plain: PlainOption = False,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Resolve disagreements between annotators; their annotations are kept next to your decision."""
    from labels.annotate.adjudication import AdjudicationSession
    from labels.annotate.majority import settle_by_majority

    if majority and (blind or plain):
        raise InputError("--majority asks no questions. Remove --blind and --plain, or remove --majority.")
    with opened_store(store, codebook) as (opened, book, settings):
        if majority:
            found = settle_by_majority(opened, book, annotator)
            disputes = counted(found.settled + found.left, "dispute")
            console.print(f"{found.settled} of {disputes} settled by majority, {found.left} left.")
            rest = ("adjudicate", "--annotator", annotator) if found.left else ("agreement",)
            print_next(command(*rest, store=settings.store, codebook=settings.codebook))
            return
        session = AdjudicationSession(opened, book, annotator, blind=blind)
        if not session.total:
            console.print(f"Nothing to adjudicate in {opened.name}: annotators do not disagree on any sentence.")
            return
        report_similar_names(opened, annotator)
        with opened.windows.open(annotator) as windows:
            run_session(session, book, annotator, plain=plain, windows=windows)
        others = f", {session.decided_by_others} of them by others" if session.decided_by_others else ""
        disputes = counted(session.total, "dispute")
        console.print(f"{session.decided} of {disputes} decided{others}. All decisions are saved in {opened.name}.")
    print_next(command("agreement", store=settings.store, codebook=settings.codebook))
