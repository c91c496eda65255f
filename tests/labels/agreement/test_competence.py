"""Competence by the model of Dawid and Skene, against their published example and the likelihood itself."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from labels.agreement.competence import competence, dawid_skene
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.records import Annotation, Sentence
from labels.store import Store
from tests.labels.cli.running import BOOK, succeed
from tests.labels.store.builders import added, decision

# Dawid and Skene (1979), table 1: 45 patients, each rated three times by the first observer and once by four others.
PATIENTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212 1211111
1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111 1111111 1121121
1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""
OBSERVERS = "1112345"


class Sentences(dict[str, Sentence]):
    """Every sentence is in a document of its own."""

    def get(self, key: str, default: Any = None) -> Sentence:
        return Sentence(key, 0, 5, "Text.")


def likeliest(patterns: dict[tuple[bool, ...], int], people: int) -> tuple[float, list[tuple[float, float]]]:
    """The share of a label and each annotator's rates of finding it and giving it wrongly, by maximum likelihood.

    The likelihood is written down and climbed by a general optimizer, without expectation maximization.
    """
    given = np.array(list(patterns), dtype=float)
    weights = np.array(list(patterns.values()), dtype=float)

    def loss(logits: np.ndarray) -> float:
        share, *rates = 1 / (1 + np.exp(-logits))
        found, false = np.array(rates[:people]), np.array(rates[people:])
        with_label = share * np.prod(np.where(given == 1, found, 1 - found), axis=1)
        without = (1 - share) * np.prod(np.where(given == 1, false, 1 - false), axis=1)
        return -float(weights @ np.log(with_label + without))

    start = np.array([-1.0, *[1.5] * people, *[-2.0] * people])
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-8, "maxiter": 5000}).x
    share, *rates = (1 / (1 + np.exp(-best))).tolist()
    return share, list(zip(rates[:people], rates[people:], strict=True))


def test_the_published_example_is_reproduced() -> None:
    ratings = [
        (f"{patient:02}", observer, answer)
        for patient, given in enumerate(PATIENTS.split(), start=1)
        for observer, answer in zip(OBSERVERS, given, strict=True)
    ]
    fitted = dawid_skene(ratings)

    # The shares of the classes in the paper.
    assert [fitted.prior[one] for one in "1234"] == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.005)
    # The paper's error rates of the first observer, for patients of class 1 and 2.
    first = fitted.rates["1"]
    assert [first["1"].get(one, 0) for one in "12"] == pytest.approx([0.89, 0.11], abs=0.005)
    assert [first["2"].get(one, 0) for one in "123"] == pytest.approx([0.07, 0.88, 0.05], abs=0.005)
    # The classes that the paper gives to the patients.
    likely = "".join(fitted.likely[f"{patient:02}"] for patient in range(1, 46))
    assert likely == "142222132243121111222222112111131224233111212"


SENTENCES = Sentences()


def simulated(rates: dict[str, tuple[float, float]], n: int, share: float = 0.3) -> list[dict[str, bool]]:
    """Answers by annotators with these probabilities to give a label where it applies, and where it does not."""
    generator = random.Random(7)
    truths = [generator.random() < share for _ in range(n)]
    return [{who: generator.random() < rates[who][not truth] for who in rates} for truth in truths]


RATES = {"ana": (0.95, 0.03), "ben": (0.8, 0.1), "eva": (0.6, 0.02)}


def reviews(answers: list[dict[str, bool]], **more: Any) -> list[Annotation]:
    return [
        decision(f"s{position}", who, labels=("aid",) if found else (), **more)
        for position, own in enumerate(answers)
        for who, found in own.items()
    ]


def test_rates_equal_those_of_an_independent_computation(codebook: Codebook) -> None:
    answers = simulated(RATES, 200)
    report = competence(reviews(answers), SENTENCES, codebook)
    patterns = Counter(tuple(own[who] for who in RATES) for own in answers)
    share, rates = likeliest(patterns, len(RATES))

    assert report.prevalence["aid"].value == pytest.approx(share, abs=1e-3)
    found = [(one.found.value, one.false.value) for one in report.coders if one.label == "aid"]
    assert np.array(found) == pytest.approx(np.array(rates), abs=1e-3)
    assert np.array(found) == pytest.approx(np.array(list(RATES.values())), abs=0.15)
    best = {one.annotator: one.competence for one in report.coders if one.label == "aid"}
    assert sorted(best, key=lambda who: -(best[who].value or 0)) == ["ana", "ben", "eva"]
    for who, (truly_found, truly_false) in RATES.items():
        low, high = best[who].low, best[who].high
        assert low is not None
        assert high is not None
        assert low <= truly_found - truly_false <= high
        assert high - low < 0.4
    assert (report.prevalence["truce"].value, report.given["truce"]) == (None, 0)


def test_classes_are_compared_together_in_an_exclusive_codebook() -> None:
    book = codebook_from_dict({"name": "one", "exclusive": True, "labels": [{"name": "aid"}, {"name": "truce"}]}, "one")
    events = [
        decision(f"s{n}", who, labels=("truce" if (n + (who == "eva" and n % 10 == 0)) % 2 else "aid",))
        for n, who in itertools.product(range(60), RATES)
    ]
    report = competence(events, SENTENCES, book)

    found = {(one.annotator, one.label): (one.found.value, one.false.value) for one in report.coders}
    assert found["ana", "aid"] == pytest.approx((1, 0), abs=1e-3)
    assert found["eva", "aid"] == pytest.approx((0.8, 0), abs=1e-3)
    assert found["eva", "truce"] == pytest.approx((1, 0.2), abs=1e-3)


@pytest.mark.parametrize(
    ("rates", "n", "more"),
    [
        ({"ana": RATES["ana"], "ben": RATES["ben"]}, 100, {}),
        (RATES, 19, {}),
        (RATES, 100, {"suggestion": ("aid",)}),
        (RATES, 100, {"informed": True}),
        (RATES, 100, {"strategy": "planted"}),
    ],
    ids=["two annotators", "few sentences", "suggestions", "informed", "planted"],
)
def test_too_few_independent_decisions_are_refused(
    codebook: Codebook, rates: dict[str, tuple[float, float]], n: int, more: dict[str, object]
) -> None:
    report = competence(reviews(simulated(rates, n), **more), SENTENCES, codebook)

    assert report.coders == ()
    assert "competence needs 3 annotators who share 20 sentences each" in report.refused


def test_an_annotator_who_shares_few_sentences_is_left_out(codebook: Codebook) -> None:
    answers = simulated(RATES, 60)
    events = [*reviews(answers), *(decision(f"s{n}", "zoe") for n in range(19))]

    assert competence(events, SENTENCES, codebook).annotators == ("ana", "ben", "eva")


def test_the_command_prints_and_explains_it(isolated: Path) -> None:
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    (isolated / "communique.toml").write_text('codebook = "book.toml"\n', encoding="utf-8")
    with Store("communique.db") as store:
        ids = added(store, 60)
        store.events.add([decision(ids[0], who) for who in RATES])
    assert "No competence: competence needs 3 annotators" in succeed("agreement", "--competence")

    with Store("communique.db") as store:
        answers = simulated(RATES, 60)
        store.events.add(
            [
                decision(one, who, labels=("aid",) if found else ())
                for one, own in zip(ids, answers, strict=True)
                for who, found in own.items()
            ]
        )
    printed = succeed("agreement", "--competence", "--json", "out.json")
    assert "from 60 sentences that two or more coders reviewed independently (60 by three or more)" in printed
    assert "an error that most coders share counts as right" in printed
    assert "Not estimated, because too few sentences were given the label: truce (0)." in printed
    assert '"competence": {' in Path("out.json").read_text(encoding="utf-8")
