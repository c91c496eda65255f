from __future__ import annotations

from collections import Counter
from importlib.metadata import version

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.records import Document, Sentence
from labels.text.sentences import count_boilerplate, split_sentences, splitter_name, whole_sentence

PIECES = [
    "The envoy said so. ",
    "Mr. Lind of the U.S. left at 3.5 p.m. ",
    "“Stop now!” he said. ",
    "said?! ",
    "- ",
    "* ",
    "• ",
    "**bold** ",
    "## ",
    "__",
    "\n",
    "\n\n",
    " \n \n",
    "\t",
    "\u00a0",
    "\u2028",
    "B\u00a0.",
    "é́",
    "😀 ",
    "x",
    "...",
    "¶",
    "Share this article\n",
    "\r\n",
    "\r",
    "“We go. We stay and fight on,” he said. ",
    "KYIV, June 8 (Reuters) - ",
    "Military aid\n\n",
    "three\nwords that run on over the end of one line into another one\nuntil it stops.",
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.text(max_size=80))


def split(text: str) -> list[Sentence]:
    return split_sentences(Document("test", text))


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in split(text)]


def reasons(text: str) -> list[str]:
    return [sentence.boilerplate for sentence in split(text)]


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_spans_are_ordered_disjoint_trimmed_and_match_the_document(text: str) -> None:
    end = 0
    for sentence in split(text):
        assert end <= sentence.start < sentence.end <= len(text)
        assert sentence.text == text[sentence.start : sentence.end]
        assert sentence.text == sentence.text.strip()
        end = sentence.end


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_no_letter_or_digit_of_a_document_is_lost(text: str) -> None:
    covered = {index for sentence in split(text) for index in range(sentence.start, sentence.end)}
    assert all(index in covered for index, character in enumerate(text) if character.isalnum())


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_a_row_that_is_a_sentence_is_only_trimmed(text: str) -> None:
    sentence = whole_sentence(Document("test", text))
    assert sentence.text == text.strip() == text[sentence.start : sentence.end]
    assert 0 <= sentence.start <= sentence.end <= len(text)
    assert not sentence.boilerplate


def test_sentences_record_document_synthetic_mark_and_splitter() -> None:
    document = Document("test", "One came. Two went.", synthetic=True)
    for sentence in [*split_sentences(document), whole_sentence(document)]:
        assert sentence.document_id == document.id
        assert sentence.synthetic
    assert {sentence.splitter for sentence in split_sentences(document)} == {splitter_name()}
    assert splitter_name().startswith(f"sentencex/{version('sentencex')}+")
    assert whole_sentence(document).splitter != splitter_name()
    assert not split("One came.")[0].synthetic


@pytest.mark.parametrize("language", ["en", "", "en-GB", "English", "xx"])
def test_full_stops_inside_a_sentence_do_not_end_it_in_any_language_given(language: str) -> None:
    text = "Mr. Lind pledged $5.5 mn to the U.S. envoy. He left on Jan. 5 in the evening."
    assert [sentence.text for sentence in split_sentences(Document("test", text, language=language))] == [
        "Mr. Lind pledged $5.5 mn to the U.S. envoy.",
        "He left on Jan. 5 in the evening.",
    ]


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u202f", "\u3000", "\u2028", "\u0085"])
@pytest.mark.parametrize("text", ["Plan B .", "The U.S . envoy left.", "George W . Bush", "J . R. Lind, in Oslo"])
def test_any_white_space_before_a_full_stop_is_cut_as_a_plain_space(text: str, space: str) -> None:
    assert texts(text.replace(" ", space)) == [sentence.replace(" ", space) for sentence in texts(text)]


@pytest.mark.parametrize(
    "line",
    [
        "- The guns fell silent.",
        "* The guns fell silent.",
        "• The guns fell silent.",
        "– The guns fell silent.",
        "> The guns fell silent.",
        "+ The guns fell silent.",
        "### The guns fell silent.",
        "  **The guns fell silent.**  ",
        "__The guns fell silent.__",
        "- **The guns fell silent.**",
        "*The guns fell silent.*",
        "_The guns fell silent._",
    ],
)
def test_list_and_emphasis_marks_at_the_edges_are_left_out(line: str) -> None:
    assert texts(f"{line}\n\nThen it rained.") == ["The guns fell silent.", "Then it rained."]


