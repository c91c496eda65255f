from __future__ import annotations

from datetime import date

import pytest

from labels.text.parsing.dates import Period, read_period


@pytest.mark.parametrize(
    "text",
    ["2024-05-31", " 2024-05-31T12:00Z", "2024-05-31 10:00", "20240531", "2024/05/31", "31 May 2024", "May 31, 2024"],
)
def test_a_day_is_read_however_it_is_written(text: str) -> None:
    assert read_period(text) == Period(date(2024, 5, 31), date(2024, 5, 31))


def test_a_month_and_a_year_are_periods() -> None:
    assert read_period("2024-02") == Period(date(2024, 2, 1), date(2024, 2, 29))
    assert read_period("2023") == Period(date(2023, 1, 1), date(2023, 12, 31))


@pytest.mark.parametrize("text", ["", "5/6/2024", "31.05.2024", "202405", "2024-13", "2023-02-29", "0000", "next May"])
def test_what_could_be_another_day_is_not_read(text: str) -> None:
    assert read_period(text) is None
