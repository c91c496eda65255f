"""An estimate in words: the methods paragraph for a paper, and a short table for `print`."""

from __future__ import annotations

from trainer.estimate.checking import MOST_MISSING
from trainer.estimate.coverage import FEW, RARE
from trainer.estimate.given.covariates import ROWS
from trainer.estimate.regressions.regressing import Regression
from trainer.estimate.results import ALL, UNITS, Estimate
from trainer.estimate.shares import ESTIMANDS


def methods_text(found: Estimate) -> str:
    """Return the paragraph as Markdown, followed by the notes, the provenance and the references."""
    parts = [_what(found), _sample(found), _outside(found), _how(found), _missing(found)]
    paragraph = " ".join(part for part in parts if part)
    notes = "".join(f"- {note}.\n" for note in found.notes)
    provenance = "".join(f"- {name}: {value}\n" for name, value in found.provenance.items())
    sections = [f"# Methods\n\n{paragraph}\n"]
    sections += [f"## Remarks\n\n{notes}"] if notes else []
    return "\n".join([*sections, f"## Provenance\n\n{provenance}", _REFERENCES])


def regression_text(found: Regression) -> str:
    """Return the methods paragraph of a regression as Markdown, with its remarks, provenance and references."""
    kind = "a linear" if found.family == "linear" else "a logistic"
    paragraph = (
        f"We estimated {kind} regression ({found.formula}). A row is {ROWS[found.row]}. The outcome of each sentence "
        f"is a pseudo-outcome: its prediction, adjusted to gold labels by cross-fitted regression, plus, for "
        f"{found.labelled:,} sentences of a labelled probability sample ({found.positives:,} with the label), the "
        "error weighted by the inverse inclusion probability. Coefficients are therefore consistent whatever the "
        f"quality of the predictions (design-based supervised learning). Standard errors are cluster-robust "
        f"({found.clusters:,} clusters); {found.confidence:.0%} intervals use Student's t. The regression has "
        f"{found.rows:,} rows."
    )
    notes = "".join(f"- {note}.\n" for note in found.notes)
    provenance = "".join(f"- {name}: {value}\n" for name, value in found.provenance.items())
    sections = [f"# Methods\n\n{paragraph}\n", *([f"## Remarks\n\n{notes}"] if notes else [])]
    return "\n".join([*sections, f"## Provenance\n\n{provenance}", _REGRESSION_REFERENCES])


_REGRESSION_REFERENCES = """## References

- Egami, Hinck, Stewart and Wei (2023), "Using Imperfect Surrogates for Downstream Inference: Design-based Supervised
  Learning for Social Science Applications of Large Language Models", NeurIPS 36.
- Liang and Zeger (1986), "Longitudinal data analysis using generalized linear models", Biometrika 73.
"""


def estimate_text(found: Estimate) -> str:
    """Return the published shares as a table of plain text; shares are in percent."""
    import pandas as pd

    rows = [
        {
            "label": cell.label,
            **({found.by: cell.group or ALL} if found.by else {}),
            "share %": cell.published.share,
            "low": cell.published.low,
            "high": cell.published.high,
            "labelled": cell.labelled,
        }
        for cell in found.cells
    ]
    table = pd.DataFrame(rows).to_string(index=False, na_rep="-", float_format=lambda one: f"{100 * one:.2f}")
    return (
        f"Share of {found.unit} with each label, {found.confidence:.0%} intervals, from {found.labelled} labelled "
        f"sentences of {found.drawn} drawn:\n{table}"
    )


def _what(found: Estimate) -> str:
    groups = f", overall and by {found.by}" if found.by else ""
    labels = f"each of {len(found.labels)} labels" if len(found.labels) > 1 else f"the label {found.labels[0]}"
    return (
        f"We estimated the share of {UNITS[found.unit]} with {labels}{groups}. The estimand "
        f"is {ESTIMANDS[found.estimand]}. All {_count(found.provenance, 'sentences of the corpus')} sentences of "
        f"{_count(found.provenance, 'documents of the corpus')} documents were coded by a model "
        f"({found.provenance.get('model', 'unknown')})."
    )


def _count(provenance: dict[str, str], key: str) -> str:
    return f"{int(provenance.get(key, '0')):,}"


def _outside(found: Estimate) -> str:
    own = found.not_sentences
    if own is None or own.share is None or own.low is None or own.high is None:
        return ""
    return (
        f"An estimated {own.share:.1%} (interval {own.low:.1%} to {own.high:.1%}) of the spans are not sentences; "
        "shares and counts are those of the others."
    )


def _sample(found: Estimate) -> str:
    rule = found.provenance.get("combination of draws")
    drawn = f"A probability sample of {found.drawn:,} sentences was drawn from the same corpus" + (
        f" ({rule})" if rule else ""
    )
    return f"{drawn} and coded by people without regard to the model; {found.labelled:,} have gold labels."


def _how(found: Estimate) -> str:
    weights = ", ".join(f"{label} {weight:.2f}" for label, weight in found.weights.items())
    variance = (
        "The variance is that of the sampling design, with strata, clusters and the correction for a finite population."
        if found.estimand == "corpus"
        else "The variance is that of the sampling design plus that between documents."
    )
    return (
        "The predictions were corrected by their errors in the sample (prediction-powered inference, PPI++), with "
        f"weights tuned on other parts of the sample (cross-fitting; means: {weights}). Where fewer than {RARE} "
        f"positives or negatives of a label were seen, the share is that of the sample alone{_alone(found)}. "
        f"{variance} Intervals ({found.confidence:.0%}): {found.form} (fewer than {FEW} in a stratum count as few)."
    )


def _alone(found: Estimate) -> str:
    """The labels whose share rests on the sample alone, with their groups."""
    groups: dict[str, list[str]] = {}
    for cell in found.cells:
        if cell.small:
            groups.setdefault(cell.label, []).append(cell.group or ALL)
    named = [f"{label} ({', '.join(own)})" if found.groups else label for label, own in groups.items()]
    return f": {'; '.join(named)}" if named else ""


def _missing(found: Estimate) -> str:
    total = sum(found.missing.values())
    if not total:
        return ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.missing.items())
    more = "" if total <= MOST_MISSING * found.drawn else ", which is more than 5% of the sample"
    return (
        f"{total} drawn sentences have no gold labels ({reasons}){more}; they are treated as missing at random within "
        "strata, and the table has the bounds that result if all of them are negative, or all positive."
    )


_REFERENCES = """## References

- Angelopoulos, A. N., Duchi, J. C., & Zrnic, T. (2023). PPI++: Efficient prediction-powered inference.
- Särndal, C.-E., Swensson, B., & Wretman, J. (1992). Model Assisted Survey Sampling.
- Korn, E. L., & Graubard, B. I. (1998). Confidence intervals for proportions with small expected number of positive
  counts estimated from survey data. Survey Methodology, 24.
- Zou, G. Y., & Donner, A. (2008). Construction of confidence limits about effect measures: a general approach.
  Statistics in Medicine, 27.
"""
