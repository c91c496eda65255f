from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from labels.codebook.schema import (
    RESERVED_KEYS,
    Codebook,
    codebook_from_dict,
    dump_codebook,
    load_codebook,
    parse_codebook,
    shipped_codebooks,
)
from labels.errors import CodebookError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
TUPLES = st.lists(TEXTS, max_size=3).map(tuple)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,12}", fullmatch=True).filter(lambda name: name.lower() != "none")
EXAMPLES = st.lists(st.fixed_dictionaries({"text": TEXTS.filter(bool), "why": TEXTS}), max_size=2)
FREE_KEYS = sorted(set(string.ascii_letters + string.digits) - RESERVED_KEYS)


@st.composite
def codebooks(draw: st.DrawFn) -> Codebook:
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    keys = draw(st.lists(st.sampled_from(FREE_KEYS), min_size=len(names), max_size=len(names), unique=True))
    labels = [
        {
            "name": name,
            "key": draw(st.sampled_from(["", key])),
            "title": draw(TEXTS),
            "definition": draw(TEXTS),
            "include": draw(TUPLES),
            "cues": draw(TUPLES),
            "examples": draw(EXAMPLES),
            "counterexamples": draw(EXAMPLES),
            "crosswalk": draw(st.dictionaries(TEXTS, TUPLES, max_size=2)),
        }
        for name, key in zip(names, keys, strict=True)
    ]
    content = {
        "name": draw(TEXTS),
        "version": draw(TEXTS),
        "description": draw(TEXTS),
        "exclusive": draw(st.booleans()),
        "allow_none": draw(st.booleans()),
        "rules": draw(TUPLES),
        "labels": labels,
    }
    return codebook_from_dict(content, "drawn")


def minimal(**changes: Any) -> dict[str, Any]:
    return {"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]} | changes


def refusal(content: dict[str, Any]) -> list[str]:
    """The lines of the message with which `content` is refused."""
    with pytest.raises(CodebookError) as caught:
        codebook_from_dict(content, "mine.toml")
    return str(caught.value).splitlines()


@settings(deadline=None, max_examples=60)
@given(codebooks())
def test_a_dumped_codebook_reads_back_equal_and_with_its_hash(book: Codebook) -> None:
    again = parse_codebook(dump_codebook(book), "again.toml")
    assert again == book
    assert again.hash == book.hash


@pytest.mark.parametrize("text", ['say "no"', "a\\b", "tab\there", "two\nlines", "\x7f\x00\x1f", "…’\u2028", "]", "#"])
def test_awkward_text_survives_the_dump(text: str) -> None:
    label = {
        "name": "aid",
        "definition": text,
        "cues": [text],
        "examples": [{"text": text}],
        "crosswalk": {text: [text]},
    }
    book = codebook_from_dict(minimal(description=text, labels=[label]), "b")
    assert parse_codebook(dump_codebook(book), "b").labels[0].crosswalk == {text: (text,)}
    assert parse_codebook(dump_codebook(book), "b") == book


@settings(deadline=None, max_examples=60)
@given(codebooks())
def test_labels_without_a_key_get_a_free_one(book: Codebook) -> None:
    keys = book.keys
    assert tuple(keys.values()) == book.label_names
    assert all(keys[label.key] == label.name for label in book.labels if label.key)
    assert not RESERVED_KEYS.intersection(keys)
    assert all(len(key) == 1 for key in keys)


def test_labels_without_a_key_get_digits_then_letters_around_those_taken() -> None:
    labels = [{"name": "first"}, {"name": "taken", "key": "1"}, *({"name": f"l{i}"} for i in range(10))]
    keys = codebook_from_dict(minimal(labels=labels), "b").keys
    assert list(keys) == ["2", "1", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c"]
    assert keys["2"] == "first"


def test_labels_beyond_the_available_keys_have_none() -> None:
    book = codebook_from_dict(minimal(labels=[{"name": f"l{i}"} for i in range(80)]), "b")
    assert len(book.keys) == 9 + 26 + 26 - len("nsuq")
    assert list(book.keys.values()) == list(book.label_names[: len(book.keys)])
    assert book.keyless == book.label_names[len(book.keys) :]
    assert list(book.shown_keys) == list(book.label_names)
    assert (book.shown_keys["l0"], book.shown_keys["l79"]) == ("1", "#")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("threat", "threat"),
        ("th", "threat"),
        ("TH", "threat"),
        ("aid", "aid"),
        ("AID", "aid"),
        ("AID_", "aid_pledge"),
        ("Tr", "Truce"),
    ],
)
def test_a_label_is_found_by_its_name_or_a_unique_beginning(typed: str, name: str) -> None:
    labels = [{"name": name} for name in ("aid", "aid_pledge", "Truce", "threat")]

    assert codebook_from_dict(minimal(labels=labels), "b").label_beginning(typed) == name


