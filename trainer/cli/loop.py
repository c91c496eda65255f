"""`communique loop`: draw, label, retrain beside the coder, score, draw again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.labelling.label_options import PlainOption, SeedOption
from labels.cli.labelling.sessions import report_similar_names, run_session
from labels.cli.terminal import (
    AnnotatorOption,
    CodebookOption,
    StoreOption,
    console,
    number,
    opened_store,
    print_next,
    say,
    table,
)
from labels.environment.settings import command
from labels.errors import InputError, counted, did_you_mean

if TYPE_CHECKING:
    from rich.table import Table

    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.store import Store
    from trainer.active.loop import LabellingLoop, Retraining
    from trainer.runs.loop_folder import LoopFolder, Round

ExperimentOption = Annotated[
    str, typer.Option("--experiment", help="TOML file, or the name of a shipped experiment: tfidf, finetune, ...")
]
EveryOption = Annotated[int, typer.Option("--every", min=1, help="Number of sentences to draw for each round.")]
StrategyOption = Annotated[
    str,
    typer.Option(
        "--strategy", help="How a model chooses sentences: uncertainty, uncertain-diverse, 'likely LABEL', or random."
    ),
]
WorthOption = Annotated[
    float,
    typer.Option(
        "--worth", min=0, max=1, help="Suggest stopping if 200 more labels would raise macro-F1 by less than this."
    ),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        "--folds",
        min=0,
        max=20,
        help="Folds for out-of-fold figures; 0: figures on validation \\[default: 5, or 0 for slow models].",
    ),
]
WaitOption = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for a new model before continuing with the earlier one.")
]
FinishOption = Annotated[
    bool, typer.Option("--finish", help="End the loop: train on all labels, and evaluate on the test part, once.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder of the loop \\[default: runs/NAME-loop].")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value, e.g. model.C=1.0")]


def loop(
    experiment: ExperimentOption,
    annotator: AnnotatorOption = "",
    every: EveryOption = 50,
    strategy: StrategyOption = "uncertainty",
    worth: WorthOption = 0.01,
    folds: FoldsOption = None,
    wait: WaitOption = 20,
    finish: FinishOption = False,
    out: OutOption = None,
    set_: SetOption = None,
    seed: SeedOption = 13,
    plain: PlainOption = False,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Label in rounds: a model is fitted in the background to your labels and chooses the next sentences.

    The same command continues after any interruption.
    """
    from labels.sampling.drawing import DrawRequest
    from trainer.active.loop import CHEAP, FOLDS, LabellingLoop, Retraining, on_store
    from trainer.config.experiment import load_experiment
    from trainer.runs.loop_folder import SETTINGS, LoopFolder

    kind, query = _checked_strategy(strategy)
    loaded = load_experiment(experiment, set_ or [])
    with opened_store(store, codebook) as (opened, book, settings):
        _check_label(kind, query, book)
        chosen = on_store(loaded, settings.codebook)
        number_of_folds = folds if folds is not None else FOLDS if loaded.model.kind in CHEAP else 0
        path = out or Path("runs") / f"{loaded.name}-loop"
        if finish and not (path / SETTINGS).is_file():
            raise InputError(f"{path}: this folder contains no loop. Leave out --finish to begin one, or check --out.")
        folder = LoopFolder.open(path, chosen, book.hash, number_of_folds)
        if finish:
            _finish(folder, settings)
            return
        _refuse_ended(folder)
        request = DrawRequest(kind, every, seed=seed, query=query)
        labelling = LabellingLoop(folder, opened, book, annotator, request)
        report_similar_names(opened, annotator)
        retraining = Retraining(folder, settings.store)
        _go_round(labelling, retraining, opened, book, annotator, plain=plain, wait=wait, worth=worth)
        if retraining.running:
            say("A model is being trained in the background. The same command will use it.")
        say(f"All decisions are saved in {opened.name}, all rounds in {path}.")
    again = partial(_again, annotator, experiment, out, set_, folds, settings)
    defaults = {
        "--every": (every, 50),
        "--strategy": (strategy, "uncertainty"),
        "--worth": (worth, 0.01),
        "--wait": (wait, 20),
    }
    changed = [
        word
        for key, (own, usual) in defaults.items()
        if own != usual
        for word in (key, f"{own:g}" if isinstance(own, float) else str(own))
    ]
    ending = [again("--finish")] if folder.rounds() else []
    print_next(again(*changed), *ending, command("status", store=settings.store))


def _go_round(
    labelling: LabellingLoop,
    retraining: Retraining,
    store: Store,
    book: Codebook,
    annotator: str,
    *,
    plain: bool,
    wait: float,
    worth: float,
) -> None:
    """Draw and label until the annotator ends the loop or nothing is left."""
    from labels.annotate.tasks import LabellingSession

    # At the start, do not wait for a new model because of a few labels of an interrupted draw.
    shown = _between(labelling, retraining, -1, wait, worth, fewest=labelling.every)
    while True:
        step = labelling.next_step(labelling.count_gold())
        session = LabellingSession(store, book, annotator, step.request)
        if not session.remaining:
            say(_nothing_left(step.request.without))
            return
        say(step.notice)
        with store.windows.open(annotator) as windows:
            last = run_session(session, book, annotator, plain=plain, windows=windows)
        say(f"{last.decided} decided, {last.remaining} left in this draw.")
        if last.remaining:
            return
        shown = _between(labelling, retraining, shown, wait, worth)
        if not _wants_more():
            return


