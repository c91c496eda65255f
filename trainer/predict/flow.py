"""The flow of blocks through workers and the model, several at a time, to the drafts of the output, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from labels.environment.progress import report_progress
from labels.errors import DataError
from trainer.calibration.calibration import Probabilities
from trainer.model.model import Model
from trainer.predict.blocks import Block, Source
from trainer.predict.job import DOCUMENTS, REJECTS, REPEATS, SENTENCES, TEXTS, Job, KeptTexts
from trainer.predict.outcome import Answers, PredictReport
from trainer.predict.pool import WorkerPool
from trainer.predict.worker import (
    Plan,
    Processing,
    Rendered,
    Repeats,
    Split,
    count_block,
    in_batches,
    reject_lines,
)
from trainer.predict.writing import rejects_output


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a bulk prediction. `sentences` is the number of sentences that are kept."""

    def __init__(self, sentences: int) -> None:
        super().__init__()
        self.sentences = sentences


@dataclass(frozen=True)
class Progress:
    """How far a run is: `share` of the input from 0 to 1, sentences so far, and sentences per second of this call.

    `seconds_left` is an estimate from the share of the input that this call has finished.
    """

    share: float
    sentences: int
    rate: float
    seconds_left: float


@dataclass
class _InWork:
    """A block between two stages, with the results of the stages so far."""

    block: Block
    texts: bytes
    split: Future[Split]
    plan: Plan | None = None
    fresh: Future[Probabilities] | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rendered: Future[Rendered] | None = None


