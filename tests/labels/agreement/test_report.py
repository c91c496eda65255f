from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.agreement.coefficients import Bootstrap, masi_distance
from labels.agreement.comparisons import Figures
from labels.agreement.report import AgreementReport, agreement, retest_agreement
from labels.codebook.changes import Step
from labels.codebook.reading import CodebookHistory, Edge
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError, DataError
from labels.gold import kept_annotations, standing
from labels.records import Annotation, Sentence
from tests.labels.agreement.builders import review
from tests.labels.agreement.coefficients import cohen_kappa, krippendorff_alpha

SENTENCES = [Sentence(f"d{number // 2:02}", number, number + 1, f"Sentence {number}.") for number in range(60)]
BY_ID = {sentence.id: sentence for sentence in SENTENCES}
BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]}, "small")
SETS: list[tuple[str, ...]] = [(), ("aid",), ("truce",), ("aid", "truce")]


def says(annotator: str, sentence: int, *labels: str, **fields: Any) -> Annotation:
    """A review of a randomly drawn sentence with no suggestion, unless `fields` say otherwise."""
    return review(annotator, SENTENCES[sentence], labels, **({"strategy": "random"} | fields))


def undo(annotator: str, sentence: int) -> Annotation:
    return says(annotator, sentence, event="undo", state=None)


def report(events: Iterable[Annotation], codebook: Codebook = BOOK, **options: Any) -> AgreementReport:
    return agreement(events, BY_ID, codebook, bootstrap=Bootstrap(**({"draws": 50} | options)))


def unbiased(events: Iterable[Annotation], codebook: Codebook = BOOK, **options: Any) -> Figures:
    return report(events, codebook, **options).unbiased.figures


def sizes(events: Iterable[Annotation]) -> tuple[int, int]:
    """How many sentences are in the first block and in the second."""
    found = report(events)
    return found.unbiased.figures.n_sentences, found.other.figures.n_sentences


def noisy(annotators: str, n: int = 60, seed: int = 1) -> list[Annotation]:
    """Each reads nearly all sentences, and mostly says what is true of them."""
    generator = random.Random(seed)
    events = []
    for sentence in range(n):
        true = generator.choice(SETS)
        for annotator in annotators:
            if generator.random() < 0.9:
                said = true if generator.random() < 0.8 else generator.choice(SETS)
                events.append(says(annotator, sentence, *said))
    return events


# -- figures


def test_figures_are_those_of_the_plain_coefficients() -> None:
    events = noisy("xyz")
    by_sentence: dict[str, dict[str, tuple[str, ...]]] = {}
    for event in events:
        by_sentence.setdefault(event.sentence_id, {})[event.annotator] = event.labels
    units = [given for given in by_sentence.values() if len(given) > 1]

    figures = unbiased(events)

    assert figures.n_sentences == len(units)
    sets = [list(given.values()) for given in units]
    assert figures.sets.alpha.value == pytest.approx(krippendorff_alpha(sets))
    assert figures.masi_alpha.value == pytest.approx(krippendorff_alpha(sets, masi_distance))
    aid = [["aid" in labels for labels in unit] for unit in sets]
    assert figures.per_label["aid"].alpha.value == pytest.approx(krippendorff_alpha(aid))
    shares = [value for unit in aid for value in unit]
    assert figures.per_label["aid"].prevalence == pytest.approx(sum(shares) / len(shares))
    for pair in figures.pairs:
        first, second = pair.annotators
        both = [(given[first], given[second]) for given in units if first in given and second in given]
        assert pair.n_sentences == len(both)
        assert pair.kappa.value == pytest.approx(cohen_kappa(*zip(*both, strict=True)))
        aid_of_both = [("aid" in one, "aid" in other) for one, other in both]
        assert pair.per_label["aid"].value == pytest.approx(cohen_kappa(*zip(*aid_of_both, strict=True)))


