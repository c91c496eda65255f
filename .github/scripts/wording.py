"""Draw a random sample of messages and docstrings, for a reader who marks everything that is not plain English.

    python .github/scripts/wording.py --seed 1

The script prints 100 messages and help texts, then 100 docstrings and sentences from the README files, each with its
place. Fix the marked texts, then draw again with another seed.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = [path for package in ("labels", "trainer", "seeds") for path in sorted((ROOT / package).rglob("*.py"))]
PAGES = [
    *(ROOT / place / "README.md" for place in (".", "labels", "trainer", "experiments", "seeds")),
    ROOT / ".github" / "CONTRIBUTING.md",
]
SHORTEST = 25
"""The minimum number of characters of a text in the sample."""


def main() -> None:
    """Print the sample for a seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=100)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    for heading, texts in (
        ("Messages and help texts", [*messages()]),
        ("Docstrings and README", [*docstrings(), *sentences()]),
    ):
        print(f"\n{heading}\n")
        for number, text in enumerate(generator.sample(texts, min(options.size, len(texts))), start=1):
            print(f"{number:>3}. {text}")


def messages() -> Iterator[str]:
    """Yield the string literals that are error messages, help texts or printed lines, not docstrings or names."""
    for path, tree in parsed():
        own = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inner = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in ast.walk(node)
            if part is not node
        }
        for node in ast.walk(tree):
            if id(node) in own | inner or not isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            text = literal(node)
            if len(text) >= SHORTEST and re.search(r"[a-z] [a-z]", text) and not text.endswith("}"):
                yield f"{place(path, node.lineno)}: {text}"


def literal(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the text of a string; the inserted expressions of an f-string stay in braces."""
    if isinstance(node, ast.Constant):
        return " ".join(node.value.split()) if isinstance(node.value, str) else ""
    parts = (str(part.value) if isinstance(part, ast.Constant) else _hole(part) for part in node.values)
    return " ".join("".join(parts).split())


def _hole(part: ast.expr) -> str:
    return f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else "{...}"


def docstrings() -> Iterator[str]:
    """Yield every docstring of a module, class, function or attribute."""
    for path, tree in parsed():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield f"{place(path, node.lineno)}: {' '.join(node.value.value.split())}"


def sentences() -> Iterator[str]:
    """Yield the sentences of the README files, without code and tables."""
    for page in filter(Path.is_file, PAGES):
        text = re.sub(
            r"```.*?```|^\|.*?$|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        for paragraph in text.split("\n\n"):
            for sentence in re.split(r"(?<=[.:?!])\s+(?=[A-Z`*])", " ".join(paragraph.split())):
                if len(sentence) >= SHORTEST:
                    yield f"{place(page)}: {sentence}"


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every module with its syntax tree."""
    return ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in CODE)


def place(path: Path, line: int | None = None) -> str:
    """Return the file and line of a text."""
    return f"{path.relative_to(ROOT)}" + (f":{line}" if line else "")


if __name__ == "__main__":
    main()
