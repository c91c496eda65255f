from __future__ import annotations

import pytest

from labels.text.headings import has_finite_verb, is_speaker_caption, is_title

TITLES = [
    "Background",
    "Military aid",
    "MILITARY AID",
    "The road to Geneva",
    "Pressure from Europe and Ukraine",
    "Renewed Push for Ceasefire",
    "Tensions and Diplomatic Efforts",
    "Mixed Messages",
    "US and Russia: Mixed Messages",
    'Focus on Practical Steps and "Good Ideas"',
    "Attendees and Broader Diplomatic Context",
    "International Perspectives on Peace Efforts",
    "Steps to end the war",
    "Truce talks in Paris",
    "Air strikes on Kyiv",
    "Life in occupied Kherson",
    "Humanitarian situation in the north",
    "Reactions to the attack",
    "Biden's calls for restraint",
    "The arms embargo and the security sector",
    "Government statement on the Catatumbo talks",
    "Readout of the minister's telephone calls with Kyiv, Moscow and Paris",
    "13:45 From our markets team",
    "Summary of the noon briefing, 5 May",
]

HEADLINES = [
    "What is known about the talks between Zelenskyi and Biden",
    "How Zelensky comments on the meeting with Biden",
    "US and Europe Unite to End Ukraine War: Talks Held in Paris",
    "Zelenskyy holds talks with US envoy Witkoff and Trump ally Kushner",
    "Oslo calls for truce",
    "Germany to send 40 tanks",
    "Maritime Commission to Finance Coastguard Training",
    "Biden vows more aid",
    "Russia strikes Kyiv",
    "Stop the war",
    "Mayor: stop shelling, arm us",
    "Halt hostilities, supply ammunition: Karen representatives",
    "Aid groups to gunmen: stop shooting",
    "Leaders urge restraint",
    "Truce agreed",
    "Talks scheduled for May",
    "40 trucks promised to Kyiv",
    "Kremlin: no truce",
    "EU ministers meet in Brussels",
    "UN chief demands access",
    "Macron, Scholz push for ceasefire",
    "UK, France back truce",
    "Kyiv ready to talk",
    "Donors Pledge $200 Million to Rebuild Honduran Roads",
    "Bougainville negotiator describes unsuccessful mediation",
    "Rail strike ends in Spain",
    "Gas Talks Open in Vienna as Winter Nears",
    "North Yemen Army Holds Two Hill Towns After Border Battle",
    "Ferry With 180 Aboard Sinks Off Samar",
    "Kyiv and Moscow still far apart on land, says aide",
    "Mayors on both banks of the Arauca appeal for halt to fighting",
    "Swiss give cash, urge truce",
    "FRONT REPUDIATES MANILA'S REFERENDUM, HOLDS TO TRIPOLI TERMS",
    "Ukraine won’t negotiate",
    "Oslo firmly rejects offer",
    "Kyiv may accept",
    "Missile hits a market",
    "Envoys leave Tarn talks with promises, and no truce",
]


@pytest.mark.parametrize("line", TITLES)
def test_a_line_without_a_finite_verb_is_a_title(line: str) -> None:
    assert is_title(line)


@pytest.mark.parametrize("line", HEADLINES)
def test_a_headline_has_a_finite_verb(line: str) -> None:
    assert has_finite_verb(line)
    assert not is_title(line)


@pytest.mark.parametrize(
    "line",
    [
        "A market street after the strike. Photo archive",
        "Two dead in Sumy.",
        "Two dead in Sumy?",
        "“A trap for Kyiv”",
        "1. Immediate ceasefire along the contact line",
        "a) Release of prisoners",
        "release of prisoners",
        "No truce before spring",
        "12",
        "Peace " * 15,
        "",
    ],
)
def test_other_lines_are_not_titles(line: str) -> None:
    assert not is_title(line)


@pytest.mark.parametrize(
    "line",
    [
        "JENS STOLTENBERG, NATO SECRETARY GENERAL",
        "JENS STOLTENBERG, NATO SECRETARY GENERAL:",
        "Kaja Kallas, EU foreign policy chief",
        "Ursula von der Leyen, President of the European Commission",
        "Jake Sullivan, national security adviser, in Kyiv",
        "John Kirby Advisor to the White House",
        "Volodymyr Zelenskyi President of Ukraine",
    ],
)
def test_a_name_with_an_office_is_a_caption(line: str) -> None:
    assert is_speaker_caption(line)


@pytest.mark.parametrize(
    "line",
    [
        "Kyiv, Ukraine",
        "Norway, a NATO member",
        "The president, a former general",
        "US Secretary of State Antony Blinken",
        "Jens Stoltenberg, NATO Secretary General, said no",
        "Jens Stoltenberg, NATO Secretary General, rejected the offer",
        "Cabo Delgado: Ministers in Maputo talk about gas",
        "President Biden calls minister",
        "EU Foreign Ministers meet envoy in Brussels",
        "",
    ],
)
def test_other_lines_with_names_are_not_captions(line: str) -> None:
    assert not is_speaker_caption(line)
