"""The search form of a text (`labels.unicode.typography.search_form`) in the queries of both databases."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from labels.unicode.typography import IGNORED, REPLACED

SEARCH_FORM = "search_form"
"""The name under which SQLite knows the Python function."""

_CASELESS = {"ς": "σ", "ß": "ss"}
"""Letters that `casefold` changes and PostgreSQL's `lower` does not."""


class SearchForm(FunctionElement[str]):
    """The search form of a text column: compare it with the search form of the searched words."""

    type = sa.Text()
    inherit_cache = True
    name = SEARCH_FORM


@compiles(SearchForm)
def _on_sqlite(element: SearchForm, compiler: SQLCompiler, **options: Any) -> str:
    return f"{SEARCH_FORM}({compiler.process(element.clauses, **options)})"


@compiles(SearchForm, "postgresql")
def _on_postgresql(element: SearchForm, compiler: SQLCompiler, **options: Any) -> str:
    """PostgreSQL has no Python functions, but `normalize` since version 13."""
    (text,) = element.clauses
    joined = sa.func.regexp_replace(text, "\u00ad[ \t]*\n[ \t]*", "", "g")
    plain = _translated(sa.func.normalize(_translated(joined), sa.literal_column("NFKC")))
    folded = sa.func.lower(sa.func.regexp_replace(plain, " +", " ", "g"))
    for letter, other in _CASELESS.items():
        folded = sa.func.replace(folded, letter, other)
    return compiler.process(folded, **options)


def _translated(text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    # `translate` deletes the characters that have no counterpart: those at the end.
    return sa.func.translate(text, "".join(REPLACED) + IGNORED, "".join(REPLACED.values()))
