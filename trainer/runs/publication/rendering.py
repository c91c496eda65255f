"""Templates of pages, filled in by Jinja with every value escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from labels.errors import counted
from labels.unicode import visible

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Fill in a template of this room.

    Control characters in values are made visible. Values are escaped for HTML in templates that end with `.html`; other
    templates are plain text.
    """
    return str(_environment().get_template(template).render(**values))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counted"] = counted
    return environment
