"""Code sentences in a store with a language model: select them, estimate the cost, and record the answers as events.

Every answer is recorded as soon as it arrives, so a run can be stopped at any time and continued by the same command.
At most, the requests in progress are repeated; they are counted.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random

import numpy as np

from labels.codebook.schema import Codebook
from labels.environment.progress import report_progress
from labels.errors import EndpointError, InputError
from labels.gold import resolve
from labels.records import Annotation, ScoringModel, Sentence
from labels.sampling.drawing import search_terms
from labels.sampling.model_coders import FACTS, ModelCoder, facts_of_answer, model_coder
from labels.store import Store, now
from trainer.active.llm.asking import Answer, Budget, Spent, answer_about, expected, in_parallel, refused
from trainer.active.llm.coder_identity import Coder
from trainer.active.llm.endpoint import NO_CHOICE, NOT_JSON, Endpoint, RefusedTextError, shown_address
from trainer.active.scoring import uncertainty

LLM = "llm"
"""The kind of the scores of a model coder."""
THRESHOLD = 0.5


@dataclass(frozen=True)
class Selection:
    """Which sentences to code: all, those of a draw, those with gold or certain words, or a random sample of them.

    - `draw`: the id of a draw; empty for all sentences
    - `labelled`: only sentences with gold
    - `search`: only sentences with all of these words
    - `size`: size of a simple random sample of these; None for all
    """

    draw: str = ""
    labelled: bool = False
    search: str = ""
    size: int | None = None
    seed: int = 13

    def ids(self, store: Store, codebook: Codebook) -> list[str]:
        """The ids of the sentences, in the order in which the store has them.

        Raises:
            InputError: the draw does not exist, or no sentence meets the conditions.
        """
        found = [one.id for one in store.designs.corpus()]
        for chosen in self._conditions(store, codebook):
            found = [one for one in found if one in chosen]
        if not found:
            raise InputError(f"{store.name}: no sentence to code meets these conditions. Change or remove one.")
        if self.size is None or self.size >= len(found):
            return found
        kept = set(Random(self.seed).sample(found, self.size))
        return [one for one in found if one in kept]

    def _conditions(self, store: Store, codebook: Codebook) -> Iterator[set[str]]:
        if self.draw:
            drawn = store.draws.items(self.draw)
            if not drawn:
                raise InputError(f"{store.name} has no draw '{self.draw}'. Run `communique status` to see the draws.")
            yield set(drawn)
        if self.labelled:
            yield set(resolve(store.events.all(), codebook, store.codebooks.history()).gold)
        if self.search:
            yield set(store.unseen.matching(search_terms(self.search), None))


def sampled_answers(store: Store, known: ModelCoder, size: int, seed: int) -> list[Sentence]:
    """A simple random sample of the sentences that a coder has answered."""
    ids = sorted(known.answers)
    return store.documents.sentences(Random(seed).sample(ids, min(size, len(ids)))) if size and ids else []


# -- what is to be done


@dataclass(frozen=True)
class CodingPlan:
    """The sentences that a coder has not answered yet, and the expected cost.

    - `known`: the number of chosen sentences that have a recorded answer, or a recorded lack of one
    - `lost`: the number of sentences whose requests were in progress when an earlier run was killed
    - `expected`: a rough estimate
    """

    coder: Coder
    sentences: tuple[Sentence, ...]
    known: int
    lost: int
    expected: Spent


def plan_coding(store: Store, coder: Coder, selection: Selection) -> CodingPlan:
    """Determine which sentences a coder has not answered yet, and the expected cost.

    Raises:
        InputError: the name belongs to another model or prompt; see also `Selection.ids`.
    """
    known = model_coder(store, coder.name)
    if known is not None:
        coder.refuse_another(known)
    done = {*known.answers, *known.unanswered} if known else set()
    shown = {shot.sentence_id for shot in coder.prompt.shots}
    chosen = [one for one in selection.ids(store, coder.prompt.codebook) if one not in shown]
    left = [one for one in chosen if one not in done]
    lost = store.events.drafted(coder.name, left)
    sentences = tuple(store.documents.sentences(left))
    costs = expected(coder.prompt, (one.text for one in sentences), coder.settings)
    return CodingPlan(coder, sentences, len(chosen) - len(left), len(lost), costs)


# -- doing it


@dataclass
class Outcome:
    """The result of a run: sentences with and without an answer, the reasons for the latter, and the cost.

    `stopped` is true if the budget ended the run before all sentences were coded.
    """

    answered: int = 0
    labelled: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)
    spent: Spent = field(default_factory=Spent)
    stopped: bool = False


def code_sentences(store: Store, plan: CodingPlan, endpoint: Endpoint, budget: Budget) -> Outcome:
    """Ask about the sentences of a plan and record each answer, until all are coded or the budget is spent.

    Raises:
        InputError: the budget does not cover one sentence; or see `Endpoint.ask`.
        EndpointError: see `Endpoint.ask`. The answers so far are recorded.
        KeyboardInterrupt: after Ctrl-C, when the answers to the requests in progress are recorded.
    """
    recorder = _Recorder(store, plan.coder, len(plan.sentences))
    recorder.restore_scores()
    if not plan.sentences:
        return recorder.outcome
    mean = plan.expected.tokens / len(plan.sentences)
    if not budget.covers(_so_far(Spent(), plan, 1)):
        raise InputError(
            f"The budget does not cover a single sentence, which needs about {mean:,.0f} tokens. Increase --max-cost "
            "or --max-tokens, or use --short."
        )

    def ask(sentence: Sentence) -> Answer:
        try:
            answer = answer_about(endpoint, plan.coder.prompt, sentence.text)
        except RefusedTextError as error:
            if not recorder.asked_before:
                raise  # the first, shortest text: the prompt is what the endpoint refuses
            return refused(error)
        if answer.problem in (NOT_JSON, NO_CHOICE) and not recorder.asked_before:
            # A wrong address: recorded as "no answer", all sentences would be spoiled.
            place = shown_address(plan.coder.settings)
            raise EndpointError(f"{place}: {answer.problem}. Check `base_url`, which often ends with /v1.")
        return answer

    try:
        # The first request alone: it shows whether the endpoint accepts the prompt, and which parameters it knows.
        first, *others = sorted(plan.sentences, key=lambda one: len(one.text))[:1] + list(_without_shortest(plan))
        in_parallel(ask, recorder.marked([first], plan, budget), 1, recorder.record)
        workers = plan.coder.settings.concurrency
        in_parallel(ask, recorder.marked(others, plan, budget), workers, recorder.record)
    finally:
        store.events.drop_requests(plan.coder.name)
    return recorder.outcome


def _without_shortest(plan: CodingPlan) -> Iterator[Sentence]:
    shortest = min(plan.sentences, key=lambda one: len(one.text))
    return (one for one in plan.sentences if one.id != shortest.id)


def _so_far(spent: Spent, plan: CodingPlan, waiting: int) -> Spent:
    """Estimate what will have been spent after the answers to `waiting` further sentences."""
    done = spent.requests / max(1, plan.expected.requests / len(plan.sentences))
    # What the answers so far have cost is a better guide than the estimate made beforehand.
    base = spent if done >= 1 else plan.expected
    share = waiting / (done if done >= 1 else len(plan.sentences))
    return Spent(
        tokens_in=spent.tokens_in + round(base.tokens_in * share),
        tokens_out=spent.tokens_out + round(base.tokens_out * share),
    )


class _Recorder:
    """Records the answers of one coder, and which requests are in progress."""

    def __init__(self, store: Store, coder: Coder, total: int) -> None:
        self._store, self._coder, self._total = store, coder, total
        self._numbers = {one.id: one.number for one in store.designs.corpus()}
        self._waiting: set[str] = set()
        self._described = False
        self.outcome = Outcome()

    def marked(self, sentences: Sequence[Sentence], plan: CodingPlan, budget: Budget) -> Iterator[Sentence]:
        """Yield sentences as long as the budget lasts, each after a note in the store that its request is in progress.

        The notes are written for as many sentences at a time as there are workers.
        """
        step = self._coder.settings.concurrency
        for start in range(0, len(sentences), step):
            batch = sentences[start : start + step]
            self._store.events.keep_requests(self._coder.name, [one.id for one in batch])
            for sentence in batch:
                if not budget.covers(_so_far(self.outcome.spent, plan, len(self._waiting) + 1)):
                    self.outcome.stopped = True
                    return
                self._waiting.add(sentence.id)
                yield sentence

    def record(self, answers: list[tuple[Sentence, Answer]]) -> None:
        """Record answers as events and, for those with labels, scores."""
        if not self._recorded:
            self._store.codebooks.add(self._coder.prompt.codebook)
        self._store.events.add([self._event(sentence.id, answer) for sentence, answer in answers])
        self._score({one.id: answer.probabilities for one, answer in answers if answer.labels is not None})
        for sentence, answer in answers:
            if answer.labels is None:
                self.outcome.unanswered[answer.problem] += 1
            else:
                self.outcome.answered += 1
                self.outcome.labelled += bool(answer.labels)
            self.outcome.spent.add(answer)
            self._waiting.discard(sentence.id)
        report_progress("Asking", self._recorded, self._total)

    @property
    def asked_before(self) -> bool:
        """Whether an answer has been recorded in this run."""
        return self._recorded > 0

    @property
    def _recorded(self) -> int:
        return self.outcome.answered + self.outcome.unanswered.total()

    def restore_scores(self) -> None:
        """Write the scores of recorded answers that have none: after a kill between the two, or after an import."""
        known = model_coder(self._store, self._coder.name)
        if known is None:
            return
        has = self._store.scores.all_probabilities(self._coder.name)
        lacking = {
            sentence: tuple(facts_of_answer(event).get("scores", ()))
            for sentence, event in known.answers.items()
            if self._numbers.get(sentence) not in has and sentence in self._numbers
        }
        self._score({sentence: scores for sentence, scores in lacking.items() if scores})

    def _score(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        if not scores:
            return
        book = self._coder.prompt.codebook
        thresholds = () if book.exclusive else (THRESHOLD,) * len(book.labels)
        if not self._described:
            own = (self._coder.name, LLM, book.label_names, thresholds, book.exclusive, book.hash)
            self._store.scores.add_model(ScoringModel(*own, created_at=now()))
            self._described = True
        values = np.array(list(scores.values()), dtype=np.float32)
        sure = uncertainty(values, thresholds=thresholds, exclusive=book.exclusive, allow_none=book.allow_none)
        columns = (values.tolist(), sure.entropy.tolist(), sure.margin.tolist(), sure.top.tolist())
        numbers = (self._numbers[sentence] for sentence in scores)
        self._store.scores.add(self._coder.name, list(zip(numbers, *columns, strict=True)))

    def _event(self, sentence: str, answer: Answer) -> Annotation:
        facts = self._coder.identity | {"address": shown_address(self._coder.settings)}
        costs = asdict(answer)
        facts |= {name: costs[name] for name in ("requests", "attempts", "tokens_in", "tokens_out")}
        if answer.labels is None:
            facts["written"] = answer.written
        else:
            facts["scores"] = [round(value, 6) for value in answer.probabilities]
        return Annotation(
            event_id=uuid.uuid4().hex,
            sentence_id=sentence,
            annotator=self._coder.name,
            event="model",
            state="skipped" if answer.labels is None else "reviewed",
            labels=answer.labels or (),
            codebook_hash=self._coder.prompt.codebook.hash,
            created_at=now(),
            note=answer.problem,
            seconds=round(answer.seconds, 3),
            extra={FACTS: facts},
        )
