from __future__ import annotations

from pathlib import Path

import pytest

from labels.annotate.browser import visitors as module
from labels.annotate.browser.visitors import RefusedError, Visitor, Visitors
from labels.environment.keys import KeyFile

OWN = {"host": "labels.example.org", "origin": "https://labels.example.org"}
LOCAL = {"host": "127.0.0.1:8001", "origin": "http://127.0.0.1:8001"}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_key_becomes_a_cookie_of_its_annotator(keys: KeyFile) -> None:
    visitors = Visitors(keys)
    tokens = {name: keys.add(name, ["label"], annotator=f"{name} b") for name in ("ana", "bo")}
    values = {name: visitors.enter(f" {token}\n", "192.0.2.1") for name, token in tokens.items()}
    for name, value in values.items():
        found = visitors.find(value)
        assert found is not None
        assert found.annotator == f"{name} b"
        assert tokens[name] not in value
    assert [visitors.find(value) for value in ("", "x", *tokens.values(), "\ud800")] == [None] * 5


def test_cookie_ends_with_its_key_by_leaving_and_when_it_is_not_used(
    keys: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors, now = Visitors(keys), 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    token = keys.add("ana", ["label"], annotator="ana")
    left, idle, revoked = (visitors.enter(token, "192.0.2.1") for _ in range(3))
    visitor = visitors.find(left)
    assert visitor is not None
    visitors.leave(visitor)
    assert visitors.find(left) is None
    now += 7 * 3600
    assert visitors.find(revoked)
    now += 7 * 3600
    assert visitors.find(idle) is None
    assert visitors.find(revoked)
    keys.revoke("ana")
    assert visitors.find(revoked) is None
    keys.add("ana", ["label"], annotator="ana")
    assert visitors.find(revoked) is None


def test_wrong_keys_are_refused_and_after_ten_an_address_must_wait(keys: KeyFile) -> None:
    visitors = Visitors(keys)
    right, reading = keys.add("ana", ["label"], annotator="ana"), keys.add("desk", ["predict"])
    with pytest.raises(RefusedError, match=r"does not have the scope `label`"):
        visitors.enter(reading, "192.0.2.1")
    for _ in range(10):
        with pytest.raises(RefusedError, match=r"not valid"):
            visitors.enter("communique_wrong", "192.0.2.1")
    with pytest.raises(RefusedError, match=r"Too many wrong keys"):
        visitors.enter(right, "192.0.2.1")
    assert visitors.enter(right, "192.0.2.2")


@pytest.mark.parametrize(
    ("keyless", "headers", "acts"),
    [
        (True, {"host": "evil.example"}, False),  # DNS rebinding
        (True, LOCAL | {"host": "evil.example", "origin": "http://evil.example"}, True),
        (True, LOCAL | {"x-forwarded-for": "192.0.2.1"}, False),
        (True, LOCAL | {"origin": "http://evil.example"}, True),
        (True, {"host": "127.0.0.1:8001"}, True),
        (True, LOCAL | {"origin": "http://127.0.0.1:3000"}, True),
        (False, OWN | {"origin": "https://evil.example"}, True),
        (False, OWN | {"origin": "null"}, True),
        (False, {"host": "labels.example.org"}, True),
    ],
)
def test_requests_from_elsewhere_are_refused(keys: KeyFile, keyless: bool, headers: dict[str, str], acts: bool) -> None:
    visitors = Visitors(None if keyless else keys, "ana")
    with pytest.raises(RefusedError):
        visitors.check(headers, acts=acts)


def test_requests_of_the_server_itself_are_allowed(keys: KeyFile) -> None:
    for visitors, headers in ((Visitors(None, "ana"), LOCAL), (Visitors(keys), OWN | {"via": "1.1 proxy"})):
        visitors.check(headers, acts=True)
        visitors.check({"host": headers["host"]}, acts=False)
    assert Visitors(None, "ana").find("") == Visitor("ana")
