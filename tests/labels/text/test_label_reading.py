"""All label cells of files together: splits, merges, `none`, blank cells, states, names, and what is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.codebook.schema import NAME, Codebook, codebook_from_dict
from labels.errors import CommuniqueError, DataError
from labels.text.examples import ReadingOptions, infer_labels, read_examples, read_labelled
from labels.text.labelled.label_reading import Blank, LabelCell, LabelReading, read_labels
from labels.text.labelled.label_values import LabelValue

WriteJsonl = Callable[[str, list[dict[str, Any]]], Path]
AID, TRUCE, NONE = ("aid",), ("truce",), ()


def read(
    *values: Any, codebook: Codebook | None = None, column: str = "label", blank: Blank = "", states: Any = ()
) -> LabelReading:
    cells = [LabelCell(f"a.csv:{n}", column, value) for n, value in enumerate(values, 1)]
    for number, state in enumerate(states):
        cells[number] = LabelCell(cells[number].place, column, values[number], state)
    return read_labels([("a.csv", cells)], codebook, blank=blank, name="a")


def sets(*values: Any, **options: Any) -> tuple[Any, ...]:
    return read(*values, **options).label_sets[0]


def refusal(*values: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(*values, **options)
    return str(caught.value)


def noted(reading: LabelReading, part: str) -> str:
    (found,) = [note for note in reading.notes if part in note]
    return found


# -- several labels in a cell


def test_a_bar_in_the_column_label_makes_the_file_multi_label() -> None:
    reading = read("aid|truce", "aid")
    assert reading.label_sets == ((("aid", "truce"), AID),)
    assert not reading.codebook.exclusive
    assert noted(reading, "multi-label").startswith("the column `label` was read as multi-label, because a.csv:1 has")


@pytest.mark.parametrize("value", ["aid, truce", "aid;truce", "aid#truce", "aid,truce", "Aid ; truce", "aid\ntruce"])
def test_parts_that_also_occur_alone_are_labels(value: str) -> None:
    reading = read(value, "aid", "truce")
    assert reading.label_sets[0][0] == ("aid", "truce")
    assert "were split into labels, because each part also occurs alone" in noted(reading, "split")


def test_separators_at_the_ends_of_cells_make_no_labels() -> None:
    reading = read("aid;", "truce,", "aid; truce;", ";;")
    assert reading.label_sets[0][:3] == (("aid",), ("truce",), ("aid", "truce"))
    assert "such as ';;' were kept as one label" in noted(reading, "kept")


def test_parts_that_do_not_occur_alone_stay_together() -> None:
    reading = read("Trade, aid", "aid", "aid, truce")
    assert [label.title for label in reading.codebook.labels] == ["Trade, aid", "aid", "aid, truce"]
    assert "such as 'Trade, aid' were kept as one label" in noted(reading, "kept")
    assert "(2 rows)" in noted(reading, "kept")


def test_parts_of_a_codebook_need_not_occur_in_the_file(codebook: Codebook) -> None:
    assert sets("aid, truce", codebook=codebook) == (("aid", "truce"),)
    assert "label 'aid, other' is not in codebook" in refusal("aid, other", codebook=codebook)


def test_items_of_a_list_are_never_split() -> None:
    assert sets(["aid, truce"], ["aid"], ["truce"]) == (("aid_truce",), AID, TRUCE)


@pytest.mark.parametrize("value", ["['aid', 'truce']", '["aid", "truce"]', '{"choices": ["aid", "truce"]}'])
def test_lists_in_text_are_lists(value: str) -> None:
    reading = read(value, "aid", "[]")
    assert reading.label_sets == ((("aid", "truce"), AID, NONE),)
    assert reading.codebook.label_names == ("aid", "truce")


def test_two_labels_of_an_exclusive_codebook_are_refused(exclusive_codebook: Codebook) -> None:
    assert refusal("aid", "aid|truce", codebook=exclusive_codebook).startswith(
        "a.csv:2: codebook 'one-of' is exclusive"
    )


@pytest.mark.parametrize("none", ["[]", '{"choices": []}', "none", []])
def test_one_label_or_none_in_the_column_label_is_exclusive(none: Any) -> None:
    reading = read('{"choices": ["aid"]}', "['truce']", none)
    assert reading.label_sets == ((AID, TRUCE, NONE),)
    assert (reading.codebook.exclusive, reading.codebook.allow_none) == (True, True)


# -- values that are the same label


def test_values_that_differ_in_case_or_white_space_are_one_label() -> None:
    reading = read("aid", "aid", "Aid", "AID ", "World  news", "world news")
    assert reading.codebook.label_names == ("aid", "world_news")
    assert reading.label_sets[0][:4] == (AID,) * 4
    note = noted(reading, "one label")
    assert "aid: 'aid' 2, 'AID' 1, 'Aid' 1" in note


def test_values_that_differ_in_typography_are_one_label() -> None:
    reading = read("cease-fire", "cease\u2011fire", "Cease–fire", "don't", "don’t", "no\u00a0deal", "no deal")
    assert len(set(reading.label_sets[0])) == len(reading.codebook.labels) == 3
    assert read("'aid'", "aid", "“truce”", "truce").label_sets == ((AID, AID, TRUCE, TRUCE),)
    assert "cease-fire: 'cease-fire' 1, 'cease\u2011fire' 1, 'Cease–fire' 1" in noted(reading, "one label")


@pytest.mark.parametrize("values", [("1", "1.0", "2"), (1, 1.0, 2), ("1", 1.0, 2), ("1.0", "1", "2.0")])
def test_1_and_1_0_are_one_label(values: tuple[Any, ...]) -> None:
    reading = read(*values)
    assert len(reading.codebook.labels) == 2
    assert reading.label_sets[0][0] == reading.label_sets[0][1] != reading.label_sets[0][2]


def test_a_value_means_the_label_of_the_codebook_whatever_its_case(codebook: Codebook) -> None:
    reading = read("AID", "aid", "Truce ", codebook=codebook)
    assert reading.label_sets == ((AID, AID, TRUCE),)
    assert noted(reading, "one label") == (
        "values that differ only in case, white space, typography or '.0' count as one label (rows per value: "
        "aid: 'aid' 1, 'AID' 1; truce: 'Truce' 1)"
    )


def test_labels_of_several_files_are_read_together() -> None:
    files = [("a.csv", [LabelCell("a.csv:1", "label", "Aid")]), ("b.csv", [LabelCell("b.csv:1", "label", "aid, War")])]
    files += [("c.csv", [LabelCell("c.csv:1", "label", "war"), LabelCell("c.csv:2", "label", "war")])]
    assert read_labels(files, None, name="a").label_sets == ((("aid",),), (("aid", "war"),), (("war",), ("war",)))


# -- names


def test_values_in_other_scripts_keep_a_recognisable_name() -> None:
    reading = read("перемирие", "помощь", "помощь", "停火", "هدنة", "Élysée")
    names = {value.value: value.name for value in reading.values}
    assert names == {
        "помощь": "pomoshch",
        "перемирие": "peremirie",
        "停火": "TingHuo",
        "هدنة": "hdnh",
        "Élysée": "Elysee",
    }
    assert reading.values[0] == LabelValue("помощь", "pomoshch", 2)


def test_a_sign_is_part_of_the_name() -> None:
    assert read("-1", "1", "0").codebook.label_names == ("minus_1", "0", "1")
    assert read("C", "C+", "C++", "-0.5").codebook.label_names == ("minus_0.5", "C", "C_plus", "C_plus_plus")


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_every_inferred_name_is_valid_and_reads_back(values: list[str]) -> None:
    try:
        reading = read(["other"], *([value] for value in values), blank="undecided")
    except CommuniqueError:
        return
    assert all(NAME.fullmatch(name) for name in reading.codebook.label_names)
    again = read(["other"], *([value] for value in values), codebook=reading.codebook, blank="undecided")
    assert again.label_sets == reading.label_sets


# -- none, blank, and no decision


def test_none_is_the_empty_set() -> None:
    reading = read("none", "None", "aid", "truce")
    assert reading.label_sets == ((NONE, NONE, AID, TRUCE),)
    assert reading.codebook.allow_none
    assert noted(reading, "'none'") == "label cells with 'none' were read as no label (2 rows)"


def test_a_blank_or_missing_value_is_no_decision() -> None:
    reading = read("aid", "", " ", None, float("nan"), "nan", "truce")
    assert reading.label_sets == ((AID, None, None, None, None, None, TRUCE),)
    assert not reading.codebook.allow_none
    assert noted(reading, "left out") == (
        "a.csv: 5 of 7 rows were left out, because nobody decided (no value 3, blank 2)"
    )


@pytest.mark.parametrize("missing", ["NA", "n/a", "N/A", "#N/A", "NULL", "-", "—", "...", "?", "#REF!"])
def test_text_for_a_missing_value_is_no_decision(missing: str) -> None:
    assert sets("aid", missing, "truce", f" {missing} ") == (AID, None, TRUCE, None)


def test_text_for_a_missing_value_is_a_label_where_the_codebook_has_it() -> None:
    book = codebook_from_dict({"name": "b", "labels": [{"name": "namibia", "title": "NA"}]}, "b")
    assert sets("NA", "na", "N/A", codebook=book) == (("namibia",), ("namibia",), None)


def test_a_minus_beside_a_plus_is_a_label() -> None:
    reading = read("+", "-", "+")
    assert [label.title for label in reading.codebook.labels] == ["+", "-"]
    assert None not in reading.label_sets[0]


def test_a_blank_cell_is_none_if_the_user_says_so() -> None:
    reading = read("aid", "", "\u00a0", None, "truce", blank="none")
    assert reading.label_sets == ((AID, NONE, NONE, None, TRUCE),)
    assert "blank label cells were read as no label, as requested (2 rows)" in noted(reading, "as requested")


def test_more_than_half_blank_rows_of_a_multi_label_file_stop_with_both_readings(codebook: Codebook) -> None:
    message = refusal("aid", "truce", "", "", "", codebook=codebook)
    assert message.startswith("a.csv: 3 of 5 rows have a blank label cell, and the file is multi-label.")
    assert 'no label applies: 5 rows count, 3 of them without a label. Set data.blank = "none"' in message
    assert 'nobody decided: 2 rows count. Set data.blank = "undecided"' in message
    for values in (("aid", "aid|truce", "", "", ""), ("aid", "['truce', 'aid']", "", "", "")):
        assert "3 of 5 rows have a blank label cell" in refusal(*values)


def test_half_blank_rows_do_not_stop_nor_does_a_choice(codebook: Codebook) -> None:
    assert sets("aid", "", codebook=codebook) == (AID, None)
    assert sets("aid", "", "", codebook=codebook, blank="undecided") == (AID, None, None)
    assert sets("aid", "", "", codebook=codebook, blank="none") == (AID, NONE, NONE)


def test_blank_rows_of_an_exclusive_file_are_left_out(exclusive_codebook: Codebook) -> None:
    assert sets("aid", "", "", codebook=exclusive_codebook) == (AID, None, None)


@pytest.mark.parametrize("blank", ["", "none"])
@pytest.mark.parametrize("value", ["", None, "[]"])
def test_the_state_decides_before_the_cell(codebook: Codebook, value: Any, blank: Blank) -> None:
    states = ("reviewed", "reviewed", "skipped", "unseen", "not_a_sentence")
    reading = read("aid", *[value] * 4, codebook=codebook, blank=blank, states=states)
    assert reading.label_sets == ((AID, NONE, None, None, None),)
    assert "3 of 5 rows were left out" in noted(reading, "left out")


def test_labels_in_a_skipped_row_are_refused(codebook: Codebook) -> None:
    message = refusal("truce", "aid", codebook=codebook, states=("", "skipped"))
    assert message == "a.csv:2: `state` skipped allows no labels, but the row has labels. Fix the row."


def test_a_misspelt_state_is_refused(codebook: Codebook) -> None:
    message = refusal("truce", "aid", codebook=codebook, states=("reviewed", "reviewd"))
    assert message.startswith("a.csv:2: `state` must be reviewed or skipped")
    assert "(did you mean 'reviewed'?)" in message


def test_a_column_state_of_regions_is_ignored(codebook: Codebook) -> None:
    reading = read("aid", "truce", codebook=codebook, states=("ohio", "bavaria"))
    assert reading.label_sets == ((AID, TRUCE),)
    assert "the column `state` was ignored" in noted(reading, "`state`")


# -- files


def examples(path: Path, **options: Any) -> list[tuple[str, tuple[str, ...]]]:
    found = read_labelled([(path, "train")], None, ReadingOptions(**options))
    return [(example.text, example.labels) for example in found.examples[0]]


def test_integers_and_floats_of_a_data_frame_are_labels() -> None:
    for values in ([1.0, float("nan"), 0.0, 1.0], pd.array([1, None, 0, 1], dtype="Int64")):
        pd.DataFrame({"text": ["a", "b", "c", "d"], "label": values}).to_parquet("a.parquet")
        assert examples(Path("a.parquet")) == [("a", ("1",)), ("c", ("0",)), ("d", ("1",))]


def test_categories_and_lists_of_numbers_are_labels() -> None:
    labels = pd.Series(["b", None, "a"], dtype="category")
    pd.DataFrame({"text": ["x", "y", "z"], "label": labels}).to_parquet("a.parquet")
    assert examples(Path("a.parquet")) == [("x", ("b",)), ("z", ("a",))]
    pq.write_table(pa.table({"text": ["x", "y", "z"], "labels": [[3], [1, 3], []]}), "b.parquet")
    assert examples(Path("b.parquet")) == [("x", ("3",)), ("y", ("1", "3")), ("z", ())]


def test_rows_of_0_and_1_are_refused_as_label_numbers(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl("a.jsonl", [{"text": "x", "labels": [0, 1]}, {"text": "y", "labels": [1, 1]}])
    with pytest.raises(DataError, match=r"^a\.jsonl:2: the list \[1, 1\] looks like one 0 or 1 per label\."):
        examples(Path(path.name))


def test_rows_of_one_0_and_one_1_are_refused() -> None:
    assert refusal([0, 1], [1, 0], [0, 1]).startswith("a.csv:1: each list contains one 0 and one 1")
    assert sets([0, 1], [1], [0, 1])[0] == ("0", "1")


@pytest.mark.parametrize("kind", ["Sequence", "List"])
def test_lists_of_classes_have_the_names_in_the_schema(kind: str) -> None:
    import datasets

    classes = datasets.ClassLabel(names=["aid", "truce"])
    column = datasets.Sequence(classes) if kind == "Sequence" else datasets.List(classes)
    features = datasets.Features({"text": datasets.Value("string"), "labels": column})
    rows = {"text": ["a", "b", "c", "d", "e"], "labels": [[1, 0], [], None, [1], [-1]]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet("a.parquet")
    assert examples(Path("a.parquet")) == [("a", ("aid", "truce")), ("b", ()), ("d", ("truce",))]


def test_a_class_of_minus_1_is_no_decision() -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["aid", "war"])})
    rows = {"text": ["a", "b", "c", "d"], "label": [1, -1, None, 0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet("a.parquet")
    assert examples(Path("a.parquet")) == [("a", ("war",)), ("d", ("aid",))]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"label": "aid", "labels": None}, ("aid",)),
        ({"label": None, "labels": ["aid", "truce"]}, ("aid", "truce")),
        ({"label": "Aid", "labels": ["aid"]}, ("aid",)),
        ({"label": None, "labels": []}, ()),
    ],
)
def test_a_row_with_both_columns_is_read_if_they_agree(
    codebook: Codebook, write_jsonl: WriteJsonl, row: dict[str, Any], labels: tuple[str, ...]
) -> None:
    (example,) = read_examples(write_jsonl("a.jsonl", [{"text": "x"} | row]), codebook)
    assert example.labels == labels


def test_label_columns_that_differ_are_refused_with_the_option(codebook: Codebook, write_jsonl: WriteJsonl) -> None:
    path = write_jsonl("a.jsonl", [{"text": "x", "label": "aid", "labels": ["truce"]}])
    with pytest.raises(DataError, match=r"a\.jsonl:1: the row has both .*--label-column .*data\.label_column"):
        read_examples(path, codebook)
    options = ReadingOptions(label_column="labels")
    assert read_labelled([(path, "")], codebook, options).examples[0][0].labels == ("truce",)


def test_files_of_other_people_are_read_by_naming_columns() -> None:
    Path("a.csv").write_text("Tweet;Kategorie\nOslo, again;aid\nNo.;\n", encoding="utf-8")
    assert examples(Path("a.csv"), text_column="Tweet", label_column="Kategorie", blank="none") == [
        ("Oslo, again", ("aid",)),
        ("No.", ()),
    ]


def test_the_message_about_a_missing_text_column_names_separator_or_column(codebook: Codebook) -> None:
    Path("a.csv").write_text("tweet|label\nx|aid\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"label.*separated|separated.*label"):
        read_examples(Path("a.csv"), codebook)
    Path("b.csv").write_text("tweet,label\nx,aid\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"Its columns: tweet, label\. Rename .* or choose the column with --text-column"
    ):
        read_examples(Path("b.csv"), codebook)


def test_a_file_without_any_decision_is_refused(codebook: Codebook, write_jsonl: WriteJsonl) -> None:
    path = write_jsonl("a.jsonl", [{"text": "x", "label": None}, {"text": "y", "label": None}])
    with pytest.raises(DataError, match=r"a\.jsonl: no annotator has decided on any row \(2 rows\)"):
        read_examples(path, codebook)


def test_undecided_rows_do_not_change_the_ids_of_other_rows(codebook: Codebook, write_jsonl: WriteJsonl) -> None:
    rows = [{"text": "x", "label": "aid"}, {"text": "y", "label": "truce"}, {"text": "z", "label": "aid"}]
    whole = read_examples(write_jsonl("a.jsonl", rows), codebook, "train")
    part = read_examples(write_jsonl("b.jsonl", [rows[0], rows[1] | {"label": None}, rows[2]]), codebook, "train")
    assert part == [whole[0], whole[2]]


WRITERS: dict[str, Callable[[list[str]], str]] = {
    "bars": "|".join,
    "json": json.dumps,
    "python": repr,
    "choices": lambda labels: json.dumps({"choices": labels}),
}
LABELS = st.lists(st.sampled_from(["aid", "truce", "World news", "перемирие"]), unique=True, min_size=1)


@given(st.lists(LABELS, min_size=1, max_size=5), st.sampled_from(sorted(WRITERS)))
def test_a_written_set_is_read_as_this_set_from_any_form(label_sets: list[list[str]], writer: str) -> None:
    everything = ["aid", "truce", "World news", "перемирие"]
    reading = read(*map(WRITERS[writer], label_sets), *everything)
    titles = {label.name: label.title for label in reading.codebook.labels}
    found = [{titles[name] for name in labels or ()} for labels in reading.label_sets[0]]
    assert found == [*map(set, label_sets), *({label} for label in everything)]


@given(st.lists(st.text(max_size=12), max_size=6), st.sampled_from(["", "none", "undecided"]))
def test_any_cells_are_read_or_refused(values: list[str], blank: Blank) -> None:
    try:
        reading = read(*values, blank=blank)
    except CommuniqueError:
        return
    assert len(reading.label_sets[0]) == len(values)


def test_inferring_needs_no_texts() -> None:
    Path("a.csv").write_text("label\naid\ntruce\n", encoding="utf-8")
    assert infer_labels([Path("a.csv")]).codebook.label_names == ("aid", "truce")
