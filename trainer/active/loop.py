"""The labelling loop: what to draw next, when to fit a model again, when to suggest stopping.

The state is kept in the store (labels, draws, scores) and in the folder of rounds, so that the same call continues
after any interruption. `labels.sampling` draws the sentences.

A retraining is a process of its own, which fits the next round of a loop and scores the store with its model. It goes
on if the window is closed, and its failure never stops the labelling. It writes a round completely or not at all, and
only one process at a time fits a loop.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labels.codebook.schema import Codebook
from labels.environment.settings import load_settings
from labels.errors import CommuniqueError, ExperimentError, counted
from labels.gold import resolve
from labels.output.drafts import sole_writer
from labels.records import RANDOM_STRATEGIES
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import SCORED
from labels.store import Draw, Store
from trainer.config.experiment import Experiment
from trainer.data.splits import Split
from trainer.runs.loop_folder import FEWEST, LOG, LoopFolder, Round

logger = logging.getLogger(__name__)

CHEAP = frozenset({"majority", "keywords", "tfidf", "embedding"})
"""Kinds that are fitted in seconds, so that every round can afford out-of-fold figures."""
FOLDS = 5
STRATEGIES = ("uncertainty", "uncertain-diverse", "likely", "random")


def on_store(experiment: Experiment, codebook: str) -> Experiment:
    """The experiment with the store of the settings as its data.

    Args:
        codebook: the value of `--codebook`; the experiment's own codebook has precedence.

    Raises:
        ExperimentError: the experiment names files.
    """
    if experiment.data.train or experiment.data.only:
        raise ExperimentError(
            f"{experiment.name}: the loop learns from the label store. Remove `data.train` and `data.only`."
        )
    own = {"source": "store", "store": "", "codebook": experiment.data.codebook or codebook}
    return experiment.model_copy(update={"data": experiment.data.model_copy(update=own)})


@dataclass(frozen=True)
class Step:
    """The next draw, and a notice that tells the coder how it is chosen."""

    request: DrawRequest
    notice: str


class LabellingLoop:
    """The decisions of one annotator's loop.

    Args:
        request: strategy, size, seed and query of the draws that a model chooses.
    """

    def __init__(self, folder: LoopFolder, store: Store, codebook: Codebook, annotator: str, request: DrawRequest):
        self.folder = folder
        self._store = store
        self._codebook = codebook
        self._annotator = annotator
        self._request = request

    @property
    def every(self) -> int:
        """The number of sentences of a draw."""
        return self._request.size

    def count_gold(self) -> int:
        """The number of sentences with gold labels."""
        return len(resolve(self._store.events.all(), self._codebook, self._store.codebooks.history()).gold)

    def is_due(self, with_gold: int, fewest: int = 1) -> bool:
        """Whether `fewest` labels have changed since the last round, or its model has not scored every sentence."""
        rounds = self.folder.rounds()
        if not rounds:
            return with_gold >= FEWEST
        return abs(with_gold - rounds[-1].with_gold) >= fewest or not self._has_scored(rounds[-1])

    def next_step(self, with_gold: int) -> Step:
        """The annotator's unfinished draw in this loop, or the next draw."""
        model = self.model()
        if (open_ := self._unfinished()) is not None:
            strategy = "random" if open_.strategy in RANDOM_STRATEGIES else open_.strategy
            same = replace(self._request, strategy=strategy, query=open_.query, model_id=open_.model_id)
            return Step(replace(same, without=self._held_out(model)), "Continuing the unfinished draw.")
        size = f"up to {counted(self._request.size, 'sentence')}"
        if model is None or self._request.strategy not in SCORED:
            plain = replace(self._request, strategy="random", query="", model_id="")
            missing = FEWEST - with_gold
            wanted = f" ({missing} more labelled sentences are needed)" if missing > 0 else ""
            why = "" if model is not None else f", because there is no model yet{wanted}"
            return Step(plain, f"Drawing {size} at random{why}.")
        chosen = replace(self._request, model_id=model.model_id, without=self._held_out(model))
        how = f"{chosen.strategy} {chosen.query}".strip()
        return Step(chosen, f"Drawing {size} by {how}, with the model of round {model.number}.")

    def model(self) -> Round | None:
        """The last round whose model has scored the whole store; None if there is none."""
        return next((one for one in reversed(self.folder.rounds()) if self._has_scored(one)), None)

    def _has_scored(self, one: Round) -> bool:
        known = any(model.id == one.model_id for model in self._store.scores.models())
        return known and not self._store.scores.count_unscored(one.model_id)

    def _unfinished(self) -> Draw | None:
        """The annotator's last draw of the loop's strategies, if some of its sentences are undecided."""
        own, seen = self._request, self._store.draws.seen_by(self._annotator)
        kinds = [(RANDOM_STRATEGIES, ""), ((own.strategy,), own.query)]
        for strategies, query in kinds:
            for draw in self._store.draws.last(self._annotator, tuple(strategies), query=query):
                made_here = draw.created_at >= self.folder.begun
                if made_here and any(item.sentence_id not in seen for item in draw.items):
                    return draw
        return None

    def _held_out(self, model: Round | None) -> frozenset[str]:
        """Documents of validation and test once the split is frozen: their sentences cannot become training data."""
        rounds = self.folder.rounds()
        if model is None or not rounds[-1].frozen:
            return frozenset()
        split = Split.load(self.folder.round_folder(rounds[-1].number) / "split.json")
        sentences = self._store.documents.sentences([*split.validation, *split.test])
        held, first = {one.document_id for one in sentences}, self._store.documents.first_versions()
        roots = {first.get(one, one) for one in held}
        return frozenset(held | roots | {one for one, root in first.items() if root in roots})


