from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.codebook.cues import Cue
from labels.codebook.schema import load_codebook
from labels.unicode import Folded

WORDS = ["aid", "aide", "pledge", "pledged", "new"]


def found(cue: str, text: str) -> bool:
    return Cue(cue).is_in(Folded(text))


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


@settings(deadline=None, max_examples=150)
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
    assert spans("pledg* ... million", "Oslo pledged another 40 million, then 2 million.") == [
        "pledged another 40 million"
    ]


@pytest.mark.parametrize(
    ("cue", "text", "place"),
    [
        ("won't", "They won’t sign.", "won’t"),
        ("won’t", "They won't sign.", "won't"),
        ("won't", "They wonʼt sign.", "wonʼt"),
        ("cease-fire", "A cease\u2011fire held.", "cease\u2011fire"),
        ("cease-fire", "A cease‐fire held.", "cease‐fire"),
        ("ceasefire", "The cease\u00adfire held.", "cease\u00adfire"),
        ("ceasefire", "The cease\u00ad\nfire held.", "cease\u00ad\nfire"),
        ("ceasefire", "The \ufeffcease\u200bfire held.", "cease\u200bfire"),
        ("offer*", "They oﬀered fuel.", "oﬀered"),
        ("aid", "More ＡＩＤ came.", "ＡＩＤ"),
        ("40 million", "It gave 40\u00a0million.", "40\u00a0million"),
        ("café", "The cafe\u0301 closed.", "cafe\u0301"),
        ("café", "The caf\u00e9 closed.", "caf\u00e9"),
        ("pledg* … million", "Oslo pledged 40 million.", "pledged 40 million"),
        ('the "truce"', "They broke the “truce” again.", "the “truce”"),
        ("ガス", "ｶﾞｽ", "ｶﾞｽ"),
    ],
)
def test_a_cue_is_found_at_its_place_however_it_is_typed(cue: str, text: str, place: str) -> None:
    assert spans(cue, text) == [place]


def spans(cue: str, text: str) -> list[str]:
    return [text[start:end] for start, end in Cue(cue).spans(Folded(text))]


@pytest.mark.parametrize("cue", ["", " ", "...", "\u200b", "… …"])
def test_a_blank_cue_is_never_found(cue: str) -> None:
    assert not found(cue, "They said so, again and again.")
    assert spans(cue, "They said so, again and again.") == []


def test_every_shipped_cue_with_an_apostrophe_is_found_in_typographic_text() -> None:
    cues = [cue for label in load_codebook("diplomatic").labels for cue in label.cues if "'" in cue]
    assert "won't" in cues
    for cue in cues:
        assert found(cue, cue.replace("'", "’").replace("*", "").replace("...", "and"))


@pytest.mark.parametrize("text", ["pledg " * 4000, "pledg" + " !" * 10_000, "pledg" + "a" * 20_000, "(" * 20_000])
def test_cues_are_quick_on_long_hostile_texts(text: str) -> None:
    # A pattern that backtracks without bounds would not come to an end here.
    assert not found("pledg* ... million", text)
