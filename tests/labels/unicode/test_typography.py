from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.unicode import Folded, fold, search_form

MARKS = "’“”«»‑–−\u00ad\u200b\ufeff\u00a0\u2028ﬁﬀＡｶﾞ\u0301e\u0323ᄒ\u1161\u11ab´¨ ㄱㅏ…½\n\t"
TEXTS = st.one_of(
    st.text(max_size=40), st.text(alphabet=MARKS, max_size=20), st.text(alphabet="ab '-\"\n", max_size=20)
)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("They won’t", "They won't"),
        ("“aid” «aid» „aid“", '"aid" "aid" "aid"'),
        ("cease\u2010fire cease\u2011fire cease–fire", "cease-fire cease-fire cease-fire"),
        ("talks — and more", "talks — and more"),
        ("a\u00adid", "aid"),
        ("agree\u00ad\n  ment", "agreement"),
        ("agree\u00ad\r\nment", "agreement"),
        ("hu-\nmanitarian aid", "humanitarian aid"),
        ("Hu- \r\n  manitarian", "Humanitarian"),
        ("long-\nterm Non-\naligned", "long-term Non-aligned"),
        ("pro-\nEuropean talks -\nwhich", "pro- European talks - which"),
        ("ﬁve oﬃces", "five offices"),
        ("Ｆｕｌｌ ｗｉｄｔｈ", "Full width"),
        ("ｶﾞｽ", "ガス"),
        ("a\u00a0\u2009\n b", "a b"),
        ("ne\u0301e", "née"),
        ("Örebro", "Örebro"),
    ],
)
def test_ways_of_typing_the_same_words_fold_to_one(typed: str, plain: str) -> None:
    assert fold(typed) == plain


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.data())
def test_the_place_of_a_folded_part_folds_to_that_part(text: str, data: st.DataObject) -> None:
    folded = Folded(text)
    if not folded.text:
        return
    start = data.draw(st.integers(0, len(folded.text) - 1))
    end = data.draw(st.integers(start + 1, len(folded.text)))
    left, right = folded.span(start, end)
    assert 0 <= left < right <= len(text)
    assert folded.text[start:end] in fold(text[left:right])


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_the_whole_folded_text_has_the_whole_text_as_its_place(text: str) -> None:
    folded = Folded(text)
    if folded.text:
        left, right = folded.span(0, len(folded.text))
        assert fold(text[:left]) == ""
        assert right == len(text)


@settings(deadline=None)
@given(st.text(alphabet="abc xyz.,-'\"", max_size=60))
def test_plain_text_keeps_its_words_and_places(text: str) -> None:
    words = " ".join(text.split(" "))
    assert fold(words).split() == words.split()
    folded = Folded("x" + text.replace(" ", "") + "x")
    assert folded.span(0, len(folded.text)) == (0, len(folded.text))


def test_a_search_form_has_no_case() -> None:
    assert search_form("WON’T Straße ΣΑΣ") == search_form("won't STRASSE σας")
