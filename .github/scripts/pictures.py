"""Draw the pictures for the README as SVG: the labelling screen and a report.

    python .github/scripts/pictures.py            # writes to .github/pictures
    python .github/scripts/pictures.py FOLDER

Both pictures show the real program on the starter corpus, which is invented. Run this script again when the screen or
the report changes, and look at the result in a browser.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from communique import Classifier, Report, Store, ingest, load_codebook, load_starter_corpus, train_test_split
from labels.annotate.screen.coding_app import CodingApp
from labels.annotate.tasks import LabellingSession
from trainer.cli import evaluate as printing
from trainer.environment import STARTER_CODEBOOK, shipped

FOLDER = Path(__file__).resolve().parents[1] / "pictures"
ARTICLE = shipped("seeds") / "unseen.txt"
SENTENCE = "The mediators urged"
"""The beginning of the sentence to show, which has a label to choose and other sentences around it."""
SIZE = (116, 25)


def main() -> None:
    """Write label.svg and report.svg."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # Use fixed colours and a fixed width in every terminal.
    os.environ.pop("NO_COLOR", None)
    for name, picture in (("label", asyncio.run(label_picture())), ("report", report_picture())):
        path = folder / f"{name}.svg"
        path.write_text(tidy(picture), encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


async def label_picture() -> str:
    """Draw the screen of `communique label` with a label that is chosen but not confirmed yet."""
    codebook = load_codebook(STARTER_CODEBOOK)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "communique.db") as store:
        ingest(store, [ARTICLE])
        app = CodingApp(LabellingSession(store, codebook, "ana"), codebook, "ana")
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("/", *SENTENCE, "enter", "c")
            await pilot.pause()
            return app.export_screenshot(title="communique label --annotator ana")


def report_picture() -> str:
    """Draw the output of `communique evaluate` for a model trained on 120 documents of the starter corpus."""
    train, test = train_test_split(load_starter_corpus(documents=120))
    model = Classifier("tfidf").fit(train.text, train.labels, groups=train.document_id)
    return drawn(model.evaluate(test.text, test.labels, groups=test.document_id))


def drawn(report: Report) -> str:
    """Draw a report as it looks in a terminal."""
    screen = Console(record=True, width=80, highlight=False, force_terminal=True, file=StringIO())
    with patch.object(printing, "console", screen):
        printing.print_report(report)
    screen.print()  # room below the last row
    return screen.export_svg(title="communique evaluate runs/tfidf held_out.jsonl")


def tidy(picture: str) -> str:
    """Remove ids, which change with every drawing, and web fonts, which are fetched from a server."""
    picture = re.sub(r"terminal-\d+-", "terminal-", picture)
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    return "".join(f"{line.rstrip()}\n" for line in picture.splitlines())


if __name__ == "__main__":
    main()
