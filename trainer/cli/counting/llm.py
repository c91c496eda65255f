"""`communique llm`: a language model as an additional coder: its prompt, coding, checks, and comparisons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labels.cli.terminal import (
    CodebookOption,
    StoreOption,
    console,
    error_console,
    opened_store,
    print_next,
    progress_bars,
    write_out,
)
from labels.environment.settings import LanguageModel, Settings, command
from labels.errors import InputError, counted
from trainer.cli.counting.llm_check import check_command, compare_command
from trainer.cli.counting.llm_options import (
    BaseUrlOption,
    CoderOptions,
    ModelOption,
    NameOption,
    ShortOption,
    ShotsOption,
    SplitOption,
    YesOption,
    confirm_sending,
)

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.store import Store
    from trainer.active.llm.asking import Spent
    from trainer.active.llm.coder_identity import Coder
    from trainer.active.llm.coding import CodingPlan, Outcome

app = typer.Typer(
    no_args_is_help=True, help="Let a language model code sentences, and evaluate it like any other coder."
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,39}")


def _coder(store: Store, codebook: Codebook, settings: Settings, options: CoderOptions) -> Coder:
    """The coder that the settings and options describe; a known coder keeps the examples of its prompt."""
    from labels.gold import coder_name
    from labels.sampling.model_coders import model_coder
    from trainer.active.llm.coder_identity import Coder, few_shots, known_shots
    from trainer.active.llm.coder_prompt import Prompt
    from trainer.data.splits import Split

    own = options.settings(settings)
    short_name = own.name or re.sub(r"[^A-Za-z0-9_.\-]+", "-", own.model).strip("-.")[-40:].lstrip("-._") or "model"
    if not _NAME.fullmatch(short_name):
        raise InputError(
            f"'{short_name}' cannot be the name of a coder: use up to 40 letters, digits, _ . and -, for instance "
            "--name small-model."
        )
    name = coder_name(short_name)
    prompt = Prompt(codebook, options.short, own.answer, each=own.probabilities == "logprobs")
    if options.shots:
        if options.split is None:
            raise InputError(
                "--shots needs --split FILE, the split.json of a run: examples in the prompt must not be sentences on "
                "which models are tested."
            )
        known = model_coder(store, name)
        shots = known_shots(store, codebook, known) if known else ()
        shots = shots or few_shots(store, codebook, options.shots, Split.load(options.split), own.seed)
        prompt = replace(prompt, shots=shots)
    return Coder(name, own, prompt)


@app.command("prompt", epilog="Example: communique llm prompt --short --text 'The envoy called for a truce.'")
def prompt_command(
    text: Annotated[str, typer.Option("--text", help="The sentence to show in the prompt.")] = "(the sentence)",
    name: NameOption = "",
    base_url: BaseUrlOption = "",
    model: ModelOption = "",
    short: ShortOption = False,
    shots: ShotsOption = 0,
    split: SplitOption = None,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Print the prompt that a model receives for a sentence; nothing is sent."""
    from trainer.active.llm.coder_prompt import estimated_tokens

    with _opened(store, codebook, needed=shots > 0) as (opened, book, settings):
        coder = _coder(opened, book, settings, CoderOptions(name, base_url, model, short, shots, split))
    messages = coder.prompt.messages(text)
    write_out("".join(f"--- {one['role']} ---\n{one['content']}\n\n" for one in messages))
    error_console.print(f"Prompt {coder.prompt.hash}, about {estimated_tokens(messages):,} tokens with this sentence.")


@contextmanager
def _opened(store: str | None, codebook: str | None, *, needed: bool) -> Iterator[tuple[Any, Codebook, Settings]]:
    """The store of the settings with its codebook; without a store, only the codebook, if no store is needed."""
    from labels.cli.terminal import codebook_in_use
    from labels.environment.settings import load_settings

    if needed:
        with opened_store(store, codebook) as found:
            yield found
    else:
        settings = load_settings(store=store, codebook=codebook)
        yield None, codebook_in_use(settings), settings


