from __future__ import annotations

import json
from pathlib import Path

import pytest

from labels.errors import DataError, ExperimentError, InputError
from labels.records import Example
from labels.text.duplicates import known_near_duplicates, near_duplicate_pairs
from tests.conftest import make_examples
from trainer.data.leakage import KINDS, SHORT, find_leaks, read_parts
from trainer.data.splits import Split, make_split

WIRE = "The minister said on Monday that the whole convoy had reached the northern port"


def rows(*items: tuple[str, str]) -> list[Example]:
    """Examples from (document id, text)."""
    return [Example(f"e{number}", document, text) for number, (document, text) in enumerate(items)]


@pytest.mark.parametrize(
    ("text", "document", "kind"),
    [
        (f"{WIRE}.", "other", "exact"),
        (f"  {WIRE.upper()} …", "other", "same words"),
        (f"{WIRE} at last.", "other", "near-duplicate"),
        ("Nothing else was said about it that day in the capital.", "d", "same document"),
        ("He did not elaborate.", "other", SHORT),
        ("HE DID NOT ELABORATE", "other", SHORT),
        ("He did not elaborate.", "d", "same document"),
        ("Nothing else was said about it that day in the capital.", "other", ""),
        ("…", "other", ""),
    ],
)
def test_a_sentence_leaks_in_the_first_way_that_applies(text: str, document: str, kind: str) -> None:
    first = rows(("d", f"{WIRE}."), ("d", "He did not elaborate."), ("d", "!"))
    (pair,) = find_leaks({"train": first, "test": rows((document, text))})
    assert [leak.kind for leak in pair.leaks] == ([kind] if kind else [])
    assert sum(pair.counts.values()) == len(pair.leaks)
    assert bool(pair.counted(short=False)) == (kind not in ("", SHORT))
    assert list(pair.counts) == list(KINDS)


def test_each_part_is_compared_with_each_earlier_one() -> None:
    parts = {name: rows((name, f"{WIRE} {name}.")) for name in ("train", "validation", "test")}
    pairs = find_leaks(parts)
    assert [(pair.first, pair.second) for pair in pairs] == [
        ("train", "validation"),
        ("train", "test"),
        ("validation", "test"),
    ]
    assert all(len(pair.leaks) == 1 for pair in pairs)


def test_our_own_split_has_no_leak() -> None:
    examples = make_examples(200)
    parts = make_split(examples, (0.6, 0.2, 0.2), 7)
    assert not any(
        pair.counted(short=False) for pair in find_leaks(dict(zip(("train", "validation", "test"), parts, strict=True)))
    )


def test_known_near_duplicates_are_those_among_all_pairs() -> None:
    texts = [example.text for example in make_examples(120)]
    known, new = texts[:60], texts[60:]
    pairs = {(i, j - 60) for i, j in near_duplicate_pairs(texts) if i < 60 <= j}
    found = known_near_duplicates(new, known)
    assert set(found) == {j for _, j in pairs}
    assert {(i, j) for j, i in found.items()} <= pairs


# -- reading


def test_files_of_any_kind_are_parts() -> None:
    Path("train.jsonl").write_text(json.dumps({"text": f"{WIRE}.", "labels": ["aid"]}) + "\n", "utf-8")
    Path("plain.csv").write_text(f"text\n{WIRE}!\n", "utf-8")
    Path("article.txt").write_text(f"{WIRE} again. Rain fell.", "utf-8")
    parts = read_parts([Path("train.jsonl"), Path("plain.csv"), Path("article.txt")])
    assert {name: len(part) for name, part in parts.items()} == {"train.jsonl": 1, "plain.csv": 1, "article.txt": 2}
    assert [pair.counts["same words"] + pair.counts["near-duplicate"] for pair in find_leaks(parts)] == [1, 1, 1]


def test_files_of_one_name_are_told_apart() -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "x.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    assert list(read_parts([Path("a/x.jsonl"), Path("b/x.jsonl")])) == ["a/x.jsonl", "b/x.jsonl"]


def test_a_manifest_divides_one_file() -> None:
    lines = [{"text": f"Rain fell {i}.", "example_id": f"e{i}"} for i in range(4)]
    Path("all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    Split(("e0", "e1"), ("e2",), ("e3",)).save(Path("split.json"))
    parts = read_parts([Path("all.jsonl")], Path("split.json"))
    assert {name: [one.id for one in part] for name, part in parts.items()} == {
        "train": ["e0", "e1"],
        "validation": ["e2"],
        "test": ["e3"],
    }
    Split(("e0", "e1"), (), (), folds={"1": ("e0",), "2": ("e1",)}).save(Path("folds.json"))
    assert list(read_parts([Path("all.jsonl")], Path("folds.json"))) == ["fold 1", "fold 2"]
    Split(("e0", "e9"), (), ("e1",)).save(Path("other.json"))
    with pytest.raises(ExperimentError, match=r"1 example of the manifest's train part is not in the data, e.g. 'e9'"):
        read_parts([Path("all.jsonl")], Path("other.json"))


@pytest.mark.parametrize(
    ("names", "manifest", "message"),
    [
        (["a.jsonl"], None, "name at least two files"),
        (["a.jsonl", "a.jsonl"], None, "this file is named twice"),
        (["a.jsonl", "b.jsonl"], Path("split.json"), "name exactly one"),
    ],
)
def test_too_few_or_too_many_files_are_refused(names: list[str], manifest: Path | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_parts([Path(name) for name in names], manifest)


def test_a_file_without_sentences_is_refused() -> None:
    Path("a.jsonl").write_text('{"text": "Rain fell."}\n', "utf-8")
    Path("empty.txt").write_text("\n", "utf-8")
    with pytest.raises(DataError, match=r"empty\.txt"):
        read_parts([Path("a.jsonl"), Path("empty.txt")])