def test_several_annotators_kappa_is_the_mean_over_their_pairs() -> None:
    figures = unbiased(noisy("xyz"))

    assert [pair.annotators for pair in figures.pairs] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert figures.sets.kappa.value == pytest.approx(mean(pair.kappa.value for pair in figures.pairs))
    aid = figures.per_label["aid"].kappa.value
    assert aid == pytest.approx(mean(pair.per_label["aid"].value for pair in figures.pairs))


def mean(values: Iterable[float | None]) -> float:
    found = [value for value in values if value is not None]
    return sum(found) / len(found)


def test_mean_figures_are_over_the_labels() -> None:
    figures = unbiased(noisy("xy"))

    labels = figures.per_label.values()
    assert figures.mean_kappa.value == pytest.approx(mean(row.kappa.value for row in labels))
    assert figures.mean_alpha.value == pytest.approx(mean(row.alpha.value for row in labels))


def test_exact_agreement_is_over_pairs_of_decisions() -> None:
    events = [says("x", 0, "aid"), says("y", 0, "aid"), says("z", 0), says("x", 1), says("y", 1)]

    assert unbiased(events).exact_agreement.value == pytest.approx(2 / 4)


def test_prevalence_of_whole_sets_is_the_share_with_any_label() -> None:
    events = [says("x", 0, "aid", "truce"), says("y", 0, "aid"), says("x", 1), says("y", 1, "truce")]

    figures = unbiased(events)

    assert figures.sets.prevalence == pytest.approx(3 / 4)
    assert figures.per_label["truce"].prevalence == pytest.approx(2 / 4)


def test_exclusive_classes_are_compared_with_none(exclusive_codebook: Codebook) -> None:
    said = [("aid", "aid"), ("truce", ""), ("", ""), ("threat", "truce"), ("aid", "threat")]
    events = [
        says(annotator, sentence, *filter(None, [label]))
        for sentence, labels in enumerate(said)
        for annotator, label in zip("xy", labels, strict=True)
    ]

    figures = unbiased(events, exclusive_codebook)

    assert figures.sets.kappa.value == pytest.approx(cohen_kappa(*zip(*said, strict=True)))
    assert figures.sets.alpha.value == pytest.approx(krippendorff_alpha(said))
    assert figures.masi_alpha.value == pytest.approx(krippendorff_alpha(said))


@given(order=st.permutations(range(30)))
def test_figures_do_not_depend_on_who_was_first(order: list[int]) -> None:
    events = [says(annotator, sentence, *SETS[(sentence * 7) % 4]) for sentence in range(10) for annotator in "xyz"]

    assert report([events[position] for position in order], draws=1) == report(events, draws=1)


def test_annotators_who_share_no_sentence_are_no_pair() -> None:
    events = [says("x", 0), says("y", 0, "aid"), says("y", 1), says("z", 1, "aid")]

    assert [pair.annotators for pair in unbiased(events).pairs] == [("x", "y"), ("y", "z")]


# -- what is undefined


def test_without_variation_nothing_is_made_up() -> None:
    events = [says(annotator, sentence) for sentence in range(50) for annotator in "xy"]

    figures = unbiased(events)

    for estimate in (figures.sets.alpha, figures.masi_alpha, figures.per_label["aid"].alpha):
        assert estimate.value is None
        assert estimate.undefined == "no variation: all annotators gave the same value throughout"
    assert figures.per_label["aid"].kappa.undefined == "no variation: both annotators gave the same value throughout"
    assert figures.pairs[0].kappa.value is None
    assert (figures.mean_kappa.value, figures.mean_kappa.undefined) == (None, "undefined for every label")
    assert figures.exact_agreement.value == 1


@pytest.mark.parametrize("events", [[], [says("x", 0, "aid"), says("x", 1)], [says("x", 0), says("y", 1)]])
def test_without_a_sentence_that_two_reviewed_all_is_undefined(events: list[Annotation]) -> None:
    found = report(events)

    for block in (found.unbiased, found.other):
        assert (block.figures.n_sentences, block.figures.annotators, block.confusions) == (0, (), ())
        assert block.figures.sets.prevalence is None
        assert block.figures.per_label["aid"].alpha.undefined == "no sentence was reviewed by two annotators"


