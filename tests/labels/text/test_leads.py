from __future__ import annotations

import pytest

from labels.text.boilerplate import is_page_date, lead_length


@pytest.mark.parametrize(
    ("lead", "text"),
    [
        ("date 2024-06-08 ", "On June 7, talks took place."),
        ("2024-06-08 ", "On June 7, talks took place."),
        ("2024-06-08T12:30:00Z ", "Oslo pledged aid."),
        ("08.06.2024 12:30 ", "Oslo pledged aid."),
        ("07/31/2014 17:49 GMT ", "Oslo pledged aid."),
        ("Published: June 8, 2024, 12:30 ", "The president spoke."),
        ("Last updated on 8 June 2024 at 12:30 p.m. | ", "“No,” he said."),
        ("Updated 12:30 GMT ", "The president spoke."),
        ("Saturday, June 8, 2024 – ", "The president spoke."),
        ("June 8, 2024 ", "Oslo pledged aid."),
        ("KYIV, June 8 (Reuters) - ", "Oslo pledged aid."),
        ("WASHINGTON (AP) — ", "Oslo pledged aid."),
        ("WASHINGTON, D.C., Aug. 17, 2004 (AP) -- ", "Oslo pledged aid."),
        ("ST. PETERSBURG, Russia, 8 June (AFP) - ", "Oslo pledged aid."),
        ("PORT-AU-PRINCE, Haiti (CNN) -- ", "Oslo pledged aid."),
        ("MOSCOW, June 8. /TASS/. ", "Russian officials spoke."),
        ("QUITO/LIMA, Feb 8 (PRW) - ", "Thunder rolled."),
        ("UNITED NATIONS, 8 June 2024 – ", "The Council met."),
        ("LONDON, July 31, 2014 - ", "The struggle went on."),
        ("(Reuters) - ", "Oslo pledged aid."),
        ("07/31/2014 17:49 GMT LONDON, July 31, 2014 (AFP) - ", "The struggle went on."),
    ],
)
def test_dates_and_datelines_come_before_the_first_sentence(lead: str, text: str) -> None:
    assert lead_length(lead + text) == len(lead)


@pytest.mark.parametrize(
    "text",
    [
        "June 8, 2024, was a Saturday.",
        "June 8, 2024 was a Saturday.",
        "On June 8, 2024 Oslo pledged aid.",
        "ZAGREB - The army left.",
        "NATO - unlike the EU - rejected the offer.",
        "NATO (the alliance) - Which alliance?",
        "EU (European Union) Leaders met.",
        "US (AP) The man left.",
        "The President, June 8 (Reuters) - Oslo",
        "LONDON, June 8 The minister left.",
        "Updated plans were rejected.",
        "Published reports say that Oslo pledged aid.",
        "2024 Olympics open in Paris.",
        "2024-06-08",
        "",
    ],
)
def test_a_sentence_that_begins_with_a_date_or_a_name_has_no_lead(text: str) -> None:
    assert lead_length(text) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Published: June 8, 2024, 12:30", True),
        ("Date: 2024-06-08", True),
        ("Published on June 8, 2024, the report blames Oslo.", False),
        ("June 8, 2024", False),
    ],
)
def test_a_page_date_needs_a_label_and_nothing_else(text: str, expected: bool) -> None:
    assert is_page_date(text) is expected
