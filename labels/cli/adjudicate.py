"""`communique adjudicate`: decide the sentences on which annotators differ."""

from __future__ import annotations

from labels.cli.label import AnnotatorOption, PlainOption, report_similar_names, run_session
from labels.cli.terminal import CodebookOption, StoreOption, console, opened_store, print_next
from labels.environment.settings import command
from labels.errors import counted


def adjudicate_command(
    annotator: AnnotatorOption, plain: PlainOption = False, store: StoreOption = None, codebook: CodebookOption = None
) -> None:
    """Resolve disagreements between annotators; their annotations are kept next to your decision."""
    from labels.annotate.tasks import AdjudicationSession

    with opened_store(store, codebook) as (opened, book, settings):
        session = AdjudicationSession(opened, book, annotator)
        if not session.total:
            console.print(f"Nothing to adjudicate in {opened.name}: annotators do not disagree on any sentence.")
            return
        report_similar_names(opened, annotator)
        run_session(session, book, annotator, plain=plain)
        others = f", {session.decided_by_others} of them by others" if session.decided_by_others else ""
        disputes = counted(session.total, "dispute")
        console.print(f"{session.decided} of {disputes} decided{others}. All decisions are saved in {opened.name}.")
    print_next(command("agreement", store=settings.store, codebook=settings.codebook))