def _between(
    labelling: LabellingLoop, retraining: Retraining, shown: int, wait: float, worth: float, *, fewest: int = 1
) -> int:
    """Start a retraining if it is due, wait for it for a while, and show new rounds; returns the last round shown."""
    gold = labelling.count_gold()
    if labelling.is_due(gold, fewest) and not retraining.running:
        retraining.start(gold)
    if retraining.running:
        say(f"Retraining on {counted(gold, 'labelled sentence')} ...")
    if not retraining.wait(wait):
        say(f"Retraining has been running for {retraining.seconds:.0f} s and continues in the background.")
    if failure := retraining.failure():
        say(f"Retraining failed, and the loop continues {_meanwhile(labelling)}: {failure}")
    rounds = labelling.folder.rounds()
    if rounds and rounds[-1].number != shown:
        print_rounds(rounds, worth)
    return rounds[-1].number if rounds else 0


def _meanwhile(labelling: LabellingLoop) -> str:
    model = labelling.model()
    return f"with the model of round {model.number}" if model else "with random draws"


def _wants_more() -> bool:
    say("[Enter] draw more  [q] quit\n: ", newline=False)
    try:
        return not input().strip()
    except EOFError:
        return False


def _nothing_left(without: frozenset[str]) -> str:
    if without:
        return (
            "Nothing is left to draw outside the documents of validation and test, whose sentences are not for "
            "training. Add texts with `communique ingest`, or end the loop with --finish."
        )
    return "Nothing is left to draw. Add texts with `communique ingest`, or end the loop with --finish."


# -- the curve


def print_rounds(rounds: Sequence[Round], worth: float) -> None:
    """Print the learning curve over the rounds, what the last round left out, and whether to stop."""
    from trainer.active.loop import suggests_stopping

    last = rounds[-1]
    console.print(_curve(rounds))
    console.print(
        f"Macro-F1 is {last.basis}, over the sentences that no model chose. Nothing has been measured on the test part "
        f"({counted(last.test, 'sentence')})."
    )
    if not last.frozen:
        console.print("The test part is still too small to be resampled, so each round makes a new split.")
    for note in last.notes:
        console.print(f"Note: {note}.")
    if last.gain is None:
        console.print(f"The gain from more labels cannot be estimated yet: {last.reason}.")
    else:
        console.print(
            f"200 more labels would raise macro-F1 by at most {last.gain:.3f} (upper 90% bound of the fitted gain)."
        )
    if suggests_stopping(rounds, worth):
        console.print(f"This is below {worth:g} in two successive rounds: consider stopping with --finish.")


def _curve(rounds: Sequence[Round]) -> Table:
    headings = ("round", "labelled", "train", "evaluated", "macro-F1", "", "gain ≤")
    return table(headings, _rows(rounds), align="rrrrrlr")


def _rows(rounds: Sequence[Round]) -> Iterator[tuple[str, ...]]:
    for one in rounds:
        bar = "█" * round(20 * (one.macro_f1 or 0))
        sizes = (f"{size:,}" for size in (one.labelled, one.train, one.evaluated))
        yield str(one.number), *sizes, number(one.macro_f1), bar, number(one.gain)


# -- the end


def _finish(folder: LoopFolder, settings: Settings) -> None:
    import os

    from labels.cli.terminal import progress_bars
    from trainer.cli.choice.track import report_untracked
    from trainer.cli.evaluate import print_report
    from trainer.cli.train import print_saved
    from trainer.runs.rounds import finish_loop

    _refuse_ended(folder)
    os.environ["COMMUNIQUE_STORE"] = settings.store  # as for the rounds: the experiment must not contain a password
    with progress_bars():
        result = finish_loop(folder)
    print_report(result.report)
    print_saved(result)
    report_untracked((result.folder, result.tracked))


def _refuse_ended(folder: LoopFolder) -> None:
    if folder.final.exists():
        raise InputError(
            f"{folder.final}: this loop has ended, and its test part has been evaluated. Continue labelling "
            "with `communique label`, or begin another loop with --out."
        )


def _again(
    annotator: str,
    experiment: str,
    out: Path | None,
    set_: list[str] | None,
    folds: int | None,
    settings: Settings,
    *more: str,
) -> str:
    """The same command, with every option that defines the loop."""
    words = ["loop", "--annotator", annotator, "--experiment", experiment, *more]
    words += ["--out", str(out)] if out else []
    words += [] if folds is None else ["--folds", str(folds)]
    words += [word for one in set_ or [] for word in ("--set", one)]
    return command(*words, store=settings.store, codebook=settings.codebook)


def _checked_strategy(strategy: str) -> tuple[str, str]:
    """The strategy, and the label of `likely`.

    Raises:
        InputError: the loop does not have this strategy.
    """
    from trainer.active.loop import STRATEGIES

    kind, _, query = strategy.strip().partition(" ")
    if kind not in STRATEGIES or (query and kind != "likely"):
        raise InputError(
            f"--strategy '{strategy}': the loop does not draw in this way{did_you_mean(kind, STRATEGIES)}. Use "
            "uncertainty, uncertain-diverse, 'likely LABEL' or random."
        )
    return kind, query.strip()


def _check_label(kind: str, label: str, book: Codebook) -> None:
    if kind == "likely" and label not in book.label_names:
        raise InputError(
            f"--strategy 'likely {label}': the codebook has no label '{label}'"
            f"{did_you_mean(label, book.label_names)}. Its labels: {', '.join(book.label_names)}."
        )
