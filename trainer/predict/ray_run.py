"""Bulk prediction on a Ray cluster: Ray Data reads and predicts shards, and each shard is one Parquet file.

Tasks read files into shards (`shards`); actors with a model each predict and write them. Ray repeats the work of a
worker that died, and a later call continues after the shards that are written. Model, input and output must be on a
file system that all machines of the cluster share.
"""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from labels.errors import CommuniqueError, DataError
from labels.output.drafts import check_folder, explained, take_place
from trainer.model.model import Model
from trainer.predict.blocks import CHARACTERS
from trainer.predict.flow import Interrupted, Progress
from trainer.predict.inputs import InputFile
from trainer.predict.job import Job
from trainer.predict.outcome import PredictReport
from trainer.predict.ray_address import connected
from trainer.predict.shards import PART, SHARD, Group, Shard, ShardWriter, Stored, read_meta, read_shards
from trainer.predict.worker import Processing
from trainer.predict.writing import documents_output, rejects_output

_BYTES = 150
"""About the number of bytes of input per sentence."""
_KEPT = "The finished files are kept, and the same command continues after them."


# -- in tasks and actors


class _ReadTask:
    """The first stage of the data set: a row per group -> a row per shard."""

    def __init__(self, processing: Processing) -> None:
        self._processing = processing

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for group in batch["item"]:
            for shard in read_shards(group, self._processing):
                yield {"shard": _cell(shard)}


class _PredictActor:
    """The second stage: opens the model once, and writes shards."""

    def __init__(self, artefact: str, processing: Processing, folder: str) -> None:
        from trainer.environment import silence_libraries

        silence_libraries()
        self._writer = ShardWriter(Model.load(artefact), processing, Path(folder))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shards = list(batch["shard"])
        return {
            "sentences": np.array([self._writer.write(shard) for shard in shards]),
            "share": np.array([shard.blocks[-1].share for shard in shards]),
        }


def _cell(value: object) -> Any:
    """A column of one Python object."""
    column = np.empty(1, dtype=object)
    column[0] = value
    return column


# -- in the calling process