@pytest.mark.parametrize(
    "text", ["-5 degrees were measured.", "#truce was the word of the day.", "*-marked rows differ."]
)
def test_a_mark_that_belongs_to_a_word_stays(text: str) -> None:
    assert texts(text) == [text]


@pytest.mark.parametrize("mark", ["_", "*", "#", "*_", "# ", " "])
def test_a_long_run_of_marks_inside_a_sentence_is_read_past(mark: str) -> None:
    # A pattern that backtracks would not come to an end: each mark doubles its work.
    form = f"Signed by the minister {mark * 50_000} date"
    assert "".join(texts(form)).endswith("date")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_any_line_end_is_read_as_a_newline(end: str) -> None:
    text = (
        "Talks resume in the valley\n\n2024-06-08\nThe envoy told the council on Tuesday that both of the sides had\n"
        "agreed to meet. The council\ttook note.\n\n• “We go.”\nShare this article\n"
    )
    found, expected = split(text.replace("\n", end)), split(text)
    assert [(one.text, one.boilerplate) for one in found] == [
        (one.text.replace("\n", end), one.boilerplate) for one in expected
    ]


def test_a_hard_wrapped_paragraph_is_read_as_one() -> None:
    text = (
        "The envoy told the council on Tuesday that both of the sides had\n"
        "agreed to meet at the border before the end of the month and\n"
        "that the guns would stay silent. The council took note.\n"
    )
    assert texts(text) == [
        "The envoy told the council on Tuesday that both of the sides had\nagreed to meet at the border before the end "
        "of the month and\nthat the guns would stay silent.",
        "The council took note.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The envoy told the council on\nTuesday that both sides had\nagreed to meet. The council\ntook note.\n",
            ["The envoy told the council on\nTuesday that both sides had\nagreed to meet.", "The council\ntook note."],
        ),
        ("All guns fell silent in\nthe valley.", ["All guns fell silent in\nthe valley."]),
        (
            "> Guns fell silent.\n\nThe general said he would\nnot sign before winter,\n“whatever the price” of\nit.",
            [
                "Guns fell silent.",
                "The general said he would\nnot sign before winter,\n“whatever the price” of\nit.",
            ],
        ),
        (
            "Talks resume in the valley\nThe envoy told the council on Tuesday\nthat both sides had agreed to meet\n"
            "before the harvest begins.",
            [
                "Talks resume in the valley",
                "The envoy told the council on Tuesday\nthat both sides had agreed to meet\nbefore the harvest begins.",
            ],
        ),
        (
            "Norway said it\nwould send aid\nto Kyiv next\nweek. It added\nthat more help\nwould follow.",
            ["Norway said it\nwould send aid\nto Kyiv next\nweek.", "It added\nthat more help\nwould follow."],
        ),
        (
            "Oslo pledges aid\nThe government said\nit would send ten\ntrucks to the\nCouncil of Kyiv.",
            ["Oslo pledges aid", "The government said\nit would send ten\ntrucks to the\nCouncil of Kyiv."],
        ),
        (
            "The general thanked the U.S.\nenvoy and the council and then\nleft for the coast.",
            ["The general thanked the U.S.\nenvoy and the council and then\nleft for the coast."],
        ),
    ],
    ids=[
        "paragraph",
        "two lines",
        "quotation mark",
        "headline above",
        "ragged",
        "headline above ragged",
        "abbreviation",
    ],
)
def test_short_lines_of_a_paragraph_that_reads_as_prose_are_one(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Ministry of Foreign Affairs\n12 Harbour Street\nOberstadt",
        "Ministry of Foreign Affairs\nthird floor, room 12\nOberstadt",
        "Envoy asks for a truce\nCouncil promises grain\nFerries stay in port",
        "bread and butter\nmilk\neggs\nsalt and pepper.",
        "so much depends\nupon\n\na red wheel\nbarrow",
        "an old silent pond\na frog jumps into the pond\nsplash! silence again.",
        "home\nworld\nbusiness\ncontact",
        "The guns fell silent here\nAnd rain came down at noon\nThe valley slept.",
        "1. arms for the north\n2. grain for the south\n3. silence.",
        "Present were the envoys:\n- one from the north\n- one from the south.",
        "They asked for:\nshells for guns\ndrones for scouts\nair defence.",
    ],
    ids=[
        "address",
        "address with small letters",
        "headlines",
        "list",
        "poem",
        "haiku",
        "menu",
        "verses",
        "numbered list",
        "items",
        "items in small letters",
    ],
)
def test_short_lines_that_are_no_prose_stay_apart(text: str) -> None:
    assert not [sentence for sentence in texts(text) if "\n" in sentence]


