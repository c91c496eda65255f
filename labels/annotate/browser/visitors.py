"""Who may label in a browser, and under which name: keys, the cookies that stand for them, and guards without keys.

A key is sent once, in a form. From then on, a random cookie replaces it. Pages cannot read this cookie, and browsers do
not send it with requests from other sites. Without keys, whoever can reach the loopback address labels under one name.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from labels.environment.addresses import FailedAttempts, forwarding_header, is_loopback_host, is_own_site
from labels.environment.keys import Key, KeyFile

SCOPE = "label"
_IDLE = 12 * 3600.0
"""Time in seconds after which a cookie that was not used is forgotten."""
_MOST_COOKIES = 1000


@dataclass(frozen=True)
class RefusedError(Exception):
    """A request that is not answered, with the HTTP status and the reason to show."""

    status: int
    reason: str


@dataclass(frozen=True)
class Visitor:
    """A browser that may label: the annotator, and the digest of its cookie (empty without keys)."""

    annotator: str
    cookie: str = ""


@dataclass
class _Entry:
    key: Key
    seen: float


class Visitors:
    """The browsers that may label.

    Args:
        keys: the file of keys; None if no key is needed.
        annotator: the annotator of every browser if no key is needed.
    """

    def __init__(self, keys: KeyFile | None, annotator: str = "") -> None:
        self._keys, self.annotator = keys, annotator
        self._entries: dict[str, _Entry] = {}
        self._failures = FailedAttempts()

    @property
    def need_keys(self) -> bool:
        """Whether a browser needs a key."""
        return self._keys is not None

    def check(self, headers: Mapping[str, str], *, acts: bool) -> None:
        """Check where a request comes from; header names are in small letters.

        Args:
            acts: whether the request does more than show a page. A browser names the page that makes such a request.

        Raises:
            RefusedError: the page of another site makes the request, or a server without keys is reached by other
                ways than from its own machine (through a proxy, or under a name that is not its own: DNS rebinding).
        """
        if acts and not ("origin" in headers and is_own_site(headers)):
            raise RefusedError(403, "Only pages of this server can send this request. Open the server in a browser.")
        if self.need_keys:
            return
        if forwarding_header(headers):
            raise RefusedError(403, "This request came through a proxy, so this server needs keys.")
        if not is_loopback_host(headers.get("host", "")):
            raise RefusedError(403, "Without keys, this server can be opened as localhost or 127.0.0.1 only.")

    def enter(self, token: str, address: str) -> str:
        """Exchange a key for the value of a cookie.

        Args:
            token: the key as it was typed.
            address: the address of the browser, for which failed attempts are counted.

        Raises:
            RefusedError: the key is wrong or may not label, or there were too many wrong keys from this address.
            InputError: the file of keys cannot be read.
        """
        if wait := self._failures.seconds_left(address):
            raise RefusedError(429, f"Too many wrong keys. Try again in {int(wait) + 1} seconds.")
        key = self._keys.find(token.strip()) if self._keys is not None else None
        if key is None:
            self._failures.add(address)
            raise RefusedError(403, "This key is not valid: it was mistyped, or it has been revoked.")
        if SCOPE not in key.scopes:
            raise RefusedError(403, f"This key is not for labelling: it does not have the scope `{SCOPE}`.")
        value = secrets.token_urlsafe(32)
        self._forget_idle()
        self._entries[_digest(value)] = _Entry(key, monotonic())
        return value

    def leave(self, visitor: Visitor) -> None:
        """Forget a cookie."""
        self._entries.pop(visitor.cookie, None)

    def find(self, value: str) -> Visitor | None:
        """The visitor with the value of a cookie; None if the cookie is unknown or its key was revoked.

        Raises:
            InputError: the file of keys cannot be read.
        """
        if self._keys is None:
            return Visitor(self.annotator)
        cookie = _digest(value)
        entry = self._entries.get(cookie)
        if entry is None or entry.seen + _IDLE < monotonic() or entry.key not in self._keys.all():
            self._entries.pop(cookie, None)
            return None
        entry.seen = monotonic()
        return Visitor(entry.key.annotator, cookie)

    def _forget_idle(self) -> None:
        """Forget the cookies that were not used for long, and the oldest if there are too many."""
        recent = {one: entry for one, entry in self._entries.items() if entry.seen + _IDLE >= monotonic()}
        latest = sorted(recent, key=lambda one: recent[one].seen)[-(_MOST_COOKIES - 1) :]
        self._entries = {one: recent[one] for one in latest}


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