class Flow:
    """A run from its blocks to its output.

    Every block passes through the stages split, plan, predict, resolve, render and commit. Workers do the slow stages;
    planning, resolving and committing happen here, in the order of the blocks, because they depend on earlier blocks.

    Args:
        remote: the workers have the model; otherwise, the model predicts in this process.
    """

    def __init__(
        self,
        model: Model,
        pool: WorkerPool,
        job: Job,
        processing: Processing,
        texts: KeptTexts | None,
        *,
        remote: bool,
    ) -> None:
        self._model, self._pool, self._job, self._processing = model, pool, job, processing
        self._texts, self._remote = texts, remote
        self._repeats = Repeats(len(model.labels))
        self._split: deque[_InWork] = deque()
        self._predicted: deque[_InWork] = deque()
        self._rendered: deque[_InWork] = deque()
        self._rows, self._documents = job.state.report.sentences, job.state.report.documents
        self._files_done = 0

    def run(
        self, source: Source, files: int, begun: float, watch: Callable[[Progress], object] | None = None
    ) -> PredictReport:
        """Process all blocks that are not finished yet, and write the output. `files` is only for the progress.

        Raises:
            DataError: see `predict_files`.
            Interrupted: Ctrl-C, after a block was finished.
        """
        state = self._job.state
        start = state.share
        self._resume()
        try:
            report_progress("Predicting", 0, files)
            for block in self._committed(source.blocks(state.cursor, state.blocks)):
                self._report_files(block.files_done, files)
                if watch is not None:
                    watch(self._progress(start, begun))
            return self._finish(begun)
        except KeyboardInterrupt:
            if not self._job.is_begun:
                raise
            raise Interrupted(self._job.kept) from None

    def _resume(self) -> None:
        if self._job.state.blocks:
            self._repeats.restore(self._job.draft(REPEATS))
            return
        self._job.append({REPEATS: b"", REJECTS: b"", SENTENCES: self._processing.sentences.start()})
        if self._processing.documents:
            self._job.append({DOCUMENTS: self._processing.documents.start()})
        if self._texts:
            self._job.append({TEXTS: b""})

    def _committed(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield each block when it is finished."""
        more = not self._job.state.complete
        while more or self._in_work():
            while more and self._in_work() < self._pool.depth:
                more = self._begin(next(blocks, None))
            if self._rendered and _is_done(self._rendered[0].rendered):
                yield self._commit(self._rendered.popleft())
            elif self._predicted and _is_done(self._predicted[0].fresh):
                self._resolve(self._predicted.popleft())
            elif self._split and _is_done(self._split[0].split):
                self._plan(self._split.popleft())
            elif more and self._in_work() < self._pool.depth + self._pool.spare:
                more = self._begin(next(blocks, None), here=True)
            else:
                wait(self._heads(), return_when=FIRST_COMPLETED)

    def _begin(self, block: Block | None, *, here: bool = False) -> bool:
        """Have a block split, perhaps by this process; False if there is none."""
        if block is None:
            return False
        if here:
            self._pool.take_over(block.number)
        texts = self._texts.taken() if self._texts else b""
        self._split.append(_InWork(block, texts, self._pool.call(block.number, "split", block)))
        return True

    def _heads(self) -> list[Future[Any]]:
        """The results that the next step of any stage needs."""
        heads: list[Future[Any] | None] = [one.split for one in self._split]
        heads = heads[:1] + [one.fresh for one in self._predicted][:1] + [one.rendered for one in self._rendered][:1]
        return [future for future in heads if future is not None]

    def _in_work(self) -> int:
        return len(self._split) + len(self._predicted) + len(self._rendered)

    def _plan(self, one: _InWork) -> None:
        """Find the sentences that were not predicted before, and predict them."""
        split = one.split.result()
        one.plan = self._repeats.plan(split.keys)
        if self._remote:
            one.fresh = self._pool.call(one.block.number, "predict", one.block.number, one.plan.fresh)
        else:
            begun = time.perf_counter()
            one.fresh = Future()
            one.fresh.set_result(in_batches(self._model, [split.texts[row] for row in one.plan.fresh]))
            self._job.state.report.model_seconds += time.perf_counter() - begun
            split.texts.clear()
        self._predicted.append(one)

    def _resolve(self, one: _InWork) -> None:
        """Complete the probabilities from earlier blocks, decide, and have the rows rendered."""
        assert one.plan is not None
        assert one.fresh is not None
        probabilities = self._repeats.resolve(one.plan, one.fresh.result())
        answers = Answers.of(self._model, probabilities)
        one.counts = answers.counts(self._model.labels)
        places = self._rows + 1, self._documents + 1
        one.rendered = self._pool.call(one.block.number, "render", one.block.number, answers, *places)
        self._rows += len(probabilities)
        self._documents += one.split.result().documents
        self._rendered.append(one)

    def _commit(self, one: _InWork) -> Block:
        assert one.plan is not None
        assert one.fresh is not None
        assert one.rendered is not None
        rendered, split = one.rendered.result(), one.split.result()
        pieces = {
            SENTENCES: rendered.sentences,
            REJECTS: reject_lines(split.left_out),
            REPEATS: self._repeats.log(one.plan, one.fresh.result()),
        }
        pieces |= {DOCUMENTS: rendered.documents} if self._processing.documents else {}
        self._job.append(pieces | ({TEXTS: one.texts} if self._texts else {}))
        count_block(self._job.state.report, split, one.plan, one.counts)
        state = self._job.state
        state.blocks, state.cursor, state.share = one.block.number + 1, one.block.after, one.block.share
        self._job.save()
        return one.block

    def _report_files(self, done: int, files: int) -> None:
        for file in range(self._files_done + 1, done + 1):
            report_progress("Predicting", file, files)
        self._files_done = max(self._files_done, done)

    def _progress(self, start: float, begun: float) -> Progress:
        share = self._job.state.share
        report, seconds = self._job.state.report, max(time.perf_counter() - begun, 1e-6)
        left = seconds * (1 - share) / (share - start) if share > start else 0.0
        return Progress(share, report.sentences, (report.sentences - report.continued) / seconds, left)

    def _finish(self, begun: float) -> PredictReport:
        job, report = self._job, self._job.state.report
        if not report.documents:
            job.transient = True
            if self._texts:
                self._texts.check()
            problems = "\n  ".join(report.rejected[:5]) or "no text"
            raise DataError(f"Nothing could be read, so {job.output} was not written:\n  {problems}")
        job.state.complete = True
        job.save()
        if self._texts:
            self._texts.finish()
        with job.writing():
            self._move_into_place()
        job.transient = True
        report.seconds = time.perf_counter() - begun
        return report

    def _move_into_place(self) -> None:
        """Move the drafts, the output last; drafts that a killed run has moved already are missing."""
        job, processing, rejects = self._job, self._processing, rejects_output(self._job.output)
        draft = job.draft(REJECTS)
        if draft.is_file():
            if draft.stat().st_size:
                draft.replace(rejects)
            else:
                rejects.unlink(missing_ok=True)  # of an earlier run
                draft.unlink()
        for name, writing in ((DOCUMENTS, processing.documents), (SENTENCES, processing.sentences)):
            if writing is not None and job.draft(name).is_file():
                writing.finish(job.draft(name))


def _is_done(future: Future[Any] | None) -> bool:
    return future is not None and future.done()
