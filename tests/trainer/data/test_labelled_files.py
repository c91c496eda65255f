"""Files of rows as the data of an experiment: columns, blank cells, undecided rows, inferred labels, exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import DataError, ExperimentError
from labels.exchange.driver import export_file, import_file
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.labelled.label_values import LabelValue
from tests.labels.store.builders import decision
from trainer.config.experiment import Experiment, parse_experiment
from trainer.data.dataset import Dataset, load_dataset

ROWS = [(f"Sentence {number} of the bulletin.", ("aid", "truce")[number % 2]) for number in range(40)]


def experiment(**data: Any) -> Experiment:
    return parse_experiment({"model": {"kind": "majority"}, "data": {"codebook": "infer"} | data}, "here")


def write(name: str, header: str, rows: list[tuple[str, str]], separator: str = ",") -> str:
    lines = [header, *(separator.join(row) for row in rows)]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def labels(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {example.text: example.labels for part in dataset.parts.values() for example in part}


def test_columns_and_blank_cells_are_read_as_the_experiment_says() -> None:
    train = write("a.csv", "Tweet;Kategorie", [*ROWS, ("Rain fell.", "")], ";")
    data = {"train": train, "text_column": "Tweet", "label_column": "Kategorie", "blank": "none"}
    dataset = load_dataset(experiment(**data))
    assert labels(dataset) == {text: (label,) for text, label in ROWS} | {"Rain fell.": ()}
    assert dataset.codebook.allow_none
    assert dataset.notes[:2] == (
        "a.csv: the columns are separated by semicolons",
        "a.csv: blank label cells were read as no label, as requested (1 row)",
    )


@pytest.mark.parametrize("key", ["text_column", "label_column", "blank"])
def test_keys_about_files_need_a_file(key: str) -> None:
    with pytest.raises(ExperimentError, match=rf"`data\.{key}` applies only to files of rows: set `data\.train`"):
        experiment(**{key: "none", "codebook": ""})


def test_undecided_rows_are_in_no_part_and_are_counted_for_each_file() -> None:
    train = write("a.csv", "text,label", [*ROWS, ("One.", ""), ("Two.", "nan")])
    test = write("b.csv", "text,label", [*((f"Test: {text}", label) for text, label in ROWS), ("Three.", "")])
    dataset = load_dataset(experiment(train=train, test=test))
    assert not {"One.", "Two.", "Three."} & labels(dataset).keys()
    assert not dataset.codebook.allow_none
    assert [note for note in dataset.notes if "left out" in note] == [
        "a.csv: 2 of 42 rows were left out, because nobody decided (blank 1, no value 1)",
        "b.csv: 1 of 41 rows was left out, because nobody decided (blank 1)",
    ]


def test_values_that_differ_from_names_are_kept_with_their_rows() -> None:
    rows = [(text, {"aid": "помощь", "truce": "Truce"}[label]) for text, label in ROWS]
    test = [(f"Test: {text}", label.lower()) for text, label in rows]
    dataset = load_dataset(
        experiment(train=write("a.csv", "text,label", rows), test=write("b.csv", "text,label", test))
    )
    assert dataset.codebook.label_names == ("truce", "pomoshch")
    assert dataset.values == (LabelValue("помощь", "pomoshch", 40), LabelValue("Truce", "truce", 20))


def test_mostly_blank_rows_of_a_multi_label_file_stop_the_training() -> None:
    train = write("a.csv", "text,labels", [*ROWS, *((f"Rain {number}.", "") for number in range(41))])
    with pytest.raises(DataError, match=r"a\.csv: 41 of 81 rows have a blank label cell"):
        load_dataset(experiment(train=train))
    assert len(labels(load_dataset(experiment(train=train, blank="undecided")))) == 40
    assert len(labels(load_dataset(experiment(train=train, blank="none")))) == 81


@pytest.mark.parametrize(("name", "format"), [("a.csv", "csv"), ("a.jsonl", "jsonl")])
def test_the_advice_for_an_export_of_two_annotators_works(codebook: Codebook, name: str, format: str) -> None:
    Path("small.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    sentences = [Sentence(f"d{number}", 0, len(text), text) for number, (text, _) in enumerate(ROWS)]
    with Store("team.db") as store:
        store.add_annotated(sentences, [])
        store.events.add(list(_two_annotators(sentences)))
        export_file(store, name, codebook, format)
    with pytest.raises(DataError, match=r'set data\.source = "store"'):
        load_dataset(experiment(train=name, codebook="small.toml"))

    with Store("filled.db") as store:
        import_file(store, name, codebook, format)
    for place in ("team.db", "filled.db"):
        dataset = load_dataset(experiment(source="store", store=place, codebook="small.toml"))
        assert labels(dataset) == {text: (label,) for text, label in ROWS[1:]}


def _two_annotators(sentences: list[Sentence]) -> list[Annotation]:
    """Two annotators who agree on all sentences but the first."""
    given = zip(sentences, ROWS, strict=True)
    events = [decision(s.id, name, labels=(label,)) for s, (_, label) in given for name in ("ana", "ben")]
    return [decision(sentences[0].id, "ana", labels=()), *events[1:]]
