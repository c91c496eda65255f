"""API keys: random tokens of which only SHA-256 digests are stored, in a file that only its owner can read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from labels.errors import InputError, did_you_mean
from labels.output.drafts import explained, whole_file
from labels.unicode import person_name

Scope = Literal["predict", "correct", "label", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PERSONAL: tuple[Scope, ...] = ("correct", "label")
"""Scopes that record decisions."""
KEYS_FILE = "communique-keys.json"
PREFIX = "communique_"
"""Prefix of every key, by which secret scanners find leaked keys."""

_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


class Key(BaseModel):
    """One key: its name, the annotator for whom decisions are recorded, its scopes, and its SHA-256 digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    annotator: str = ""
    scopes: tuple[Scope, ...]
    sha256: str
    created_at: str


class KeyFile:
    """The keys in a file; a change of the file takes effect at the next request.

    Raises:
        InputError: from every method, if the file cannot be read, is not valid, or can be read by other users.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def all(self) -> tuple[Key, ...]:
        """All keys, in order of creation; empty if the file does not exist."""
        stamp = self._current_stamp()
        if stamp != self._stamp:
            self._keys = () if stamp is None else self._read()
            self._stamp = stamp
        return self._keys

    def find(self, token: str) -> Key | None:
        """The key of a token; None if there is no such key. Every stored digest is compared in constant time."""
        digest, found = _digest(token), None
        for key in self.all():
            if hmac.compare_digest(digest, key.sha256):
                found = key
        return found

    def add(self, name: str, scopes: Iterable[str], annotator: str = "") -> str:
        """Create a key and return its token, which cannot be shown again.

        Raises:
            InputError: the name is taken or not valid, a scope is unknown, or "correct" or "label" has no annotator.
        """
        wanted = tuple(dict.fromkeys(scopes))
        _check_scopes(wanted)
        if not _NAME.fullmatch(name):
            raise InputError(f"'{name}' is not a valid name for a key. Use up to 64 letters, digits and _ . @ -")
        annotator = person_name(annotator, "--annotator") if annotator else ""
        personal = next((scope for scope in _PERSONAL if scope in wanted), "")
        if personal and not annotator:
            raise InputError(
                f"A key with the scope `{personal}` needs the name of its annotator: add --annotator NAME."
            )
        token = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        with self._changing() as keys:
            if any(key.name == name for key in keys):
                raise InputError(
                    f"{self.path}: there is already a key '{name}'. Choose another name, or revoke this key."
                )
            created = datetime.now(UTC).isoformat(timespec="seconds")
            keys.append(Key(name=name, annotator=annotator, scopes=wanted, sha256=_digest(token), created_at=created))
        return token

    def revoke(self, name: str) -> None:
        """Delete a key.

        Raises:
            InputError: there is no key with this name.
        """
        with self._changing() as keys:
            names = [key.name for key in keys]
            if name not in names:
                known = f" Keys: {', '.join(names)}." if names else " The file has no keys."
                raise InputError(f"{self.path}: there is no key '{name}'{did_you_mean(name, names)}.{known}")
            del keys[names.index(name)]

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """Yield the keys and write them back; another process that changes the file at the same time must wait."""
        from filelock import FileLock

        with explained(self.path):
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), mode=0o600).acquire()
        with lock:
            keys = list(self.all())
            yield keys
            with whole_file(self.path) as draft:
                draft.chmod(0o600)  # before the digests are written
                content = {"keys": [key.model_dump() for key in keys]}
                draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _current_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{self.path}: the keys cannot be read ({error.strerror}). Check the path.") from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> tuple[Key, ...]:
        try:
            mode = self.path.stat().st_mode & 0o777
            content = json.loads(self.path.read_text(encoding="utf-8"))
            keys = tuple(Key.model_validate(entry) for entry in content["keys"])
        except OSError as error:
            raise InputError(f"{self.path}: the keys cannot be read ({error.strerror}). Check the path.") from error
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise InputError(
                f"{self.path}: this file is not a valid file of keys. Restore the file, or delete it and make new keys "
                "with `communique keys add NAME`."
            ) from error
        if mode & 0o077:
            raise InputError(
                f"{self.path}: other users can read this file (mode {mode:04o}). Run `chmod 600 {self.path}`."
            )
        return keys


def _check_scopes(scopes: tuple[str, ...]) -> None:
    for scope in scopes:
        if scope not in SCOPES:
            raise InputError(
                f"--scope: '{scope}' is not a scope{did_you_mean(scope, SCOPES)}. Use one or more of "
                f"{', '.join(SCOPES)}, separated by commas."
            )
    if not scopes:
        raise InputError(f"--scope: a key needs at least one scope. Use {', '.join(SCOPES)}.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
