"""The bound of the gain from more labels, on curves that are known."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.stopping import MORE, gain_bound

SIZES = (50, 100, 200, 400, 800)


def rounds(
    f1: list[float], *, documents: int = 60, positives: int = 200
) -> list[tuple[int, dict[str, list[list[int]]]]]:
    """Rounds with about these F1 on one label, spread over documents at random."""
    generator = np.random.default_rng(5)
    found = []
    for size, score in zip(SIZES, f1, strict=False):
        right = generator.multinomial(round(score * positives), [1 / documents] * documents)
        wrong = generator.multinomial(round((1 - score) * positives), [1 / documents] * documents)
        counts = {f"d{i}": [[int(right[i])], [int(wrong[i])], [int(wrong[i])]] for i in range(documents)}
        found.append((size, counts))
    return found


def test_a_level_curve_promises_less_than_a_rising_one() -> None:
    level, _ = gain_bound(rounds([0.7, 0.71, 0.7, 0.7, 0.7]), {})
    rising, _ = gain_bound(rounds([0.2, 0.33, 0.45, 0.55, 0.64]), {})
    assert level is not None
    assert rising is not None
    assert 0 <= level < 0.01 < rising


def test_the_bound_is_above_the_gain_of_the_law_itself() -> None:
    law = [0.9 - 2.5 * n**-0.4 for n in SIZES]
    bound, reason = gain_bound(rounds(law, positives=2000), {})
    gain = 2.5 * (SIZES[-1] ** -0.4 - (SIZES[-1] + MORE) ** -0.4)
    assert reason == ""
    assert bound is not None
    assert gain <= bound < 4 * gain


@pytest.mark.parametrize(
    ("found", "groups", "reason"),
    [
        (rounds([0.2, 0.3, 0.4]), {}, "the curve needs 4 rounds, and has 3"),
        (rounds([0.2, 0.3, 0.4, 0.5], documents=19), {}, "19 groups of documents, fewer than 20: too few to resample"),
        (
            rounds([0.2, 0.3, 0.4, 0.5], documents=21),
            {"d0": 1, "d1": 1, "d2": 1},
            "19 groups of documents, fewer than 20: too few to resample",
        ),
    ],
)
def test_without_a_bound_there_is_a_reason(found: list, groups: dict[str, int], reason: str) -> None:  # type: ignore[type-arg]
    assert gain_bound(found, groups) == (None, reason)
