"""Ask a model about texts, several at a time: each answer is read strictly, and its cost is recorded.

If an answer cannot be read, the question is asked once more. If the second answer cannot be read either, there is no
answer, which differs from "none of the labels".
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from labels.environment.progress import report_progress
from labels.environment.settings import LanguageModel
from labels.errors import DataError, InputError
from labels.text.rows import read_rows
from trainer.active.llm.coder_prompt import Prompt, UnreadableAnswer, estimated_tokens
from trainer.active.llm.endpoint import Endpoint, RefusedTextError, Reply, read_probabilities

Key = TypeVar("Key", bound=Hashable)

_KEPT = 500
"""Maximum number of characters kept of an unreadable answer."""


@dataclass(frozen=True)
class Answer:
    """What a model answered about one text.

    - `labels`: in codebook order; None if there is no answer; `problem` gives the reason
    - `probabilities`: one for each label; 0 or 1 if the settings name no source of probabilities
    - `requests`: number of questions asked; `attempts`: number of requests sent, including repetitions after failures
    - `written`: the beginning of the last unreadable answer
    """

    labels: tuple[str, ...] | None
    probabilities: tuple[float, ...] = ()
    problem: str = ""
    written: str = ""
    requests: int = 0
    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0


@dataclass
class Spent:
    """The cost of answers so far: numbers of questions, requests, input and output tokens, and seconds."""

    requests: int = 0
    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    def add(self, answer: Answer | Reply) -> None:
        """Add the cost of an answer."""
        self.requests += answer.requests if isinstance(answer, Answer) else 1
        self.attempts += answer.attempts
        self.tokens_in += answer.tokens_in
        self.tokens_out += answer.tokens_out
        self.seconds += answer.seconds

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.tokens_in + self.tokens_out

    def cost(self, settings: LanguageModel) -> float | None:
        """The cost in the currency of the prices; None if the settings have no prices."""
        if settings.price_in is None or settings.price_out is None:
            return None
        return (self.tokens_in * settings.price_in + self.tokens_out * settings.price_out) / 1e6


def answer_about(endpoint: Endpoint, prompt: Prompt, text: str, *, repeat: int = 0) -> Answer:
    """Ask about one text: once or, with probabilities from samples, several times at temperature 1.

    Args:
        repeat: distinguishes several answers to the same question, by their seeds.

    Raises:
        RefusedTextError, EndpointError, InputError: see `Endpoint.ask`.
    """
    spent = Spent()
    if endpoint.settings.probabilities == "samples":
        return _sampled(endpoint, prompt, text, repeat, spent)
    labels, reply, problem = _read(endpoint, prompt, text, spent, repeat=repeat)
    if labels is None:
        return _made(None, (), spent, problem, reply.content)
    if endpoint.settings.probabilities == "logprobs":
        try:
            return _made(labels, read_probabilities(prompt, reply), spent)
        except UnreadableAnswer as error:
            return _made(None, (), spent, str(error), reply.content)
    return _made(labels, tuple(float(name in labels) for name in prompt.codebook.label_names), spent)


def _read(
    endpoint: Endpoint, prompt: Prompt, text: str, spent: Spent, *, temperature: float | None = None, repeat: int = 0
) -> tuple[tuple[str, ...] | None, Reply, str]:
    """Ask until an answer can be read, at most twice; return its labels or None, the last reply, and its problem."""
    problem, reply = "", Reply("")
    for attempt in range(2):
        # Another seed for the second time: the same one would bring the same answer.
        reply = endpoint.ask(prompt, text, temperature=temperature, repeat=2 * repeat + attempt)
        spent.add(reply)
        problem = reply.problem
        if not problem:
            try:
                return prompt.read(reply.content), reply, ""
            except UnreadableAnswer as error:
                problem = str(error)
    return None, reply, problem


def _sampled(endpoint: Endpoint, prompt: Prompt, text: str, repeat: int, spent: Spent) -> Answer:
    """Ask several times at temperature 1: a label's probability is its share of the answers that can be read."""
    found: list[tuple[str, ...]] = []
    problem, reply = "", Reply("")
    for number in range(endpoint.settings.samples):
        place = repeat * endpoint.settings.samples + number
        labels, reply, problem = _read(endpoint, prompt, text, spent, temperature=1.0, repeat=place)
        found += [] if labels is None else [labels]
    if not found:
        return _made(None, (), spent, problem, reply.content)
    names = prompt.codebook.label_names
    shares = tuple(sum(name in labels for labels in found) / len(found) for name in names)
    if prompt.codebook.exclusive:
        # The most frequent answer; of equally frequent ones, the first that was given.
        return _made(Counter(found).most_common(1)[0][0], shares, spent)
    return _made(tuple(name for name, share in zip(names, shares, strict=True) if share >= 0.5), shares, spent)


def _made(
    labels: tuple[str, ...] | None, chances: tuple[float, ...], spent: Spent, problem: str = "", written: str = ""
) -> Answer:
    return Answer(labels, chances, problem, written[:_KEPT] if labels is None else "", **asdict(spent))


# -- several at a time


