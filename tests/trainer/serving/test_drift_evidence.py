from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from trainer.model.profile import DOCUMENT_WEIGHT, Profile, Quantity
from trainer.serving.drift_evidence import HORIZON, THRESHOLD, WINDOW, Bets, Evidence

SHARES = (0.1, 0.3)


def profile(effective: float = 5000, means: Sequence[float] = (*SHARES, 0.05)) -> Profile:
    """Two labels and the share of unknown words."""
    quantities = [
        Quantity(family="label", name=str(share), mean=mean, effective=effective)
        for share, mean in zip(SHARES, means, strict=False)
    ]
    unknown = Quantity(family="unknown words", name="share", mean=means[-1], effective=effective)
    return Profile(sentences=5000, documents=500, lengths=(), words="", quantities=(*quantities, unknown))


def stream(rng: np.random.Generator, windows: int, first: float = SHARES[0]) -> tuple[np.ndarray, np.ndarray]:
    """Windows of 20 sentences, with a given share of the first label."""
    sums = [rng.binomial(WINDOW, share, windows) for share in (first, SHARES[1], 0.05)]
    return np.full(windows, float(WINDOW)), np.column_stack(sums).astype(float)


def run(bets: Bets, *streams: tuple[np.ndarray, np.ndarray]) -> Evidence:
    state = Evidence.start(len(bets.names))
    for weights, sums in streams:
        bets.settle(state, weights, sums, WINDOW * len(weights))
    return state


def test_without_drift_at_most_five_of_a_hundred_watches_alarm_in_10000_windows() -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        # The reference is a sample, too.
        means = [rng.binomial(2000, share) / 2000 for share in (*SHARES, 0.05)]
        bets = Bets(profile(2000, means))
        alarms += bool(run(bets, stream(rng, HORIZON)).alarmed)
    assert alarms <= 2


@pytest.mark.parametrize("before", [0, 500], ids=["at-the-start", "later"])
def test_doubled_share_is_found_within_2000_sentences(before: int) -> None:
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state = run(Bets(profile()), stream(rng, before), stream(rng, 2000 // WINDOW, 2 * SHARES[0]))
        found.append(state.alarmed)
    assert found.count(["label: 0.1"]) >= 18


def test_fall_of_a_share_is_found() -> None:
    state = run(Bets(profile()), stream(np.random.default_rng(1), 1500, 0.02))
    assert state.alarmed == ["label: 0.1"]


def test_small_reference_cannot_prove_a_small_drift() -> None:
    rng = np.random.default_rng(1)
    assert not run(Bets(profile(effective=60)), stream(rng, 5000, 0.15)).alarmed


@pytest.mark.parametrize("value", [0.0, 1.0], ids=["never", "always"])
def test_capital_stays_positive_in_the_most_extreme_windows(value: float) -> None:
    weights = np.full(300, float(WINDOW - 1 + DOCUMENT_WEIGHT))
    with np.errstate(all="raise", under="ignore"):
        state = run(Bets(profile()), (weights, np.full((300, 3), value) * weights[:, None]))
    assert np.isfinite(state.capitals).all()
    assert state.recent.tolist() == [value] * 3


def test_quantities_that_never_or_always_hold_in_the_reference_are_watched() -> None:
    quantities = [Quantity(family="label", name=str(share), mean=share, effective=900) for share in (0.0, 1.0)]
    bets = Bets(profile().model_copy(update={"quantities": tuple(quantities)}))
    weights = np.full(50, 20.0)
    usual = np.column_stack([np.zeros(50), weights])
    assert not run(bets, (weights, usual)).alarmed
    assert run(bets, (weights, usual[:, ::-1])).alarmed == list(bets.names)


def test_windows_may_arrive_in_any_portions() -> None:
    bets, (weights, sums) = Bets(profile()), stream(np.random.default_rng(5), 130, 0.2)
    whole = run(bets, (weights, sums))
    cuts = [0, 1, 19, 20, 21, 77, 130]
    parts = run(bets, *((weights[a:b], sums[a:b]) for a, b in pairwise(cuts)))
    assert np.allclose(parts.capitals, whole.capitals)
    assert np.allclose(parts.recent, whole.recent)
    assert (parts.windows, parts.sentences, parts.alarmed) == (whole.windows, whole.sentences, whole.alarmed)


def test_state_survives_json() -> None:
    bets = Bets(profile())
    state = run(bets, stream(np.random.default_rng(5), 30))
    again = Evidence.from_json(json.loads(json.dumps(state.to_json(), allow_nan=False)))
    assert np.array_equal(again.capitals, state.capitals)
    assert bets.evidence(again) == (pytest.approx(bets.evidence(state)[0]), bets.evidence(state)[1])


def test_all_capitals_are_one_at_the_start_and_the_threshold_is_25() -> None:
    bets = Bets(profile())
    _, total = bets.evidence(run(bets, (np.array([20.0]), np.array([[2.0, 6.0, 1.0]]))))
    assert total < np.log10(0.5)  # half of it is kept for later bets
    assert pytest.approx(np.log10(25)) == THRESHOLD


@pytest.mark.parametrize("direction", [0, 1], ids=["fall", "rise"])
@pytest.mark.parametrize("effective", [300, 5000])
def test_only_means_outside_the_shown_bounds_alarm_in_the_long_run(direction: int, effective: float) -> None:
    bets = Bets(profile(effective))
    bound, reference = bets.intervals[0, direction], SHARES[0]
    for factor, alarmed in ((0.8, []), (1.3, ["label: 0.1"])):
        mean = reference + factor * (bound - reference)
        sums = np.column_stack([np.full(9000, share * WINDOW) for share in (mean, SHARES[1], 0.05)])
        assert run(bets, (np.full(9000, float(WINDOW)), sums)).alarmed == alarmed
