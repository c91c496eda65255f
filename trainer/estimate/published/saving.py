"""Write an estimate to a folder, and read it again."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from labels.errors import DataError
from labels.output.folders import output_folder
from labels.output.table_files import write_csv_table
from trainer.estimate.combined.bridging import Bridge
from trainer.estimate.published.methods import methods_text, regression_text
from trainer.estimate.published.trend import draw_bridge, write_plot
from trainer.estimate.regressions.regressing import Regression
from trainer.estimate.results import Estimate

ESTIMATE = "estimate.json"
"""The file that marks a folder as an estimate."""
FILES = (ESTIMATE, "estimates.csv", "methods.md", "estimate.png", "sample.csv", "corpus.csv")
"""The files of every estimate; one with groups also has `differences.csv`."""


def save_estimate(found: Estimate, folder: Path, *, overwrite: bool = False) -> None:
    """Write `FILES` and, if there are groups, `differences.csv` to a new folder.

    Raises:
        DataError: the folder exists and is not an output, or cannot be written; nothing is written then.
    """
    with output_folder(folder, overwrite=overwrite) as draft:
        (draft / ESTIMATE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_csv_table(draft / "estimates.csv", list(found.rows()))
        if found.changes:
            write_csv_table(draft / "differences.csv", list(found.change_rows()))
        write_csv_table(draft / "sample.csv", found.sample_rows)
        write_csv_table(draft / "corpus.csv", found.corpus_rows)
        (draft / "methods.md").write_text(methods_text(found), encoding="utf-8")
        write_plot(found, draft / "estimate.png")


def save_regression(found: Regression, folder: Path, *, overwrite: bool = False) -> None:
    """Write `regression.json`, `coefficients.csv` and `methods.md` to a new folder.

    Raises:
        DataError: the folder exists and is not an output, or cannot be written; nothing is written then.
    """
    with output_folder(folder, overwrite=overwrite) as draft:
        (draft / "regression.json").write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_csv_table(draft / "coefficients.csv", list(found.table_rows()))
        (draft / "methods.md").write_text(regression_text(found), encoding="utf-8")


def save_bridge(found: Bridge, folder: Path, *, overwrite: bool = False) -> None:
    """Write `bridge.json` and `shifts.csv` and, if there is a series, `spliced.csv` and `spliced.png` to a new folder.

    Raises:
        DataError: the folder exists and is not an output, or cannot be written; nothing is written then.
    """
    with output_folder(folder, overwrite=overwrite) as draft:
        (draft / "bridge.json").write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_csv_table(draft / "shifts.csv", list(found.shift_rows()))
        if found.points:
            write_csv_table(draft / "spliced.csv", list(found.rows()))
            draw_bridge(found).savefig(draft / "spliced.png", dpi=150)


def load_estimate(folder: Path) -> Estimate:
    """Read the estimate that `save_estimate` wrote.

    Raises:
        DataError: the folder has no estimate, or its file is not valid.
    """
    path = folder / ESTIMATE
    try:
        return Estimate.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no {ESTIMATE}. Name a folder of `communique estimate --out`.") from None
    except (ValueError, ValidationError) as error:
        raise DataError(f"{path}: not a valid estimate ({error}). Run `communique estimate` again.") from error
