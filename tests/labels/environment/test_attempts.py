from __future__ import annotations

from pathlib import Path

import pytest

from labels.environment import addresses
from labels.environment.addresses import FailedAttempts


def test_address_must_wait_after_ten_failed_attempts() -> None:
    table = FailedAttempts()
    for _ in range(9):
        table.add("192.0.2.1")
    assert table.seconds_left("192.0.2.1") == 0
    table.add("192.0.2.1")
    assert 50 < table.seconds_left("192.0.2.1") <= 60
    assert table.seconds_left("192.0.2.2") == 0


def test_attempts_are_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(addresses, "monotonic", lambda: now)
    table = FailedAttempts()
    for second in range(10):
        now = 1000.0 + second
        table.add("192.0.2.1")
    now = 1059.5
    assert table.seconds_left("192.0.2.1") == pytest.approx(0.5)
    now = 1060.5  # the first attempt is more than a minute ago
    assert table.seconds_left("192.0.2.1") == 0
    table.add("192.0.2.1")
    assert table.seconds_left("192.0.2.1") == pytest.approx(0.5)


def test_many_addresses_do_not_lock_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_ROWS", 16)
    table = FailedAttempts()
    for number in range(1000):
        table.add(f"2001:db8::{number:x}")
    assert not any(table.seconds_left(f"2001:db8:1::{number:x}") for number in range(1000))


def test_workers_count_together(tmp_path: Path) -> None:
    path = tmp_path / "failed-attempts"
    first, second = FailedAttempts(path), FailedAttempts(path)
    for _ in range(5):
        first.add("192.0.2.1")
        second.add("192.0.2.1")
    assert first.seconds_left("192.0.2.1") > 50
    assert FailedAttempts(path).seconds_left("192.0.2.1") > 50  # also a worker that is started later