def in_parallel(
    ask: Callable[[Key], Answer], keys: Iterator[Key], workers: int, record: Callable[[list[tuple[Key, Answer]]], None]
) -> None:
    """Ask about keys as they are yielded, at most `workers` at a time, and record answers as soon as they arrive.

    A separate thread, which Ctrl-C cannot interrupt, records the answers; those that arrive together are recorded
    together. If an error occurs or Ctrl-C is pressed, no further requests are sent, and the answers to requests in
    progress are recorded before the exception is raised.
    """
    context = copy_context()  # with the sink of progress reports, which threads do not inherit
    failure: BaseException | None = None
    arrived: deque[tuple[Key, Answer]] = deque()

    def write() -> None:
        answers = [arrived.popleft() for _ in range(len(arrived))]
        if answers:  # otherwise the call before this one has recorded them
            record(answers)

    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(workers, thread_name_prefix="llm") as pool:

        def work(key: Key) -> None:
            arrived.append((key, ask(key)))
            # Until its answer is recorded, a request counts as in progress.
            writer.submit(context.run, write).result()

        running: set[Future[None]] = set()
        while True:
            try:
                while failure is None and len(running) < workers and (key := next(keys, None)) is not None:
                    running.add(pool.submit(work, key))
                if not running:
                    break
                wait(running, return_when=FIRST_COMPLETED)
                done = {future for future in running if future.done()}
                failure = failure or next((error for one in done if (error := one.exception()) is not None), None)
                running -= done
            except KeyboardInterrupt as interrupt:
                failure = failure or interrupt
    if failure is not None:
        raise failure


def refused(error: RefusedTextError) -> Answer:
    """Return the record for a text whose request the endpoint refused as invalid: no answer."""
    return Answer(None, problem=str(error), requests=1, attempts=1)


@dataclass(frozen=True)
class Question:
    """A text under a prompt; `repeat` distinguishes repetitions of the same question."""

    prompt: Prompt
    text: str
    repeat: int = 0

    @property
    def key(self) -> str:
        """A hash of the question."""
        content = json.dumps([self.prompt.hash, self.text, self.repeat])
        return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass
class Journal:
    """A JSONL file with the answers to questions, so that an interrupted check does not ask them again.

    It contains hashes of the questions, and no texts. Without a path, nothing is kept.

    Raises:
        DataError: the file cannot be read, or is not such a file.
    """

    path: Path | None
    coder: str
    known: dict[str, Answer] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for number, row in read_rows(self.path):
            try:
                if row.pop("coder") == self.coder:
                    key = row.pop("question")
                    row["labels"] = None if row["labels"] is None else tuple(row["labels"])
                    self.known[key] = Answer(**row | {"probabilities": tuple(row["probabilities"])})
            except (KeyError, TypeError) as error:
                place = DataError.place(self.path, number)
                raise DataError(
                    f"{place}: this is not a file of answers by a language model ({error}). Choose another file with "
                    "--answers."
                ) from None

    def keep(self, question: Question, answer: Answer) -> None:
        """Append an answer to the file."""
        self.known[question.key] = answer
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"coder": self.coder, "question": question.key, **asdict(answer)}) + "\n")


def ask_all(endpoint: Endpoint, questions: Sequence[Question], journal: Journal, stage: str) -> list[Answer]:
    """Ask questions, several at a time, except those whose answers the journal knows; returns answers in order.

    Raises:
        EndpointError, InputError: see `Endpoint.ask`. The answers so far are in the journal.
    """
    open_ = {question.key: question for question in questions if question.key not in journal.known}
    total, done = len(questions), len(questions) - len(open_)

    def ask(question: Question) -> Answer:
        try:
            return answer_about(endpoint, question.prompt, question.text, repeat=question.repeat)
        except RefusedTextError as error:
            return refused(error)

    def record(answers: list[tuple[Question, Answer]]) -> None:
        nonlocal done
        for question, answer in answers:
            journal.keep(question, answer)
        done += len(answers)
        report_progress(stage, done, total)

    in_parallel(ask, iter(open_.values()), endpoint.settings.concurrency, record)
    return [journal.known[question.key] for question in questions]


# -- before anything is sent


@dataclass(frozen=True)
class Budget:
    """The maximum cost of a run; None for no limit.

    Raises:
        InputError: a limit is not above 0, or there is a limit for the cost and the settings have no prices.
    """

    settings: LanguageModel
    cost: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("--max-cost", self.cost), ("--max-tokens", self.tokens)):
            if value is not None and not value > 0:
                raise InputError(f"{name} {value:g} leaves nothing to spend. Give a number above 0, or remove {name}.")
        if self.cost is not None and (self.settings.price_in is None or self.settings.price_out is None):
            raise InputError(
                "--max-cost needs prices. Add `price_in` and `price_out` (per million tokens) under [llm] in "
                "communique.toml, or use --max-tokens."
            )

    def covers(self, spent: Spent) -> bool:
        """Whether the budget covers this cost."""
        cost = spent.cost(self.settings)
        return not (
            (self.cost is not None and cost is not None and cost > self.cost)
            or (self.tokens is not None and spent.tokens > self.tokens)
        )


def expected(prompt: Prompt, texts: Iterable[str], settings: LanguageModel) -> Spent:
    """Estimate roughly what answers about texts will cost, at 4 bytes per token and without repetitions."""
    each = settings.samples if settings.probabilities == "samples" else 1
    constant = estimated_tokens(prompt.messages(""))
    answer = 4 + len(prompt.written(prompt.codebook.label_names[:1]).encode()) // 3
    found = Spent()
    for text in texts:
        found.requests += each
        found.attempts += each
        found.tokens_in += each * (constant + len(text.encode("utf-8", "surrogatepass")) // 4)
        found.tokens_out += each * answer
    return found
