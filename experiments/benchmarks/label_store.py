"""Speed of labelling with a large store: next sentence, key press to next screen, status, ingest and memory.

    python experiments/benchmarks/label_store.py --sentences 1000000 --annotations 100000

Makes a store of invented sentences with scores and annotations, then measures in new processes. `--store` also accepts
a database URL, for example of an empty PostgreSQL database. `--keep` keeps the store for further inspection.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook, load_codebook
from labels.records import Annotation, Document, Sentence
from labels.sampling.drawing import DrawRequest
from labels.store import ScoringModel, Store, now
from labels.store.ingestion import ingest

MODEL = "0123456789abcdef"
PER_DOCUMENT = 20
STEPS = 500
"""Number of timed decisions per strategy. A draw has 100 sentences, so five draws are included."""
LIMITS = {
    "next sentence, p95": (50.0, "ms"),
    "key press, p95": (100.0, "ms"),
    "memory": (400.0, "MB"),
    "status": (2.0, "s"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--annotations", type=int, default=100_000)
    parser.add_argument("--store", default="", help="SQLite file or database URL [default: a temporary file]")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/label_store.md"))
    parser.add_argument("--measure", choices=["random", "uncertainty", "screen"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.store)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store or str(Path(folder) / "large.db")
        seconds = fill(store, arguments.sentences, arguments.annotations)
        rows = [
            ("made: sentences with scores", arguments.sentences / seconds["sentences"], "/s", None),
            ("made: annotations", arguments.annotations / seconds["annotations"], "/s", None),
            ("ingest of articles", ingest_speed(Path(folder)), "sentences/s", 3000.0),
            *long_document(Path(folder)),
        ]
        for name in ("random", "uncertainty", "screen"):
            rows += [
                (f"{name}: {key}", value, unit, limit) for key, value, unit, limit in in_fresh_process(name, store)
            ]
        rows.append(("status, whole command", time_status(store), "s", LIMITS["status"][0]))
        report(arguments, store, rows)


def fill(url: str, sentences: int, annotations: int) -> dict[str, float]:
    """Fill the store; returns the seconds that each part took."""
    book = load_codebook("diplomatic")
    generator = random.Random(13)
    seconds = {}
    with Store(url) as store:
        start = time.perf_counter()
        store.scores.add_model(
            ScoringModel(MODEL, "tfidf", book.label_names, (0.5,) * len(book.labels), False, book.hash, now())
        )
        for batch in documents(sentences, generator):
            store.documents.add(batch)
        for first in range(1, sentences + 1, 5000):
            store.scores.add(
                MODEL, (score(number, generator) for number in range(first, min(first + 5000, sentences + 1)))
            )
        seconds["sentences"] = time.perf_counter() - start
        start = time.perf_counter()
        for done in range(0, annotations, 5000):
            ids = store.unseen.random(min(5000, annotations - done), generator)
            store.events.add([decision(identifier, f"coder-{done % 4}", book, generator) for identifier in ids])
        seconds["annotations"] = time.perf_counter() - start
    return seconds


def documents(sentences: int, generator: random.Random) -> Iterator[list[tuple[Document, list[Sentence]]]]:
    """Yield batches of 500 documents with `PER_DOCUMENT` sentences each."""
    batch: list[tuple[Document, list[Sentence]]] = []
    for number in range(sentences // PER_DOCUMENT):
        texts = [prose(generator) for _ in range(PER_DOCUMENT)]
        document = Document(f"agency {number}", "\n".join(texts), title=f"Dispatch {number}", date="2024-05-01")
        rows, start = [], 0
        for text in texts:
            rows.append(Sentence(document.id, start, start + len(text), text, "benchmark"))
            start += len(text) + 1
        batch.append((document, rows))
        if len(batch) == 500:
            yield batch
            batch = []
    yield batch


WORDS = """
the envoy government minister army union council river border talks offered refused called for a truce weapons shells
grain million euros promised would send said on Monday that of to and in after before without another village port
winter clinic convoy radar battery agreement proposal demanded urged both sides again
"""


def prose(generator: random.Random) -> str:
    """An invented sentence of 8 to 30 words."""
    return " ".join(generator.choices(WORDS.split(), k=generator.randint(8, 30))).capitalize() + "."


def score(number: int, generator: random.Random) -> tuple[int, list[float], float, float, float]:
    probabilities = [generator.random() ** 4 for _ in range(4)]
    return number, probabilities, generator.random(), generator.random(), max(probabilities)


def decision(sentence: str, annotator: str, book: Codebook, generator: random.Random) -> Annotation:
    labels = () if generator.random() < 0.7 else (generator.choice(book.label_names),)
    event_id, seconds = generator.randbytes(16).hex(), generator.uniform(1, 9)
    return Annotation(event_id, sentence, annotator, "annotate", "reviewed", labels, book.hash, now(), seconds=seconds)


def in_fresh_process(name: str, store: str) -> list[tuple[str, float, str, float | None]]:
    """Run `measure` in a new process, whose memory is the memory of labelling alone; returns its rows."""
    command = [sys.executable, __file__, "--measure", name, "--store", store]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def measure(name: str, url: str) -> None:
    """Label in this process and print the figures as JSON."""
    book = load_codebook("diplomatic")
    with Store(url) as store:
        times = asyncio.run(press_keys(store, book)) if name == "screen" else label(store, book, name)
    what = "key press" if name == "screen" else "next sentence"
    limit = LIMITS[f"{what}, p95"][0]
    ordered = sorted(times)
    rows = [
        (f"{what}, median", statistics.median(times) * 1000, "ms", None),
        (f"{what}, p95", ordered[int(0.95 * len(ordered))] * 1000, "ms", limit),
        (f"{what}, longest", ordered[-1] * 1000, "ms", None),
        ("peak memory", peak_memory(), "MB", LIMITS["memory"][0]),
    ]
    print(json.dumps(rows))


def label(store: Store, book: Codebook, strategy: str) -> list[float]:
    """The seconds between a saved decision and the next sentence, including new draws."""
    request = DrawRequest(strategy, size=100, model_id=MODEL if strategy != "random" else "")
    session = LabellingSession(store, book, f"timed-{strategy}", request)
    session.current()
    times = []
    for step in range(STEPS):
        session.review(book.label_names[:1] if step % 3 == 0 else ())
        start = time.perf_counter()
        if not session.remaining:
            session = LabellingSession(store, book, f"timed-{strategy}", request)
        session.current()
        times.append(time.perf_counter() - start)
    return times


async def press_keys(store: Store, book: Codebook) -> list[float]:
    """The seconds between a key press and the next complete screen, after the decision is saved."""
    from labels.annotate.screen.coding_app import CodingApp

    app = CodingApp(LabellingSession(store, book, "timed-screen", DrawRequest(size=250)), book, "timed-screen")
    times = []
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.pause()
        for _ in range(200):
            painted = asyncio.Event()
            before, start = app.session.decided, time.perf_counter()
            app.simulate_key("n")
            while app.session.decided == before:
                await asyncio.sleep(0)
            app.call_after_refresh(painted.set)
            await painted.wait()
            times.append(time.perf_counter() - start)
    return times


def peak_memory() -> float:
    """The peak resident memory of this process in MB; works only on Linux."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def ingest_speed(folder: Path) -> float:
    """Sentences per second when article files are read into a new SQLite store."""
    generator = random.Random(14)
    rows = folder / "articles.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for number in range(2000):
            text = "\n\n".join(" ".join(prose(generator) for _ in range(5)) for _ in range(4))
            file.write(json.dumps({"id": number, "text": text}) + "\n")
    with Store(folder / "ingest.db") as store:
        seconds = timed(lambda: ingest(store, [rows]))
        return store.counts.texts().sentences / seconds