def test_a_mean_over_labels_leaves_out_those_that_never_vary() -> None:
    events = [says("x", 0, "aid"), says("y", 0), says("x", 1), says("y", 1)]

    figures = unbiased(events)

    assert figures.per_label["truce"].alpha.value is None
    assert figures.mean_alpha.value == figures.per_label["aid"].alpha.value


# -- intervals


def test_intervals_span_the_figures_and_come_from_the_seed() -> None:
    events = noisy("xy")

    figures = unbiased(events, seed=1)

    for estimate in (figures.sets.kappa, figures.sets.alpha, figures.masi_alpha, figures.per_label["aid"].alpha):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high
    assert unbiased(events, seed=1) == figures
    assert unbiased(events, seed=2) != figures


def test_intervals_narrow_with_less_confidence() -> None:
    events = noisy("xy")
    wide, narrow = unbiased(events, confidence=0.95).sets.alpha, unbiased(events, confidence=0.5).sets.alpha

    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


@pytest.mark.parametrize(("sentences", "reason"), [(38, "fewer than 20 documents: 19"), (40, "")])
def test_there_are_no_intervals_below_twenty_documents(sentences: int, reason: str) -> None:
    figures = unbiased([event for event in noisy("xy") if BY_ID[event.sentence_id].start < sentences])

    assert figures.n_documents == sentences // 2
    assert figures.sets.alpha.no_interval == reason
    assert (figures.sets.alpha.low is None) == bool(reason)


def test_a_pair_with_few_documents_in_common_has_no_interval() -> None:
    events = noisy("xy") + [says("z", sentence, *SETS[sentence % 4]) for sentence in range(8)]

    by_pair = {pair.annotators: pair for pair in unbiased(events).pairs}

    assert by_pair["x", "y"].kappa.no_interval == ""
    assert by_pair["x", "z"].n_documents == 4
    assert by_pair["x", "z"].kappa.no_interval == "fewer than 20 documents: 4"


def test_draws_in_which_a_figure_is_undefined_are_counted() -> None:
    events = [says(annotator, sentence) for sentence in range(40) for annotator in "xy"]
    events += [says("x", 40, "aid"), says("y", 40, "aid")]

    alpha = unbiased(events, draws=200).sets.alpha

    assert alpha.value == 1
    assert 0 < alpha.undefined_draws < 200
    assert (alpha.low, alpha.high) == (1, 1)


def test_a_label_in_few_documents_has_a_reason_and_no_interval() -> None:
    events = [says(who, number, *(["truce"] if number % 2 else [])) for number in range(2, 60) for who in "xy"]
    events += [says("x", 0, "aid"), says("y", 0, "aid")]

    found = unbiased(events, draws=50)

    for estimate in (found.per_label["aid"].alpha, found.per_label["aid"].kappa, found.pairs[0].per_label["aid"]):
        assert (estimate.value, estimate.low, estimate.no_interval) == (1, None, "given in fewer than 10 documents: 1")
    assert found.per_label["truce"].alpha.low is not None


# -- which decisions count


@pytest.mark.parametrize(
    ("fields", "blocks"),
    [
        ({"strategy": "random"}, (1, 0)),
        ({"strategy": "overlap"}, (1, 0)),
        ({"strategy": "random", "inclusion_probability": 0.2}, (1, 0)),
        ({"strategy": "", "inclusion_probability": 1.0}, (1, 0)),
        ({"strategy": "audit", "inclusion_probability": 1.0}, (0, 1)),
        ({"strategy": ""}, (0, 1)),
        ({"strategy": "", "inclusion_probability": 0.5}, (0, 1)),
        ({"strategy": "uncertainty"}, (0, 1)),
        ({"suggestion": ("aid",)}, (0, 1)),
        ({"suggestion": ()}, (0, 1)),
        ({"informed": True}, (0, 1)),
        ({"suggestion": ("aid",), "blind": True}, (1, 0)),
    ],
)
def test_only_random_draws_without_a_suggestion_are_unbiased(fields: dict[str, Any], blocks: tuple[int, int]) -> None:
    assert sizes([says("x", 0, **fields), says("y", 0, **fields)]) == blocks


