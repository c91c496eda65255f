from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from labels.codebook.schema import load_codebook
from labels.errors import DataError
from tests.lazy import Lazy
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.failures.behaviour import (
    Check,
    Checks,
    binomial_interval,
    headline_case,
    read_checks,
    run_checks,
    shipped_checks,
    typographic,
)

stats = Lazy("scipy.stats")
LABELS = ("aid", "truce")
DIPLOMATIC = "diplomatic-statements"


def words(texts: Sequence[str]) -> tuple[Floats, Bools]:
    """A model that knows the words "aid" and "truce", and no negation; quotation marks of one shape confuse it."""
    found = np.array([["aid" in text.lower(), "truce" in text and "“" not in text] for text in texts], dtype=bool)
    return found * 0.8 + 0.1, found


def results(*checks: Check) -> dict[tuple[str, str], tuple[int, int]]:
    made = run_checks(Checks("here", "", "", checks), LABELS, words)
    return {(own.capability, own.kind): (own.n, own.failed) for own in made.figures.rates}


def test_each_kind_of_check_is_judged_by_its_own_rule() -> None:
    minimum = Check(capability="negation", kind="minimum", lacks=("aid",), texts=("No aid.", "Rain fell."))
    exact = Check(capability="words", kind="minimum", labels=("aid",), texts=("Aid.", "Aid, and a truce.", "Rain."))
    held = Check(capability="words", kind="minimum", has=("aid",), texts=("Aid, and a truce.",))
    same = Check(capability="quotes", kind="invariance", texts=('"A truce!"', '"Aid!"'), change="typographic quotes")
    pairs = (("Aid.", "No aid."), ("Aid.", "-"))
    down = Check(capability="negation", kind="directional", label="aid", expect="lower", pairs=pairs)
    level = down.model_copy(update={"expect": "not_higher"})
    assert results(minimum, exact, held, same, down, level) == {
        ("negation", "minimum"): (2, 1),
        ("words", "minimum"): (4, 2),
        ("quotes", "invariance"): (2, 1),
        ("negation", "directional"): (4, 1),
        ("all", "minimum"): (6, 3),
        ("all", "invariance"): (2, 1),
        ("all", "directional"): (4, 1),
        ("all", "all"): (12, 5),
    }


def test_a_failure_says_what_was_expected_and_found() -> None:
    down = Check(capability="negation", kind="directional", label="aid", expect="lower", pairs=(("Aid.", "No aid."),))
    lack = Check(capability="negation", kind="minimum", name="no", lacks=("aid",), texts=("No aid.",))
    first, second = run_checks(Checks("here", "", "", (down, lack)), LABELS, words).failures
    assert (first.expected, first.found) == ("p(aid) 0.90, then lower", "then 0.90")
    assert second.to_dict() == {
        "capability": "negation",
        "kind": "minimum",
        "rule": "no",
        "text": "No aid.",
        "changed": "",
        "expected": "without aid",
        "found": "aid",
    }


def test_changes_keep_the_words() -> None:
    assert typographic("\"It's a trick,\" she said ('no').") == "“It’s a trick,” she said (‘no’)."
    assert headline_case("Moscow rejects the plan of its rivals.") == "Moscow Rejects the Plan of its Rivals"


@pytest.mark.parametrize(("count", "n"), [(0, 12), (3, 12), (12, 12)])
def test_intervals_are_those_of_scipy(count: int, n: int) -> None:
    expected = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
    found = binomial_interval(count, n, 0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_shipped_checks_suit_their_codebook_and_are_many() -> None:
    path = shipped_checks(DIPLOMATIC)
    assert path
    checks = read_checks(path, load_codebook("diplomatic").label_names)
    assert checks.codebook == load_codebook("diplomatic").name == DIPLOMATIC
    cases = [(check.kind, case) for check in checks.checks for case in check.cases]
    assert len(cases) >= 200
    assert set(Counter(kind for kind, _ in cases)) == {"minimum", "invariance", "directional"}
    named = {"negation", "names swapped", "tense", "attribution removed", "typographic quotes", "headline case"}
    assert named <= {check.capability for check in checks.checks}
    assert len({case for _, case in cases}) == len(cases)
    assert shipped_checks("../diplomatic-statements") is None


HEAD = '\n[[check]]\ncapability = "negation"\nkind = "minimum"\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            HEAD + 'texts = ["A."]\nlacks = ["iad"]\n',
            r"checks\.toml:6: key `lacks`: the model has no label 'iad'",
        ),
        (HEAD + 'texts = ["A."]\nlabels = []\n' + HEAD.replace("minimum", "maximum"), r"checks\.toml:10: key `kind`: "),
        (HEAD + 'text = ["A."]\nlabels = []\n', r"checks\.toml:5: key `text`: unknown key \(did you mean 'texts'\?\)"),
        (HEAD + 'texts = ["A."]\n', r"checks\.toml:2: a minimum check needs `texts` and `labels`"),
        (HEAD + 'texts = ["A.", 7]\nlabels = []\n', r"checks\.toml:5: key `texts`: Input should be a valid string"),
        ('[[check]]\ncapability = "x"\n', r"checks\.toml:1: key `kind`: this key is required"),
        ("", r"checks\.toml: key `check`: this key is required"),
        ("[[check]\n", r"checks\.toml: not valid TOML: .*line 1"),
        (HEAD.replace("minimum", "invariance") + 'pairs = [["A."]]\n', r"checks\.toml:5: key `pairs`: "),
        (
            HEAD.replace("minimum", "invariance") + 'change = "typographic quotes"\ntexts = ["A."]\n',
            r"checks\.toml:2: the change 'typographic quotes' leaves this text as it is: 'A\.'",
        ),
    ],
)
def test_a_wrong_file_is_named_with_line_and_key(isolated: Path, content: str, message: str) -> None:
    Path("checks.toml").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_checks(Path("checks.toml"), LABELS)