def test_a_word_divided_at_the_end_of_a_line_stays_in_one_sentence() -> None:
    assert texts("Norway sends hu-\nmanitarian aid.") == ["Norway sends hu-\nmanitarian aid."]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Talks resume in the valley", "The envoy arrived at noon on Monday"),
        ("The envoy told the council on Tuesday that both sides had agreed:", "to meet at the border"),
        ("The envoy told the council on Tuesday that both sides had asked", "- to meet at the border"),
        ("The envoy told the council on Tuesday that both sides had asked", "2. to meet at the border"),
        ("The envoy told the council on Tuesday that both sides had asked " * 2, "to meet at the border"),
        ("The envoy told the council on Tuesday that both sides had asked", "\nto meet at the border"),
        ("The envoy told the council on Tuesday that both sides had asked", " \t\nto meet at the border"),
    ],
    ids=["short line", "finished line", "list item", "numbered item", "unwrapped text", "blank line", "white line"],
)
def test_a_line_that_does_not_continue_ends_a_sentence(first: str, second: str) -> None:
    assert texts(f"{first}\n{second}")[0] == first.strip()


def test_white_space_after_the_last_line_is_ignored() -> None:
    line = "The envoy told the council on Tuesday that both sides had asked"
    assert texts(f"{line}\n   ") == [line]


def test_furniture_is_kept_whole_in_its_place_with_its_reason() -> None:
    text = "Guns fell silent.\nPhoto: Two ferries wait. A crowd looks on.\nThen it rained."
    assert [(sentence.text, sentence.boilerplate) for sentence in split(text)] == [
        ("Guns fell silent.", ""),
        ("Photo: Two ferries wait. A crowd looks on.", "caption"),
        ("Then it rained.", ""),
    ]


@pytest.mark.parametrize("bar", ["Share this article on Facebook.", "Share on Facebook | Tweet | WhatsApp"])
def test_furniture_glued_to_a_paragraph_is_set_aside_alone(bar: str) -> None:
    assert reasons(f"The minister left for Geneva on Monday. {bar}") == ["", "share line"]


@pytest.mark.parametrize(
    "statement",
    [
        "One response to the ceasefire proposal was a flat rejection by Moscow.",
        "Get the aid channel open, the UN urged Israel.",
        "Comments made by the ministry were dismissed on its own website.",
    ],
)
def test_a_statement_that_shares_words_with_furniture_stays_in_its_paragraph(statement: str) -> None:
    assert reasons(f"The minister left for Geneva on Monday. {statement} Then it rained.") == ["", "", ""]


def test_phrases_that_are_furniture_only_alone_stay_in_paragraphs() -> None:
    assert reasons("Last updated on 12 May") == ["byline"]
    assert reasons("The map of the valley hung behind him. Last updated on 12 May, it showed no border.") == ["", ""]


@pytest.mark.parametrize(
    ("again", "reason"),
    [
        ("The valley at war", "repeated line"),
        ("THE  VALLEY AT WAR", "repeated line"),
        ("The valley at peace", ""),
    ],
)
def test_a_repeated_line_is_set_aside(again: str, reason: str) -> None:
    assert reasons(f"The valley at war\n\nGuns fell silent on Monday.\n\n{again}") == ["", "", reason]


def test_a_short_phrase_may_be_repeated() -> None:
    assert reasons("He said no.\n\nThey asked.\n\nHe said no.") == ["", "", ""]


def test_repeats_are_counted_within_one_document_only() -> None:
    assert reasons("The valley at war") == reasons("The valley at war") == [""]


def test_boilerplate_is_counted_by_reason() -> None:
    text = "Advertisement\n\nGuns fell silent.\n\nAdvertisement\n\nPhoto: A ferry"
    assert count_boilerplate(split(text)) == Counter({"advertisement": 2, "caption": 1})
    assert count_boilerplate([]) == Counter()


@pytest.mark.parametrize("text", ["", "  \n\n \t", "**", "- "])
def test_a_text_without_words_has_no_sentence_to_label(text: str) -> None:
    assert not [sentence for sentence in split(text) if not sentence.boilerplate]


