"""Generate the option tables in labels/README.md and trainer/README.md from the commands.

    python .github/scripts/reference.py            # rewrite the tables
    python .github/scripts/reference.py --check    # exit with 1 if a table is out of date

A table is between `<!-- options: COMMAND -->` and `<!-- end -->`.
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
    """Rewrite the pages or, with `--check`, report which pages are out of date."""
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    outdated = [page for page, text in texts.items() if refreshed(text) != text]
    described = {match["command"] for text in texts.values() for match in PLACE.finditer(text)}
    missing = [name for name in commands() if name not in described]
    for name in missing:
        print(f"{name}: no page has its options. Add `<!-- options: {name} -->` and `<!-- end -->` to a page.")
    for page in outdated:
        if "--check" not in sys.argv:
            page.write_text(refreshed(texts[page]), encoding="utf-8")
        print(f"{page.relative_to(ROOT)}: {'out of date' if '--check' in sys.argv else 'rewritten'}")
    if missing or (outdated and "--check" in sys.argv):
        raise SystemExit(1)


def refreshed(text: str) -> str:
    """Return the text of a page with current tables."""
    return PLACE.sub(lambda match: match[1] + table(commands()[match["command"]]) + match[3], text)


@cache
def commands() -> dict[str, Any]:
    """Return all commands by name, such as `annotations import`, in the order in which users need them."""
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name in SUBCOMMANDS:
        command = group.get_command(None, name)
        children = getattr(command, "commands", None)
        found |= {f"{name} {child}": own for child, own in children.items()} if children else {name: command}
    return found


def table(command: Any) -> str:
    """Make a Markdown table with the description and the default of each argument and option."""
    rows = [f"| `{spelling(param)}` | {cell(described(param))} | {cell(default(param))} |" for param in shown(command)]
    return "\n".join(["", "| option | what it does | default |", "| --- | --- | --- |", *rows, "", ""])


def shown(command: Any) -> Iterator[Any]:
    """Yield the parameters of a command, without `--help` and hidden parameters."""
    return (param for param in command.params if not getattr(param, "hidden", False) and param.name != "help")


def spelling(param: Any) -> str:
    """Return the spelling of a parameter, such as `ARTEFACT` or `--out, -o`; a flag has both forms."""
    if param.param_type_name == "argument":
        return f"{param.metavar or param.name}{' ...' if param.nargs == -1 else ''}".upper()
    return ", ".join(sorted(param.opts, key=len, reverse=True)) + "".join(f" / {one}" for one in param.secondary_opts)


def described(param: Any) -> str:
    """Return the help of a parameter, without the default that it may state."""
    return re.sub(r"\s*\\?\[default: .*\]", "", param.help or "")


def default(param: Any) -> str:
    """Return the default from the help, otherwise the value itself; empty if there is no default."""
    stated = re.search(r"\\?\[default: (.*)\]", param.help or "")
    if stated:
        return stated[1]
    if param.required:
        return "required"
    value = None if callable(param.default) else param.default
    plain = isinstance(value, str | int | float | Path) and not isinstance(value, bool) and str(value)
    return f"`{value}`" if plain else ""


def cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return " ".join(text.replace("\\[", "[").replace("|", "\\|").split())


if __name__ == "__main__":
    main()
