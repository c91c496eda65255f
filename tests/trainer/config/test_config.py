from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from labels.errors import ExperimentError
from trainer.classifiers.base import CLASSES
from trainer.config.experiment import Experiment, find_experiment, load_experiment, parse_experiment
from trainer.environment import shipped, shipped_experiments

SECTIONS = [name for name in Experiment.model_fields if name not in ("name", "seed", "model")]
LITERALS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(text: str = '[model]\nkind = "finetune"\n', name: str = "mine.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def minimal(kind: str = "tfidf") -> dict[str, Any]:
    """Every key of an experiment of this kind, at its true default, with lists as in TOML."""
    return parse_experiment({"model": {"kind": kind}}, "here").model_dump(mode="json")


def documented() -> dict[str, Any]:
    return tomllib.loads((shipped("experiments") / "default.toml").read_text(encoding="utf-8"))


def documented_models() -> dict[str, dict[str, Any]]:
    """Kind of model -> the keys that default.toml gives for it, commented out or not."""
    text = (shipped("experiments") / "default.toml").read_text(encoding="utf-8")
    kinds: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.split("\n[model]")[1].split("\n[calibration]")[0].splitlines():
        if line.startswith("# kind"):
            current = re.findall(r'kind = "(\w+)"', line)
            kinds |= {kind: [] for kind in current}
        elif re.match(r"(# )?\w+ = ", line):
            for kind in current:
                kinds[kind].append(line.removeprefix("# "))
    return {kind: tomllib.loads("\n".join(lines)) for kind, lines in kinds.items()}


# -- the shipped experiments


@pytest.mark.parametrize("section", SECTIONS)
def test_default_toml_names_every_key_of_a_section_with_its_default(section: str) -> None:
    assert documented()[section] == minimal()[section]


def test_default_toml_has_every_section_and_no_other() -> None:
    assert set(documented()) == set(Experiment.model_fields)
    assert documented()["seed"] == minimal()["seed"]


@pytest.mark.parametrize("kind", CLASSES)
def test_default_toml_names_every_key_of_a_kind_of_model_with_its_default(kind: str) -> None:
    defaults = minimal(kind)["model"]
    assert defaults.pop("kind") == kind
    # A model inside another is named by its kind alone; its keys stand with that kind.
    nested = {key: minimal(value["kind"])["model"] for key, value in defaults.items() if isinstance(value, dict)}
    assert defaults | nested == defaults
    assert documented_models()[kind] == defaults | {key: {"kind": model["kind"]} for key, model in nested.items()}


def test_default_toml_describes_the_kinds_that_there_are() -> None:
    assert set(documented_models()) == set(CLASSES)


@pytest.mark.parametrize("file", sorted(shipped("experiments").rglob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_experiment_loads(file: Path) -> None:
    assert load_experiment(file).name == file.stem


def test_every_kind_has_a_shipped_experiment() -> None:
    shipped_kinds = {load_experiment(file).model.kind for file in shipped("experiments").glob("*.toml")}
    assert shipped_kinds == set(CLASSES)


# -- finding and reading


@pytest.mark.parametrize("name", ["tfidf", "tfidf.toml", "experiments/tfidf", "experiments/tfidf.toml"])
def test_a_shipped_experiment_is_found_by_its_name_from_any_folder(name: str) -> None:
    assert find_experiment(name) == shipped("experiments") / "tfidf.toml"


def test_a_file_of_ones_own_wins_over_a_shipped_experiment_of_that_name() -> None:
    own = write('seed = 99\n[model]\nkind = "majority"\n', "tfidf.toml")
    assert find_experiment("tfidf.toml") == own
    assert load_experiment("tfidf.toml").seed == 99


@pytest.mark.parametrize("name", ["tfidff", "elsewhere/tfidf.toml", ".", ""])
def test_an_experiment_that_is_nowhere_raises_and_lists_the_shipped_ones(name: str) -> None:
    with pytest.raises(ExperimentError, match="this experiment does not exist") as caught:
        find_experiment(name)
    assert all(shipped_name in str(caught.value) for shipped_name in shipped_experiments())


def test_the_name_of_the_file_is_the_name_of_an_experiment_that_has_none() -> None:
    assert load_experiment(write(name="baseline-3.toml")).name == "baseline-3"
    assert load_experiment(write('name = "winter"\n[model]\nkind = "majority"\n')).name == "winter"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"[model\nkind = 1\n", "not valid TOML"), (b'name = "\xff"\n', "the file is not UTF-8")],
)
def test_a_file_that_is_no_toml_raises_with_its_name(content: bytes, problem: str) -> None:
    Path("mine.toml").write_bytes(content)
    with pytest.raises(ExperimentError, match=rf"^mine\.toml: {problem}"):
        load_experiment("mine.toml")


def test_an_experiment_cannot_be_changed_once_it_is_loaded() -> None:
    experiment = load_experiment(write())
    with pytest.raises(ValidationError):
        experiment.seed = 1  # type: ignore[misc]


# -- --set


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("model.epochs=3", "model", "epochs", 3),
        ("model.learning_rate = 2e-5", "model", "learning_rate", 2e-5),
        ("model.encoder=FacebookAI/roberta-base", "model", "encoder", "FacebookAI/roberta-base"),
        ('model.encoder="with space"', "model", "encoder", "with space"),
        ("split.allow_large_groups=true", "split", "allow_large_groups", True),
        ("data.train=runs/a=b.jsonl", "data", "train", "runs/a=b.jsonl"),
        ("data.codebook=", "data", "codebook", ""),
    ],
)
def test_set_takes_toml_literals_and_bare_words(override: str, section: str, key: str, value: object) -> None:
    found = load_experiment(write(), [override]).model_dump()[section][key]
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


