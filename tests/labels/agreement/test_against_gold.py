from __future__ import annotations

from labels.agreement.against_gold import against_gold
from labels.agreement.report import agreement
from labels.codebook.schema import Codebook
from labels.records import Annotation, Sentence
from tests.labels.store.builders import decision


def adjudicated() -> list[Annotation]:
    return [
        decision("1", "ana", labels=("aid",)),
        decision("1", "ben", labels=("truce",)),
        decision("1", "eva", "adjudicate", labels=("aid",)),
        decision("2", "ana", labels=("aid",)),
        decision("2", "ben"),
        decision("2", "eva", "adjudicate", labels=("aid", "truce")),
        decision("3", "ana", state="skipped"),
        decision("3", "ben", labels=("aid",)),
        decision("3", "eva"),
        decision("3", "eva", "adjudicate", labels=()),
        decision("4", "ana", labels=("aid",)),
        decision("5", "ana", labels=("aid",)),
        decision("5", "eva", "adjudicate", state="not_a_sentence"),
    ]


def test_each_coder_is_compared_with_adjudications_by_label(codebook: Codebook) -> None:
    found = {(one.annotator, one.label): one for one in against_gold(adjudicated(), codebook)}

    counts = {key: (one.sentences, one.gold, one.given, one.both) for key, one in found.items()}
    assert counts == {
        ("ana", "aid"): (2, 2, 2, 2),
        ("ana", "truce"): (2, 1, 0, 0),
        ("ben", "aid"): (3, 2, 1, 0),
        ("ben", "truce"): (3, 1, 1, 0),
    }
    assert found["ana", "aid"].f1 == 1.0
    assert (found["ana", "truce"].precision, found["ana", "truce"].recall) == (None, 0.0)


def test_without_adjudications_nothing_is_compared(codebook: Codebook) -> None:
    assert against_gold([decision("1", "ana")], codebook) == ()


def test_a_confusion_shows_only_the_pair_that_disagreed(codebook: Codebook) -> None:
    sentence = Sentence("d", 0, 4, "Text")
    events = [
        decision(sentence.id, "ana", labels=("aid", "truce")),
        decision(sentence.id, "ben", labels=("truce",)),
        decision(sentence.id, "eva", labels=("truce",)),
    ]

    (confusion,) = agreement(events, {sentence.id: sentence}, codebook).other.confusions

    assert (confusion.labels, confusion.count) == (("aid", None), 2)
    assert confusion.examples[0].decisions == {"ana": ("aid", "truce"), "ben": ("truce",)}
