from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from labels.environment.addresses import is_loopback, is_loopback_host
from labels.environment.keys import KeyFile
from tests.labels.text.parsing.office_samples import word
from tests.trainer.serving.application import JSON, Client, with_client
from tests.trainer.serving.test_app import ROUTES
from tests.trainer.serving.test_files import DOCX, GUNS
from trainer.model.model import Model

OPEN = {"/health/live", "/ping"}
PAGES = {"/", "/docs", "/openapi.json", "/health", "/assets/docs.js", "/assets/swagger-ui/swagger-ui.css", "/nothing"}
ADMIN = {"/metrics", "/drift"}
ALL = ROUTES | PAGES | ADMIN
POSTED = {"/predict": {"texts": ["a"]}, "/invocations": {"inputs": ["a"]}}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def ask(client: Client, path: str, headers: dict[str, str]) -> httpx.Response:
    if path == "/predict/file":
        return await client.post(path, content=word(GUNS), headers=DOCX | headers)
    if path in POSTED:
        return await client.post(path, json=POSTED[path], headers=headers)
    return await client.get(path, headers=headers)


def statuses(model: Model, keys: KeyFile, headers: dict[str, str]) -> dict[str, int]:
    """The status of every route of a server that strangers can reach."""

    async def work(client: Client) -> dict[str, int]:
        return {path: (await ask(client, path, headers)).status_code for path in sorted(ALL)}

    return with_client(model, work, keys=keys.path, keyless=False, watch=True)


def wrong_headers(keys: KeyFile) -> Iterator[dict[str, str]]:
    token = keys.add("gone", ["predict", "admin"])
    keys.revoke("gone")
    yield {}
    yield bearer("communique_wrong")
    yield bearer(token)
    yield {"Authorization": token}
    yield {"Authorization": "Basic ###"}
    yield {"Authorization": "Basic " + base64.b64encode(f"any:{token}".encode()).decode()}
    yield {"X-API-Key": token, "Cookie": f"key={token}"}


def test_without_a_valid_key_only_two_routes_answer(tfidf_model: Model, keys: KeyFile) -> None:
    keys.add("other", ["predict"])
    for headers in wrong_headers(keys):
        found = statuses(tfidf_model, keys, headers)
        assert {path for path, status in found.items() if status == 200} == OPEN
        assert {status for path, status in found.items() if path not in OPEN} <= {401, 429}


@pytest.mark.parametrize(("scopes", "refused"), [(["predict"], ADMIN), (["admin"], ALL - OPEN - ADMIN)])
def test_key_opens_the_routes_of_its_scope(
    tfidf_model: Model, keys: KeyFile, scopes: list[str], refused: set[str]
) -> None:
    found = statuses(tfidf_model, keys, bearer(keys.add("desk", scopes)))
    assert {path for path, status in found.items() if status == 403} == refused
    assert {path for path, status in found.items() if status == 200} == ALL - refused - {"/nothing"}


def test_key_is_accepted_as_a_password_from_browsers(tfidf_model: Model, keys: KeyFile) -> None:
    encoded = base64.b64encode(f"anna:{keys.add('desk', ['predict'])}".encode()).decode()
    assert statuses(tfidf_model, keys, {"Authorization": f"Basic {encoded}"})["/predict"] == 200


def test_key_in_the_address_is_ignored(tfidf_model: Model, keys: KeyFile) -> None:
    token = keys.add("desk", ["predict"])

    async def work(client: Client) -> int:
        return (await client.get("/codebook", params={"key": token, "token": token})).status_code

    assert with_client(tfidf_model, work, keys=keys.path, keyless=False) == 401


def test_revoking_takes_effect_without_a_restart(tfidf_model: Model, keys: KeyFile) -> None:
    headers = bearer(keys.add("desk", ["predict"]))

    async def work(client: Client) -> list[int]:
        before = (await client.get("/codebook", headers=headers)).status_code
        keys.revoke("desk")
        return [before, (await client.get("/codebook", headers=headers)).status_code]

    assert with_client(tfidf_model, work, keys=keys.path, keyless=False) == [200, 401]


def test_unreadable_keys_close_the_server(tfidf_model: Model, keys: KeyFile) -> None:
    headers = bearer(keys.add("desk", ["predict"]))
    keys.path.chmod(0o644)
    assert set(statuses(tfidf_model, keys, headers).values()) == {200, 503}


def test_address_with_many_wrong_keys_must_wait(tfidf_model: Model, keys: KeyFile) -> None:
    valid = bearer(keys.add("desk", ["predict"]))

    async def work(client: Client) -> list[httpx.Response]:
        guesses = [await client.get("/codebook", headers=bearer(f"communique_{i}")) for i in range(11)]
        return [*guesses, await client.get("/codebook", headers=valid)]

    *guesses, after = with_client(tfidf_model, work, keys=keys.path, keyless=False)
    assert [guess.status_code for guess in guesses] == [401] * 10 + [429]
    assert (after.status_code, int(after.headers["Retry-After"]) > 0) == (429, True)


