"""Looks at a test part, counted in MLflow: whoever looks often, and changes something in between, fits the test part.

Every logged run and evaluation that shows figures of test sentences has a tag with their hash. Commands that show
figures of an existing run (`compare`, `promote`, `report`) log a run of their own, in the experiment `EXPERIMENT`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from labels.errors import TrackingError
from trainer.runs.tracking.connection import connect, mlflow_store
from trainer.runs.tracking.tracker import tracked_run

logger = logging.getLogger(__name__)

TEST_TAG = "test.hash"
"""MLflow tag of the runs that show figures of test sentences: 16 hex digits of their texts and gold."""
EXPERIMENT = "communique-looks"
_ENDED_BEFORE = ("FAILED", "KILLED")
"""The status of runs that have shown no figures."""


def count_looks(test_hash: str) -> int | None:
    """Return the number of runs and commands that have shown, or are about to show, figures of these test sentences.

    Deleted runs count: what was seen cannot be unseen. None, with a warning, if MLflow cannot be read.
    """
    try:
        with mlflow_store("read") as mlflow:
            found = mlflow.search_runs(
                search_all_experiments=True,
                filter_string=f"tags.`{TEST_TAG}` = '{test_hash}'",
                run_view_type=mlflow.entities.ViewType.ALL,
                output_format="list",
            )
    except TrackingError as error:
        logger.warning("The looks at these test sentences could not be counted: %s", error)
        return None
    return sum(run.info.status not in _ENDED_BEFORE for run in found)


def note_look(test_hash: str, command: str, shown: Sequence[str]) -> int | None:
    """Log that a command shows figures of test sentences; returns the number of looks, this one included.

    None if there is no MLflow store, or if it cannot be written, with a warning.

    Args:
        shown: the runs or models whose figures are shown.
    """
    try:
        connect(create=False)
    except TrackingError:  # nothing is tracked in this folder
        return None
    tags = {TEST_TAG: test_hash, "look.shown": ", ".join(shown)[:500]}
    try:
        with tracked_run(EXPERIMENT, command, tags):
            pass
    except TrackingError as error:
        logger.warning("This look at the test sentences could not be counted: %s", error)
        return None
    return count_looks(test_hash)