def test_set_reaches_top_keys_and_sections_that_the_file_lacks_and_the_last_one_wins() -> None:
    experiment = load_experiment(write(), ["seed=5", "evaluation.bootstrap=200", "seed=6"])
    assert (experiment.seed, experiment.evaluation.bootstrap) == (6, 200)


def test_set_can_change_the_kind_of_model() -> None:
    assert load_experiment(write(), ["model.kind=majority"]).model.kind == "majority"


@LITERALS
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_set_takes_any_string_in_quotes(text: str) -> None:
    literal = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    assert load_experiment(write(), [f"data.train={literal}"]).data.train == text


@LITERALS
@given(st.from_regex(r"[a-z][a-z0-9_/-]{0,12}\.jsonl", fullmatch=True))
def test_set_takes_a_bare_path_as_it_is(path: str) -> None:
    assert load_experiment(write(), [f"data.train={path}"]).data.train == path


@pytest.mark.parametrize("override", ["model.epochs", "=3", " = 3"])
def test_set_without_key_or_value_raises_with_an_example(override: str) -> None:
    with pytest.raises(ExperimentError, match=r"write key=value, e\.g\. --set model\.epochs=3") as caught:
        load_experiment(write(), [override])
    assert f"--set {override}:" in str(caught.value)


def test_set_of_a_key_below_a_value_raises() -> None:
    with pytest.raises(ExperimentError, match=r"--set seed\.x=1: 'seed' is a value, not a section"):
        load_experiment(write('seed = 1\n[model]\nkind = "majority"\n'), ["seed.x=1"])


# -- problems


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", "  sed: unknown key (did you mean 'seed'?)"),
        ("dat.train=a", "  dat: unknown key (did you mean 'data'?)"),
        ("data.trian=a", "  data.trian: unknown key (did you mean 'train'?)"),
        ("model.epoch=2", "  model.epoch: unknown key (did you mean 'epochs'?)"),
        ("calibration.zzzz=2", "  calibration.zzzz: unknown key\n"),
        (
            "model.kind=finetun",
            "  model.kind: 'finetun' is not a kind of model (did you mean 'finetune'?); use one of ",
        ),
        ("model.epochs=many", "  model.epochs: "),
        ("model.epochs=0", "  model.epochs: must be greater than 0 (given: 0)"),
        ("model.pooling=max", "  model.pooling: must be 'auto', 'mean' or 'first' (given: 'max')"),
        ("split.folds=five", "  split.folds: must be a whole number (given: 'five')"),
        ("split.leave_one_out=maybe", "  split.leave_one_out: must be true or false (given: 'maybe')"),
        ("data.train=5", "  data.train: must be text (given: 5)"),
        ("seed=-1", "  seed: must be greater than or equal to 0 (given: -1)"),
        ("split.test=0.5", "  split: `split.train`, `split.validation` and `split.test` must sum to 1, not 1.3\n"),
        ("data.test=a", "  data: `data.validation` and `data.test` need `data.train`\n"),
        (
            "data={train='a', only='b'}",
            "  data: `data.only` selects from `data.source`, not from the file `data.train`",
        ),
        ("data=3", "  data: "),
        ("model=3", "  model: "),
    ],
)
def test_a_problem_names_the_file_the_key_and_the_repair(override: str, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        load_experiment(write(), [override])
    lines = str(caught.value)
    assert lines.startswith("mine.toml: this experiment cannot run.\n")
    assert message in lines
    assert lines.endswith("experiments/default.toml documents every key.")


def test_a_manifest_beside_a_test_file_is_refused() -> None:
    with pytest.raises(
        ExperimentError, match=r"experiment: `split\.manifest` and `data\.test` both define the test part"
    ):
        load_experiment(write(), ["data.train=a", "data.test=b", "split.manifest=m.json"])
    assert load_experiment(write(), ["data.train=a", "split.manifest=m.json"]).split.manifest == "m.json"


def test_a_key_of_another_kind_of_model_is_unknown() -> None:
    with pytest.raises(ExperimentError, match=r"model\.C: unknown key"):
        load_experiment(write(), ["model.C=1.0"])


def test_a_hint_never_names_a_key_of_another_kind_of_model() -> None:
    with pytest.raises(ExperimentError, match=r"model\.encodr: unknown key\n"):
        parse_experiment({"model": {"kind": "tfidf", "encodr": "minilm"}}, "here")


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({"sed": 1, "model": {"kind": "tfidf", "min_df": 0}, "split": {"train": 2}}, "here")
    assert len(str(caught.value).splitlines()) == 2 + 3


@pytest.mark.parametrize("content", [{}, {"seed": 3}])
def test_an_experiment_without_a_model_raises_with_an_example(content: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError, match=r'model: this key is required, e\.g\. \[model\] kind = "tfidf"'):
        parse_experiment(content, "here")


def test_a_model_without_a_kind_raises_and_lists_the_kinds() -> None:
    with pytest.raises(ExperimentError, match=f"use one of {', '.join(CLASSES)}"):
        parse_experiment({"model": {}}, "here")


@pytest.mark.parametrize("key", ["model.epochs", "model.learning_rate", "model.positive_weight"])
def test_numbers_must_be_finite(key: str) -> None:
    with pytest.raises(ExperimentError, match=key.replace(".", r"\.")):
        load_experiment(write(), [f"{key}=inf"])
