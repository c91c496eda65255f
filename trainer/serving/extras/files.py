"""Word and PDF files as the bodies of requests: their text is read in child processes, a few at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from labels.errors import DataError
from labels.text.parsing.office import OfficeText, is_office, read_office
from trainer.serving.access.limits import FILE_TYPES
from trainer.serving.answers import ContentError
from trainer.serving.batching import QueueFullError
from trainer.serving.schemas import MAX_DOCUMENT_CHARACTERS

AT_ONCE, MAX_FILES = 2, 8
"""Maximum number of files that are read at the same time, and of files that are read or wait."""
_SECONDS_A_FILE = 2.0

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in FILE_TYPES},
    }
}
"""The body of `POST /predict/file` in the OpenAPI document."""


class FileReader:
    """Reads files for one application; each file takes a process of up to 512 MB for up to 10 seconds."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._files = 0

    async def read(self, content: bytes) -> OfficeText:
        """The text of a file.

        Raises:
            ContentError: the content is not a Word or PDF file, cannot be read, or has too much text.
            QueueFullError: too many files are read or wait already.
        """
        if not is_office(content[:1024]):
            raise ContentError([], "body: this is neither a Word file (.docx) nor a PDF file. Send its text as JSON")
        if self._files >= MAX_FILES:
            raise QueueFullError(_SECONDS_A_FILE * self._files / AT_ONCE, "files")
        self._files += 1
        try:
            async with self._slots:
                found = await asyncio.to_thread(read_office, content, "body")
        except DataError as error:
            raise ContentError([], str(error)) from error
        finally:
            self._files -= 1
        if len(found.text) > MAX_DOCUMENT_CHARACTERS:
            message = f"body: the text of the file is longer than {MAX_DOCUMENT_CHARACTERS:,} characters"
            raise ContentError([], f"{message}. Divide the file")
        return found
