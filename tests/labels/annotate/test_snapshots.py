"""Pictures of the screen, compared with those in the folder `snapshots`."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path

import pytest

from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.sampling.suggestions import Suggester
from labels.store import Store
from tests.labels.annotate.conftest import NARROW, WIDE, OpenScreen, Screen, dispute, score
from tests.labels.store.builders import model

ACCEPT = "COMMUNIQUE_ACCEPT_SNAPSHOTS"
FOLDER = Path(__file__).parent / "snapshots"
SIZES = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "140x40"])


@pytest.fixture(autouse=True)
def coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours whatever the terminal of the tests is."""
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def codebook() -> Codebook:
    """Two labels with everything that a codebook can say of a label."""
    aid = {
        "name": "aid",
        "key": "a",
        "definition": "An actor promises help to another: money, goods, weapons or training.",
        "include": ["New gifts and loans", "A stated readiness to give, with an amount or an object"],
        "exclude": ["What was delivered already", "Thanks"],
        "examples": [{"text": "Norland pledged 40 trucks.", "why": "a promise with an object"}],
        "counterexamples": [{"text": "The trucks of Norland came on Friday.", "why": "delivered"}],
        "cues": ["pledg*", "will send"],
    }
    truce = {
        "name": "truce",
        "key": "t",
        "definition": "An actor calls on others to stop fighting.",
        "include": ["Proposals of a truce"],
        "exclude": ["Reports that a truce holds"],
        "examples": [{"text": "The envoy of Sudmark called for a truce."}],
        "cues": ["call* ... truce"],
    }
    rules = ["The sentence itself asserts the act.", "A sentence can bear several labels."]
    return codebook_from_dict({"name": "lindholm", "rules": rules, "labels": [aid, truce]}, "lindholm")


def compare(screen: Screen, name: str) -> None:
    """Fail where the screen is not as in the picture `name`, and leave what it is like now beside this test's files."""
    # Rich numbers the ids within a picture by its content.
    picture = re.sub(r"terminal-\d+-", "terminal-", screen.picture())
    picture = "".join(f"{line.rstrip()}\n" for line in picture.splitlines())
    kept = FOLDER / f"{name}.svg"
    if os.environ.get(ACCEPT) == "1":
        kept.write_text(picture, encoding="utf-8")
    if not kept.is_file() or kept.read_text(encoding="utf-8") != picture:
        now = Path(f"{name}.svg").absolute()
        now.write_text(picture, encoding="utf-8")
        pytest.fail(
            f"The screen differs from {kept}.\nLook at both pictures in a browser; it is now as in {now}.\n"
            f"If that is how it should look: {ACCEPT}=1 python -m pytest {__file__}",
            pytrace=False,
        )


def labelling(store: Store, codebook: Codebook) -> LabellingSession:
    """Every decision takes twelve seconds."""
    score(store)
    seconds = count(0, 12)
    suggester = Suggester(store, model(), "ana", 0.0)
    return LabellingSession(store, codebook, "ana", suggester=suggester, clock=lambda: float(next(seconds)))


@SIZES
def test_labelling_with_a_suggestion(
    store: Store, codebook: Codebook, open_screen: OpenScreen, size: tuple[int, int]
) -> None:
    screen = open_screen(labelling(store, codebook), codebook, size)
    screen.press("n")
    screen.type_line("/", "lasting")
    screen.press("t")
    screen.type_line("!", "is fuel aid when it is sold?")

    compare(screen, f"labelling-{size[0]}x{size[1]}")


def test_the_codebook_unfolded_on_a_narrow_screen(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(labelling(store, codebook), codebook, NARROW)
    screen.press("tab")

    compare(screen, "codebook-80x24")


@SIZES
def test_adjudication(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen, size: tuple[int, int]
) -> None:
    dispute(store, ids)
    screen = open_screen(AdjudicationSession(store, codebook, "mia"), codebook, size, annotator="mia")
    screen.type_line("/", "lasting")

    compare(screen, f"adjudication-{size[0]}x{size[1]}")


def test_help(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(labelling(store, codebook), codebook, NARROW)
    screen.press("?")

    compare(screen, "help-80x24")


def test_a_note_that_is_typed(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(labelling(store, codebook), codebook, NARROW)
    screen.line.cursor_blink = False
    screen.press("!", *"not sure")

    compare(screen, "note-80x24")
