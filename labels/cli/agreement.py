"""`communique agreement`: print the agreement of annotators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from labels.cli.labelling.coder_tables import print_against_gold, print_competence, print_planted
from labels.cli.terminal import (
    CodebookOption,
    StoreOption,
    bounds,
    console,
    number,
    opened_store,
    table,
)
from labels.environment.settings import relabel_command
from labels.errors import counted

if TYPE_CHECKING:
    from labels.agreement.against_gold import CoderScore
    from labels.agreement.coefficients import Estimate
    from labels.agreement.comparisons import Figures, PairAgreement
    from labels.agreement.competence import CompetenceReport
    from labels.agreement.report import AgreementReport, Block, Confusion, Retest
    from labels.agreement.suggestion_effect import Contrast, SuggestionEffect
    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.store import Store

_MANY_PAIRS = 12
_UNBIASED = "Randomly drawn sentences, no suggestion shown"
_OTHER = "Other sentences (not drawn at random, or with a suggestion): biased"
_Row = tuple[str, "float | None", "Estimate | None", "Estimate", "Estimate | None"]


def agreement_command(
    store: StoreOption = None,
    codebook: CodebookOption = None,
    suggestions: Annotated[
        bool, typer.Option("--suggestions", help="Also report how seeing a suggestion changes decisions.")
    ] = False,
    retest: Annotated[
        bool, typer.Option("--retest", help="Also compare annotators with their own earlier decisions.")
    ] = False,
    competence: Annotated[
        bool,
        typer.Option(
            "--competence",
            help="Also estimate each annotator's error rates by the model of Dawid and Skene.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Also draw the coefficients with their intervals in a .png, .svg or .pdf file."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Also write every figure to this JSON file.")] = None,
) -> None:
    """Measure the agreement of annotators: kappa, alpha and AC1 per label with intervals, and coders against gold."""
    from labels.agreement.coefficient_plot import check_plot
    from labels.output.drafts import check_file

    with opened_store(store, codebook) as (opened, book, settings):
        for path in (json, plot):
            if path is not None:
                check_file(path)  # before the bootstrap, which can take minutes
        if plot is not None:
            check_plot(plot)
        reports = _measure(opened, book, suggestions=suggestions, retest=retest, competence=competence)
    if json is not None:
        _write_json(json, reports, book)
    drawn = _plot(reports.agreement, plot) if plot is not None else False
    _print_report(reports.agreement, book, settings)
    print_against_gold(reports.against_gold)
    print_planted(reports.planted)
    if reports.suggestions is not None:
        _print_suggestion_effect(reports.suggestions)
    if reports.retest is not None:
        _print_retests(reports.retest, book)
    if reports.competence is not None:
        print_competence(reports.competence)
    if json is not None:
        console.print(f"Written to {json}.")
    if plot is not None:
        console.print(f"Plot written to {plot}." if drawn else "No plot: no sentence has reviews by two annotators.")


class _Reports(NamedTuple):
    """All figures, under the names that they have in the JSON file; None if they were not asked for."""

    agreement: AgreementReport
    against_gold: tuple[CoderScore, ...]
    planted: tuple[CoderScore, ...]
    suggestions: SuggestionEffect | None
    retest: tuple[Retest, ...] | None
    competence: CompetenceReport | None


def _measure(store: Store, codebook: Codebook, *, suggestions: bool, retest: bool, competence: bool) -> _Reports:
    """Compute the figures from all events of a store."""
    from labels.agreement.against_gold import against_gold, planted_hits
    from labels.agreement.competence import competence as estimate_competence
    from labels.agreement.report import agreement, retest_agreement
    from labels.agreement.suggestion_effect import suggestion_effect

    store.codebooks.refuse_foreign(codebook)
    events, history = store.events.all(), store.codebooks.history()
    sentences = store.documents.by_first_version({event.sentence_id for event in events})
    return _Reports(
        agreement(events, sentences, codebook, history),
        against_gold(events, codebook, history),
        planted_hits(events, codebook, history),
        suggestion_effect(events, sentences, codebook, history) if suggestions else None,
        retest_agreement(events, sentences, codebook, history) if retest else None,
        estimate_competence(events, sentences, codebook, history) if competence else None,
    )


def _plot(report: AgreementReport, path: Path) -> bool:
    """Draw the unbiased figures or, without any, those of the other sentences; returns whether there are figures."""
    from labels.agreement.coefficient_plot import plot_agreement

    blocks = ((_UNBIASED, report.unbiased), (_OTHER, report.other))
    for title, block in blocks:
        if block.figures.n_sentences:
            plot_agreement(block.figures, title, path)
            return True
    return False


def _write_json(path: Path, reports: _Reports, codebook: Codebook) -> None:
    from dataclasses import asdict
    from json import dumps

    from labels.output.drafts import write_whole

    content: dict[str, Any] = {"codebook": codebook.name, "version": codebook.version, "codebook_hash": codebook.hash}
    for name, report in reports._asdict().items():
        if report is not None:
            content[name] = [asdict(entry) for entry in report] if isinstance(report, tuple) else asdict(report)
    write_whole(path, [dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"])


# -- between annotators


def _print_report(report: AgreementReport, codebook: Codebook, settings: Settings) -> None:
    bootstrap = report.bootstrap
    console.print(
        f"{codebook.name} {codebook.version} ({codebook.hash}). "
        f"Intervals: {bootstrap.confidence:.0%}, {bootstrap.draws} bootstrap draws of documents, seed {bootstrap.seed}."
    )
    _print_block(_UNBIASED, report.unbiased, codebook)
    if report.other.figures.n_sentences:
        _print_block(_OTHER, report.other, codebook)
    elif not report.unbiased.figures.n_sentences:
        console.print(
            "Agreement needs sentences that two annotators reviewed. `communique label --overlap` draws such sentences."
        )
    if report.undecided:
        console.print(
            f"Left out: {counted(report.undecided, 'decision')} that a codebook change left undecided. "
            f"Next: {relabel_command(store=settings.store, codebook=settings.codebook)}",
            soft_wrap=True,
        )
    if report.responses:
        console.print()
        console.print("Reviewed and skipped sentences (kappa and alpha ignore skipped sentences):")
    for response in report.responses:
        share = response.skipped / (response.reviewed + response.skipped + response.not_a_sentence)
        outside = f", {response.not_a_sentence} marked as not a sentence" if response.not_a_sentence else ""
        console.print(
            f"  {response.annotator}: {response.reviewed} reviewed, {response.skipped} skipped ({share:.1%}){outside}"
        )


def _print_block(title: str, block: Block, codebook: Codebook) -> None:
    console.print()
    if not block.figures.n_sentences:
        console.print(f"{title}: no sentence has decisions of this kind by two annotators.")
        return
    _print_figures(title, block.figures, codebook)
    if len(block.figures.pairs) > 1:
        _print_pairs(block.figures.pairs)
    if block.confusions:
        console.print("Most frequent confusions, over pairs of decisions:")
    for confusion in block.confusions:
        _print_confusion(confusion)


def _print_figures(title: str, figures: Figures, codebook: Codebook) -> None:
    console.print(f"{title}.", style="bold")
    console.print(
        f"{counted(figures.n_sentences, 'sentence')} of {counted(figures.n_documents, 'document')}, "
        f"{counted(figures.n_decisions, 'decision')} ({', '.join(figures.annotators)})."
    )
    rows = list(_rows(figures, codebook))
    headings = ("label", "n", "prevalence", "kappa", "interval", "alpha", "interval", "AC1", "interval")
    console.print(table(headings, (_row_cells(figures.n_sentences, *row) for row in rows)))
    notes: dict[str, Estimate] = {}
    for name, _, kappa, alpha, _ in rows:
        notes |= {f"kappa of {name}": kappa} if kappa else {}
        notes[f"alpha of {name}"] = alpha
    exact = figures.exact_agreement
    interval = "" if exact.low is None else f" ({bounds(exact, joint=' to ')})"
    console.print(f"Exact agreement {number(exact.value)}{interval}, not corrected for chance.")
    _print_notes(notes)


def _rows(figures: Figures, codebook: Codebook) -> Iterator[_Row]:
    """Yield the name, prevalence, kappa, alpha and AC1 for each row of the table."""
    for label, row in figures.per_label.items():
        yield label, row.prevalence, row.kappa, row.alpha, row.ac1
    sets = figures.sets
    if codebook.exclusive:
        yield "all classes", sets.prevalence, sets.kappa, sets.alpha, sets.ac1
    else:
        yield "mean of labels", None, figures.mean_kappa, figures.mean_alpha, None
        yield "whole sets", sets.prevalence, sets.kappa, sets.alpha, sets.ac1
        yield "whole sets, MASI", None, None, figures.masi_alpha, None


def _row_cells(n: int, name: str, prevalence: float | None, *estimates: Estimate | None) -> tuple[str, ...]:
    cells = (cell for one in estimates for cell in (_cells(one) if one else (number(None), number(None))))
    return (name, str(n), number(prevalence), *cells)


def _print_pairs(pairs: Sequence[PairAgreement]) -> None:
    def worst_first(pair: PairAgreement) -> tuple[bool, float]:
        # Pairs with an undefined kappa come last.
        return pair.kappa.value is None, pair.kappa.value or 0.0

    shown = {" / ".join(pair.annotators): pair for pair in sorted(pairs, key=worst_first)[:_MANY_PAIRS]}
    rows = ((name, str(pair.n_sentences), *_cells(pair.kappa)) for name, pair in shown.items())
    console.print("Pairs of annotators, comparing whole label sets:")
    console.print(table(("annotators", "n", "kappa", "interval"), rows))
    if len(pairs) > _MANY_PAIRS:
        console.print(
            f"{counted(len(pairs) - _MANY_PAIRS, 'pair')} with a higher kappa not shown; --json writes all pairs."
        )
    _print_notes({name: pair.kappa for name, pair in shown.items()})


def _print_confusion(confusion: Confusion) -> None:
    console.print(f"  {confusion.count} x {' / '.join(label or 'none' for label in confusion.labels)}")
    for example in confusion.examples:
        said = "; ".join(f"{who}: {', '.join(labels) or 'none'}" for who, labels in example.decisions.items())
        console.print(f"      “{example.text}”")
        console.print(f"      {example.sentence_id}  {said}")


# -- suggestions, retests


def _print_suggestion_effect(effect: SuggestionEffect) -> None:
    console.print()
    exact = effect.exact
    if effect.always_blind:
        console.print(
            f"Left out: {counted(effect.always_blind, 'decision')} from audit, overlap or retest draws, which withhold "
            "every suggestion instead of a random share."
        )
    if effect.unreadable:
        console.print(
            f"Left out: {counted(effect.unreadable, 'decision')} whose chosen or suggested label is not in this "
            "codebook and cannot be converted to it."
        )
    if not exact.n_shown and not exact.n_blind:
        console.print("Suggestions: there are no decisions with a shown or randomly withheld suggestion.")
        return
    console.print(
        f"Suggestions: {counted(exact.n_shown, 'decision')} with a shown suggestion, {exact.n_blind} with a withheld "
        f"suggestion, in {counted(effect.n_documents, 'document')}."
    )
    contrasts = {"equal to the suggestion": exact}
    for label, both in effect.per_label.items():
        contrasts |= {f"{label} given, suggested": both.suggested, f"{label} given, not suggested": both.not_suggested}
    headings = ("share of decisions", "n shown", "n blind", "shown", "blind", "difference", "interval")
    console.print(table(headings, ((name, *_contrast_cells(contrast)) for name, contrast in contrasts.items())))
    _print_notes({name: contrast.difference for name, contrast in contrasts.items()})


def _contrast_cells(contrast: Contrast) -> tuple[str, ...]:
    counts = (str(contrast.n_shown), str(contrast.n_blind))
    return (*counts, number(contrast.shown), number(contrast.blind), *_cells(contrast.difference))


def _print_retests(retests: Iterable[Retest], codebook: Codebook) -> None:
    console.print()
    if not retests:
        console.print("Retests: no annotator has decided twice on the same sentence yet.")
    for retest in retests:
        _print_figures(f"Retest of {retest.annotator}", retest.figures, codebook)


# -- cells and notes


def _cells(estimate: Estimate) -> tuple[str, str]:
    """The value and its interval; `_print_notes` prints the reasons for missing values and intervals."""
    return ("undefined" if estimate.value is None else number(estimate.value), bounds(estimate, joint=" to "))


def _print_notes(estimates: Mapping[str, Estimate]) -> None:
    """Print the reasons for missing figures or intervals, one line per reason, and the numbers of dropped draws."""
    for heading, what in (("Undefined", "undefined"), ("No interval", "no_interval")):
        reasons = {name: getattr(estimate, what) for name, estimate in estimates.items()}
        for reason in filter(None, dict.fromkeys(reasons.values())):
            names = [name for name, own in reasons.items() if own == reason]
            console.print(f"{heading} ({reason}): {', '.join(names) if len(names) < len(estimates) else 'all'}.")
    dropped = [
        f"{name} ({estimate.undefined_draws})" for name, estimate in estimates.items() if estimate.undefined_draws
    ]
    if dropped:
        console.print(f"Draws dropped because the figure was undefined in them: {', '.join(dropped)}.")
