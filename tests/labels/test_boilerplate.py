from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labels
from labels.boilerplate import REASONS, boilerplate_reason

FURNITURE = [
    ("share line", "Share"),
    ("share line", "Tweet | WhatsApp | Copy link"),
    ("share line", "Share this article on Facebook"),
    ("share line", "Please follow us on Telegram!"),
    ("share line", "Follow us on social networks"),
    ("share line", "Enjoyed this article?"),
    ("comments", "What do you think?"),
    ("newsletter", "Subscribe for full access"),
    ("byline", "HALIFAX, Nov 14 (Kontur)"),
    ("byline", "PORT-AU-PRINCE, Sept 16"),
    ("byline", "By Nile Corridor staff | 22 May 2025, 21:14"),
    ("byline", "Posted by admin in Pacific, Politics | 14 comments"),
    ("byline", "Posted in: World, Europe | 14 comments"),
    ("newsletter", "Sign up for our evening letter and never miss a headline"),
    ("caption", "Image caption: A nurse at the field hospital"),
    ("caption", "Photo caption: Shuttered shops on the Grand Rue"),
    ("related links", "You may also like: Ruby miners return to Montepuez"),
    ("share line", "Email this story to a friend"),
    ("comments", "Leave a comment"),
    ("comments", "Show all 14 comments"),
    ("comments", "2 thoughts on The valley at war"),
    ("comments", "Comments are closed."),
    ("comments", "Comments are closed for this article."),
    ("comments", "37 comments"),
    ("comments", "Log in to leave a comment"),
    ("comments", "Be the first to comment"),
    ("comments", "If you found a mistake in the text, select it and press Ctrl+Enter"),
    ("comments", "Your email address will not be published. Required fields are marked *"),
    ("cookie notice", "This site uses cookies to improve your experience."),
    ("cookie notice", "Accept all cookies"),
    ("advertisement", "Advertisement"),
    ("advertisement", "--- ADVERTISEMENT ---"),
    ("advertisement", "Sponsored: Ten beaches you must see"),
    ("advertisement", "Story continues below advertisement"),
    ("loading notice", "Loading..."),
    ("loading notice", "Please enable JavaScript: this page requires JavaScript to play"),
    ("loading notice", "Video is unavailable in your region"),
    ("newsletter", "Sign up"),
    ("newsletter", "Subscribe to our newsletter for the day's top stories"),
    ("newsletter", "Get breaking updates straight away"),
    ("newsletter", "Read us on Telegram"),
    ("newsletter", "Get CoastNews alerts on your phone"),
    ("newsletter", "Follow us for daily headlines"),
    ("related links", "Read more"),
    ("related links", "Also read: Why the rial keeps falling"),
    ("related links", "Most read"),
    ("related links", "Most read today"),
    ("related links", "MORE FROM LEVANTPOST: Ten maps that explain it"),
    ("related links", "Click here for our interactive map"),
    ("caption", "Caption: Smoke over the gardens of the harbour town"),
    ("caption", "File photo shows the vessel at the pier"),
    ("caption", "Photo: A ferry off the northern port"),
    ("caption", "A crowd waits for bread at the border. (Photo: Archive)"),
    ("caption", "Soldiers pass a burnt-out bus. REUTERS/Sok Vann/Getty Images"),
    ("caption", "Women queue at a well / AFP"),
    ("byline", "By Ines Maddaloni"),
    ("byline", "By Ines Maddaloni and Rufus Okell"),
    ("byline", "From our correspondent in Geneva"),
    ("byline", "Reporting by Ines Maddaloni; editing by Rufus Okell"),
    ("byline", "Published 26 May 2015, 09:14"),
    ("byline", "26.05.2015"),
    ("byline", "09:14 GMT"),
    ("byline", "3 min read"),
    ("legal line", "© Danube Today"),
    ("legal line", "All rights reserved."),
    ("navigation", "Home"),
    ("navigation", "Tags: truce, valley, grain"),
    ("navigation", "Home > World > Eurasia"),
    ("navigation", "You are here: Archive"),
    ("navigation", "Live TV | Sport | Weather | Sign in"),
    ("mark", "* * *"),
    ("mark", "12"),
    ("mark", "--- | --- | ---"),
]

