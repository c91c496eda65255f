"""Time the functions that read text on hostile input of two lengths.

    python experiments/benchmarks/hostile_text.py [--length 20000]

Each row is a function and a repeated unit, such as 20,000 quotation marks. The column "ratio" divides the time for the
full length by the time for half of it: about 2 is linear, 4 is quadratic. Times below a millisecond are noise, so their
ratio is not shown. A case that takes longer than `LIMIT` seconds is reported as such.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table

from labels.codebook.cues import Cue
from labels.codebook.schema import load_codebook
from labels.errors import DataError
from labels.records import Document
from labels.text.cells import parse_cell
from labels.text.parsing.markup import html_fragment_text, markdown_text, read_page, split_front_matter
from labels.text.parsing.news_exports import read_factiva, read_nexis
from labels.text.sentences import split_sentences
from labels.unicode import Folded

LIMIT = 20
"""The most seconds for one call."""
FACTIVA = "HD\nTruce\nWC 5 words\nPD 8 June 2024\nSN Reuters\nLP\n"
FACTIVA_END = "Document REUT000020240608ek68000a1\n"
LINE = 300
"""The length of the lines of the cases named "lines". Boilerplate has at most 320 characters."""

UNITS = {
    "quotation marks": '"',
    "opening quotation marks": "“",
    "quoted letters": "“a” ",
    "quoted sentences": "“No. ",
    "sentences": "No truce held. ",
    "apostrophes": "' ",
    "brackets": "(",
    "closed brackets": "(A.) ",
    "square brackets": "[",
    "Markdown links": "[a](",
    "emphasis": "*a ",
    "asterisks": "*",
    "underscores": "_",
    "dots": ".",
    "spaced dots": ". ",
    "dots before letters": "A.",
    "ellipses": "… A",
    "spaces": " ",
    "tabs": "\t",
    "no-break spaces": "\u00a0",
    "newlines": "\n",
    "carriage returns": "\r",
    "line ends": "\r\n",
    "white lines": " \n",
    "capitals": "A",
    "capital words": "AB ",
    "names": "Lind ",
    "pipes": "|",
    "bars": "a | ",
    "digits": "1",
    "times": "12:30 ",
    "dates": "12 May 2024, ",
    "numbered items": "1. ",
    "hyphens": "-",
    "words with hyphens": "a-",
    "commas": "a, ",
    "colons": ":",
    "slashes": "/ ",
    "abbreviation": "U.S. ",
    "title": "Mr. ",
    "reference": "para. ",
    "share words": "share this on ",
    "photo": "photo ",
    "cue word": "pledge ",
    "cue with spaces": "pledge" + 90 * " ",
    "by names": "By Lind and ",
    "open tags": "<",
    "tags": "<b>",
    "paragraph tags": "<p>",
    "attributes": "<a b=",
    "marked sections": "<![",
    "closed marked sections": "<![a]]>",
    "comments": "<!--",
    "declarations": "<!",
    "processing instructions": "<?",
    "end tags": "</",
    "ampersands": "&",
    "entities": "&amp;",
    "numeric entities": "&#",
    "backticks": "`",
    "backslashes": "\\",
    "block quotes": "> ",
    "indents": "    a\n",
    "rules": "---\n",
    "keys": "a: b\n",
    "aliases": "&a *a ",
}
Reader = Callable[[str], object]


def readers() -> dict[str, Reader]:
    """The functions to time, by name."""
    cues = [Cue(cue) for label in load_codebook("diplomatic").labels for cue in label.cues]
    path = Path("hostile.html")
    return {
        "split": lambda text: split_sentences(Document("hostile", text)),
        "split, kept quotations": lambda text: split_sentences(Document("hostile", text), keep_quotes=True),
        "split, French": lambda text: split_sentences(Document("hostile", text, language="fr")),
        "split, lines": lambda text: split_sentences(Document("hostile", in_lines(text))),
        "cues": lambda text: [cue.spans(folded) for folded in [Folded(text)] for cue in cues],
        "HTML fragment": html_fragment_text,
        "HTML page": lambda text: attempt(read_page, f"<html><body><p>{text}</p></body></html>", path),
        "Markdown": markdown_text,
        "label cell": lambda text: attempt(parse_cell, f"['{text}', 'b']", "row"),
        "Nexis": lambda text: read_nexis(f"1 of 1 DOCUMENTS\n\nLENGTH: 5 words\n\n{text}\n\n{in_lines(text)}"),
        "Factiva": lambda text: read_factiva(
            f"{FACTIVA}\n{text}\n{in_lines(text)}\nDocument REUT000020240608ek68000a1\n"
        ),
        "front matter": lambda text: attempt(split_front_matter, f"---\n{text}\n---\nText.", path),
    }


def in_lines(text: str) -> str:
    """The text with a line end after every `LINE` characters."""
    return "\n".join(text[start : start + LINE] for start in range(0, len(text), LINE))


def attempt(parse: Callable[[str, Any], object], text: str, place: str | Path) -> None:
    """Parse a text that may be refused: a refusal is an answer too."""
    with contextlib.suppress(DataError):
        parse(text, place)


def hostile(unit: str, length: int) -> str:
    """`unit` repeated up to `length` characters, between two words."""
    return f"Text {(unit * (length // len(unit) + 1))[:length]} end."


def timed(read: Reader, text: str) -> float:
    """Processor seconds for one call, the best of three; infinity beyond `LIMIT`."""
    best = float("inf")
    for _ in range(3):
        start = process_time()
        signal.alarm(LIMIT)
        try:
            read(text)
        except TimeoutError:
            return best
        finally:
            signal.alarm(0)
        best = min(best, process_time() - start)
    return best


def measure(length: int, only: str) -> Iterator[tuple[str, str, float, float]]:
    """Yield function, unit, and the seconds for half of the length and for the full length."""
    for name, read in readers().items():
        if only not in name:
            continue
        read(hostile("No truce held. ", 1000))  # load what is loaded on first use
        for unit, repeated in UNITS.items():
            half = timed(read, hostile(repeated, length // 2))
            yield name, unit, half, timed(read, hostile(repeated, length))


def main() -> None:
    """Measure all cases and print the slowest, and every case that is not linear."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--length", type=int, default=20_000, help="characters of the longer text [default: 20000]")
    parser.add_argument("--only", default="", help="measure only functions whose name contains this text")
    parser.add_argument("--rows", type=int, default=5, help="slowest cases to print per function [default: 5]")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, _expire)
    table = Table(box=None, pad_edge=False)
    for heading in ("function", "unit", "half, ms", "full, ms", "ratio"):
        table.add_column(heading, justify="left" if heading in ("function", "unit") else "right")
    found: dict[str, list[tuple[float, str, float]]] = {}
    for name, unit, half, full in measure(arguments.length, arguments.only):
        found.setdefault(name, []).append((full, unit, half))
    for name, cases in found.items():
        cases.sort(reverse=True)
        for place, (full, unit, half) in enumerate(cases):
            ratio = full / half
            if place < arguments.rows or (ratio > 2.8 and full > 0.02):
                table.add_row(
                    name, unit, f"{half * 1e3:.1f}", f"{full * 1e3:.1f}", f"{ratio:.1f}" if full > 1e-3 else ""
                )
    Console(width=120, highlight=False).print(table)


def _expire(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
