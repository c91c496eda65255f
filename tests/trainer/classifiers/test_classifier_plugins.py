"""Kinds of model that another package adds, with that package built and installed."""

from __future__ import annotations

import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import communique
from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, ExperimentError, InputError
from tests.conftest import make_examples
from tests.labels.plugin_package import install_plugin
from tests.lazy import Lazy
from tests.trainer.conftest import MakeExperiment
from trainer.classifiers import base
from trainer.classifiers.base import CLASSES, build_classifier, classifier_class
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.config.experiment import dump_experiment, parse_experiment
from trainer.config.models import PLUGINS, find_section, kind_names
from trainer.model.model import Model
from trainer.runs.run import run_experiment

clone = Lazy("sklearn.base:clone")

FAULTY = """
from typing import Literal
from trainer.classifiers.base import Classifier
from trainer.config.models import ClassifierPlugin, Section

class Gone(Section):
    kind: Literal["gone"]

class Partial(Section):
    kind: Literal["partial"]

class Alien(Section):
    kind: Literal["alien"]

class Taken(Section):
    kind: Literal["tfidf"]

class OnlyFits(Classifier):
    def __init__(self, codebook, section, seed):
        pass

    def fit(self, examples, validation):
        return self

GONE = ClassifierPlugin(1, Gone, "no_such_module:Classifier")
PARTIAL = ClassifierPlugin(1, Partial, "faulty:OnlyFits")
ALIEN = ClassifierPlugin(1, Alien, "collections:OrderedDict")
NEWER = ClassifierPlugin(2, Gone, "faulty:OnlyFits")
OTHER = ClassifierPlugin(1, Gone, "faulty:OnlyFits")
BARE = ClassifierPlugin(1, dict, "faulty:OnlyFits")
TAKEN = ClassifierPlugin(1, Taken, "faulty:OnlyFits")
"""
ENTRIES = {
    "gone": "faulty:GONE",
    "partial": "faulty:PARTIAL",
    "alien": "faulty:ALIEN",
    "newer": "faulty:NEWER",
    "other": "faulty:OTHER",
    "bare": "faulty:BARE",
    "raw": "faulty:OnlyFits",
    "broken": "broken:PLUGIN",
    "tfidf": "faulty:TAKEN",
}