def long_document(folder: Path) -> list[tuple[str, float, str, float | None]]:
    """Seconds for one transcript of 40,000 sentences (1.2 MB): into a new store, again, and into a table."""
    from trainer.data.corpus import read_sentences

    path = folder / "transcript.txt"
    path.write_text("\n\n".join(f"Member {number} said no to aid." for number in range(40_000)), encoding="utf-8")
    with Store(folder / "transcript.db") as store:
        new = timed(lambda: ingest(store, [path]))
        again = timed(lambda: ingest(store, [path]))
    table = timed(lambda: read_sentences(path))
    parts = {"ingest": new, "ingest again": again, "read_sentences": table}
    return [(f"document of 40,000 sentences, {part}", seconds, "s", 3.0) for part, seconds in parts.items()]


def time_status(url: str) -> float:
    """The seconds that `communique status` takes, including the start of Python."""
    command = [sys.executable, "-c", "from trainer.cli import app; app()", "status", "--store", url]
    return min(timed(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(3))


def timed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def report(arguments: argparse.Namespace, store: str, rows: list[tuple[str, float, str, float | None]]) -> None:
    database = "PostgreSQL" if store.startswith("postgresql") else "SQLite"
    lines = [
        f"# A store of {arguments.sentences:,} sentences and {arguments.annotations:,} annotations ({database})",
        "",
        f"`python experiments/benchmarks/label_store.py --sentences {arguments.sentences} --annotations "
        f"{arguments.annotations}` on {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"SQLAlchemy {version('sqlalchemy')}, textual {version('textual')}.",
        "",
        "| what | measured | target |",
        "| --- | ---: | ---: |",
    ]
    for name, value, unit, limit in rows:
        target = "" if limit is None else f"{'at least' if unit.endswith('/s') else 'under'} {limit:,.0f} {unit}"
        lines.append(f"| {name} | {value:,.1f} {unit} | {target} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
