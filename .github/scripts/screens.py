"""Draw the screens of labelling as PNG, to be looked at after a change: every state in the sizes where it differs.

    python .github/scripts/screens.py FOLDER            # all screens
    python .github/scripts/screens.py FOLDER undo codebook

The screens show the real program on articles of the starter corpus, which is invented. A browser (Chromium) turns the
SVG drawings of Textual into pictures.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pictures import ARTICLE, tidy
from playwright.async_api import Browser, async_playwright

from communique import Store, ingest, load_codebook
from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.reviewing import Filters, ReviewSession
from labels.annotate.screen.coding_app import CodingApp
from labels.annotate.session import Session
from labels.annotate.tasks import LabellingSession
from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook
from labels.sampling.drawing import DrawRequest
from labels.sampling.suggestions import Suggester
from labels.store import ScoringModel, now
from labels.store.codebook_migration import apply_migration, plan_migration
from trainer.environment import STARTER_CODEBOOK

SIZES = ((60, 20), (80, 24), (120, 34), (140, 40))
LONG = "The minister " + "said that talks on fuel, grain and prisoners would go on, and " * 40 + "pledged 40 trucks."


@dataclass(frozen=True)
class Shot:
    """A screen: its session, the keys to press first, and the sizes in which it is drawn."""

    session: Callable[[Store, Codebook], Session]
    keys: Sequence[str]
    sizes: Sequence[tuple[int, int]] = ((80, 24), (140, 40))
    codebook: Codebook | None = None
    notice: str = ""


def labelling(store: Store, codebook: Codebook, suggester: Suggester | None = None) -> LabellingSession:
    """A session of ana on whole articles, in the order of their text."""
    return LabellingSession(store, codebook, "ana", DrawRequest("document", size=10), suggester=suggester)


def suggesting(store: Store, codebook: Codebook, *, withheld: float) -> LabellingSession:
    """A session with suggestions of a model, or with the share `withheld` of them withheld."""
    model = ScoringModel(
        "m",
        kind="tfidf",
        labels=codebook.label_names,
        thresholds=(0.5,) * 4,
        exclusive=False,
        codebook_hash=codebook.hash,
        created_at=now(),
    )
    store.scores.add_model(model)
    found = store.scores.unscored("m")
    store.scores.add("m", [(one.number, (0.91, 0.12, 0.04, 0.55), 0.3, 0.4, 0.91) for one in found])
    return labelling(store, codebook, suggester=Suggester(store, model, "ana", withheld))


def reviewing(store: Store, codebook: Codebook) -> ReviewSession:
    """Ana's decisions."""
    code(store, codebook, "ana", ["aid_pledge"], [], ["ceasefire_call", "dismissal"], None, ["weapons_request"])
    return ReviewSession(store, codebook, "ana", Filters(), unblind=False)


def adjudicating(store: Store, codebook: Codebook, *, blind: bool = False) -> AdjudicationSession:
    """Sentences on which three coders differ."""
    code(store, codebook, "ana", ["aid_pledge"], [], ["ceasefire_call"], ["dismissal"])
    code(store, codebook, "ben", ["aid_pledge", "dismissal"], ["aid_pledge"], [], [])
    code(store, codebook, "charlotte", [], None, ["ceasefire_call", "dismissal"], ["dismissal"])
    return AdjudicationSession(store, codebook, "eva", blind=blind)


def relabelling(store: Store, codebook: Codebook) -> LabellingSession:
    """Sentences that wait for a decision on one new label."""
    code(store, codebook, "ana", ["aid_pledge"], [], ["ceasefire_call"])
    new = with_threat(codebook)
    apply_migration(store, plan_migration(store, codebook, new, [Step("add", (), ("threat",))]))
    return LabellingSession(store, new, "ana", DrawRequest("relabel"))


def with_threat(codebook: Codebook) -> Codebook:
    """The codebook with one more label."""
    label = {"name": "threat", "title": "Threat", "key": "h", "definition": "An actor threatens another with force."}
    content = tomllib.loads(dump_codebook(codebook))
    return codebook_from_dict(content | {"version": "2.0.0", "labels": [*content["labels"], label]}, "new")


def many_labels() -> Codebook:
    """A codebook of 60 labels, most of which have no key."""
    topics = (
        "trade",
        "sanctions",
        "border",
        "grain",
        "fuel",
        "prisoners",
        "nuclear",
        "water",
        "migration",
        "elections",
    )
    acts = ("pledge", "request", "threat", "denial", "praise", "protest")
    labels = [{"name": f"{topic}_{act}", "definition": f"A {act} about {topic}."} for topic in topics for act in acts]
    return codebook_from_dict({"name": "many", "labels": labels}, "many")


