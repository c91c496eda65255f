"""The lines of Python that README shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_lines_of_python_in_readme_run(isolated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(from communique import.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(block.strip().splitlines()) <= 12
    names: dict[str, Any] = {}
    exec(block, names)
    assert "macro avg" in capsys.readouterr().out
    assert names["model"].predict(["Norway will send more aid to Ukraine."]) == [("aid_pledge",)]
    assert Path("runs/mine/manifest.json").is_file()
