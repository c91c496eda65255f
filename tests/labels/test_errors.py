from __future__ import annotations

import re
from pathlib import Path

import pytest

from labels import errors
from labels.errors import (
    CodebookError,
    CommuniqueError,
    DataError,
    DecidedMeanwhileError,
    InputError,
    StoreError,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("error", "parent", "exit_code"),
    [
        (CommuniqueError, Exception, 1),
        (InputError, CommuniqueError, 2),
        (CodebookError, InputError, 2),
        (DataError, InputError, 2),
        (StoreError, CommuniqueError, 1),
        (DecidedMeanwhileError, CommuniqueError, 1),
    ],
)
def test_errors_form_one_tree_with_exit_codes(
    error: type[CommuniqueError], parent: type[Exception], exit_code: int
) -> None:
    assert error.__bases__ == (parent,)
    assert error.exit_code == exit_code


@pytest.mark.parametrize(
    ("row", "place"), [(None, "rows.csv"), (1, "rows.csv:1"), (0, "rows.csv:0"), (4096, "rows.csv:4096")]
)
@pytest.mark.parametrize("path", [Path("rows.csv"), "rows.csv"])
def test_a_place_is_the_file_and_where_known_its_row(path: Path | str, row: int | None, place: str) -> None:
    assert DataError.place(path, row) == place


def test_the_tree_in_the_docstring_names_every_error() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    defined = {found.__name__ for found in classes if found.__module__ == errors.__name__}
    drawn = re.findall(r"^ {4}(?:[|` ]+-- )?(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(defined)


def test_did_you_mean_names_the_nearest_word_whatever_its_case() -> None:
    assert did_you_mean("Aid_pldge", ["aid_pledge", "dismissal"]) == " (did you mean 'aid_pledge'?)"


def test_did_you_mean_says_nothing_when_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["aid_pledge", "dismissal"]) == ""