def code(store: Store, codebook: Codebook, annotator: str, *answers: Sequence[str] | None) -> None:
    """Let an annotator decide the first sentences of the text; None skips. Others decide the sentences of ana."""
    request = DrawRequest("document", size=10) if annotator == "ana" else DrawRequest("also-by", query="ana", size=10)
    session = LabellingSession(store, codebook, annotator, request)
    by_sentence = dict(zip([sentence.id for sentence in store.documents.sentences()], answers, strict=False))
    while (item := session.current()) is not None and item.sentence.id in by_sentence:
        labels = by_sentence.pop(item.sentence.id)
        if labels is None:
            session.skip("unclear who speaks")
        else:
            session.review(labels, "conditional" if len(labels) > 1 else "")


SHOTS = {
    "first": Shot(labelling, [], SIZES),
    "undo": Shot(labelling, ["n", "a", "d", "!", *"unsure", "enter", "enter", "u"]),
    "skips": Shot(lambda s, c: LabellingSession(s, c, "ana", DrawRequest("document", size=3)), ["s", *"n" * 9]),
    "suggested": Shot(lambda s, c: suggesting(s, c, withheld=0.0), []),
    "withheld": Shot(lambda s, c: suggesting(s, c, withheld=1.0), ["ctrl+y"]),
    "review": Shot(reviewing, []),
    "review-list": Shot(reviewing, ["f4"], SIZES),
    "adjudicate": Shot(adjudicating, [], SIZES),
    "adjudicate-blind": Shot(lambda s, c: adjudicating(s, c, blind=True), ["2"]),
    "codebook-definitions": Shot(labelling, ["f2"], SIZES),
    "codebook-rules": Shot(labelling, ["f3"], SIZES),
    "codebook-search": Shot(labelling, ["ctrl+f", *"deliver"], SIZES),
    "long": Shot(labelling, ["/", *"grain", "enter", *["down"] * 4], SIZES),
    "filter": Shot(labelling, ["#", *"gr"], SIZES, codebook=many_labels()),
    "many": Shot(labelling, ["#", *"grain_pr", "enter"], SIZES, codebook=many_labels()),
    "relabel": Shot(relabelling, [], SIZES),
    "recent": Shot(
        labelling, ["a", "enter", "n", "s", "c", "d", "enter", "f9"], ((80, 24), (119, 30), (120, 30), (140, 40))
    ),
    "article": Shot(labelling, ["right", "right", "f5"], SIZES),
    "list": Shot(labelling, ["a", "enter", "n", "s", "c", "f4"], SIZES),
    "help": Shot(labelling, ["?"], SIZES),
    "end": Shot(labelling, ["n"] * 40),
    "enter-without-choice": Shot(labelling, ["enter"]),
    "two-windows": Shot(
        labelling, [], notice="ana has another window open (on desk since 2026-03-02 10:12). Close it."
    ),
}


def main() -> None:
    """Write the PNG files."""
    folder, *names = [*sys.argv[1:]] or ["screens"]
    os.environ.pop("NO_COLOR", None)
    asyncio.run(draw(Path(folder), names or list(SHOTS)))


async def draw(folder: Path, names: Sequence[str]) -> None:
    """Draw screens into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in names:
            for size in SHOTS[name].sizes:
                path = folder / f"{name}-{size[0]}x{size[1]}.png"
                await photograph(browser, await screen(SHOTS[name], size), path)
                print(path)
        await browser.close()


async def screen(shot: Shot, size: tuple[int, int]) -> str:
    """The SVG drawing of a screen."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "communique.db") as store:
        article = Path(folder) / "article.txt"
        article.write_text(f"{ARTICLE.read_text(encoding='utf-8')}\n\n{LONG}\n", encoding="utf-8")
        ingest(store, [article])
        codebook = shot.codebook or load_codebook(STARTER_CODEBOOK)
        session = shot.session(store, codebook)
        book = session._codebook
        annotator = "eva" if isinstance(session, AdjudicationSession) else "ana"
        app = CodingApp(session, book, annotator, more=lambda: None, notice=shot.notice)
        async with app.run_test(size=size) as pilot:
            for key in shot.keys:
                await pilot.press(key)
            await pilot.pause(0.1)
            return app.export_screenshot(title=f"{size[0]}x{size[1]}")


async def photograph(browser: Browser, drawing: str, path: Path) -> None:
    """Save an SVG drawing as PNG, in its own size."""
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)[0])
    page = await browser.new_page(viewport={"width": round(width) + 1, "height": round(height) + 1})
    await page.set_content(f"<style>body {{ margin: 0 }}</style>{tidy(drawing)}")
    await page.screenshot(path=path)
    await page.close()


if __name__ == "__main__":
    main()