def documented() -> str:
    """The plug-in that the documentation of `trainer.classifiers.base` shows."""
    text = inspect.getdoc(base) or ""
    start = text.index("# communique_shout.py")
    return textwrap.dedent("    " + text[start : text.index("Then `[model]")])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The documented package, and one whose kinds cannot be used."""
    first, second = (tmp_path_factory.mktemp("plugin") for _ in range(2))
    group, shout = "communique.classifiers", {"shout": "communique_shout:PLUGIN"}
    faulty = {"faulty": FAULTY, "broken": "import not_installed"}
    return [
        install_plugin(first, "communique-shout", group, shout, {"communique_shout": documented()}),
        install_plugin(second, "faulty-kinds", group, ENTRIES, faulty),
    ]


@pytest.fixture(autouse=True)
def _on_the_path(installed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in installed:
        monkeypatch.syspath_prepend(folder)


def parse(model: dict[str, Any]) -> Any:
    return parse_experiment({"model": model}, "mine.toml")


# -- the documented plug-in


def test_a_model_of_a_plug_in_is_trained_saved_and_opened(experiment_of: MakeExperiment) -> None:
    result = run_experiment(experiment_of("shout", model={"prior": 2}), Path("run"))
    model = Model.load(result.artefact)
    assert model.manifest is not None
    assert (model.manifest.kind, model.manifest.details["prior"]) == ("shout", 2)
    assert model.predict_proba(["Halt!", "Halt", ""]).shape == (3, 2)


def test_its_section_is_checked_and_written_like_any_other() -> None:
    experiment = parse({"kind": "shout", "prior": 2})
    assert experiment.model.prior == 2
    assert '[model]\nkind = "shout"\nprior = 2.0' in dump_experiment(experiment)
    assert find_section("shout") is type(experiment.model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "shout", "prio": 1}, r"  model\.prio: unknown key \(did you mean 'prior'\?\)"),
        ({"kind": "shout", "prior": 0}, r"  model\.prior: must be greater than 0"),
        ({"kind": "shot"}, r"  model\.kind: 'shot' .*did you mean 'shout'.*; use one of majority, .*, shout"),
        (
            {"kind": "cascade", "cheap": {"kind": "shout", "prior": 0}},
            r"  model\.cheap\.prior: must be greater",
        ),
        ({"kind": "cascade", "cheap": {"kind": "shout", "prio": 0}}, r"  model\.cheap\.prio: .*'prior'"),
    ],
)
def test_what_is_wrong_in_its_section_is_named_by_its_key(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        parse(model)


def test_a_cascade_may_be_made_of_plug_ins() -> None:
    section = parse({"kind": "cascade", "cheap": {"kind": "shout"}, "expensive": {"kind": "tfidf"}, "max_lost": 0.5})
    assert section.model.cheap.kind == "shout"
    assert 'cheap]\nkind = "shout"' in dump_experiment(section)


def test_a_plug_ins_kind_is_an_estimator_with_the_keys_of_its_section(isolated: Path) -> None:
    made = communique.Classifier("shout", prior=2.0)
    assert repr(made) == "ShoutClassifier(prior=2.0)"
    assert type(clone(made)) is type(made)
    examples = make_examples(60)
    made.fit([example.text for example in examples], [example.labels for example in examples]).save("mine")
    assert communique.Classifier.load("mine").get_params()["prior"] == 2.0
    with pytest.raises(ExperimentError, match=r"ShoutClassifier has no parameter 'prio' \(did you mean 'prior'\?\)"):
        communique.Classifier("shout", prio=1)


# -- names


def test_kinds_of_plug_ins_are_listed_after_the_built_in_ones_without_importing_them() -> None:
    sys.modules.pop("faulty", None)
    assert kind_names() == [*CLASSES, *sorted({*ENTRIES, "shout"} - {"tfidf"})]
    assert "faulty" not in sys.modules


def test_a_built_in_kind_cannot_be_replaced(codebook: Codebook) -> None:
    assert classifier_class("tfidf") is TfidfClassifier
    assert type(build_classifier(parse({"kind": "tfidf"}).model, codebook, 1)) is TfidfClassifier
    assert PLUGINS.shadowed() == [
        "classifier 'tfidf' of package faulty-kinds 1.5 is ignored: the name is built in. "
        "The package must choose another name."
    ]


# -- plug-ins that cannot be used

NAMED = "^classifier '{}' of package faulty-kinds 1.5"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("broken", r" cannot be loaded \(ModuleNotFoundError: .*not_installed.*\)"),
        ("newer", r" needs version 2 of the plug-in interface"),
        ("raw", r" is of type .*, but must be of type ClassifierPlugin"),
        ("other", r' must have a `section` .* `kind: Literal\["other"\]`'),
        ("bare", r" must have a `section` derived from"),
    ],
)
def test_a_broken_plug_in_is_one_line_that_names_its_package(kind: str, message: str) -> None:
    with pytest.raises(InputError, match=NAMED.format(kind) + message) as caught:
        parse({"kind": kind})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("gone", r": 'no_such_module:Classifier' cannot be loaded \(ModuleNotFoundError"),
        ("partial", r": 'faulty:OnlyFits' does not define predict_proba, save, load, describe"),
        ("alien", r": 'collections:OrderedDict' is not a subclass of"),
    ],
)
def test_a_class_that_cannot_be_used_is_one_line_that_names_its_package(kind: str, message: str) -> None:
    with pytest.raises(InputError, match=NAMED.format(kind) + message) as caught:
        classifier_class(kind)
    assert "\n" not in str(caught.value)


def test_a_model_whose_package_is_missing_says_so() -> None:
    with pytest.raises(ArtefactError, match=r"kind 'absent' is unknown .*install the package that adds it"):
        classifier_class("absent")


def test_a_broken_plug_in_does_not_affect_other_kinds(codebook: Codebook) -> None:
    classifier = build_classifier(parse({"kind": "shout"}).model, codebook, 1).fit(make_examples(20), [])
    assert np.isfinite(classifier.predict_proba(["Halt!", "Halt"])).all()