def test_a_beginning_that_no_label_has_is_refused_with_the_nearest_name(codebook: Codebook) -> None:
    with pytest.raises(CodebookError, match=r"^No label name begins") as refused:
        codebook.label_beginning("trcue")
    assert str(refused.value).endswith(" 'trcue' (did you mean 'truce'?). The labels are: aid, truce")


def test_a_beginning_that_several_labels_have_is_refused_with_the_first_of_them() -> None:
    book = codebook_from_dict(minimal(labels=[{"name": f"l{i}"} for i in range(30)]), "b")

    with pytest.raises(CodebookError, match=r"label names begin") as refused:
        codebook_from_dict(minimal(labels=[{"name": "l20"}, {"name": "l21"}]), "b").label_beginning("l2")
    assert str(refused.value) == "2 label names begin with 'l2'. Type more of the name: l20, l21"

    with pytest.raises(CodebookError, match=r"^30 label names begin.*: l0, l1, .*, l11, …$"):
        book.label_beginning("l")


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
def test_a_key_of_the_labelling_prompt_is_refused(key: str) -> None:
    lines = refusal(minimal(labels=[{"name": "aid", "key": key}]))
    assert lines[1].startswith("  labels.1.key: ")
    assert f"'{key}'" in lines[1]
    assert "reserved" in lines[1]


@pytest.mark.parametrize("key", [" ", ",", "\t"])
def test_a_key_that_the_prompt_drops_as_a_separator_is_refused(key: str) -> None:
    assert "labels.1.key" in refusal(minimal(labels=[{"name": "aid", "key": key}]))[1]


@pytest.mark.parametrize("name", ["", "two words", "a|b", "é", "-aid", "_aid", "aid\n", "a/b"])
def test_a_label_name_unfit_for_columns_and_files_is_refused(name: str) -> None:
    lines = refusal(minimal(labels=[{"name": "truce"}, {"name": name}]))
    assert lines[1].startswith("  labels.2.name: ")
    assert "letters, digits" in "\n".join(lines)


@pytest.mark.parametrize("name", ["none", "None", "NONE"])
def test_none_cannot_be_a_label(name: str) -> None:
    assert "empty set" in refusal(minimal(labels=[{"name": name}, {"name": "aid"}]))[1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (minimal(labels=[{"name": "aid"}, {"name": "aid"}]), "codebook: label name 'aid' is used 2 times"),
        (minimal(labels=[{"name": "aid", "key": "a"}, {"name": "b", "key": "a"}]), "codebook: key 'a' is used 2 times"),
        (minimal(exclusive=True, allow_none=False, labels=[{"name": "aid"}]), "at least two labels"),
        (minimal(labels=[]), "labels: "),
        ({"labels": [{"name": "aid"}]}, "name: Field required"),
        ({"name": "b"}, "labels: Field required"),
        (minimal(labels=[{"name": "aid"}, {"definition": "x"}]), "labels.2.name: Field required"),
        (minimal(exlusive=True), "exlusive: unknown key (did you mean 'exclusive'?)"),
        (
            minimal(labels=[{"name": "aid"}, {"name": "b", "defintion": "x"}]),
            "labels.2.defintion: unknown key (did",
        ),
        (minimal(zebra=1), "zebra: unknown key"),
        (minimal(version=2), "version: "),
        (minimal(rules="one"), "rules: "),
        (minimal(labels=[{"name": "aid"}, {"name": "b", "cues": "pledg*"}]), "labels.2.cues: "),
        (minimal(labels=[{"name": "aid"}, {"name": "b", "key": "ab"}]), "labels.2.key: "),
        (minimal(labels=[{"name": "aid"}, {"name": "b", "examples": [{"text": ""}]}]), "labels.2.examples.1.text: "),
    ],
)
def test_each_problem_is_shown_at_its_key(content: dict[str, Any], problem: str) -> None:
    lines = refusal(content)
    assert lines[0] == "mine.toml: this codebook is not valid."
    assert problem in lines[1]
    assert "communique codebook show" in lines[-1]


