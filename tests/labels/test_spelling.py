from __future__ import annotations

from labels.errors import did_you_mean


def test_names_the_nearest_word_whatever_its_case() -> None:
    assert did_you_mean("Aid_pldge", ["aid_pledge", "dismissal"]) == " (did you mean 'aid_pledge'?)"


def test_says_nothing_when_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["aid_pledge", "dismissal"]) == ""