STATEMENTS = [
    "Norway will send 40 trucks and a new loan to the islands.",
    "The envoy called on both sides to stop the shelling before the harvest.",
    "We need air defence, and we need it now, the president said.",
    "Khartoum rejected the offer as insincere.",
    "By Friday the guns should fall silent, the envoy said.",
    "From Monday the corridor will be open, the governor said.",
    "The photo shows a convoy that crossed the river at dawn.",
    "He subscribed to the view that talks should go on.",
    "“Share the burden,” she told the council, “or watch the truce collapse.”",
    "Home affairs minister Lind said no arms would be sold.",
    "Guns fall silent in the valley | The envoy arrives",
    "Truce | Talks | The envoy arrived at noon.",
]

MISTAKEN = [
    "No response to the ceasefire offer has come from Khartoum.",
    "No comment was available from the ministry.",
    "Tehran rejected the terms and conditions set by Washington for talks.",
    "The ministry rejected claims like the one posted on Telegram as false.",
    "Share this burden fairly, the president told European capitals.",
    "What do you think of the plan, the minister asked?",
    "HALIFAX, Nov 14 - Canada will send generators, the premier said.",
    "Issued on 12 May, the decree bans arms exports.",
    "The minister brought a box of cookies to the troops on Friday.",
]


@pytest.mark.parametrize(("reason", "line"), FURNITURE)
def test_page_furniture_is_known_by_what_it_says(reason: str, line: str) -> None:
    assert boilerplate_reason(line) == reason


@pytest.mark.parametrize(("reason", "line"), [case for case in FURNITURE if case[0] not in ("byline", "mark")])
def test_case_does_not_matter(reason: str, line: str) -> None:
    assert boilerplate_reason(line.upper()) == reason
    assert boilerplate_reason(line.lower()) == reason


def test_every_reason_that_can_be_given_is_given_above() -> None:
    assert {reason for reason, _ in FURNITURE} == set(REASONS)


@pytest.mark.parametrize("line", STATEMENTS)
def test_a_sentence_of_an_article_is_text(line: str) -> None:
    assert boilerplate_reason(line) == ""


@pytest.mark.parametrize("line", MISTAKEN)
def test_a_sentence_that_shares_words_with_furniture_is_text(line: str) -> None:
    assert boilerplate_reason(line) == ""


@pytest.mark.parametrize("line", ["by sunday the guns fell silent", "by ines maddaloni"])
def test_a_byline_needs_a_name_in_capitals(line: str) -> None:
    assert boilerplate_reason(line) == ""


@pytest.mark.parametrize(("length", "reason"), [(320, "comments"), (321, "")])
def test_a_line_longer_than_any_furniture_is_text(length: int, reason: str) -> None:
    assert boilerplate_reason("Your email address will not be published".ljust(length, ".")) == reason


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("0123456789 .,;:*_-–—•|#…“”()!?"), min_size=1, max_size=40))
def test_a_line_without_any_letter_is_never_text(line: str) -> None:
    assert boilerplate_reason(line) in REASONS


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60))
def test_the_answer_is_a_known_reason_or_empty(line: str) -> None:
    assert boilerplate_reason(line) in {"", *REASONS}


@pytest.mark.parametrize(
    "line",
    [
        "Oslo" + "  |  12" * 12 + "  |  3.5",
        "Home" + "         >         aa" * 6 + ".",
        "Published 12 May 2024" + ", 9:30 a.m." * 26 + " daily",
    ],
    ids=["row of a table", "wide trail", "timetable"],
)
def test_a_line_of_many_columns_is_judged_before_the_reader_gives_up(line: str) -> None:
    code = f"from labels.boilerplate import boilerplate_reason; boilerplate_reason({line!r})"
    environment = os.environ | {"PYTHONPATH": str(Path(str(labels.__file__)).parents[1])}
    # Without a limit this would hang for hours where a pattern backtracks; it takes a fraction of a second otherwise.
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=15)
