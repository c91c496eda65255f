"""The alias `champion` of a registered model: who holds it, how it is moved, and how it is moved back.

A move is one write of MLflow, so the alias never points at nothing. What must be remembered is written to the new
version first; the move itself comes last, and counts. Two promotions cannot overtake each other: a move names the
champion that it replaces, and is refused if another one has come in between. MLflow has no such conditional write, so
the check and the write are made under a lock: a file for the processes of a machine, and for other machines the name of
a registered model, which MLflow gives only once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labels.errors import TrackingError, did_you_mean
from labels.output.drafts import cache_folder
from trainer.runs.tracking.connection import is_gone, mlflow_store, process_tags, shown_store
from trainer.runs.tracking.registry import CHAMPION

_EARLIER, _MOVED, _REASON, _FORCED = (
    f"{CHAMPION}.{name}" for name in ("earlier_versions", "promoted_at", "reason", "forced")
)
"""Tags of a version: the champions before it, oldest first, as JSON; when and why it became champion."""
_CLAIM = ".promotion-in-progress"
_LONGEST_REASON = 2000
_MOST_EARLIER = 100
_SECONDS_TO_WAIT = 30


@dataclass(frozen=True)
class Champion:
    """The version that holds the alias, and the run that made it; both empty if the model has no champion yet."""

    version: str = ""
    run_id: str = ""
    promoted_at: str = ""
    reason: str = ""
    forced: bool = False


def find_champion(name: str) -> Champion:
    """Return the champion of a registered model.

    Raises:
        TrackingError: MLflow has no such model, or its alias points at a version that was deleted.
    """
    with mlflow_store("read") as mlflow:
        return _find(mlflow.MlflowClient(), name)


def registered_names() -> list[str]:
    """Return the names of all registered models."""
    with mlflow_store("read") as mlflow:
        return _names(mlflow.MlflowClient())


def _names(client: Any) -> list[str]:
    return sorted(own.name for own in client.search_registered_models() if not own.name.endswith(_CLAIM))


def _find(client: Any, name: str) -> Champion:
    model = next((own for own in client.search_registered_models() if own.name == name), None)
    if model is None:
        known = _names(client)
        models = f" Registered models: {', '.join(known)}." if known else ""
        raise TrackingError(
            f"MLflow at {shown_store()} has no registered model '{name}'{did_you_mean(name, known)}.{models} Register "
            f"the model of a run with `communique track RUN --register-as '{name}'`, or choose another with --model."
        )
    number = str(model.aliases.get(CHAMPION, ""))
    if not number:
        return Champion()
    found = [own for own in _versions(client, name) if str(own.version) == number]
    if not found:
        raise TrackingError(
            f"the alias '{CHAMPION}' of '{name}' points at version {number}, which was deleted, so there is nothing to "
            "compare with. Promote a version without comparison: `communique promote RUN --force`."
        )
    tags = found[0].tags
    forced = tags.get(_FORCED) == "true"
    return Champion(number, str(found[0].run_id or ""), tags.get(_MOVED, ""), tags.get(_REASON, ""), forced)


def _versions(client: Any, name: str) -> list[Any]:
    quoted = name.replace("'", "''")
    return list(client.search_model_versions(f"name='{quoted}'"))


def alias_target(name: str) -> str:
    """Return the version number that the alias holds, deleted or not; empty if there is no alias.

    Raises:
        TrackingError: MLflow has no such model.
    """
    with mlflow_store("read") as mlflow:
        return _target(mlflow.MlflowClient(), name)


def _target(client: Any, name: str) -> str:
    return str(client.get_registered_model(name).aliases.get(CHAMPION, ""))


def move_champion(name: str, version: str, *, instead_of: str, reason: str, forced: bool = False) -> None:
    """Move the alias to a version, and record when, why and instead of which version.

    Args:
        instead_of: the version that holds the alias, as the decision assumed; empty if none did.

    Raises:
        TrackingError: another promotion has moved the alias in the meantime; nothing is changed then.
    """
    with _sole_mover(name) as client:
        _refuse_overtaken(client, name, instead_of)
        earlier = [*_earlier(client, name, instead_of), instead_of] if instead_of else []
        _move(client, name, version, earlier, reason, forced=forced)


def move_back(name: str) -> tuple[str, str]:
    """Move the alias back to the champion before; returns the version that held it, and the one that holds it now.

    Raises:
        TrackingError: there is no champion, no earlier one is recorded, its version was deleted, or another process
            has moved the alias since this call began. Nothing is changed then.
    """
    current = _current(name)
    with _sole_mover(name) as client:
        # Who asks to go back means the champion that they saw: of two who ask at once, only one goes back.
        _refuse_overtaken(client, name, current)
        kept = {str(own.version) for own in _versions(client, name)}
        earlier = _earlier(client, name, current)
        if not earlier:
            raise TrackingError(
                f"no champion before version {current} of '{name}' is recorded: `communique promote` did not promote "
                "it in place of another one. Promote a run with `communique promote RUN --force`."
            )
        version, before = earlier[-1], earlier[:-1]
        if version not in kept:
            raise TrackingError(
                f"the champion before version {current} of '{name}' was version {version}, which was deleted. Promote "
                "another run with `communique promote RUN --force`."
            )
        _move(client, name, version, before, f"moved back from version {current}", forced=False)
    return current, version


def _current(name: str) -> str:
    """Return the version that holds the alias, deleted or not."""
    with mlflow_store("read") as mlflow:
        client = mlflow.MlflowClient()
        if not any(own.name == name for own in client.search_registered_models()):
            _find(client, name)  # raises
        if not (current := _target(client, name)):
            raise TrackingError(f"'{name}' has no champion, so there is nothing to move back.")
    return current


def _move(client: Any, name: str, version: str, earlier: list[str], reason: str, *, forced: bool) -> None:
    tags = {
        _EARLIER: json.dumps(earlier[-_MOST_EARLIER:]),
        _MOVED: datetime.now(UTC).isoformat(timespec="seconds"),
        _REASON: reason[:_LONGEST_REASON],
        _FORCED: str(forced).lower(),
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.set_registered_model_alias(name, CHAMPION, version)


def _earlier(client: Any, name: str, version: str) -> list[str]:
    """Return the champions before a version; empty if nothing is recorded, or the version was deleted."""
    found = next((own for own in _versions(client, name) if str(own.version) == version), None)
    try:
        content = json.loads(found.tags.get(_EARLIER, "[]")) if found else []
    except ValueError:  # written by someone else
        return []
    return [str(own) for own in content] if isinstance(content, list) else []


def _refuse_overtaken(client: Any, name: str, instead_of: str) -> None:
    now = _target(client, name)
    if now != instead_of:
        was = f"version {instead_of}" if instead_of else "no version"
        raise TrackingError(
            f"another promotion was faster: the champion of '{name}' was {was} when this command began, and is "
            f"version {now} now. The alias was not moved. Run the command again if you still want to replace it."
            if now
            else f"the alias '{CHAMPION}' of '{name}' was removed while this command ran. The alias was not moved. Run "
            "the command again."
        )


# -- one mover at a time


@contextmanager
def _sole_mover(name: str) -> Iterator[Any]:
    """Yield an MLflow client while no other process, on this machine or another, moves the alias of a model."""
    with mlflow_store("written") as mlflow, _file_lock(name):
        client = mlflow.MlflowClient()
        claim = f"{name}{_CLAIM}"
        _claim(client, claim, name)
        try:
            yield client
        finally:
            client.delete_registered_model(claim)


@contextmanager
def _file_lock(name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = cache_folder() / "locks" / f"{hashlib.sha256(f'{shown_store()} {name}'.encode()).hexdigest()[:16]}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path).acquire(timeout=_SECONDS_TO_WAIT)
    except Timeout:
        raise TrackingError(f"another process is promoting '{name}'. Run the command again when it is done.") from None
    except (OSError, NotImplementedError):  # no locks here: the claim in MLflow still protects
        yield
        return
    with lock:
        yield


def _claim(client: Any, claim: str, name: str) -> None:
    """Create the registered model whose name is the lock. A claim of a process that ended on this host is removed."""
    from mlflow.exceptions import MlflowException

    tags: Mapping[str, str] = process_tags()
    text = "Lock of `communique promote`. It exists for a second; delete it if no promotion is running."
    try:
        client.create_registered_model(claim, tags=tags, description=text)
        return
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    held = next((own for own in client.search_registered_models() if own.name == claim), None)
    if held is not None and not is_gone(held.tags):
        raise TrackingError(
            f"another promotion of '{name}' is in progress ({held.tags.get('communique.host', 'unknown host')}). Run "
            f"the command again when it is done. If it was killed, delete the registered model '{claim}' first."
        )
    if held is not None:
        client.delete_registered_model(claim)
    client.create_registered_model(claim, tags=tags, description=text)
