"""The lines of Python that README shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import communique

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_the_lines_of_python_in_readme_run(isolated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(from communique import.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(block.strip().splitlines()) <= 12
    names: dict[str, Any] = {}
    exec(block, names)
    assert "macro avg" in capsys.readouterr().out
    assert names["model"].predict(["Norway will send more aid to Ukraine."]) == [("aid_pledge",)]
    assert Path("runs/mine/manifest.json").is_file()


def test_the_reference_lists_every_public_name() -> None:
    text = (ROOT / "trainer/README.md").read_text(encoding="utf-8")
    section = text[text.index("## From Python") :].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)[`(]", row.split(" | ")[0])}
    assert named == {*communique.__all__} - {"__version__"}