class RayRun:
    """A run whose shards are collected in the folder of a job.

    Args:
        output: the folder to write; an earlier output there is replaced.
        artefact: the folder of the model.
        workers: the number of actors.

    Attributes:
        blocks: the number of blocks in a shard.
    """

    blocks = SHARD

    def __init__(self, job: Job, processing: Processing, artefact: Path, workers: int) -> None:
        self._job, self._processing, self._artefact, self._workers = job, processing, artefact.resolve(), workers
        self._folder = job.folder.resolve()

    def run(
        self,
        files: Sequence[InputFile],
        stored: Stored | None,
        address: str | None,
        begun: float,
        watch: Callable[[Progress], object] | None = None,
    ) -> PredictReport:
        """Predict the shards of the files, or of a label store, that are not written yet, and complete the output.

        Raises:
            InputError: Ray is not installed, or no cluster answers at the address.
            DataError: see `predict_files`.
            Interrupted: Ctrl-C, after a shard was written.
        """
        self._make_folders()
        before = self._report()
        try:
            all_groups = [self._group(0, (), stored)] if stored else self._groups(files)
            groups = [group for group in all_groups if not self._is_complete(group)]
            if groups:
                with connected(address, self._workers), _reported():
                    self._predict(groups, before.sentences, begun, watch)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        finally:
            self._remember()
        return self._finish(begun, before.sentences)

    def _make_folders(self) -> None:
        with self._job.writing():
            for kind in ("parts", "documents", "rejects"):
                folder = self._folder / kind
                folder.mkdir(exist_ok=True)
                for entry in folder.glob(".*"):
                    entry.unlink()

    def _groups(self, files: Sequence[InputFile]) -> Iterator[Group]:
        """Divide the files; the division depends only on their order and sizes."""
        number, own, size = 0, list[InputFile](), 0
        for file in files:
            if own and size + file.size > self.blocks * CHARACTERS:
                yield self._group(number, own)
                number, own, size = number + 1, [], 0
            own.append(file)
            size += file.size
        if own:
            yield self._group(number, own)

    def _group(self, number: int, files: Sequence[InputFile], stored: Stored | None = None) -> Group:
        found = (PART.fullmatch(path.name) for path in (self._folder / "parts").glob(f"part-{number:05}-*"))
        done = frozenset(int(match["shard"]) for match in found if match)
        return Group(number, tuple(files), self.blocks, done, stored)

    def _is_complete(self, group: Group) -> bool:
        if not group.done or len(group.done) <= max(group.done):
            return False
        name = Shard(group.number, max(group.done), (), last=True).name
        return read_meta(self._folder / "parts" / name).last

    def _predict(
        self,
        groups: Sequence[Group],
        before: int,
        begun: float,
        watch: Callable[[Progress], object] | None,
    ) -> None:
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        # One shard per block: Ray would otherwise collect 128 MB of shards before an actor gets the first.
        context.target_max_block_size = 1
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        shards = ray.data.from_items(list(groups), override_num_blocks=len(groups)).map_batches(
            _ReadTask(self._processing).__call__, batch_size=1, num_cpus=0.25
        )
        # Other resources than those of the tasks: Ray would otherwise read and predict a whole group in one actor.
        written = shards.map_batches(
            _PredictActor,
            fn_constructor_args=(str(self._artefact), self._processing, str(self._folder)),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=self._workers),
            num_cpus=0.5,
            num_gpus=gpus,
        )
        sentences = before
        for row in written.iter_rows():
            sentences += int(row["sentences"])
            if watch is not None:
                watch(self._progress(sentences, before, begun, groups))

    def _progress(self, sentences: int, before: int, begun: float, groups: Sequence[Group]) -> Progress:
        seconds = max(time.perf_counter() - begun, 1e-6)
        rate = (sentences - before) / seconds
        left = (g.stored.sentences - before if g.stored else sum(f.size for f in g.files) / _BYTES for g in groups)
        expected = max(sentences, before + sum(left))
        return Progress(sentences / expected, sentences, rate, (expected - sentences) / max(rate, 1e-6))

    def _parts(self) -> list[Path]:
        return sorted((self._folder / "parts").glob("part-*.parquet"))

    def _report(self) -> PredictReport:
        """The sum of the reports of all shards."""
        total = PredictReport(notes=list(self._job.state.report.notes))
        for path in self._parts():
            own = read_meta(path).report
            total.documents += own.documents
            total.sentences += own.sentences
            total.repeated += own.repeated
            total.boilerplate += own.boilerplate
            total.assigned += own.assigned
            total.abstained += own.abstained
            total.screened += own.screened
            for message in own.rejected:
                total.reject(message)
            total.left_out += own.left_out - len(own.rejected)
            for note in own.notes:
                total.note(note)
        return total

    def _remember(self) -> None:
        """Keep the folder if a shard was written."""
        if self._parts() and not self._job.is_begun:
            self._job.save()

    def _interrupted(self) -> BaseException:
        kept = self._report().sentences
        return Interrupted(kept) if kept else KeyboardInterrupt()

    def _finish(self, begun: float, before: int) -> PredictReport:
        report, output = self._report(), self._job.output
        if not report.documents:
            self._job.transient = True
            problems = "\n  ".join(report.rejected[:5]) or "no text"
            raise DataError(f"Nothing could be read, so {output} was not written:\n  {problems}")
        with self._job.writing():
            self._move_rejects()
            if self._processing.documents:
                take_place(self._folder / "documents", documents_output(output), overwrite=True)
            take_place(self._folder / "parts", output, overwrite=True)
        self._job.transient = True
        report.continued, report.seconds = before, time.perf_counter() - begun
        return report

    def _move_rejects(self) -> None:
        rejects = rejects_output(self._job.output)
        joined = self._folder / "rejects.jsonl"
        with joined.open("wb") as file:
            for path in sorted((self._folder / "rejects").glob("part-*")):
                with path.open("rb") as own:
                    shutil.copyfileobj(own, file)
        if joined.stat().st_size:
            joined.replace(rejects)
        else:
            rejects.unlink(missing_ok=True)  # of an earlier run


def check_output_folder(output: Path) -> None:
    """Check that `output` can be written: it does not exist, or is a folder that contains only shards.

    Raises:
        DataError: it has other files, or cannot be written.
    """
    with explained(output):
        ours = output.is_dir() and all(PART.fullmatch(entry.name) for entry in output.iterdir())
    check_folder(output, overwrite=ours, repair="Choose another folder with --out.")


@contextmanager
def _reported() -> Iterator[None]:
    """Raise the error of a task or actor as it was raised there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray: fewer shards than actors
            yield
    except Exception as error:  # Ray wraps the error several times
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, CommuniqueError):
                message = str(cause).partition("\n")[0].replace("Nothing was changed.", _KEPT)
                raise type(cause)(message) from error
            cause = getattr(cause, "cause", None) or cause.__cause__
        reason = " ".join(str(error).split())[:300]
        raise CommuniqueError(f"Ray could not finish the run ({reason}). {_KEPT}") from error