def test_a_sentence_needs_two_unbiased_decisions() -> None:
    assert sizes([says("x", 0), says("y", 0, strategy="uncertainty")]) == (0, 1)


def test_only_unbiased_decisions_of_a_sentence_are_compared() -> None:
    events = [says("x", 0, "aid"), says("y", 0, "aid"), says("z", 0, suggestion=("truce",))]

    figures = unbiased(events)

    assert figures.annotators == ("x", "y")
    assert figures.n_decisions == 2
    assert sizes(events) == (1, 0)


def test_the_second_block_compares_all_that_was_said() -> None:
    events = [says("x", 0, "aid"), says("y", 0, strategy=""), says("z", 0, suggestion=("truce",))]

    assert report(events).other.figures.n_decisions == 3


def test_a_later_picked_decision_keeps_a_sentence_unbiased() -> None:
    events = [says("x", 0, "aid"), says("y", 0), says("y", 0, "aid", strategy="relabel")]

    figures = unbiased(events)

    assert figures.n_sentences == 1
    assert figures.exact_agreement.value == 0


def test_the_last_decision_of_an_annotator_counts() -> None:
    events = [says("x", 0, "aid"), says("y", 0), says("y", 0, "aid")]

    assert unbiased(events).exact_agreement.value == 1


def test_undone_decisions_do_not_count() -> None:
    events = [says("x", 0, "aid"), says("y", 0, "aid"), says("y", 0), undo("y", 0)]

    assert unbiased(events).exact_agreement.value == 1
    assert sizes([says("x", 0), says("y", 0), undo("y", 0)]) == (0, 0)


def test_retests_and_adjudications_do_not_count() -> None:
    events = [says("x", 0, "aid"), says("y", 0, "aid")]
    events += [says("y", 0, strategy="retest"), says("z", 0, event="adjudicate")]

    figures = unbiased(events)

    assert figures.annotators == ("x", "y")
    assert figures.exact_agreement.value == 1


def test_skips_are_counted_and_not_compared() -> None:
    events = [says("x", 0), says("y", 0, state="skipped"), says("x", 1), says("y", 1)]

    found = report(events)

    assert found.unbiased.figures.n_sentences == 1
    assert [asdict(response) for response in found.responses] == [
        {"annotator": "x", "reviewed": 2, "skipped": 0, "not_a_sentence": 0},
        {"annotator": "y", "reviewed": 1, "skipped": 1, "not_a_sentence": 0},
    ]


@given(
    choices=st.lists(
        st.tuples(
            st.sampled_from("xy"),
            st.integers(0, 1),
            st.sampled_from(["annotate", "adjudicate", "undo"]),
        ),
        max_size=12,
    )
)
def test_what_is_kept_ends_with_what_stands(choices: list[tuple[str, int, Any]]) -> None:
    events = [says(annotator, sentence, event=event) for annotator, sentence, event in choices]

    last = {(history[-1].sentence_id, history[-1].annotator): history[-1] for history in kept_annotations(events)}

    assert last == standing(events).annotations


# -- labels of other codebooks


def test_a_standing_label_that_the_codebook_lacks_is_an_error() -> None:
    with pytest.raises(CodebookError, match=rf"sentence {SENTENCES[0].id}, annotator 'y': label 'threat' is not in"):
        report([says("x", 0), says("y", 0, "threat")])


def test_a_replaced_decision_under_another_codebook_is_left_out() -> None:
    events = [says("x", 0, "aid"), says("y", 0, "threat"), says("y", 0, "aid", strategy="relabel")]

    assert sizes(events) == (0, 1)


OLD_BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "help"}, {"name": "call"}]}, "small")


def changed(*steps: Step) -> CodebookHistory:
    return CodebookHistory(
        {OLD_BOOK.hash: OLD_BOOK, BOOK.hash: BOOK}, (Edge(OLD_BOOK.hash, BOOK.hash, steps),) if steps else ()
    )


