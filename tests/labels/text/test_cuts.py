from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencex import segment

from labels.text.cuts import cut_paragraph

WORDS = [
    "U.S.",
    "p.m.",
    "para.",
    "No.",
    "7",
    "The",
    "said",
    "Mr.",
    "J.",
    "“We",
    "go.”",
    "(He",
    "left.)",
    "May.",
    "…",
    "A",
]


def cut(text: str, language: str = "en", *, keep_quotes: bool = False) -> list[str]:
    return [text[start:end] for start, end in cut_paragraph(text, language, keep_quotes=keep_quotes)]


@pytest.mark.parametrize(
    "sentence",
    [
        "As stated in para. 7 of the text, nothing was agreed.",
        "S/RES/2728 (2024), para. 7, demands a ceasefire.",
        "Resolution 1735 (2006), para. 1(c), applies equally to militias.",
        "See paras. 7 and 8, arts. 5 and 6, and Ch. VII of the Charter.",
        "Under Art. 5 of the pact and Res. 1701, troops withdraw.",
        "Invoice No. 12 and Nos. 3 and 4 were paid.",
        "See Doc. A/50/60 and Vol. 3, pp. 12-14, Sect. IV.",
        "The U.S. Senate and the U.K. Parliament voted.",
        "The U.N. Security Council met in Washington, D.C. on Friday.",
        "Then U.S. Under Secretary Nuland spoke to the E.U. ambassadors.",
        "U.N. Under-Secretary-General Lind left.",
        "Talks began at 3 p.m. Monday in Oslo and ended at 10 a.m. Kyiv time.",
        "Fire ceased at 5 p.m. EST and at 11 P.M. GMT.",
        "It ends at 7 a.m. Dec. 5 in Geneva.",
        "Gen. Smith, Lt. Col. Brown, Sen. Jones, Gov. Lee and Adm. Lee agreed.",
        "Amb. Rice and Ambs. Lee and Brig. Gen. Ali met Cmdr. Poe.",
        "Sens. Lind and Reps. Poe wrote to Sec. Rubio and to Pres. Biden.",
        "China's Gen. He Weidong met Mr. So, Ms. An and Dr. My in Beijing.",
        "In addition, Ms. Bellamy and Ms. Haq spoke.",
        "MS. LIND, AMB. RICE and SEN. POE spoke.",
        "Lt.-Gen. Smith, ex-Gov. Lee, then-Sen. Biden and vice-Adm. Poe met P.M. Modi.",
        "He met U.S. Ukraine envoy Kurt Volker and U.S. Iran envoy Brian Hook.",
        "J. Smith met J. R. Lind, George W. Bush and J.-P. Sartre.",
        "It costs approx. 40 million, ca. 20 million more than in Smith v. Jones or Lind vs. Poe.",
        "Cf. Art. 5, i.e. The Hague rules, e.g. Article 8, incl. Annex I.",
        "He landed in St. Petersburg on Jan. 5, near Mt. Elbrus and Ft. Bragg.",
        "Am 5. Juni und am 31. Dezember fell no shot.",
        "On 8. June 2024 the truce ended.",
    ],
)
def test_an_abbreviation_does_not_end_a_sentence(sentence: str) -> None:
    assert cut(f"{sentence} Then it rained.") == [sentence, "Then it rained."]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("He left the U.S.", "The envoy stayed."),
        ("He left the U.S.", "In Oslo, nobody knew."),
        ("He left the U.S.", "A truce held."),
        ("He left the U.S.", "It’s over."),
        ("He flew back to the U.S.", "Israel rejected the plan."),
        ("He flew back to the U.S.", "Iran has not replied."),
        ("He left the U.S.", "The envoy stays at home"),
        ("He left the U.S.", "“We go,” he said."),
        ("He spoke to the U.N.", "However, nothing came of it."),
        ("It met in Washington, D.C.", "He left."),
        ("Talks began at 3 p.m.", "The envoy left."),
        ("Talks began at 3 p.m.", "Norway pledged aid."),
        ("Talks began at 10 A.M.", "“We go,” he said."),
        ("The truce ends in May.", "Ministers left."),
        ("The truce ended last Jan.", "The guns are loud."),
        ("Panama said no.", "Costa Rica agreed."),
        ("He told me.", "Norway left."),
        ("Both men are ill.", "Talks continue."),
        ("He works for Acme Inc.", "He sold it."),
        ("They met Smith Jr.", "This was new."),
        ("They sent trucks, tents, etc.", "The road is open."),
        ("It is part of the annex.", "15 trucks came."),
        ("He waited…", "Then it rained."),
        ("And so on …", "The end comes."),
        ("And so on . . .", "The end comes."),
        ("He asked in Art. 5.", "The council met."),
        ("Plan B.", "Then it ended."),
        ("It rose to 12.", "Norway left."),
        ("He met Mr. Lind.", "The envoy left."),
        ("He asked “Why?”", "Norway said no."),
    ],
)
def test_a_sentence_that_ends_with_an_abbreviation_is_cut(first: str, second: str) -> None:
    assert cut(f"{first} {second}") == [first, second]