def suggests_stopping(rounds: Sequence[Round], worth: float) -> bool:
    """Whether the last two rounds both predict a gain of less than `worth` from more labels."""
    last = [one.gain for one in rounds[-2:]]
    return len(last) == 2 and all(gain is not None and gain < worth for gain in last)


# -- retraining in the background

_POLL = 0.2
_BUSY = 75
"""Exit status of a process that found another process at work (EX_TEMPFAIL of sysexits.h)."""


_CHILD = f"import sys; from {__name__} import main; sys.exit(main(sys.argv[1], int(sys.argv[2])))"


class Retraining:
    """The process that fits the next round of a loop, if one was started here.

    Args:
        loop: the loop's folder.
        store: the store's path or URL; it is passed on by the environment, because it may contain a password.
    """

    def __init__(self, loop: LoopFolder, store: str) -> None:
        self._loop = loop
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0

    @property
    def running(self) -> bool:
        """Whether the process is at work."""
        return self._process is not None and self._process.poll() is None

    @property
    def seconds(self) -> float:
        """Time since the process was started."""
        return time.monotonic() - self._begun

    def start(self, with_gold: int) -> None:
        """Start the process, unless it is running.

        Args:
            with_gold: the number of sentences with gold now.
        """
        if self.running:
            return
        self._begun = time.monotonic()
        words = [sys.executable, "-c", _CHILD, str(self._loop.path.resolve()), str(with_gold)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"COMMUNIQUE_STORE": self._store},
                # A session of its own: Ctrl-C in this terminal is meant for the labelling.
                start_new_session=True,
            )

    def wait(self, seconds: float) -> bool:
        """Wait at most this long for the process; returns whether it has ended."""
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(_POLL)
        return not self.running

    def failure(self) -> str:
        """The reason why the process failed, in one line, returned only once; empty if it succeeded or is running."""
        if self._process is None or self.running:
            return ""
        code, self._process = self._process.returncode, None
        if code in (0, _BUSY):
            return ""
        if code < 0:
            return f"the process was ended by signal {-code}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"exit status {code}"

    @property
    def _log(self) -> Path:
        return self._loop.path / LOG


def main(folder: str, with_gold: int) -> int:
    """Fit the next round of the loop in a folder and score the store of the settings; returns the exit status.

    If the last round has this gold already, only the scoring is continued.
    """
    loop, begun = LoopFolder.read(Path(folder)), False
    try:
        with sole_writer(loop.path):
            begun = True
            _fit_and_score(loop, with_gold)
    except CommuniqueError as error:
        if not begun:
            return _BUSY
        # In one line, which the coder is shown; logged to standard error, which is the log file.
        logger.error("%s", " ".join(str(error).split()))
        return error.exit_code
    return 0


def _fit_and_score(loop: LoopFolder, with_gold: int) -> None:
    from trainer.active.scoring import score_artefact
    from trainer.runs.rounds import fit_round

    rounds = loop.rounds()
    last = rounds[-1] if rounds and rounds[-1].with_gold == with_gold else fit_round(loop, with_gold)
    with Store(load_settings().store, create=False) as store:
        score_artefact(loop.round_folder(last.number) / "artefact", store)
