"""Prometheus metrics of the server; with several workers, the values of all workers are added up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

LABELS = "communique_labels"

_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one application. No label contains a text, a key or an address."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._shown: dict[str, frozenset[str]] = {}
        self.requests = Counter(
            "communique_requests", "Answered requests.", ["method", "route", "status"], registry=own
        )
        self.seconds = Histogram(
            "communique_request_seconds", "Time until a request is answered.", ["route"], buckets=_SECONDS, registry=own
        )
        self.batch = Histogram("communique_batch_texts", "Texts per call of the model.", buckets=_BATCHES, registry=own)
        self.queue = Gauge(
            "communique_queue_texts", "Texts that wait for the model.", multiprocess_mode="livesum", registry=own
        )
        self.labels = Counter(LABELS, "Assigned labels.", ["label"], registry=own)
        self.sentences = Counter("communique_sentences", "Labelled sentences.", registry=own)
        self.refusals = Counter("communique_refusals", "Refused requests.", ["reason"], registry=own)
        self.reloads = Counter("communique_reloads", "Reloads of the model.", ["outcome"], registry=own)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Report the length of the queue when metrics are read; in multiprocess mode, call `queue.set` instead."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            self.queue.set_function(waiting)

    def show_labels(self, labels: Iterable[str], metric: str = LABELS) -> None:
        """Report a metric only for these values of its only label: other values belong to an earlier model."""
        self._shown[metric] = frozenset(labels)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format, of all workers if there are several."""
        together = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        current = CollectorRegistry()
        current.register(_Current(together, self._shown))
        return generate_latest(current)


class _Current(Collector):
    """The metrics of a registry without the values of earlier models, which Prometheus' counters keep for ever."""

    def __init__(self, registry: CollectorRegistry, shown: dict[str, frozenset[str]]) -> None:
        self._registry, self._shown = registry, shown

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names of the metrics were checked when they were created."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics with their current values."""
        for metric in self._registry.collect():
            if (shown := self._shown.get(metric.name)) is not None:
                metric.samples = [one for one in metric.samples if shown.issuperset(one.labels.values())]
            yield metric


def shared_folder() -> Path | None:
    """The folder in which several workers keep their metrics; None if there is one process."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None
