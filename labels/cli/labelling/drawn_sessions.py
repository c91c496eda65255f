"""`communique label`: draw sentences, label them, and say how to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labels.cli.labelling.sessions import in_browser, report_similar_names, run_session
from labels.cli.terminal import console, local_time, print_next
from labels.environment.settings import command
from labels.errors import InputError, counted, did_you_mean
from labels.output.folders import free_name

if TYPE_CHECKING:
    from labels.annotate.session import Session
    from labels.annotate.tasks import LabellingSession
    from labels.cli.labelling.draw_options import DrawOptions, Task
    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.sampling.drawing import DrawRequest
    from labels.store import Store


@dataclass(frozen=True)
class Desk:
    """Where somebody labels: the open store, the codebook, the name of the annotator, and the settings."""

    store: Store
    codebook: Codebook
    annotator: str
    settings: Settings

    def label(self, *words: str) -> str:
        """The command `label` for this annotator."""
        settings = self.settings
        return command("label", "--annotator", self.annotator, *words, store=settings.store, codebook=settings.codebook)

    def following(self) -> str:
        """The command by which the annotator goes on after a finished draw."""
        from labels.sampling.exhausted import following

        coders = self.settings.team.coders_per_sentence
        return following(self.store, self.annotator, self.settings.codebook, coders=coders)


def label_draws(desk: Desk, options: DrawOptions, task: Task, *, plain: bool) -> None:
    """Label the unfinished draw or a new draw, and further draws as long as the annotator wants more."""
    from labels.annotate.tasks import LabellingSession
    from labels.cli.labelling.draw_options import BLIND
    from labels.sampling.suggestions import Suggester
    from labels.store.codebook_migration import refuse_replaced

    store, annotator = desk.store, desk.annotator
    if task.strategy == "relabel":
        refuse_replaced(store, desk.codebook, annotator)
    store.codebooks.refuse_foreign(desk.codebook)
    model = options.chosen_model(task, store, desk.codebook)
    request = options.request(task, desk.settings.team, model)
    withheld = BLIND if options.blind is None else options.blind
    suggester = Suggester(store, model, annotator, withheld) if options.suggest and model else None

    def draw() -> LabellingSession | None:
        session = LabellingSession(store, desk.codebook, annotator, request, suggester=suggester)
        return session if session.remaining else None

    report_similar_names(store, annotator)
    first = draw()
    if first is None:
        _print_nothing(desk, request)
        return
    notice = _open_draw(desk, first, options)
    with store.windows.open(annotator) as windows:
        last = run_session(first, desk.codebook, annotator, plain=plain, more=draw, windows=windows, notice=notice)
    _print_progress(last, store)
    settings = desk.settings
    print_next(
        _again(desk, options, task) if last.remaining else desk.following(),
        command("status", store=settings.store),
        command("annotations", "export", free_name("labels.jsonl"), store=settings.store, codebook=settings.codebook),
    )


def _open_draw(desk: Desk, session: LabellingSession, options: DrawOptions) -> str:
    """One line if an open draw continues although options of a new draw are given; otherwise empty."""
    unused = options.of_new_draws
    if not (session.continues and unused):
        return ""
    known = f"Your open draw of {counted(session.total, 'sentence')} continues"
    if in_browser():
        return f"{known}; {', '.join(unused)} (set on the server) will apply to the next draw."
    return f"{known}; {', '.join(unused)} will apply to the next draw. To end it first: {desk.label('--release')}"


def _print_progress(session: Session, store: Store) -> None:
    drafts = f"; {session.drafts} with choices or notes not confirmed yet" if session.drafts else ""
    progress = f"{session.decided} decided, {session.remaining} left in this draw{drafts}"
    console.print(f"{progress}. All decisions are saved in {store.name}.")


def _again(desk: Desk, options: DrawOptions, task: Task) -> str:
    """The command that goes on with the same draw."""
    words = [] if task.strategy == "random" else ["--strategy", task.option]
    words += ["--suggest"] * options.suggest
    words += [] if options.blind is None else ["--blind", f"{options.blind:g}"]
    words += ["--model", options.model] if options.model else []
    return desk.label(*words)


# -- the end of draws


def release_draws(desk: Desk, names: list[str]) -> None:
    """End the open draws of annotators.

    Raises:
        InputError: the store has neither draws nor decisions under a name.
    """
    store, annotator = desk.store, desk.annotator
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
    print_next(desk.following())


def _print_nothing(desk: Desk, request: DrawRequest) -> None:
    """Print why nothing is left to label, who holds the rest, and a command that continues."""
    from labels.sampling.exhausted import explain

    found = explain(desk.store, desk.annotator, request, desk.settings.codebook)
    held = [
        f"{counted(one.sentences, 'sentence')} by {'you' if one.annotator == desk.annotator else one.annotator} until "
        f"{local_time(one.until)}"
        for one in found.held
    ]
    holders = f" Held: {'; '.join(held)}." if held else ""
    console.print(f"Nothing to label in {desk.store.name}. {found.reason}{holders}", soft_wrap=True)
    print_next(found.following)
