"""Read Word and PDF files in a child process of limited memory and time, which cannot open files or connections.

Such files often come from strangers, and large libraries read them. If a file exhausts memory or crashes its reader,
only the child ends. `office_child` is the program of the child; `word` and `pdf` are its readers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from codecs import BOM_UTF8
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from labels.errors import DataError

MAX_BYTES = 50 * 2**20
"""Maximum size, in bytes, of a Word or PDF file, and of the unpacked parts of a Word file together."""

SAVE_TEXT = "Save its text as a .txt file."

_CHILD = "labels.text.parsing.office_child"
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Environment variables that the child needs to start. It gets no others, because some contain passwords."""


@dataclass(frozen=True)
class Limits:
    """Limits of the child: address space in bytes, processor time and wall-clock time in seconds, pages, characters.

    macOS does not enforce `memory`, and Windows enforces only the wall-clock time.
    """

    memory: int = 512 * 2**20
    seconds: int = 10
    pages: int = 1000
    characters: int = 5_000_000


@dataclass(frozen=True)
class OfficeText:
    """The text of a file in paragraphs, its title ("" if unknown), and remarks on what could not be read."""

    text: str
    title: str = ""
    notes: tuple[str, ...] = ()


class UnreadableFileError(Exception):
    """Raised in the child if a file cannot be read. The message says why and what to do, without the file's name."""


def is_office(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a PDF file or a ZIP archive, such as a .docx file."""
    return _is_pdf(head) or head.startswith(b"PK\x03\x04")


def read_office(content: bytes, name: str | Path, limits: Limits = Limits()) -> OfficeText:
    """Read the text of a Word or PDF file in a child process.

    Args:
        name: the name of the file, for messages.

    Raises:
        DataError: the file is too large, damaged, protected by a password, has no text layer, is not a Word or PDF
            file, exceeds a limit, or is a PDF file and the extra `docs` is not installed.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{name}: the file is larger than {MAX_BYTES // 2**20} MB. {SAVE_TEXT}")
    if _is_pdf(content) and find_spec("pypdfium2") is None:
        raise DataError(f'{name}: PDF files need the extra `docs`. Install it: pip install "communique[docs]".')
    answer = _ask_child(content, name, limits)
    if problem := answer.get("problem"):
        raise DataError(f"{name}: {problem}")
    return OfficeText(answer["text"], answer["title"], tuple(answer["notes"]))


def _is_pdf(content: bytes) -> bool:
    return content[:1024].removeprefix(BOM_UTF8).lstrip().startswith(b"%PDF-")


def _ask_child(content: bytes, name: str | Path, limits: Limits) -> dict[str, str]:
    # -P ignores modules in the working folder, which may have the names of libraries.
    command = [sys.executable, "-P", "-m", _CHILD, json.dumps(asdict(limits))]
    environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    # Files, not pipes: the kernel limits what the child can write to a file.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer:
        given.write(content)
        given.seek(0)
        try:
            done = subprocess.run(  # noqa: S603
                command,
                stdin=given,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _too_slow(name, limits) from None
        except OSError as error:
            raise DataError(f"{name}: the reader could not be started ({error.strerror}). Try again.") from error
        answer.seek(0)
        return _answer_of(done.returncode, answer.read(), name, limits)


def _answer_of(code: int, output: bytes, name: str | Path, limits: Limits) -> dict[str, str]:
    if code == -_CPU_SIGNAL:
        raise _too_slow(name, limits)
    try:
        if code == 0:
            found: dict[str, str] = json.loads(output)
            return found
    except ValueError:
        pass
    raise DataError(
        f"{name}: the file is damaged, or reading it needs more than {limits.memory // 2**20} MB of memory. {SAVE_TEXT}"
    )


_CPU_SIGNAL = 24
"""SIGXCPU, which the kernel sends at the limit of processor time. The name does not exist on Windows."""


def _too_slow(name: str | Path, limits: Limits) -> DataError:
    return DataError(f"{name}: reading the file takes longer than {limits.seconds} s. {SAVE_TEXT}")
