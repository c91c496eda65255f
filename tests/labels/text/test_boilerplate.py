from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labels
from labels.text import boilerplate
from labels.text.boilerplate import boilerplate_reason

RULES = tomllib.loads(Path(boilerplate.__file__).with_name("boilerplate.toml").read_text("utf-8"))
REASONS = set(RULES["patterns"])

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
    ("comments", "One response to “Ferry talks fail”"),
    ("comments", "No comments yet"),
    ("comments", "Comments (14) | Report abuse"),
    ("comments", "Comments you post on this site are your own."),
    ("comments", "Please be respectful of other users."),
    ("comments", "Keep comments civil and on topic"),
    ("comments", "Comments are closed."),
    ("comments", "Comments are closed for this article."),
    ("comments", "37 comments"),
    ("comments", "Log in to leave a comment"),
    ("comments", "Be the first to comment"),
    ("comments", "If you found a mistake in the text, select it and press Ctrl+Enter"),
    ("comments", "Your email address will not be published. Required fields are marked *"),
    ("cookie notice", "This site uses cookies to improve your experience."),
    ("cookie notice", "Accept all cookies"),
    ("cookie notice", "By continuing you accept our cookie policy."),
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
    ("newsletter", "Like us on Facebook to get stories like this"),
    ("newsletter", "Join our WhatsApp channel"),
    ("newsletter", "Download the Danube app"),
    ("newsletter", "Get the latest news on the valley here"),
    ("newsletter", "Receive our daily briefing by email"),
    ("newsletter", "Get CoastNews alerts on your phone"),
    ("newsletter", "Follow us for daily headlines"),
    ("related links", "Read more"),
    ("related links", "Also read: Why the rial keeps falling"),
    ("related links", "Show more stories"),
    ("related links", "Back to top"),
    ("related links", "Watch: The envoy arrives"),
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
    ("caption", "Photo / Danube Today"),
    ("caption", "A ferry off the northern port. File photo"),
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
    ("legal line", "Privacy policy | Terms of use | Contact"),
    ("navigation", "Home"),
    ("navigation", "Tags: truce, valley, grain"),
    ("navigation", "Source: press service of the ministry"),
    ("navigation", "Source: agencies | Report a mistake"),
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
    "The envoy joked about cookies that the minister had handed out on the square.",
    # comments
    "One response to the ceasefire proposal was a flat rejection by Moscow.",
    "2 replies to the offer were received, and both turned it down.",
    "No response.",
    "Comments made by the ministry were dismissed on its own website.",
    "Comments published on the ministry's website reject any talks.",
    "Comments show that the two sides remain far apart on a truce.",
    "Be respectful of the truce, the envoy asked both sides, whatever your opinions of it.",
    "Keep comments about a truce to yourselves, the general told users of the hotline.",
    # subscribe, sign up, join, follow, get
    "Get the aid channel open, the UN urged Israel.",
    "Get the channel open.",
    "Get more Patriots and daily updates from Ukraine, he begged the West.",
    "Get notifications of the truce to all brigades.",
    "Sign up to the truce now, the envoy urged the rebels in a morning briefing.",
    "Join forces through this channel, the president urged both sides.",
    "Register offices in the capital sent alerts to 4,000 conscripts.",
    "Download speeds fell after Tehran blocked the app.",
    "Follow us for a better future, the rebels told the villagers.",
    "Like many on Telegram, he rejected the offer.",
    # share
    "Save us!",
    "Share via the corridor what grain you have.",
    "Send this story to your leaders and tell them we need air defence, he begged.",
    # sources
    "Sources: Kyiv will not accept the deal, two officials said.",
    "Source: Iran rejects the offer",
    "Sources: Germany to send another 40 tanks",
    # related, read more, watch, more
    "Read more than the headline, the minister said, dismissing the report.",
    "Learn more from the last truce before you call for another, Oslo told Berlin.",
    "Show more restraint, the UN urged both sides.",
    "Show more flexibility, envoy tells warring parties",
    "View all options as open.",
    "Get the latest air defence here before winter.",
    "More from the West is needed now.",
    "Also on Tuesday: Norway pledged 40 million crowns.",
    "Also on the table: a 30-day truce",
    "Watch: they will refuse every offer.",
    # photo, video
    "Photo/video evidence was dismissed by Moscow as fake.",
    "Minister calls for a ceasefire (video)",
    "The ministry dismissed the image as an old file photo.",
    "Photos by the satellite firm show the depot that Kyiv asked to hit.",
    "Video not available to the public shows the minister refusing the offer.",
    # advertisement, and the rest of the page
    "Advertising-funded stations refused the request.",
    "Reporting by the UN was dismissed by Moscow as biased.",
    "Posted in Kyiv since May, he urged a truce.",
    "From the agency, 40 trucks will go to the islands.",
    "By Friday, with no truce in sight, Norway will send aid.",
    "Contact group and allies pledge more air defence",
    "About 400 people and 20 trucks will get aid",
    "Disclaimers aside, Moscow refused.",
    "Disclaimer of responsibility by Moscow was rejected.",
    "Copyright talks collapsed as Moscow refused.",
]


