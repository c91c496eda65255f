"""`communique llm check` and `communique llm compare`: model coders measured against people, and against each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import CodebookOption, StoreOption, bounds, console, number, opened_store, progress_bars, table
from labels.environment.settings import Settings
from labels.errors import counted
from trainer.cli.counting.llm_options import BaseUrlOption, CoderOptions, YesOption, confirm_sending

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.sampling.model_coders import ModelCoder
    from labels.store import Store
    from trainer.active.llm.codebook_tests import TestResult
    from trainer.active.llm.human_comparison import HumanAgreement

CoderArgument = Annotated[str, typer.Argument(metavar="NAME", help="The coder, as llm:NAME or NAME.")]


def check_command(
    name: CoderArgument,
    sentences: Annotated[
        int, typer.Option("--sentences", min=1, help="Number of coded sentences for each test of codebook use.")
    ] = 30,
    drift: Annotated[
        int, typer.Option("--drift", min=0, help="Number of sentences to ask about again, to measure drift.")
    ] = 100,
    only_agreement: Annotated[
        bool, typer.Option("--only-agreement", help="Measure only the agreement with people; nothing is sent.")
    ] = False,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers", metavar="FILE", help="Save answers to this file, so that an interrupted check can continue."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to this file.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice of sentences.")] = 13,
    yes: YesOption = False,
    base_url: BaseUrlOption = "",
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Measure a model coder: agreement with people, tests of codebook use, and drift of its endpoint."""
    from labels.output.drafts import check_file, write_whole
    from labels.sampling.model_coders import known_coder
    from trainer.active.llm.human_comparison import human_agreement, human_labels

    if json_file is not None:
        check_file(json_file)
    with opened_store(store, codebook) as (opened, book, settings):
        known = known_coder(opened, name)
        humans = human_labels(opened, book)
        agreement = None
        if humans.gold or only_agreement:
            agreement = human_agreement(known, humans, book, opened)
            _print_agreement(agreement, known)
        else:
            console.print("No human labels yet, so there is no agreement to measure.")
        results = (
            []
            if only_agreement
            else _tested(opened, book, known, settings, base_url, (sentences, drift, seed), answers, yes=yes)
        )
        if results:
            _print_tests(results)
    if json_file is not None:
        write_whole(json_file, [_as_json(known, agreement, results)])


def _tested(
    store: Store,
    codebook: Codebook,
    known: ModelCoder,
    settings: Settings,
    base_url: str,
    numbers: tuple[int, int, int],
    answers: Path | None,
    *,
    yes: bool,
) -> list[TestResult]:
    from trainer.active.llm.asking import Journal
    from trainer.active.llm.codebook_tests import codebook_tests
    from trainer.active.llm.coder_identity import known_again
    from trainer.active.llm.coding import sampled_answers
    from trainer.active.llm.endpoint import Endpoint
    from trainer.active.llm.human_comparison import drift

    sentences, again, seed = numbers
    own = CoderOptions(base_url=base_url).settings(settings)
    coder = known_again(store, codebook, known, own)
    endpoint = Endpoint(coder.settings)
    try:
        chosen, repeated = (sampled_answers(store, known, size, seed) for size in (sentences, again))
        confirm_sending(coder.settings, f"about {7 * len(chosen) + len(repeated)} requests", yes=yes)
        journal = Journal(answers, f"{known.name} {coder.prompt.hash} {coder.settings.model}")
        with progress_bars():
            results = codebook_tests(known, coder.prompt, endpoint, chosen, journal)
            if repeated:
                results.append(drift(known, coder.prompt, endpoint, repeated, journal))
        return results
    finally:
        endpoint.close()


def _print_agreement(found: HumanAgreement, coder: ModelCoder) -> None:
    console.print(f"Agreement of {coder.name} with people: {counted(found.model.n_sentences, 'sentence')}.")
    rows = []
    for label, own in found.scores.items():
        model, people = found.model.per_label[label], found.people.per_label[label]
        rows.append(
            [
                label,
                str(own.gold),
                str(own.given),
                *(number(value) for value in (own.precision, own.recall, own.f1)),
                number(model.kappa.value),
                bounds(model.kappa),
                number(people.kappa.value),
                bounds(people.kappa),
            ]
        )
    headings = ["label", "people", "model", "precision", "recall", "F1"]
    headings += ["kappa\nmodel", "95%", "kappa\npeople", "95%"]
    console.print(table(headings, rows, align="lrrrrrrrrr"))
    console.print(
        f"Macro-F1 {number(found.macro_f1)}. Kappa among people: {counted(found.people.n_sentences, 'sentence')} "
        "reviewed by several of them."
    )
    if found.unanswered:
        console.print(f"Left out, because the model gave no answer: {counted(found.unanswered, 'sentence')}.")
    if found.influenced:
        console.print(
            f"Left out, because people saw a suggestion or other decisions: {counted(found.influenced, 'sentence')}."
        )


def _print_tests(results: list[TestResult]) -> None:
    rows = [
        [one.name, str(one.cases), str(one.failures), str(one.unanswered), _percent(one), _bounds(one)]
        if one.cases
        else [one.name, "0", "–", "–", "–", one.reason]
        for one in results
    ]
    console.print()
    console.print("Tests of codebook use, and the endpoint's drift:")
    headings = ["test", "cases", "failures", "of which\nno answer", "failure\nrate", "95%"]
    console.print(table(headings, rows, align="lrrrrr"))


def _percent(one: TestResult) -> str:
    return "–" if one.rate is None else f"{one.rate:.1%}"


def _bounds(one: TestResult) -> str:
    found = one.interval
    return "–" if found.low is None or found.high is None else f"{found.low:.1%}–{found.high:.1%}"


def _as_json(coder: ModelCoder, agreement: HumanAgreement | None, results: list[TestResult]) -> str:
    import json

    content = {
        "coder": coder.name,
        **coder.facts,
        "agreement": None if agreement is None else asdict(agreement),
        "tests": [asdict(one) | {"rate": one.rate, "interval": asdict(one.interval)} for one in results],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


# -- compare


def compare_command(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="A coder, as llm:NAME or NAME.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The coder to compare with it.")],
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Compare two prompts or models on the same sentences with human labels; nothing is sent."""
    from labels.sampling.model_coders import known_coder
    from trainer.active.llm.human_comparison import compare_coders, human_labels

    with opened_store(store, codebook) as (opened, book, _):
        one, other = known_coder(opened, first), known_coder(opened, second)
        found, left_out = compare_coders(one, other, human_labels(opened, book), book, opened)
    console.print(f"{other.name} minus {one.name}, on {counted(found.n, 'sentence')} with human labels.")
    rows = [
        [
            "macro-F1" if own.name == "macro_f1" else own.name,
            str(own.positives),
            number(own.first),
            number(own.second),
            "–" if own.effect is None else f"{own.effect:+.3f}",
            "–" if own.low is None or own.high is None else f"{own.low:+.3f} to {own.high:+.3f}",
            number(own.p if own.adjusted_p is None else own.adjusted_p),
        ]
        for own in (found.macro_f1, *found.decided, *found.rare)
    ]
    headings = ["figure", "positives", one.name, other.name, "difference", "95%", "p"]
    console.print(table(headings, rows, align="lrrrrrr"))
    if left_out:
        console.print(f"Left out, because only one of them answered: {counted(left_out, 'sentence')}.")
