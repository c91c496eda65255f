from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from tests.conftest import make_examples


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Many small fits: threads that wait for each other would take most of the time."""
    with threadpool_limits(1):
        yield


def table_of(n: int, *, exclusive: bool = False) -> pd.DataFrame:
    """Sentences with `labels` (a set), `label` (its first, or "") and `document_id`."""
    examples = make_examples(n, exclusive=exclusive)
    return pd.DataFrame(
        {
            "text": [example.text for example in examples],
            "labels": [example.labels for example in examples],
            "label": [example.labels[0] if example.labels else "" for example in examples],
            "document_id": [example.document_id for example in examples],
        }
    )


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """Sentences of which some have two labels."""
    return table_of(160)


@pytest.fixture(scope="session")
def exclusive_table() -> pd.DataFrame:
    """Sentences with one of three labels each."""
    found = table_of(200, exclusive=True)
    return found[found.label != ""].reset_index(drop=True)
