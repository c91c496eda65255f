"""Write the option tables of labels/README.md and trainer/README.md from the commands themselves.

    python .github/scripts/reference.py            # rewrite the tables
    python .github/scripts/reference.py --check    # exit 1 if one is out of date

A table stands between `<!-- options: COMMAND -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

from trainer.cli import SUBCOMMANDS, app

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "labels" / "README.md", ROOT / "trainer" / "README.md")
PLACE = re.compile(r"(<!-- options: (?P<command>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Rewrite the pages, or with `--check` say which are out of date."""
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    outdated = [page for page, text in texts.items() if refreshed(text) != text]
    described = {match["command"] for text in texts.values() for match in PLACE.finditer(text)}
    missing = [name for name in commands() if name not in described]
    for name in missing:
        print(f"{name}: no page has its options. Add `<!-- options: {name} -->` and `<!-- end -->` to one.")
    for page in outdated:
        if "--check" not in sys.argv:
            page.write_text(refreshed(texts[page]), encoding="utf-8")
        print(f"{page.relative_to(ROOT)}: {'out of date' if '--check' in sys.argv else 'rewritten'}")
    if missing or (outdated and "--check" in sys.argv):
        raise SystemExit(1)


def refreshed(text: str) -> str:
    """The text of a page with its tables as the commands are now."""
    return PLACE.sub(lambda match: match[1] + table(commands()[match["command"]]) + match[3], text)


@cache
def commands() -> dict[str, Any]:
    """Every command by its words, as `annotations import`, in the order in which a user meets them."""
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name in SUBCOMMANDS:
        command = group.get_command(None, name)
        children = getattr(command, "commands", None)
        found |= {f"{name} {child}": own for child, own in children.items()} if children else {name: command}
    return found


def table(command: Any) -> str:
    """A Markdown table: each argument and option, what it is, and its default."""
    rows = [f"| `{spelling(param)}` | {cell(described(param))} | {cell(default(param))} |" for param in shown(command)]
    return "\n".join(["", "| option | what it does | default |", "| --- | --- | --- |", *rows, "", ""])


def shown(command: Any) -> Iterator[Any]:
    """The parameters that a user gives: `--help` and hidden ones left out."""
    return (param for param in command.params if not getattr(param, "hidden", False) and param.name != "help")


def spelling(param: Any) -> str:
    """`ARTEFACT`, or `--out, -o`; a flag with both its forms."""
    if param.param_type_name == "argument":
        return f"{param.metavar or param.name}{' ...' if param.nargs == -1 else ''}".upper()
    return ", ".join(sorted(param.opts, key=len, reverse=True)) + "".join(f" / {one}" for one in param.secondary_opts)


def described(param: Any) -> str:
    """The help of a parameter without the default that it may tell itself."""
    return re.sub(r"\s*\\?\[default: .*?\]", "", param.help or "")


def default(param: Any) -> str:
    """The default as the help states it, else the value itself; empty where there is none."""
    stated = re.search(r"\\?\[default: (.*?)\]", param.help or "")
    if stated:
        return stated[1]
    if param.required:
        return "required"
    value = None if callable(param.default) else param.default
    plain = isinstance(value, str | int | float | Path) and not isinstance(value, bool) and str(value)
    return f"`{value}`" if plain else ""


def cell(text: str) -> str:
    """Text that a Markdown table can hold."""
    return " ".join(text.replace("\\[", "[").replace("|", "\\|").split())


if __name__ == "__main__":
    main()
