"""The drift watch of a server: collects answered sentences, and reports their evidence of a drift.

Answering a request only appends it to a list. Every second, a thread measures the new sentences, settles the bets of
complete windows (`trainer.serving.drift_evidence`) and forgets the texts.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from prometheus_client import Gauge
from pydantic import BaseModel

from labels.errors import ArtefactError
from trainer.calibration.calibration import Floats, Probabilities
from trainer.model.model import Model
from trainer.model.profile import Profile, document_sums, read_profile
from trainer.serving.drift_evidence import THRESHOLD, WINDOW, Bets, Evidence, States
from trainer.serving.monitoring import Metrics
from trainer.serving.scheduling import Background

logger = logging.getLogger("communique.serving")

Observe = Callable[[Sequence[Sequence[str]], Probabilities], None]
"""Called with the sentences of each document, and the (n, labels) probabilities of all sentences."""

_EVIDENCE = "communique_drift_evidence"
_SECONDS = 1.0
_MOST_WAITING = 20_000
"""Maximum number of sentences that wait to be measured; further ones are not watched."""


_Window = tuple[float, Floats, int]
"""Weight, (quantities,) sums and number of sentences."""


class QuantityDrift(BaseModel):
    """A quantity: its mean in the reference with bounds, its mean in about the last 50 windows, and its evidence."""

    quantity: str
    reference: float
    bounds: tuple[float, float]
    recent: float | None
    evidence: float | None


class Drift(BaseModel):
    """The state of a watch. Evidence is a decimal logarithm; the alarm is raised when the total reaches `alarm_at`.

    The alarm stays on until the server is restarted or serves another model. `drifted` lists the quantities that have
    drifted since.
    """

    alarm: bool
    alarm_since: str | None
    drifted: list[str]
    model_id: str
    windows: int
    sentences: int
    evidence: float | None
    alarm_at: float
    reference_sentences: int
    reference_documents: int
    quantities: list[QuantityDrift]


@dataclass
class _Watched:
    """A model with its test, and the documents of the window that is not yet complete."""

    model: Model
    profile: Profile
    bets: Bets
    weight: float = 0.0
    sentences: int = 0
    sums: Floats = field(default_factory=lambda: np.zeros(0))

    def add(self, values: Floats) -> _Window | None:
        """Add a document's (n, quantities) values; returns the window if the document completes it."""
        weight, sums = document_sums(values)
        self.sums = sums if not self.weight else self.sums + sums
        self.weight += weight
        self.sentences += len(values)
        if self.weight < WINDOW:
            return None
        window = self.weight, self.sums, self.sentences
        self.weight, self.sentences = 0.0, 0
        return window


_Answered = tuple[_Watched, Sequence[Sequence[str]], Probabilities]


class Watch:
    """Watches the sentences that a server answers, for each model that it serves.

    Args:
        folder: the folder that worker processes share to count their windows together; None for one process.
    """

    def __init__(self, metrics: Metrics, folder: Path | None = None) -> None:
        self._metrics = _Gauges(metrics)
        self._states = States(folder)
        self._watched: dict[str, _Watched] = {}
        self._waiting: list[_Answered] = []
        self._n_waiting = 0
        self._settling = threading.Lock()
        self._background = Background()

    def observer(self, model: Model) -> Observe:
        """The function to call with each answer of a model, of which the metrics report the drift from now on.

        Evidence on an earlier model with the same id is kept.
        """
        if model.id not in self._watched:
            try:
                profile = profile_of(model)
            except ArtefactError as error:
                logger.warning("no profile", extra={"fields": {"event": "drift not watched", "reason": str(error)}})
                self._metrics.start(model, None)
                return lambda _, __: None
            self._watched[model.id] = _Watched(model, profile, Bets(profile))
        watched = self._watched[model.id]
        self._metrics.start(model, self._current(watched))

        def observe(documents: Sequence[Sequence[str]], probabilities: Probabilities) -> None:
            if self._n_waiting < _MOST_WAITING and len(probabilities):
                self._waiting.append((watched, documents, probabilities))
                self._n_waiting += len(probabilities)

        return observe

    def start(self) -> None:
        """Start settling windows. Call this inside a running event loop."""
        self._background.start(self._work())

    async def stop(self) -> None:
        """Settle what was answered, then stop."""
        await self._background.cancel()
        await self.settle()

    async def report(self, model: Model) -> Drift | None:
        """The state of the watch of a model; None if the model has no profile."""
        await self.settle()
        watched = self._watched.get(model.id)
        return None if watched is None else await asyncio.to_thread(self._current, watched)

    async def settle(self) -> None:
        """Measure the sentences that wait, and settle the bets of complete windows."""
        # Taken here, because only the event loop adds to the list; the rest happens in a thread.
        answered, self._waiting, self._n_waiting = self._waiting, [], 0
        if answered:
            await asyncio.to_thread(self._settle, answered)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            await self.settle()

    def _settle(self, answered: Sequence[_Answered]) -> None:
        try:
            with self._settling:
                windows: dict[str, list[_Window]] = {}
                for watched, documents, probabilities in answered:
                    windows.setdefault(watched.model.id, []).extend(_windows(watched, documents, probabilities))
                for model_id, complete in windows.items():
                    self._bet(self._watched[model_id], complete)
        except Exception:  # a full disk, for example: the watch must never keep the server from answering
            logger.exception("drift", extra={"fields": {"event": "drift watch failed"}})

    def _bet(self, watched: _Watched, windows: Sequence[_Window]) -> None:
        if not windows:
            return
        weights, sums, sentences = zip(*windows, strict=True)
        with self._states.changing(watched.model.id, len(watched.bets.names)) as state:
            before = bool(state.alarmed)
            watched.bets.settle(state, np.array(weights), np.array(sums), sum(sentences))
            raised = bool(state.alarmed) and not before
            if raised:
                state.alarmed_at = datetime.now(UTC).isoformat(timespec="seconds")
        report = _report(watched, state)
        self._metrics.show(report)
        if raised:
            logger.warning("drift", extra={"fields": _log_fields(report)})

    def _current(self, watched: _Watched) -> Drift:
        return _report(watched, self._states.read(watched.model.id, len(watched.bets.names)))


