"""Drive a week of labelling in a real terminal (tmux), and count the events in the store before and after every step.

    python experiments/benchmarks/labelling_week.py --out experiments/results/labelling_week.md

Two coders and an adjudicator label part of the starter corpus with the keys that people press: late double coding,
skips, corrections, undo in two windows, a label added later, adjudication by digits, three rounds of `communique loop`.
After every step the store must have all earlier events unchanged and exactly as many new ones as keys were pressed. The
transcript has one screen per step, without empty lines. It needs tmux.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from labels.codebook.schema import dump_codebook, load_codebook
from labels.records import Annotation
from labels.store import Store
from trainer.data.corpus import seed_examples
from trainer.environment import shipped

COMMUNIQUE = (sys.executable, "-P", "-c", "from trainer.cli import app; app()")
COLUMNS, ROWS = 96, 40  # below 100 columns, the codebook is hidden at first
LATER = "dismissal"
"""The label that the codebook gets in the middle of the week."""
DOCUMENTS, FIRST, ROUND = 60, 24, 60
PATIENCE = 180.0


class Terminal:
    """A window of tmux with a shell in which `communique` can be typed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._tmux(
            "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(folder), "bash --norc --noprofile"
        )
        words = shlex.join(COMMUNIQUE)
        self.type(f"export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))} PS1='$ '")
        self.type(f'communique() {{ {words} "$@"; }}')
        self.type("clear")
        self.wait("$", alone=True)

    def _tmux(self, *words: str) -> str:
        server = f"communique-week-{os.getpid()}-{self._name}"
        done = subprocess.run(["tmux", "-L", server, *words], capture_output=True, text=True, check=False)
        return done.stdout

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str, pause: float = 0.05) -> None:
        """Press keys by their names in tmux."""
        for key in keys:
            self._tmux("send-keys", key)
            time.sleep(pause)

    def screen(self) -> str:
        """What is shown, without empty lines."""
        lines = (line.rstrip() for line in self._tmux("capture-pane", "-p").splitlines())
        return "\n".join(line for line in lines if line)

    def wait(self, text: str, *, alone: bool = False) -> str:
        """Wait until a text is shown (`alone`: as the last line), and the screen is at rest; returns the screen."""
        end, last = time.monotonic() + PATIENCE, ""
        while time.monotonic() < end:
            shown = self.screen()
            if shown == last and ((shown.splitlines() or [""])[-1].strip() == text if alone else text in shown):
                return shown
            last = shown
            time.sleep(0.3)
        raise SystemExit(f"waited in vain for {text!r}; the terminal shows:\n{last}")

    def close(self) -> None:
        """End the shell and what runs in it."""
        self._tmux("kill-server")