PROSE = "The envoy told the council on Tuesday that both sides had agreed to meet."


def test_a_date_before_the_first_sentence_is_set_aside_alone() -> None:
    sentences = split(f"date 2024-06-08 On June 7, talks took place. {PROSE}")
    assert [(one.text, one.boilerplate) for one in sentences] == [
        ("date 2024-06-08", "byline"),
        ("On June 7, talks took place.", ""),
        (PROSE, ""),
    ]


def test_a_dateline_is_set_aside_alone() -> None:
    sentences = split(f"MOSCOW, June 8. /TASS/. {PROSE}\n\nKYIV, June 8 (Reuters) - {PROSE}")
    assert [(one.text, one.boilerplate) for one in sentences] == [
        ("MOSCOW, June 8. /TASS/.", "byline"),
        (PROSE, ""),
        ("KYIV, June 8 (Reuters) -", "byline"),
        (PROSE, ""),
    ]


@pytest.mark.parametrize("line", ["2024-06-08", "Published: June 8, 2024, 12:30", "08.06.2024 12:30 | Print this page"])
def test_a_line_of_page_data_is_set_aside(line: str) -> None:
    assert "" not in reasons(line)
    assert reasons(f"{PROSE} Published: June 8, 2024, 12:30")[-1] == "byline"


def test_a_name_and_office_after_a_quotation_is_a_caption() -> None:
    text = f"{PROSE} Thank you for your support. Volodymyr Zelenskyi President of Ukraine\n\nKaja Kallas, EU diplomat"
    assert reasons(text) == ["", "", "caption", "caption"]


def test_a_title_without_a_verb_is_set_aside_before_a_paragraph() -> None:
    text = f"Oslo calls for truce\n\nMilitary aid\n\n{PROSE}\n\n**The road to Geneva**\n\n{PROSE} It rained."
    assert list(zip(texts(text), reasons(text), strict=True)) == [
        ("Oslo calls for truce", ""),
        ("Military aid", "section title"),
        (PROSE, ""),
        ("The road to Geneva", "section title"),
        (PROSE, ""),
        ("It rained.", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Military aid",
        f"{PROSE}\n\nMilitary aid",
        f"The plan has two points:\n\nMilitary aid\n\n{PROSE}",
        f"The plan\n\nMilitary aid\n\nRelease of prisoners\n\n{PROSE}",
        f"Military aid\n\nIt rained.\n\n{PROSE}",
        f"• Military aid\n\n{PROSE}",
        f"* Military aid\n\n{PROSE}",
    ],
    ids=["alone", "last line", "after a colon", "list", "before a short line", "item", "Markdown item"],
)
def test_a_line_without_a_verb_that_is_no_title_stays(text: str) -> None:
    assert "Military aid" in [one.text for one in split(text) if not one.boilerplate]


def test_titles_are_recognized_in_english_only() -> None:
    document = Document("test", f"Ayuda militar\n\n{PROSE}", language="es")
    assert not [one for one in split_sentences(document) if one.boilerplate]


def test_the_splitter_name_says_that_quotations_are_kept() -> None:
    document = Document("test", "“We reject the offer. It is a trap,” he said.")
    (kept,) = split_sentences(document, keep_quotes=True)
    assert kept.splitter == splitter_name(keep_quotes=True) != splitter_name()
    assert len(split_sentences(document)) == 2


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        (f"Oslo calls for truce\n\n{PROSE}", ["Oslo calls for truce"]),
        (f"{PROSE}\n\n## Will the guns fall silent?\n\n{PROSE} It rained.", ["Will the guns fall silent?"]),
        (f"Military aid\n\n{PROSE}", []),
        (f"Oslo calls for truce.\n\n{PROSE}", []),
        (f"• Oslo calls for truce\n\n{PROSE}", []),
        (f"1. Oslo calls for truce\n\n{PROSE}", []),
        ("Oslo calls for truce", []),
        (f"{PROSE}\n\nOslo calls for truce", []),
    ],
    ids=["headline", "subheading", "title", "sentence", "item", "numbered", "alone", "last line"],
)
def test_a_headline_is_a_sentence_marked_as_heading(text: str, headings: list[str]) -> None:
    assert [one.text for one in split(text) if one.heading] == headings
    assert not any(one.boilerplate for one in split(text) if one.heading)
