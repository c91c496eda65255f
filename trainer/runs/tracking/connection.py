"""The connection to MLflow: where it logs, whether its server answers, and the experiments and files that it needs.

MLflow's own setting MLFLOW_TRACKING_URI names the store; by default it is a SQLite file in the working folder.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labels.errors import CommuniqueError, TrackingError
from labels.output.drafts import cache_folder
from trainer.environment import silence_libraries

logger = logging.getLogger(__name__)

_DEFAULT_FILE = "mlflow.db"
_TAG_HOST, _TAG_PID, _TAG_STARTED = "communique.host", "communique.pid", "communique.process_started"
_CLOCK_STEP = 5.0
"""Tolerance in seconds for the start time of a process, which shifts if the system clock is adjusted."""
_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
_LONGEST = 300
"""Maximum length of another program's message within a message of communique."""
_SECONDS_TO_ANSWER = 4
_SECONDS_FOR_THE_PROBE = 7
"""Limit that includes looking up the host name, which has no timeout of its own."""
_SECONDS_TRUSTED = 2.0
"""Time after an answer of the server during which the server is not asked again."""

_answered: dict[str, float] = {}
"""Time of the last answer of each server, by URI."""
_defaults: set[str] = set()
"""The default URIs that `connect` has set in this process."""


@contextmanager
def mlflow_store(what: str) -> Iterator[Any]:
    """Provide the MLflow module, and convert its errors to TrackingError.

    MLflow is imported here, because the import takes seconds and would slow down commands without tracking. `what` is
    the operation on the store, for messages: "read", "written"...

    Raises:
        TrackingError: the server does not answer, or MLflow reported an error.
    """
    import mlflow

    try:
        check_server(mlflow.get_tracking_uri())
        yield mlflow
    except CommuniqueError:
        raise
    except Exception as error:  # of MLflow, the database, or the library of a storage service: they have no common base
        raise TrackingError(
            f"the MLflow store at {shown_store()} could not be {what} ({describe(error)}). {_repair(error)}"
        ) from error


def _repair(error: Exception) -> str:
    """Return the advice for an error of MLflow's store."""
    text = str(error)
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return (
            "Another version of MLflow wrote this database. Copy the database, then upgrade it with "
            f"`mlflow db upgrade {shown_store()}`, or install that version of MLflow."
        )
    if isinstance(error, ImportError) and error.name:
        return f"Install the missing package: `pip install {error.name}`."
    if isinstance(error, OSError) and error.filename:
        return f"Check that {error.filename} can be written, or correct MLFLOW_TRACKING_URI."
    return "Check MLFLOW_TRACKING_URI."


def describe(error: Exception) -> str:
    """Return an error as text: the first line of its message, with its type unless it comes from MLflow or a file."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, CommuniqueError):
        return str(error)
    plain = isinstance(error, MlflowException | SQLAlchemyError | OSError)
    return first_line(error) if plain else f"{type(error).__name__}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, or the error's type if it has no message."""
    return next(iter(str(error).splitlines()), "")[:_LONGEST] or type(error).__name__


def shown_store() -> str:
    """Return the URI of the MLflow store without its password."""
    import mlflow

    return without_password(str(mlflow.get_tracking_uri()))


def without_password(uri: str) -> str:
    """Return a URI with its password replaced by asterisks."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", uri)


# -- a server


def check_server(uri: str = "") -> None:
    """Check that the MLflow server at an HTTP address answers; other stores are not checked.

    MLflow itself would repeat a request for minutes before it reports an error, and its import takes seconds. The
    user's own values of MLflow's settings for the number of retries and the timeout are respected.

    Args:
        uri: address of the server; empty for the address in MLFLOW_TRACKING_URI.

    Raises:
        TrackingError: the server does not answer within seconds, or a proxy reports that the server is down.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")) or time.monotonic() < _answered.get(uri, 0) + _SECONDS_TRUSTED:
        return
    problem = _problem_of_server(uri)
    if problem:
        raise TrackingError(
            f"the MLflow server at {without_password(uri)} does not answer ({problem}). Start the server or correct "
            "MLFLOW_TRACKING_URI. If this variable is not set, MLflow logs to mlflow.db in the working folder."
        )
    _answered[uri] = time.monotonic()


def _problem_of_server(uri: str) -> str:
    """Return the reason why a server does not answer; empty if it answers."""
    found: list[str] = []
    # In a thread, because no timeout limits the lookup of a host name or an answer that never ends.
    thread = threading.Thread(target=lambda: found.append(_ask_often(uri)), daemon=True)
    thread.start()
    patient = os.environ.get(_RETRIES) or os.environ.get(_TIMEOUT)
    thread.join(None if patient else _SECONDS_FOR_THE_PROBE)
    return found[0] if found else f"no answer within {_SECONDS_FOR_THE_PROBE} seconds"


def _ask_often(uri: str) -> str:
    """Ask a server once, or as often as the user has set for MLflow, with growing pauses."""
    problem = _ask(uri)
    for attempt in range(int(os.environ.get(_RETRIES) or 0)):
        if not problem:
            break
        time.sleep(2**attempt)
        problem = _ask(uri)
    return problem