class Week:
    """The store of the week, what was done, and the transcript."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._transcript: list[str] = []
        self._rows: list[str] = []
        self._known: list[Annotation] = []
        book = load_codebook("diplomatic")
        self._gold = {one.text: one.labels for one in seed_examples(book).examples}
        self._keys = {label: key for key, label in book.keys.items()}
        first = book.model_copy(
            update={"name": "team", "version": "1", "labels": tuple(one for one in book.labels if one.name != LATER)}
        )
        second = book.model_copy(update={"name": "team", "version": "2"})
        (folder / "team.toml").write_text(dump_codebook(first), encoding="utf-8")
        (folder / "team2.toml").write_text(dump_codebook(second), encoding="utf-8")
        (folder / "communique.toml").write_text('codebook = "team.toml"\n', encoding="utf-8")
        self.terminal = Terminal(folder, "main")

    # -- what is typed

    def start(self, words: str, until: str = "quit") -> str:
        """Type a command and wait for its screen."""
        self.terminal.type("clear")
        self.terminal.type(f"communique {words}")
        return self.terminal.wait(until)

    def leave(self) -> str:
        """Quit the screen and wait for the shell."""
        self.terminal.press("q")
        return self.terminal.wait("$", alone=True)

    def press(self, *keys: str) -> None:
        """Press keys, and wait until the screen is at rest."""
        self.terminal.press(*keys)
        self.terminal.wait("")

    def answers(self, annotator: str, *, only: Sequence[str] = (), wrong: Sequence[int] = ()) -> list[str]:
        """The keys for the undecided sentences of the annotator's latest draw; `wrong` places get another answer."""
        with Store(self.folder / "communique.db") as store:
            draw = store.open_draws.all(annotator)[0]
            families = {"random": ("random", "overlap")}
            (made, *_) = store.draws.last(annotator, families.get(draw.strategy, (draw.strategy,)), query=draw.query)
            order = [item.sentence_id for item in made.items if item.sentence_id in draw.pending]
            texts = {one.id: one.text for one in store.documents.sentences(order)}
        pressed: list[str] = []
        for place, key in enumerate(order):
            asked = only or [label for label in self.labels if label != LATER]
            keys = [self._keys[label] for label in self._gold.get(texts[key], ()) if label in asked]
            if place in wrong:
                keys = [] if keys else ["a"]
            pressed += [*keys, "Enter"] if keys else ["n"]
        return pressed

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, the later one included."""
        return tuple(self._keys)

    def decisions(self, keys: Iterable[str]) -> int:
        """The number of decisions that keys confirm."""
        return sum(key in ("n", "Enter") for key in keys)

    # -- what is checked

    def step(self, title: str, command: str, screen: str, expected: int) -> None:
        """Add a step to the transcript, after checking the events in the store."""
        with Store(self.folder / "communique.db") as store:
            events = store.events.all()
        new = events[len(self._known) :]
        ids = Counter(event.event_id for event in events)
        lost = [one for one in self._known if one not in events]
        doubled = [one for one, number in ids.items() if number > 1]
        if lost or doubled or len(new) != expected:
            self.terminal.close()
            print(screen)
            raise SystemExit(f"{title}: {len(new)} new events instead of {expected}; lost {lost}, doubled {doubled}")
        found = Counter(f"{one.annotator} {one.state or one.event}" for one in new)
        added = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items())) or "none"
        self._rows.append(f"| {title} | {len(self._known)} | {len(events)} | {added} |")
        screen = screen.replace(socket.gethostname(), "HOST")
        self._transcript.append(f"## {title}\n\n`communique {command}`\n\n```text\n{screen}\n```")
        self._known = events
        print(f"{title}: {len(events)} events ({added})", flush=True)

    def written(self) -> str:
        """The whole transcript."""
        head = "| step | events before | after | new |\n| --- | --- | --- | --- |\n" + "\n".join(self._rows)
        what = (
            "Written by `experiments/benchmarks/labelling_week.py`, which types into a real terminal of "
            f"{COLUMNS} x {ROWS}. Scripted coders answer from the gold of the starter corpus, with planned "
            "slips. After every step all earlier events were still in the store, unchanged and once, and the "
            "new events were those that the keys made. Empty lines are left out."
        )
        return "\n\n".join(("# A week of labelling", what, head, *self._transcript)) + "\n"


def monday(week: Week) -> None:
    """Ana reads texts in, labels a first draw with skips and an undo, and works in two windows by mistake."""
    documents = sorted((shipped("seeds") / "documents").glob("*.txt"))[:DOCUMENTS]
    (week.folder / "articles").mkdir()
    for path in documents:
        (week.folder / "articles" / path.name).write_bytes(path.read_bytes())
    week.step("Monday: texts", "ingest articles", week.start("ingest articles", "Next:"), 0)
    command = f"label --annotator ana --size {FIRST}"
    week.start(command)
    week.press("s", "s")
    week.press(*week.answers("ana"))
    screen = week.terminal.wait("You skipped this sentence")
    week.press("n", "s", "u", "s")
    week.leave()
    week.step("Monday: ana labels; two skips come back at the end, one stays", command, screen, FIRST + 4)
    two_windows(week)


def two_windows(week: Week) -> None:
    """The same sentence is decided in two windows; undo in the first leaves the decision of the second."""
    week.start("label --annotator ana --size 4")
    second = Terminal(week.folder, "second")
    try:
        second.type("communique label --annotator ana")
        warned = second.wait("another window open").splitlines()
        week.press("n")
        second.press("a", "Enter")
        time.sleep(1)
        week.press("u")
        undone = week.terminal.wait("in another window")
        second.press("q")
        second.wait("$", alone=True)
    finally:
        second.close()
    week.press("End", "n", "n", "n")
    week.leave()
    # The last line has the keys, and the two lines before it the warning.
    lines = ["(the second window)", warned[0], *warned[-3:-1], "", "(the first window, after undo)", undone]
    week.step("Monday: two windows; undo in one leaves the other", "label --annotator ana", "\n".join(lines), 6)


def tuesday(week: Week) -> None:
    """Ben codes half of what ana has decided, without seeing her labels."""
    command = "label --annotator ben --also-by ana --share 0.5"
    screen = week.start(command)
    keys = week.answers("ben", wrong=(0, 3, 6))
    week.press(*keys)
    week.leave()
    week.step("Tuesday: ben double-codes, late and blind", command, screen, week.decisions(keys))
    screen = week.start("status", "Disputed")
    week.step("Tuesday: what waits", "status", screen, 0)


def wednesday(week: Week) -> None:
    """Ana corrects a decision; ben takes the skipped sentence."""
    command = "label --annotator ana --review --label none"
    week.start(command)
    week.press("a", "Enter")
    screen = week.terminal.wait("Corrected.")
    printed = week.leave()
    week.step("Wednesday: ana corrects one of her decisions", command, f"{screen}\n\n{printed}", 1)
    command = "label --annotator ben --strategy skipped"
    screen = week.start(command)
    week.press("n")
    week.leave()
    week.step("Wednesday: the skipped sentence goes to ben", command, screen, 1)


def thursday(week: Week) -> None:
    """Eva adjudicates by digits."""
    command = "adjudicate --annotator eva"
    screen = week.start(command)
    disputes = int(re.findall(r"0/(\d+) ", screen)[0])
    week.press(*"1" * disputes)
    printed = week.leave()
    week.step("Thursday: eva takes whole answers by a digit", command, f"{screen}\n\n{printed}", disputes)
    screen = week.start("agreement | head -12", "Exact agreement")
    week.step("Thursday: agreement", "agreement | head -12", screen, 0)


def friday(week: Week) -> None:
    """The codebook gets a label, which alone is asked."""
    command = f"codebook migrate team.toml team2.toml --add {LATER} --apply"
    screen = week.start(command, "Next:")
    week.step("Friday: a label is added", command, screen, 0)
    (week.folder / "communique.toml").write_text('codebook = "team2.toml"\n', encoding="utf-8")
    command = "label --annotator ana --strategy relabel"
    screen = week.start(command)
    keys = week.answers("ana", only=(LATER,))
    week.press(*keys)
    week.leave()
    week.step("Friday: only the new label is asked", command, screen, week.decisions(keys))


def saturday(week: Week, rounds: int) -> None:
    """Rounds of the loop."""
    command = f"loop --annotator ana --experiment tfidf --every {ROUND} --wait 150"
    week.terminal.type("clear")
    week.terminal.type(f"communique {command}")
    for number in range(1, rounds + 1):
        week.terminal.wait(f"0/{ROUND} ")
        keys = week.answers("ana", only=week.labels)
        week.press(*keys)
        week.terminal.wait(f"All {ROUND} are decided.")
        week.terminal.press("q")
        week.terminal.wait(f"\n{number:>5}  ")
        screen = week.terminal.wait(":", alone=True)
        screen = "Drawing up to" + screen.rpartition("Drawing up to")[2]
        week.step(f"Saturday: round {number} of the loop", command, screen, week.decisions(keys))
        week.terminal.type("q" if number == rounds else "")
    screen = week.terminal.wait("$", alone=True)
    week.step("Saturday: the end of the day", command, screen[screen.index("All decisions are saved") :], 0)
    week.step("Saturday: status", "status", week.start("status", "Scores by"), 0)


def main() -> None:
    """Run the week and write the transcript."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        week = Week(Path(name))
        try:
            for day in (monday, tuesday, wednesday, thursday, friday):
                day(week)
            saturday(week, arguments.rounds)
        finally:
            week.terminal.close()
        arguments.out.write_text(week.written(), encoding="utf-8")


if __name__ == "__main__":
    main()
