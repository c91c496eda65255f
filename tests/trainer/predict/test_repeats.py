"""Which sentences the model is asked, and which answers are remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.predict.worker import Repeats, digests

BLOCKS = ["abac", "ca", "dea", "ffb", "", "abcdef"]


def answer(texts: list[str]) -> np.ndarray:
    """One number per text, which tells the text."""
    return np.array([[ord(text)] for text in texts], dtype=np.float32).reshape(-1, 1)


def run(repeats: Repeats, blocks: list[str], log: Path | None = None, ahead: int = 1) -> list[str]:
    """Answer blocks of one-letter texts, planning `ahead` of them first; returns the texts that were asked."""
    asked, waiting = [], []
    for block in [*blocks, *[None] * ahead]:
        if block is not None:
            plan = repeats.plan(digests(block))
            waiting.append((block, plan))
            asked.append("".join(block[row] for row in plan.fresh))
        if len(waiting) == ahead or (block is None and waiting):
            own, plan = waiting.pop(0)
            fresh = answer([own[row] for row in plan.fresh])
            assert repeats.resolve(plan, fresh).tolist() == answer(list(own)).tolist()
            if log is not None:
                with log.open("ab") as file:
                    file.write(repeats.log(plan, fresh))
    return asked


def test_a_remembered_sentence_is_not_asked_again() -> None:
    assert run(Repeats(1), BLOCKS) == ["abc", "", "de", "f", "", ""]


def test_only_the_latest_sentences_are_remembered() -> None:
    assert run(Repeats(1, capacity=2), BLOCKS) == ["abc", "a", "dea", "fb", "", "acdef"]


@pytest.mark.parametrize("capacity", [1, 2, 3, 100])
@pytest.mark.parametrize("ahead", [2, 4])
def test_blocks_planned_ahead_give_the_same(capacity: int, ahead: int) -> None:
    assert run(Repeats(1, capacity), BLOCKS, ahead=ahead) == run(Repeats(1, capacity), BLOCKS)


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("done", range(1, len(BLOCKS)))
def test_the_log_restores_what_was_remembered(isolated: Path, capacity: int, done: int) -> None:
    log = isolated / "log"
    log.touch()
    whole = run(Repeats(1, capacity), BLOCKS)
    run(Repeats(1, capacity), BLOCKS[:done], log)
    restored = Repeats(1, capacity)
    restored.restore(log)
    assert run(restored, BLOCKS[done:]) == whole[done:]


def test_texts_with_unpaired_surrogates_have_digests() -> None:
    assert len(digests(["\ud83d", "a"])) == 32
