from __future__ import annotations

from pathlib import Path

import pytest

from labels.agreement.coefficient_plot import plot_agreement
from labels.agreement.coefficients import Bootstrap
from labels.agreement.comparisons import Unit, figures
from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.records import Sentence


def units(n: int) -> list[Unit]:
    """Sentences of as many documents; the coders disagree about every fifth."""
    return [
        Unit(
            Sentence(f"d{i}", 0, 4, "Text"),
            {"ana": ("aid",) if i % 2 else (), "ben": ("aid",) if i % 2 and i % 5 else ()},
        )
        for i in range(n)
    ]


def test_a_plot_names_labels_coefficients_and_the_missing(isolated: Path, codebook: Codebook) -> None:
    found = figures(units(40), codebook, Bootstrap(draws=50))
    plot_agreement(found, "All sentences", isolated / "plot.svg")

    drawn = (isolated / "plot.svg").read_text(encoding="utf-8")
    # Text is drawn as outlines, and matplotlib notes what it says.
    for text in ("aid", "truce", "whole sets", "Cohen's kappa", "Gwet's AC1", "undefined", "40 sentences"):
        assert f"<!-- {text}" in drawn or text in drawn, text


@pytest.mark.parametrize("ending", [".png", ".PDF"])
def test_equal_figures_give_equal_files(isolated: Path, codebook: Codebook, ending: str) -> None:
    found = figures(units(12), codebook, Bootstrap(draws=20))
    for name in ("one", "two"):
        plot_agreement(found, "All sentences", isolated / f"{name}{ending}")

    assert (isolated / f"one{ending}").read_bytes() == (isolated / f"two{ending}").read_bytes()


def test_another_extension_is_refused(isolated: Path, codebook: Codebook) -> None:
    with pytest.raises(DataError, match=r"a plot is a \.png, \.svg or \.pdf file"):
        plot_agreement(figures(units(2), codebook, Bootstrap(draws=20)), "All", isolated / "plot.jpeg")
    assert not list(isolated.iterdir())
