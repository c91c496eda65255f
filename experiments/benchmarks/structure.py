"""Size and depth of the code: modules, lines, functions, comments, entries per room, and functions used in training.

    python experiments/benchmarks/structure.py [--functions] [CHECKOUT ...]

Several checkouts are shown side by side, so that a change can be compared with the previous version. `--functions` also
lists the functions used in training, by module.
"""

from __future__ import annotations

import argparse
import ast
import os
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("labels", "trainer")
NOT_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
)
TRACE = """
import sys, threading
from pathlib import Path
from typer.testing import CliRunner
from trainer.cli import app

root, ran = Path(sys.argv[1]), set()


def note(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_flags & 1 and code.co_filename.startswith((f"{root}/labels", f"{root}/trainer")):
        ran.add((code.co_filename, code.co_qualname))


arguments = ["train", "tfidf", "--out", "run", "--set", "data.train=rows.jsonl", "--set", "data.codebook=infer"]
threading.setprofile(note)
sys.setprofile(note)
result = CliRunner().invoke(app, arguments)
sys.setprofile(None)
assert result.exit_code == 0, result.output
for file, name in sorted(ran):
    if not name.endswith(("comp>", "expr>")):  # comprehensions are no functions, and have no frames since Python 3.12
        print(Path(file).relative_to(root), name)
"""
ROW = '{{"text": "{} number {} {}.", "label": "{}"}}\n'


def main() -> None:
    """Print one row per figure, with one column per checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).parents[2]])
    parser.add_argument("--functions", action="store_true", help="list the functions used in training")
    options = parser.parse_args()
    checkouts = [checkout.resolve() for checkout in options.checkouts]
    trained = [run_to_train(checkout) for checkout in checkouts]
    tables = [figures(checkout, ran) for checkout, ran in zip(checkouts, trained, strict=True)]
    for name in tables[0]:
        print(f"{name:<58}", *(f"{table[name]:>10}" for table in tables))
    for checkout, ran in zip(checkouts, trained, strict=True):
        for module, functions in ran.items() if options.functions else ():
            print(f"\n{checkout / module}: {', '.join(functions)}")


def figures(checkout: Path, trained: dict[str, list[str]]) -> dict[str, str]:
    """The figures of a checkout as printed text, by name."""
    modules = [path for package in PACKAGES for path in sorted((checkout / package).rglob("*.py"))]
    code = {path: code_lines(path) for path in modules}
    lengths = [n for path in modules for n in function_lengths(path)]
    comments = sum(comment_lines(path) for path in modules)
    rooms = [path.parent for path in modules if path.name == "__init__.py"]
    longest = max(modules, key=lambda path: len(path.read_text(encoding="utf-8").splitlines()))
    return {
        "modules": str(len(modules)),
        "lines of code (no comments, docstrings, blank lines)": f"{sum(code.values()):,}",
        "longest module, lines": str(len(longest.read_text(encoding="utf-8").splitlines())),
        "functions": f"{len(lengths):,}",
        "median function length, lines": f"{statistics.median(lengths):g}",
        "functions above 50 lines": str(sum(n > 50 for n in lengths)),
        "comment lines per hundred lines of code": f"{100 * comments / sum(code.values()):.1f}",
        "dict[str, Any]": str(sum(path.read_text(encoding="utf-8").count("dict[str, Any]") for path in modules)),
        "entries of the fullest room": str(max(len(entries(room)) for room in rooms)),
        "modules whose functions run to train tfidf": str(len(trained)),
        "functions that run to train tfidf": str(sum(map(len, trained.values()))),
    }


def code_lines(path: Path) -> int:
    """The number of lines with code, without blank lines, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in NOT_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
    for docstring in docstrings(ast.parse(text)):
        lines.difference_update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return len(lines)


def docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    """Yield the docstrings of modules, classes, functions and attributes: strings that are statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node


def comment_lines(path: Path) -> int:
    """The number of comments, without directives for tools such as `type: ignore` and `noqa`."""
    with path.open("rb") as file:
        comments = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    return sum(not comment.lstrip("# ").startswith(("type:", "noqa", "pragma")) for comment in comments)


def function_lengths(path: Path) -> Iterator[int]:
    """Yield the number of lines of each function, without its decorators and docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own = next(docstrings(ast.Module(body=node.body[:1], type_ignores=[])), None)
            docstring = 0 if own is None else (own.end_lineno or own.lineno) - own.lineno + 1
            yield (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def entries(room: Path) -> list[str]:
    """The names of the modules and rooms at the top of a room, without `__init__.py`, which is the room itself."""
    return [
        path.name
        for path in room.iterdir()
        if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")
    ]


def run_to_train(checkout: Path) -> dict[str, list[str]]:
    """The functions that `communique train tfidf` on a JSONL file calls, by module."""
    with tempfile.TemporaryDirectory() as folder:
        kinds = (("Aid", "aid"), ("Truce", "truce"))
        rows = [ROW.format(word, i, "pledged" * (i % 3 + 1), label) for i in range(40) for word, label in kinds]
        (Path(folder) / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(checkout), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        command = [sys.executable, "-c", TRACE, str(checkout)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    called = defaultdict(list)
    for line in done.stdout.splitlines():
        module, function = line.split(" ", 1)
        called[module].append(function)
    return called


if __name__ == "__main__":
    main()