class _Gauges:
    """The metrics of the watch of one model: the model that the server serves now."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._model_id = ""
        gauge = partial(Gauge, registry=metrics.registry, multiprocess_mode="livemostrecent")
        self._alarm = gauge("communique_drift_alarm", "1 if the drift watch has raised its alarm.")
        self._windows = gauge("communique_drift_windows", "Number of windows of sentences compared with the profile.")
        self._evidence = gauge(_EVIDENCE, "Decimal logarithm of the evidence.", ["quantity"])

    def start(self, model: Model, report: Drift | None) -> None:
        """Show the watch of a model instead of the watch before; None if the model is not watched."""
        self._model_id = model.id
        self._metrics.show_labels([each.quantity for each in report.quantities] if report else [], _EVIDENCE)
        if report:
            self.show(report)
        else:
            self._alarm.set(0)
            self._windows.set(0)

    def show(self, report: Drift) -> None:
        if report.model_id != self._model_id:  # answers that the model before had accepted
            return
        self._alarm.set(report.alarm)
        self._windows.set(report.windows)
        for quantity in report.quantities:
            self._evidence.labels(quantity.quantity).set(quantity.evidence or 0.0)


def profile_of(model: Model) -> Profile:
    """The profile of a model.

    Raises:
        ArtefactError: see `read_profile`.
    """
    return read_profile(model.manifest.profile if model.manifest else None, model.id)


def _windows(watched: _Watched, documents: Sequence[Sequence[str]], probabilities: Probabilities) -> Iterator[_Window]:
    """Add documents to the window of a model, and yield the windows that they complete."""
    assigned = watched.model.decide(probabilities)
    values = watched.profile.measure([text for texts in documents for text in texts], probabilities, assigned)
    ends = np.cumsum([len(texts) for texts in documents])
    for own in np.split(values, ends[:-1]):
        if len(own) and (window := watched.add(own)):
            yield window


def _report(watched: _Watched, state: Evidence) -> Drift:
    each, total = watched.bets.evidence(state)
    quantities = [
        QuantityDrift(
            quantity=name,
            reference=quantity.mean,
            bounds=(float(lower), float(upper)),
            recent=float(recent) if state.windows else None,
            evidence=_shown(value),
        )
        for name, quantity, (lower, upper), recent, value in zip(
            watched.bets.names, watched.profile.quantities, watched.bets.intervals, state.recent, each, strict=True
        )
    ]
    return Drift(
        alarm=bool(state.alarmed),
        alarm_since=state.alarmed_at or None,
        drifted=state.alarmed,
        model_id=watched.model.id,
        windows=state.windows,
        sentences=state.sentences,
        evidence=_shown(total),
        alarm_at=round(THRESHOLD, 3),
        reference_sentences=watched.profile.sentences,
        reference_documents=watched.profile.documents,
        quantities=quantities,
    )


def _shown(evidence: float) -> float | None:
    return round(float(evidence), 3) if np.isfinite(evidence) else None  # minus infinity before the first window


def _log_fields(report: Drift) -> dict[str, object]:
    drifted = {
        quantity.quantity: {"reference": round(quantity.reference, 4), "recent": round(quantity.recent or 0.0, 4)}
        for quantity in report.quantities
        if quantity.quantity in report.drifted
    }
    fields: dict[str, object] = {"event": "drift", "model": report.model_id, "windows": report.windows}
    return fields | {"sentences": report.sentences, "drifted": drifted}