@pytest.mark.parametrize(("reason", "line"), FURNITURE)
def test_boilerplate_is_known_by_what_it_says(reason: str, line: str) -> None:
    assert boilerplate_reason(line) == reason


@pytest.mark.parametrize(("reason", "line"), [case for case in FURNITURE if case[0] not in ("byline", "mark")])
def test_case_does_not_matter(reason: str, line: str) -> None:
    assert boilerplate_reason(line.upper()) == reason
    assert boilerplate_reason(line.lower()) == reason


def test_every_reason_has_an_example_above() -> None:
    assert {reason for reason, _ in FURNITURE} == REASONS


@pytest.mark.parametrize("line", STATEMENTS)
def test_a_sentence_of_an_article_is_text(line: str) -> None:
    assert boilerplate_reason(line) == ""


@pytest.mark.parametrize("line", MISTAKEN)
def test_a_sentence_that_shares_words_with_furniture_is_text(line: str) -> None:
    assert boilerplate_reason(line) == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [("Source: Danube Today, Fjord Wire", "navigation"), ("Source: Danube Today rejects the claim", "")],
)
def test_a_source_is_a_name_not_a_clause(line: str, reason: str) -> None:
    assert boilerplate_reason(line) == reason


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
def test_a_line_of_many_columns_is_judged_in_linear_time(line: str) -> None:
    code = f"from labels.text.boilerplate import boilerplate_reason; boilerplate_reason({line!r})"
    environment = os.environ | {"PYTHONPATH": str(Path(str(labels.__file__)).parents[1])}
    # Without a limit this would hang for hours where a pattern backtracks; it takes a fraction of a second otherwise.
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=15)


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009", "\t"])
def test_furniture_is_recognised_whatever_its_spaces(space: str) -> None:
    assert boilerplate_reason("Share this article on Facebook".replace(" ", space)) == "share line"
    assert boilerplate_reason("Home | World | Sport".replace(" ", space)) == "navigation"


def slow_patterns() -> list[tuple[str, str]]:
    return [(reason, line) for reason, own in RULES["slow"].items() for line in own["patterns"].splitlines()]


@pytest.mark.parametrize(("reason", "pattern"), slow_patterns(), ids=[reason for reason, _ in slow_patterns()])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_line_of_a_slow_pattern_has_a_required_word(reason: str, pattern: str, data: st.DataObject) -> None:
    short = re.sub(r"\{0,\d{2,}\}", "{0,2}", pattern.replace("<which>", RULES["words"]["which"]))
    line = data.draw(st.from_regex(re.compile(short), fullmatch=True, alphabet=st.characters(codec="ascii")))
    assert any(word in line.casefold() for word in RULES["slow"][reason]["words"])
