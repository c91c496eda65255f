"""`communique adjudicate`: decide the sentences on which annotators differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.labelling.label_options import PlainOption
from labels.cli.labelling.sessions import report_similar_names, run_session
from labels.cli.terminal import AnnotatorOption, CodebookOption, StoreOption, console, opened_store, print_next
from labels.environment.settings import command
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.store import Store

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

    if majority and (blind or plain):
        raise InputError("--majority asks no questions. Remove --blind and --plain, or remove --majority.")
    with opened_store(store, codebook) as (opened, book, settings):
        opened.codebooks.refuse_foreign(book)
        decide = _settle(opened, book, annotator) if majority else _decide(opened, book, annotator, blind, plain)
    words = ["adjudicate", "--annotator", annotator, *["--blind"] * blind] if decide else ["agreement"]
    print_next(command(*words, store=settings.store, codebook=settings.codebook))


def _settle(store: Store, codebook: Codebook, annotator: str) -> bool:
    """Settle disputes by majority; returns whether disputes are left."""
    from labels.annotate.majority import settle_by_majority

    found = settle_by_majority(store, codebook, annotator)
    disputes = counted(found.settled + found.left, "dispute")
    console.print(f"{found.settled} of {disputes} settled by majority, {found.left} left.")
    return bool(found.left)


def _decide(store: Store, codebook: Codebook, annotator: str, blind: bool, plain: bool) -> bool:
    """Ask for decisions on the disputed sentences; returns whether disputes are left."""
    from labels.annotate.adjudication import AdjudicationSession

    session = AdjudicationSession(store, codebook, annotator, blind=blind)
    if not session.total:
        console.print(f"Nothing to adjudicate in {store.name}: annotators do not disagree on any sentence.")
        return False
    report_similar_names(store, annotator)
    with store.windows.open(annotator) as windows:
        run_session(session, codebook, annotator, plain=plain, windows=windows)
    others = f", {session.decided_by_others} of them by others" if session.decided_by_others else ""
    disputes = counted(session.total, "dispute")
    console.print(f"{session.decided} of {disputes} decided{others}. All decisions are saved in {store.name}.")
    return bool(session.remaining)