@pytest.mark.parametrize("headline", ["N.Korea Says Met U.S. Officials, No Nuclear Progress", "U.S. And Russia Sign"])
def test_a_headline_is_one_sentence(headline: str) -> None:
    assert cut(headline) == [headline]


@pytest.mark.parametrize(
    ("opening", "closing"), [("“", "”"), ('"', '"'), ("«", "»"), ("„", "“"), ("‘", "’"), ("'", "'")], ids=repr
)
def test_a_quotation_of_several_sentences_is_cut_inside(opening: str, closing: str) -> None:
    text = f"{opening}We reject the offer. It is a trap. We will not go,{closing} he said. Then he left."
    parts = [f"{opening}We reject the offer.", "It is a trap.", f"We will not go,{closing} he said.", "Then he left."]
    assert cut(text) == parts
    assert cut(text, keep_quotes=True) == [" ".join(parts[:3]), parts[3]]


@pytest.mark.parametrize(
    "parts",
    [
        ["„Wir helfen.", "Das ist Pflicht.“", "Dann ging er."],
        ["“It failed.", "We know,” she added."],
        ["“We mean the workers’ call.", "We do.”"],
        ["“We want peace …", "It is our duty.” she added."],
    ],
    ids=["German", "four words", "possessive", "ellipsis"],
)
def test_a_short_quotation_of_two_statements_is_cut_inside(parts: list[str]) -> None:
    assert cut(" ".join(parts)) == parts


@pytest.mark.parametrize(
    "sentence",
    [
        "“No!” she said.",
        "“Oh! What a Lovely War” opened in Oslo.",
        "He asked “Why should we talk to them?” and left.",
        "He asked, “Why should we talk to them now?” Norway’s envoy said.",
        "“We met Mr. Lind at 3 p.m. Monday under para. 7,” he said.",
        "“What? we will not go there today,” he said.",
    ],
)
def test_a_quotation_of_one_sentence_stays_whole(sentence: str) -> None:
    assert cut(sentence) == [sentence]


def test_quotations_are_cut_in_any_language() -> None:
    text = "«Nous refusons cette offre. Le piège est évident», a dit le ministre. Il est parti."
    assert cut(text, "fr") == [
        "«Nous refusons cette offre.",
        "Le piège est évident», a dit le ministre.",
        "Il est parti.",
    ]


def test_the_rules_for_abbreviations_are_for_english() -> None:
    spanish = "El embajador dijo no. Panamá aceptó. Véase el para. 7 del texto."
    assert cut(spanish, "es") == [piece.strip() for piece in segment("es", spanish)]
    german = "Der Botschafter kam am 5. Juni. Er blieb bis zum 8. Juli."
    assert cut(german, "de") == ["Der Botschafter kam am 5. Juni.", "Er blieb bis zum 8. Juli."]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), st.sampled_from(["en", "fr", ""]), st.booleans())
def test_spans_cover_all_but_white_space(text: str, language: str, keep_quotes: bool) -> None:
    end = 0
    for left, right in cut_paragraph(text, language, keep_quotes=keep_quotes):
        assert not text[end:left].strip()
        assert end <= left < right
        end = right
    assert not text[end:].strip()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_kept_quotations_join_whole_sentences(text: str) -> None:
    kept = {end for _, end in cut_paragraph(text, "en", keep_quotes=True)}
    assert kept <= {end for _, end in cut_paragraph(text, "en")}