def test_all_problems_are_listed_at_once_and_no_others() -> None:
    labels = [{"name": "aid", "key": "q"}, {"name": "b", "titel": "B"}, {"name": "fine"}]
    lines = refusal(minimal(exclusiv=True, labels=labels))
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["labels.1.key", "labels.2.titel", "exclusiv"]


def test_a_wrong_label_is_not_reported_as_missing_too() -> None:
    lines = refusal(minimal(labels=[{"name": "aid", "key": "q"}]))
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["labels.1.key"]


@pytest.mark.parametrize(("key", "hint"), [("txt", " (did you mean 'text'?)"), ("title", "")])
def test_the_hint_for_a_key_of_an_example_is_a_key_of_examples(key: str, hint: str) -> None:
    lines = refusal(minimal(labels=[{"name": "aid", "examples": [{"text": "x", key: "y"}]}]))
    assert lines[1] == f"  labels.1.examples.1.{key}: unknown key{hint}"


def test_a_codebook_cannot_be_changed_in_place(codebook: Codebook) -> None:
    with pytest.raises(ValidationError):
        codebook.version = "2"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        codebook.labels[0].definition = "Other."  # type: ignore[misc]


def test_the_hash_depends_on_the_content_not_on_how_it_is_written() -> None:
    plain = codebook_from_dict(minimal(), "b")
    spelt_out = codebook_from_dict(minimal(version="1", exclusive=False, rules=[]), "elsewhere.toml")
    assert plain.hash == spelt_out.hash
    assert len(plain.hash) == 16
    assert set(plain.hash) <= set("0123456789abcdef")


def test_the_hash_of_a_content_stays_the_same_across_versions_of_the_kit() -> None:
    """Stores and artefacts record it."""
    labels = [{"name": "aid", "crosswalk": {"plover": ["AID"]}}, {"name": "truce", "examples": [{"text": "x"}]}]
    assert codebook_from_dict(minimal(rules=["é"], labels=labels), "b").hash == "e708b29f7008c46a"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"version": "2"},
        {"exclusive": True},
        {"allow_none": False},
        {"rules": ["Judge the sentence alone."]},
        {"labels": [{"name": "truce"}, {"name": "aid"}]},
        {"labels": [{"name": "aid", "definition": "Help."}, {"name": "truce"}]},
        {"labels": [{"name": "aid", "crosswalk": {"plover": ["AID"]}}, {"name": "truce"}]},
    ],
)
def test_any_change_of_content_changes_the_hash(changes: dict[str, Any]) -> None:
    assert codebook_from_dict(minimal(**changes), "b").hash != codebook_from_dict(minimal(), "b").hash


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["aid", "truce", "threat"]), max_size=6))
def test_checked_labels_are_unique_and_in_codebook_order(labels: list[str]) -> None:
    book = codebook_from_dict(minimal(labels=[{"name": name} for name in ("threat", "aid", "truce")]), "b")
    assert book.check_labels(labels, "x") == tuple(name for name in ("threat", "aid", "truce") if name in labels)


def test_an_unknown_label_is_refused_with_place_nearest_name_and_choices(codebook: Codebook) -> None:
    with pytest.raises(CodebookError) as caught:
        codebook.check_labels(["aid", "trucee"], "rows.jsonl:7")
    message = str(caught.value)
    assert message.startswith("rows.jsonl:7: label 'trucee'")
    assert "did you mean 'truce'" in message
    assert "aid, truce" in message


