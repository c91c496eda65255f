"""Run three rounds of `communique loop` with a scripted coder on the starter corpus, and count the events.

The coder answers from the corpus's gold, through the command itself, one process a call: the second call is killed in
the middle of a draw, and the third goes on. Every decision that was typed must be in the store once.

    python experiments/benchmarks/labelling_loop.py --work /tmp/loop --every 50
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from labels.codebook.schema import load_codebook
from labels.store import Store
from trainer.data.corpus import seed_examples
from trainer.environment import shipped

COMMAND = [sys.executable, "-c", "from trainer.cli import app; app()"]


class Coder:
    """A process of `communique loop --plain` and the answers to its prompts.

    Args:
        gold: text of a sentence -> keys to type.
    """

    def __init__(self, options: list[str], gold: dict[str, str], transcript: Path) -> None:
        self._gold = gold
        self._transcript = transcript.open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            [*COMMAND, "loop", "--plain", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.typed = 0
        self.unknown = 0

    def code(self, draws: int, *, kill_after: int = 0) -> None:
        """Answer the prompts of this many draws, then quit; or kill the process after so many decisions."""
        while draws and (shown := self._until_prompt()):
            if "[q] quit" in shown.rsplit("\n", 2)[-2] and "draw more" in shown:
                draws -= 1
                self._type("" if draws else "q")
            elif "All sentences of this draw" in shown:
                self._type("q")
            else:
                self._decide(shown)
                if kill_after and self.typed == kill_after:
                    self._until_prompt()  # the decision has been stored
                    self._process.kill()
                    break
        self._process.stdin.close()  # type: ignore[union-attr]
        self._transcript.write(self._process.stdout.read())  # type: ignore[union-attr]
        self._transcript.close()
        self._process.wait()

    def _decide(self, shown: str) -> None:
        text = next(line[4:] for line in reversed(shown.split("\n")) if line.startswith("  > "))
        self.unknown += text not in self._gold
        self._type(self._gold.get(text, "n"))
        self.typed += 1

    def _type(self, answer: str) -> None:
        self._transcript.write(f"{answer}\n")
        self._process.stdin.write(f"{answer}\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def _until_prompt(self) -> str:
        """What was printed up to the next prompt, a line that begins with a colon; empty at the end."""
        shown = ""
        while character := self._process.stdout.read(1):  # type: ignore[union-attr]
            shown += character
            if shown.endswith("\n: "):
                self._transcript.write(shown)
                return shown
        self._transcript.write(shown)
        return ""


def answers() -> dict[str, str]:
    """Text -> keys of the labels in the gold of the starter corpus, or n."""
    book = load_codebook("diplomatic")
    keys = {label: key for key, label in book.keys.items()}
    return {one.text: "".join(keys[label] for label in one.labels) or "n" for one in seed_examples(book).examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.work)
    gold = answers()
    documents = str(shipped("seeds") / "documents")
    subprocess.run([*COMMAND, "ingest", documents], check=True, stdout=subprocess.DEVNULL)
    options = ["--annotator", "ana", "--experiment", "tfidf", "--every", str(arguments.every), "--wait", "300"]
    options += [word for one in arguments.set for word in ("--set", one)]
    start, typed, unknown = time.perf_counter(), 0, 0
    half = arguments.every // 2
    for draws, kill_after in ((1, 0), (1, half), (arguments.rounds - 1, 0)):
        coder = Coder(options, gold, Path("transcript.txt"))
        coder.code(draws, kill_after=kill_after)
        typed, unknown = typed + coder.typed, unknown + coder.unknown
    report(typed, unknown, time.perf_counter() - start)


def report(typed: int, unknown: int, seconds: float) -> None:
    """Print what was typed and what the store and the folder of rounds hold."""
    with Store("communique.db", create=False) as store:
        events = store.events.all()
    sentences = Counter(event.sentence_id for event in events)
    rounds = [json.loads(path.read_text()) for path in sorted(Path("runs/tfidf-loop").glob("round-*/round.json"))]
    print(f"typed {typed}, events {len(events)}, doubled {sum(n > 1 for n in sentences.values())}, ", end="")
    print(f"not in the gold {unknown}, {seconds:.0f} s")
    print(dict(Counter(event.strategy for event in events)))
    for one in rounds:
        print({key: one[key] for key in ("number", "labelled", "test", "evaluated", "macro_f1", "gain", "seconds")})
    if len(events) != typed or len(sentences) != typed:
        sys.exit("events were lost or doubled")


if __name__ == "__main__":
    main()
