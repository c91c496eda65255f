"""Number the equal texts in a file: two rows with the same text and without provenance are two documents."""

from __future__ import annotations

from labels.records import plain_text


class EqualTexts:
    """Counts the texts of one file. Needs about 100 bytes of memory per different text."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    def number(self, text: str, *annotators: str, record: str = "") -> int:
        """The number of a text among the equal texts so far, from 1.

        Args:
            annotators: the annotators who labelled this text. Their texts are counted separately, so that two
                annotators who label the same text in one table get the same number.
            record: the number that a tool gave to the record, if any. Equal texts in records with the same number are
                one text.
        """
        text = plain_text(text)
        if not record:
            return self._next(text, annotators or ("",))
        key = hash((text, record))
        if key not in self._numbers:
            self._numbers[key] = self._next(text, ("",))
        return self._numbers[key]

    def _next(self, text: str, counters: tuple[str, ...]) -> int:
        keys = [hash((text, counter)) for counter in counters]
        number = 1 + max(self._counts.get(key, 0) for key in keys)
        self._counts.update(dict.fromkeys(keys, number))
        return number