@pytest.mark.parametrize(("labels", "problem"), [(["aid", "truce"], "there are 2 labels"), ([], "requires a label")])
def test_an_exclusive_codebook_takes_exactly_one_label(labels: list[str], problem: str) -> None:
    book = codebook_from_dict(minimal(exclusive=True, allow_none=False), "b")
    assert book.check_labels(["truce", "truce"], "x") == ("truce",)
    with pytest.raises(CodebookError) as caught:
        book.check_labels(labels, "rows.csv:2")
    assert str(caught.value).startswith("rows.csv:2: ")
    assert problem in str(caught.value)


def test_no_label_is_allowed_where_the_codebook_allows_none(codebook: Codebook, exclusive_codebook: Codebook) -> None:
    assert codebook.check_labels([], "x") == ()
    assert exclusive_codebook.check_labels([], "x") == ()


def test_every_shipped_codebook_loads_by_name_and_defines_its_labels() -> None:
    assert "diplomatic" in shipped_codebooks()
    for name in shipped_codebooks():
        book = load_codebook(name)
        assert all(label.definition and label.key and label.cues and label.crosswalk for label in book.labels)
        assert parse_codebook(dump_codebook(book), name) == book


def test_the_default_codebook_has_the_four_statement_types() -> None:
    book = load_codebook("diplomatic")
    assert book.name == "diplomatic-statements"
    assert book.label_names == ("aid_pledge", "ceasefire_call", "weapons_request", "dismissal")
    assert not book.exclusive
    assert book.allow_none


def test_a_file_is_loaded_by_path_and_wins_over_a_shipped_name(isolated: Path, codebook: Codebook) -> None:
    (isolated / "mine.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    (isolated / "diplomatic").write_text(dump_codebook(codebook), encoding="utf-8")
    assert load_codebook("mine.toml") == codebook
    assert load_codebook(isolated / "mine.toml") == codebook
    assert load_codebook("diplomatic") == codebook


@pytest.mark.parametrize("name", ["absent.toml", "diplomatik", ".", "x" * 300])
def test_a_codebook_that_is_not_there_is_refused_with_the_shipped_names(name: str) -> None:
    with pytest.raises(CodebookError) as caught:
        load_codebook(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "diplomatic" in str(caught.value)


def test_a_file_that_is_not_utf_8_is_refused(isolated: Path) -> None:
    (isolated / "mine.toml").write_bytes('name = "Élysée"'.encode("latin-1"))
    with pytest.raises(CodebookError, match=r"mine\.toml.*UTF-8"):
        load_codebook("mine.toml")


def test_broken_toml_is_refused_with_file_and_line(isolated: Path) -> None:
    (isolated / "mine.toml").write_text('name = "x"\nversion = \n', encoding="utf-8")
    with pytest.raises(CodebookError, match=r"mine\.toml: not valid TOML: .*line 2"):
        load_codebook("mine.toml")


def test_a_title_shared_by_labels_names_none_of_them() -> None:
    labels = [{"name": "aid", "title": "Help"}, {"name": "arms", "title": "Help"}, {"name": "Help"}, {"name": "x"}]
    book = codebook_from_dict(minimal(labels=labels), "b")
    assert {value: name for value, name in book.names_by_value.items() if value == "Help"} == {"Help": "Help"}
    without = codebook_from_dict(minimal(labels=[*labels[:2], labels[3]]), "b")
    assert "Help" not in without.names_by_value


def test_the_hash_ignores_the_order_of_the_crosswalk() -> None:
    books = [
        codebook_from_dict(minimal(labels=[{"name": "aid", "crosswalk": dict(pairs)}]), "b")
        for pairs in ([("a", ["1"]), ("b", ["2"])], [("b", ["2"]), ("a", ["1"])])
    ]
    assert books[0] == books[1]
    assert books[0].hash == books[1].hash