@app.command("code", epilog="Example: communique llm code --labelled --size 200 --max-tokens 500000")
def code_command(
    labelled: Annotated[
        bool, typer.Option("--labelled", help="Code only sentences with gold labels by people.")
    ] = False,
    draw: Annotated[str, typer.Option("--draw", metavar="ID", help="Code only the sentences of this draw.")] = "",
    search: Annotated[
        str, typer.Option("--search", metavar="WORDS", help="Code only sentences that contain all of these words.")
    ] = "",
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, help="Code only a random sample of this size \\[default: all]."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sample.")] = 13,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", help="Stop before the cost exceeds this limit (needs prices).")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="Stop before the number of input and output tokens exceeds this limit."),
    ] = None,
    yes: YesOption = False,
    name: NameOption = "",
    base_url: BaseUrlOption = "",
    model: ModelOption = "",
    short: ShortOption = False,
    shots: ShotsOption = 0,
    split: SplitOption = None,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Code sentences in the store with a language model, except those that it has already answered.

    The answers are kept apart from the decisions of people: they are not gold and do not count towards agreement.
    """
    from trainer.active.llm.asking import Budget
    from trainer.active.llm.coding import Selection, code_sentences, plan_coding
    from trainer.active.llm.endpoint import Endpoint

    with opened_store(store, codebook) as (opened, book, settings):
        opened.codebooks.refuse_foreign(book)
        coder = _coder(opened, book, settings, CoderOptions(name, base_url, model, short, shots, split))
        budget = Budget(coder.settings, max_cost, max_tokens)
        endpoint = Endpoint(coder.settings)
        try:
            plan = plan_coding(opened, coder, Selection(draw, labelled, search, size, seed))
            _print_plan(plan)
            if plan.sentences:
                confirm_sending(coder.settings, counted(len(plan.sentences), "sentence"), yes=yes)
            with progress_bars(), _told_of_interrupts():
                outcome = code_sentences(opened, plan, endpoint, budget)
        finally:
            endpoint.close()
        if coder.prompt.schema is not None and not endpoint.enforces_schema:
            console.print("The endpoint does not enforce a JSON schema, so the answers were only checked when read.")
        _print_outcome(outcome, plan, opened)


@contextmanager
def _told_of_interrupts() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("All answers so far are recorded. Run the same command to continue.") from None


def _print_plan(plan: CodingPlan) -> None:
    own, prompt = plan.coder.settings, plan.coder.prompt
    book = prompt.codebook
    console.print(f"{plan.coder.name}: model {own.model}, codebook {book.name} {book.version}, prompt {prompt.hash}.")
    coded = f" (already answered: {plan.known})" if plan.known else ""
    console.print(f"To code: {counted(len(plan.sentences), 'sentence')}{coded}. {_expected(plan.expected, own)}")
    if plan.lost:
        console.print(
            f"An earlier run was killed: up to {counted(plan.lost, 'request')} in progress at that time will be "
            "repeated, and may be charged twice."
        )


def _expected(spent: Spent, settings: LanguageModel) -> str:
    cost = spent.cost(settings)
    price = "cost unknown (no prices under [llm])" if cost is None else f"cost about {cost:,.4g}"
    return f"Expected: about {spent.tokens_in:,} + {spent.tokens_out:,} tokens, {price}."


def _print_outcome(outcome: Outcome, plan: CodingPlan, store: Store) -> None:
    spent, done = outcome.spent, outcome.answered + outcome.unanswered.total()
    name = plan.coder.name
    if not plan.sentences:
        console.print(f"Nothing to ask: {name} has already been asked about every selected sentence.")
    else:
        console.print(
            f"Answers: {outcome.answered} ({outcome.labelled} with a label); no answer: {outcome.unanswered.total()}. "
            f"All are recorded in {store.name}."
        )
        for problem, times in outcome.unanswered.most_common(5):
            console.print(f"  no answer, {counted(times, 'time')}: {problem}", soft_wrap=True)
        cost = spent.cost(plan.coder.settings)
        paid = "" if cost is None else f", cost {cost:,.4g}"
        again = spent.attempts - spent.requests
        repeated = f"; {counted(again, 'request')} repeated after failures" if again else ""
        each = f"; {spent.seconds / done:,.1f} seconds per sentence" if done else ""
        console.print(f"Used: {spent.tokens_in:,} + {spent.tokens_out:,} tokens{paid}{each}{repeated}.")
    if outcome.stopped:
        left = len(plan.sentences) - done
        console.print(f"The budget is spent: {counted(left, 'sentence')} left. Run the same command to continue.")
    print_next(
        command("llm", "check", name, store=store.name),
        command("label", "--annotator", "YOUR_NAME", "--strategy", f"disputed-by {name}", store=store.name),
    )


app.command("check", epilog="Example: communique llm check llm:small-model --sentences 50")(check_command)
app.command("compare", epilog="Example: communique llm compare llm:short llm:long")(compare_command)
