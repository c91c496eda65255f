"""Run the child process of `office`: limit itself, read a Word or PDF file from stdin, and write JSON to stdout.

The answer has either `text`, `title` and `notes`, or the `problem` of the file.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from labels.text.parsing.office import MAX_BYTES, SAVE_TEXT, Limits, OfficeText, UnreadableFileError


def main() -> None:
    """Read stdin and write the answer to stdout."""
    limits = Limits(**json.loads(sys.argv[1]))
    _limit_resources(limits)
    content = sys.stdin.buffer.read()
    read = _reader(content)
    _forbid_opening()
    try:
        answer = _answer(read(content, limits), limits)
    except UnreadableFileError as error:
        answer = {"problem": str(error)}
    except MemoryError:
        problem = f"reading the file needs more than {limits.memory // 2**20} MB of memory. {SAVE_TEXT}"
        answer = {"problem": problem}
    except Exception as error:  # a library may raise anything for a damaged file
        answer = {"problem": f"the file is damaged ({type(error).__name__}). {SAVE_TEXT}"}
    sys.stdout.buffer.write(json.dumps(answer).encode())
    sys.stdout.flush()


def _reader(content: bytes) -> Callable[[bytes, Limits], OfficeText]:
    if content.startswith(b"PK\x03\x04"):
        from labels.text.parsing.word import read_word

        return read_word
    from labels.text.parsing.pdf import read_pdf

    return read_pdf


def _answer(found: OfficeText, limits: Limits) -> dict[str, Any]:
    if len(found.text) > limits.characters:
        raise UnreadableFileError(f"the text has more than {limits.characters:,} characters. Divide the file.")
    # Damaged fonts make unpaired surrogates and control characters, which no store accepts.
    text = found.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").translate(_CONTROLS)
    return {"text": text, "title": found.title, "notes": list(found.notes)}


_ENCODINGS = ("cp437", "utf-16", "utf-16-le")
"""Encodings of the names in ZIP archives, of damaged text, and of PDFium."""
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160), 65534, 65535))


def _limit_resources(limits: Limits) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_FSIZE: 2 * MAX_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        with suppress(ValueError, OSError):  # macOS refuses some limits
            resource.setrlimit(kind, (most, most))


def _forbid_opening() -> None:
    """Forbid opening files and connections from here on, whatever a document refers to."""
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)  # loads the module
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


if __name__ == "__main__":
    main()