def _ask(uri: str) -> str:
    """Request the health page of a server; returns the problem, or an empty string."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    address = urlsplit(uri)
    place = address._replace(netloc=address.netloc.rpartition("@")[2], path=f"{address.path.rstrip('/')}/health")
    timeout = float(os.environ.get(_TIMEOUT) or _SECONDS_TO_ANSWER)
    try:
        with urlopen(Request(place.geturl()), timeout=timeout):  # noqa: S310  # http or https, see `check_server`
            return ""
    except HTTPError as error:
        # Any other status comes from a server that is up: it asks for a password, or is old and has no health page.
        return f"status {error.code}" if error.code in (502, 503, 504) else ""
    except (OSError, HTTPException) as error:
        return _reason(getattr(error, "reason", error), address.hostname or "", timeout)


def _reason(error: object, host: str, timeout: float) -> str:
    """Explain a failed request; empty if only the certificate is unknown, because MLflow has settings of its own."""
    if isinstance(error, ssl.SSLError):
        return ""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} seconds"
    if isinstance(error, socket.gaierror):
        return f"the host name {host} is unknown"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return str(error)[:_LONGEST] or type(error).__name__


@contextmanager
def impatient() -> Iterator[None]:
    """Make MLflow give up after the first failed request, unless the user has set the number of retries."""
    settings = {_RETRIES: "0", _TIMEOUT: str(_SECONDS_TO_ANSWER)}
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


# -- the store


def connect(*, create: bool = True) -> None:
    """Point MLflow at its store, and mark runs whose process has ended as KILLED.

    Args:
        create: create the default or named SQLite file if it does not exist.

    Raises:
        TrackingError: the store cannot be reached, or does not exist while `create` is false.
    """
    silence_libraries()
    check_server()
    if not create:
        refuse_missing_store()
    with mlflow_store("reached") as mlflow:
        if (uri := store_uri()) == _default_uri():
            _defaults.add(uri)
            mlflow.set_tracking_uri(uri)
        _create_database(mlflow.get_tracking_uri())
        mark_stale_runs()


def store_uri() -> str:
    """Return the URI of MLflow's store: MLFLOW_TRACKING_URI, or by default a file in the working folder of this moment.

    MLflow writes the URI that `connect` sets into this variable, for child processes. Such a value is not the user's:
    after a change of the working folder, as in a notebook, the default is the file in the new folder.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    return given if given and given not in _defaults else _default_uri()


def _default_uri() -> str:
    path = Path(_DEFAULT_FILE).absolute()
    # An absolute path does not survive every character in a URI; the relative one does.
    return f"sqlite:///{_DEFAULT_FILE if set(str(path)) & set('?%#') else path}"


def refuse_missing_store() -> None:
    """Raise TrackingError if MLflow's store is a SQLite file that does not exist: reading would create the file."""
    path = sqlite_file(store_uri())
    if path is not None and not path.exists():
        shown = _DEFAULT_FILE if path == Path(_DEFAULT_FILE).absolute() else path
        raise TrackingError(
            f"nothing has been logged to MLflow yet: there is no file {shown}. Run `communique train` first. If your "
            "runs are in another place, change to the folder with mlflow.db or set MLFLOW_TRACKING_URI."
        )


def _create_database(uri: str) -> None:
    """Create a missing SQLite tracking database by copying an empty database.

    MLflow itself would run all its schema migrations, which takes seconds. If the copy fails, MLflow creates the
    database.
    """
    path = sqlite_file(uri)
    if path is None or path.exists() or not path.parent.is_dir():
        return
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        # ImportError: the function that creates the tables is not part of MLflow's public API.
        with suppress(OSError, ImportError):
            shutil.copyfile(_empty_database(), draft)
            os.link(draft, path)  # unlike a move, a link cannot replace a file that another process has just created
    finally:
        with suppress(OSError):
            draft.unlink()


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a plain `sqlite:///PATH` tracking URI; None for any other URI."""
    name = uri.removeprefix("sqlite:///")
    return Path(name) if name and name != uri and name != ":memory:" and "?" not in name else None


def _empty_database() -> Path:
    """Return a SQLite file in the cache that has the empty tables of this version of MLflow."""
    import mlflow
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

    path = cache_folder() / "mlflow" / f"empty-{mlflow.__version__}.db"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        logger.info("Creating an empty MLflow database in %s as a template", path)
        draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}")
        try:
            engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")
            _initialize_tables(engine)
            engine.dispose()
            draft.replace(path)
        finally:
            with suppress(OSError):
                draft.unlink()
    return path


def mark_stale_runs() -> int:
    """Mark RUNNING runs of this host whose process has ended as KILLED; returns the number of marked runs."""
    import mlflow
    from mlflow.exceptions import MlflowException

    running = mlflow.search_runs(
        search_all_experiments=True, filter_string="attributes.status = 'RUNNING'", output_format="list"
    )
    stale = [run.info for run in running if is_gone(run.data.tags)]
    for run in stale:
        try:
            mlflow.MlflowClient().set_tag(
                run.run_id, "problem", "its process ended unexpectedly; it was probably killed"
            )
            mlflow.MlflowClient().set_terminated(run.run_id, status="KILLED")
        except MlflowException as error:  # not a reason to refuse the run that starts now
            logger.warning("Run %s could not be marked KILLED: %s", run.run_id, first_line(error))
        else:
            logger.info("Run %s (%s) was left open by a process that ended: marked KILLED", run.run_id, run.run_name)
    return len(stale)


def process_tags() -> dict[str, str]:
    """Return the tags that identify this process, for `is_gone`."""
    import psutil

    process = psutil.Process()
    started = f"{process.create_time():.2f}"
    return {_TAG_HOST: socket.gethostname(), _TAG_PID: str(process.pid), _TAG_STARTED: started}


def is_gone(tags: Mapping[str, str]) -> bool:
    """Return whether a run's process ran on this host and has ended (another process may have the same id now)."""
    import psutil

    if tags.get(_TAG_HOST) != socket.gethostname() or _TAG_PID not in tags:
        return False
    try:
        started: float = psutil.Process(int(tags[_TAG_PID])).create_time()
        return abs(started - float(tags.get(_TAG_STARTED, 0))) > _CLOCK_STEP
    except psutil.Error:
        return True