def test_wrong_keys_are_counted_over_all_workers(tfidf_model: Model, keys: KeyFile, tmp_path: Path) -> None:
    keys.add("desk", ["predict"])

    async def guess(client: Client) -> list[int]:
        return [(await client.get("/codebook", headers=bearer("communique_x"))).status_code for _ in range(6)]

    access: dict[str, Any] = {"keys": keys.path, "keyless": False, "attempts": tmp_path / "failed-attempts"}
    of_workers = [with_client(tfidf_model, guess, **access) for _ in range(2)]
    assert of_workers == [[401] * 6, [401] * 4 + [429] * 2]


FOREIGN = {
    "host": {"Host": "evil.example"},
    "host-with-loopback-prefix": {"Host": "127.0.0.1.evil.example"},
    "no-host": {"Host": ""},
    "origin": {"Origin": "https://evil.example"},
    "null-origin": {"Origin": "null"},
    "other-port": {"Origin": "http://localhost:9999"},
    "forwarded": {"Forwarded": "for=192.0.2.1"},
    "forwarded-for": {"X-Forwarded-For": "192.0.2.1"},
    "forwarded-host": {"X-Forwarded-Host": "example.org"},
    "forwarded-anything": {"X-Forwarded-Client-Cert": "x"},
    "embedded": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("path", ["/predict", "/codebook", "/", "/metrics"])
def test_request_without_a_key_must_come_from_this_machine(
    tfidf_model: Model, headers: dict[str, str], path: str
) -> None:
    answer = with_client(tfidf_model, lambda client: ask(client, path, headers))
    assert answer.status_code == 403
    assert answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "[::1]"])
def test_request_from_this_machine_needs_no_key(tfidf_model: Model, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert with_client(tfidf_model, lambda client: ask(client, "/predict", headers)).status_code == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_loopback_addresses_are_recognized(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert is_loopback_host(f"[{host}]:80" if ":" in host else f"{host}:80") is loopback


def test_proxy_names_the_client_only_if_it_is_trusted(tfidf_model: Model, keys: KeyFile) -> None:
    keys.add("desk", ["predict"])

    def last_status(trusted: list[str], forwarded: str) -> int:
        async def work(client: Client) -> int:
            for number in range(10):
                address = forwarded.format(number)
                await client.get("/codebook", headers=bearer("communique_x") | {"X-Forwarded-For": address})
            answer = await client.get("/codebook", headers=bearer("communique_x") | {"X-Forwarded-For": "192.0.2.99"})
            return answer.status_code

        options: dict[str, Any] = {
            "keys": keys.path,
            "keyless": False,
            "trusted_proxies": trusted,
            "client": "10.0.0.1",
        }
        return with_client(tfidf_model, work, **options)

    assert last_status([], "192.0.2.{}") == 429  # a stranger cannot escape the limit with invented addresses
    assert last_status(["10.0.0.1"], "192.0.2.{}") == 401
    assert last_status(["10.0.0.1"], "192.0.2.{}, 192.0.2.99") == 429  # only the proxy's own entry counts


def test_other_sites_are_allowed_by_name_and_with_a_key(tfidf_model: Model, keys: KeyFile) -> None:
    token, site = keys.add("desk", ["predict"]), {"Origin": "https://example.org"}

    async def work(client: Client) -> list[httpx.Response]:
        asked = {**site, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        return [
            await client.options("/predict", headers=asked),
            await client.post("/predict", json={"texts": ["a"]}, headers=site | bearer(token)),
            await client.post("/predict", json={"texts": ["a"]}, headers=bearer(token) | {"Origin": "https://b.org"}),
            await client.options("/predict", headers=asked | {"Origin": "https://b.org"}),
        ]

    options: dict[str, Any] = {"keys": keys.path, "keyless": False, "origins": ["https://example.org"]}
    asked, allowed, other, asked_other = with_client(tfidf_model, work, **options)
    assert (asked.status_code, allowed.status_code, other.status_code) == (204, 200, 403)
    assert {answer.headers["access-control-allow-origin"] for answer in (asked, allowed)} == {"https://example.org"}
    assert "access-control-allow-credentials" not in asked.headers
    assert not {"access-control-allow-origin"} & set(other.headers) | set() & set(asked_other.headers)


def test_body_of_a_refused_request_is_not_read(tfidf_model: Model, keys: KeyFile) -> None:
    async def work(client: Client) -> int:
        async def endless() -> Any:
            raise AssertionError("the body was read")
            yield b""

        return (await client.post("/predict", content=endless(), headers=JSON)).status_code

    assert with_client(tfidf_model, work, keys=keys.path, keyless=False) == 401
