"""What can be told of labels without reading: areas of classifiers that see length, position and document form only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from trainer.arrays import Bools, Floats
from trainer.corpus.labelled import LabelledCorpus

FOLDS = 5
SEED = 13


def surface_areas(corpus: LabelledCorpus, codebook: Codebook) -> dict[str, dict[str, float | None]]:
    """Label -> group of features ("length", "position", "form", "all") -> what `surface_area` says of them."""
    groups = surface_features(corpus)
    groups["all"] = np.hstack(list(groups.values()))
    decided = [(own, sentence) for own, sentence in corpus.placed if sentence.id in corpus.gold]
    documents = np.array([own.document.id for own, _ in decided], dtype=str)
    return {
        label: {
            name: surface_area(
                features,
                np.array([label in corpus.gold[sentence.id] for _, sentence in decided], dtype=bool),
                documents,
            )
            for name, features in groups.items()
        }
        for label in codebook.label_names
    }


def surface_features(corpus: LabelledCorpus) -> dict[str, Floats]:
    """What can be known of the n sentences with gold without reading them.

    Returns:
        "length" (n, 2): words, characters. "position" (n, 4) among the document's sentences to label: number from 0,
        share of the way from 0 to 1, whether first, whether last. "form" (n, forms): one-hot.
    """
    forms = sorted({own.form for own in corpus.documents})
    rows: dict[str, list[list[float]]] = {"length": [], "position": [], "form": []}
    for own in corpus.documents:
        last = len(own.sentences) - 1
        for number, sentence in enumerate(own.sentences):
            if sentence.id in corpus.gold:
                rows["length"].append([len(sentence.text.split()), len(sentence.text)])
                rows["position"].append([number, number / max(last, 1), number == 0, number == last])
                rows["form"].append([own.form == form for form in forms])
    widths = {"length": 2, "position": 4, "form": len(forms)}
    return {name: np.array(found, dtype=float).reshape(-1, widths[name]) for name, found in rows.items()}


def surface_area(features: Floats, gold: Bools, documents: NDArray[np.str_]) -> float | None:
    """Area under the ROC curve of the better of two classifiers, its mean over `FOLDS` folds of whole documents.

    The two are logistic regression and boosted trees, small ones: default trees fit the noise of so few features and
    would hide what these tell.

    Args:
        features: (n, features).
        gold: (n,) whether the sentence bears the label.
        documents: (n,) ids.

    Returns:
        In [0, 1], 0.5 being chance; None where fewer than `FOLDS` documents have the label, or a sentence without it.
    """
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn brings it along

    if min(len(set(documents[gold])), len(set(documents[~gold]))) < FOLDS:
        return None
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED).split(features, gold, documents))
    # On so few rows threads wait for each other longer than they work.
    with threadpool_limits(limits=1):
        areas = [_mean_area(build, features, gold, folds) for build in (_boosted_trees, _regression)]
    return max(areas)


def _boosted_trees() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=50, max_leaf_nodes=8, min_samples_leaf=40, early_stopping=False, random_state=SEED
    )


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _mean_area(
    build: Callable[[], Any], features: Floats, gold: Bools, folds: Iterable[tuple[NDArray[Any], NDArray[Any]]]
) -> float:
    """Folds whose test part is all of one kind have no area and are left out; there is always one that is mixed."""
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(gold[test], build().fit(features[train], gold[train]).predict_proba(features[test])[:, 1])
        for train, test in folds
        if len(set(gold[test])) == 2 and len(set(gold[train])) == 2
    ]
    return float(np.mean(areas))