def test_decisions_under_an_older_codebook_are_read() -> None:
    events = [says("x", 0, "help", codebook_hash=OLD_BOOK.hash), says("y", 0, "aid", codebook_hash=BOOK.hash)]
    events.append(says("x", 0, "truce", strategy="retest", codebook_hash=BOOK.hash))
    history = changed(Step("rename", ("help",), ("aid",)), Step("rename", ("call",), ("truce",)))

    found = agreement(events, BY_ID, BOOK, history, Bootstrap(draws=1))
    (retest,) = retest_agreement(events, BY_ID, BOOK, history, Bootstrap(draws=1))

    assert found.unbiased.figures.n_sentences == 1
    assert found.unbiased.figures.exact_agreement.value == 1
    assert found.undecided == 0
    assert retest.figures.per_label["aid"].prevalence == 0.5


def test_decisions_left_undecided_by_a_change_are_counted() -> None:
    events = [says(who, 0, "help", codebook_hash=OLD_BOOK.hash) for who in "xy"]
    events += [says(who, 1, codebook_hash=OLD_BOOK.hash) for who in "xy"]
    history = changed(Step("split", ("help",), ("aid", "truce")), Step("retire", ("call",), ()))

    found = agreement(events, BY_ID, BOOK, history, Bootstrap(draws=1))

    assert found.undecided == 2
    assert (found.unbiased.figures.n_sentences, found.other.figures.n_sentences) == (1, 0)


def test_decisions_from_which_no_change_leads_here_are_an_error() -> None:
    with pytest.raises(CodebookError, match="communique codebook migrate"):
        agreement([says("x", 0, "help", codebook_hash=OLD_BOOK.hash)], BY_ID, BOOK, changed())


def test_a_sentence_without_its_text_is_an_error() -> None:
    with pytest.raises(DataError, match=rf"sentence {SENTENCES[0].id}: annotator 'x' labelled this sentence"):
        agreement([says("x", 0), says("y", 0)], {}, BOOK)


# -- confusions


def confusions(events: Iterable[Annotation], codebook: Codebook = BOOK) -> dict[tuple[str | None, str | None], int]:
    return {found.labels: found.count for found in report(events, codebook).unbiased.confusions}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("aid",), ("aid",), {}),
        (("aid",), (), {("aid", None): 1}),
        ((), ("truce",), {("truce", None): 1}),
        (("truce",), ("aid",), {("aid", "truce"): 1}),
        (("aid",), ("aid", "truce"), {("truce", None): 1}),
        (("aid", "truce"), (), {("aid", None): 1, ("truce", None): 1}),
    ],
)
def test_what_one_says_stands_against_what_only_the_other_says(
    first: tuple[str, ...], second: tuple[str, ...], expected: dict[tuple[str | None, str | None], int]
) -> None:
    assert confusions([says("x", 0, *first), says("y", 0, *second)]) == expected


def test_every_pair_of_decisions_is_a_chance_of_confusion() -> None:
    assert confusions([says("x", 0, "aid"), says("y", 0), says("z", 0)]) == {("aid", None): 2}


def test_confusions_are_sorted_with_two_examples_each() -> None:
    events = [says("x", 0, "truce"), says("y", 0)]
    events += [event for number in (3, 2, 1) for event in (says("x", number, "aid"), says("y", number))]

    first, second = report(events).unbiased.confusions

    assert (first.labels, first.count) == (("aid", None), 3)
    assert [example.sentence_id for example in first.examples] == [SENTENCES[1].id, SENTENCES[2].id]
    assert first.examples[0].text == "Sentence 1."
    assert first.examples[0].decisions == {"x": ("aid",), "y": ()}
    assert (second.labels, second.count) == (("truce", None), 1)


def test_ten_confusions_are_reported() -> None:
    names = [f"l{number:02}" for number in range(12)]
    codebook = codebook_from_dict({"name": "wide", "labels": [{"name": name} for name in names]}, "wide")
    events = [event for number, name in enumerate(names) for event in (says("x", number, name), says("y", number))]

    assert list(confusions(events, codebook)) == [(name, None) for name in names[:10]]


