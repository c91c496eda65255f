from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.codebook.schema import compile_cue

WORDS = ["aid", "aide", "pledge", "pledged", "new"]


def found(cue: str, text: str) -> bool:
    return compile_cue(cue).search(text) is not None


def found_by_hand(parts: list[list[str]], tokens: list[str]) -> bool:
    """Whether the parts of a cue follow each other in `tokens`, with up to six tokens between two parts."""

    def ends(part: list[str], start: int) -> bool:
        window = tokens[start : start + len(part)]
        fits = (
            token.startswith(word[:-1]) if word.endswith("*") else token == word
            for word, token in zip(part, window, strict=False)
        )
        return len(window) == len(part) and all(fits)

    starts = list(range(len(tokens)))
    for part in parts:
        after = [start + len(part) for start in starts if ends(part, start)]
        starts = sorted({end + gap for end in after for gap in range(7)})
        if not after:
            return False
    return True


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(st.sampled_from([*WORDS, "aid*", "pledg*"]), min_size=1, max_size=2), min_size=1, max_size=3),
    st.lists(st.sampled_from(WORDS), max_size=14),
)
def test_a_cue_is_found_exactly_where_its_words_follow_each_other(parts: list[list[str]], tokens: list[str]) -> None:
    cue = " ... ".join(" ".join(part) for part in parts)
    assert found(cue, " ".join(tokens)) == found_by_hand(parts, tokens)


@pytest.mark.parametrize(("between", "expected"), [(0, True), (1, True), (6, True), (7, False)])
def test_three_dots_stand_for_up_to_six_words(between: int, expected: bool) -> None:
    assert found("pledg* ... aid", f"They pledged {'word ' * between}aid.") is expected


@pytest.mark.parametrize(
    ("cue", "text", "expected"),
    [
        ("aid", "Aid came.", True),
        ("AID", "more aid", True),
        ("aid", "They said so.", False),
        ("aid", "Aides came.", False),
        ("aid*", "Aides came.", True),
        ("pledg*", "Oslo pledged.", True),
        ("set aside", "He set\naside  a day.", True),
        ("set aside", "set-aside", False),
        ("set aside", "The set was put aside.", False),
        ("call* ... truce", "She called, again, for a “truce”.", True),
        ("call* ... truce", "A truce was called.", False),
        ("a+b", "a+b", True),
        ("a.b", "axb", False),
        ("cease-fire", "a cease-fire held", True),
    ],
)
def test_words_are_taken_whole_and_literally_whatever_their_case(cue: str, text: str, expected: bool) -> None:
    assert found(cue, text) is expected


@pytest.mark.parametrize(
    ("cue", "text"),
    [("U.S.", "The U.S. will send more."), ("$80m", "It gave $80m in grain."), ("(sic)", "a truce (sic) came")],
)
def test_a_cue_may_begin_or_end_with_a_sign(cue: str, text: str) -> None:
    assert found(cue, text)


def test_a_cue_is_found_at_its_place() -> None:
    match = compile_cue("pledg* ... million").search("Oslo pledged another 40 million, then 2 million.")
    assert match is not None
    assert match.group() == "pledged another 40 million"