def test_the_blocks_have_confusions_of_their_own() -> None:
    events = [says("x", 0, "aid"), says("y", 0), says("x", 1, "truce", strategy=""), says("y", 1, strategy="")]

    found = report(events)

    assert [confusion.labels for confusion in found.unbiased.confusions] == [("aid", None)]
    assert [confusion.labels for confusion in found.other.confusions] == [("truce", None)]


# -- retests


def again(annotator: str, sentence: int, *labels: str, draw: str = "again") -> Annotation:
    return says(annotator, sentence, *labels, strategy="retest", draw_id=draw)


def test_a_retest_is_compared_with_the_annotators_own_decision() -> None:
    events = [says("x", 0, "aid"), says("y", 0, "truce"), says("x", 1), again("x", 0, "aid"), again("x", 1, "truce")]

    (retest,) = retest_agreement(events, BY_ID, BOOK)

    assert retest.annotator == "x"
    assert retest.figures.n_sentences == 2
    assert retest.figures.exact_agreement.value == 0.5
    assert retest.figures.per_label["aid"].kappa.value == 1
    assert retest.figures.sets.alpha.value == pytest.approx(krippendorff_alpha([["a", "a"], ["", "t"]]))


def test_a_second_retest_is_compared_with_the_first() -> None:
    events = [says("x", 0, "aid"), again("x", 0), again("x", 0, draw="once more")]

    (retest,) = retest_agreement(events, BY_ID, BOOK)

    assert retest.figures.n_sentences == 2
    assert retest.figures.exact_agreement.value == 0.5


def test_the_last_decision_of_a_corrected_retest_counts() -> None:
    events = [says("x", 0), says("x", 0, "aid"), again("x", 0, "truce"), again("x", 0), again("x", 0, "aid")]

    (retest,) = retest_agreement(events, BY_ID, BOOK)

    assert retest.figures.n_sentences == 1
    assert retest.figures.exact_agreement.value == 1


@pytest.mark.parametrize(
    "events",
    [
        [again("x", 0)],
        [says("x", 0), again("x", 0), undo("x", 0)],
        [says("x", 0, state="skipped"), again("x", 0)],
        [says("x", 0), replace(again("x", 0), state="skipped")],
        [says("x", 0), again("x", 0, "aid"), replace(again("x", 0), state="skipped")],
        [says("x", 0, "threat"), again("x", 0)],
        [says("x", 0), again("y", 0)],
    ],
)
def test_without_two_reviews_of_one_annotator_there_is_no_retest(events: list[Annotation]) -> None:
    assert retest_agreement(events, BY_ID, BOOK) == ()


def test_an_undone_decision_is_no_yardstick_for_a_retest() -> None:
    events = [says("x", 0, "aid"), says("x", 0), undo("x", 0), again("x", 0, "aid")]

    (retest,) = retest_agreement(events, BY_ID, BOOK)

    assert retest.figures.exact_agreement.value == 1


def test_retests_have_intervals_per_annotator() -> None:
    events = [event for event in noisy("yx") if BY_ID[event.sentence_id].start < 50]
    events += [replace(event, event_id=f"{event.event_id}-again", strategy="retest") for event in events]

    retests = retest_agreement(events, BY_ID, BOOK, bootstrap=Bootstrap(draws=20))

    assert [retest.annotator for retest in retests] == ["x", "y"]
    assert retests[0].figures.n_documents >= 20
    assert (retests[0].figures.sets.kappa.low, retests[0].figures.sets.kappa.high) == (1, 1)


def test_corrections_on_the_page_do_not_count() -> None:
    page = {"strategy": "page", "suggestion": ("aid",)}
    events = [
        says("ana", 0, "aid"),
        says("bo", 0, "aid", **page),
        says("ana", 1, **page),
        says("bo", 1, "truce", **page),
    ]
    assert sizes(events) == (0, 0)
    assert sizes([*events, says("bo", 0, "truce")]) == (1, 0)
