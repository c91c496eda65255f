from __future__ import annotations

import random
import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.text.duplicates import MIN_JACCARD, MIN_WORDS, near_duplicate_clusters, near_duplicate_pairs

WORDS = [f"w{number}" for number in range(60)]


def words(start: int, stop: int) -> str:
    return " ".join(WORDS[start:stop])


def pairs_by_hand(texts: list[str]) -> set[tuple[int, int]]:
    """All pairs of texts of at least 8 words whose sets of word triples overlap by at least 0.6."""
    triples = []
    for text in texts:
        tokens = re.findall(r"\w+", text.lower())
        triples.append(set(zip(tokens, tokens[1:], tokens[2:], strict=False)) if len(tokens) >= 8 else set())
    return {
        (i, j)
        for (i, left), (j, right) in combinations(enumerate(triples), 2)
        if left and right and len(left & right) / len(left | right) >= 0.6
    }


def partition(numbers: list[int]) -> set[frozenset[int]]:
    return {frozenset(i for i, number in enumerate(numbers) if number == wanted) for wanted in numbers}


def components_by_hand(size: int, pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    groups = [{i} for i in range(size)]
    for i, j in pairs:
        merged = groups[i] | groups[j]
        for member in merged:
            groups[member] = merged
    return {frozenset(group) for group in groups}


@st.composite
def reprinted_texts(draw: st.DrawFn) -> list[str]:
    """Some sentences and copies of them in which a word or two differ, was added or dropped."""
    generator = random.Random(draw(st.integers(0, 10_000)))
    texts = [" ".join(generator.sample(WORDS, generator.randint(7, 20))) for _ in range(draw(st.integers(1, 4)))]
    for _ in range(draw(st.integers(0, 8))):
        tokens = generator.choice(texts).split()
        for _ in range(generator.randint(0, 2)):
            tokens[generator.randrange(len(tokens))] = generator.choice([*WORDS, "", "two words"])
        texts.append(" ".join(tokens))
    generator.shuffle(texts)
    return texts


@settings(deadline=None, max_examples=60, derandomize=True)
@given(reprinted_texts())
def test_clusters_are_the_components_of_the_exact_similarities(texts: list[str]) -> None:
    assert partition(near_duplicate_clusters(texts)) == components_by_hand(len(texts), pairs_by_hand(texts))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(reprinted_texts())
def test_similar_pairs_of_different_texts_are_listed_once(texts: list[str]) -> None:
    different = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    found = list(near_duplicate_pairs(different))
    assert len(found) == len(set(found))
    assert set(found) == pairs_by_hand(different)


@pytest.mark.parametrize(
    "texts",
    [
        [words(0, 12)] * 3,
        [words(0, 12), words(0, 11) + " other", words(0, 11) + " other"],
        [words(0, 12), words(0, 12), words(0, 11) + " other"],
    ],
    ids=["three the same", "two the same after a similar one", "two the same before a similar one"],
)
def test_pairs_among_equal_texts_are_listed(texts: list[str]) -> None:
    assert sorted(near_duplicate_pairs(texts)) == [(0, 1), (0, 2), (1, 2)]


def test_the_thresholds_are_those_of_the_design() -> None:
    assert (MIN_WORDS, MIN_JACCARD) == (8, 0.6)


@pytest.mark.parametrize(
    ("shared", "similar"),
    # Ten words are eight triples; s shared first words are s - 2 shared triples of 18 - s in all: 6/10, then 5/11.
    [(8, True), (7, False)],
)
def test_six_shared_triples_in_ten_are_just_enough(shared: int, similar: bool) -> None:
    one, other = words(0, 10), f"{words(0, shared)} {words(30, 40 - shared)}"
    assert (len(set(near_duplicate_clusters([one, other]))) == 1) is similar


@pytest.mark.parametrize(("length", "similar"), [(7, False), (8, True)])
def test_equal_sentences_count_from_eight_words(length: int, similar: bool) -> None:
    text = words(0, length)
    assert list(near_duplicate_pairs([text, text])) == ([(0, 1)] if similar else [])
    assert (len(set(near_duplicate_clusters([text, text]))) == 1) is similar


def test_case_and_punctuation_do_not_tell_texts_apart() -> None:
    one = "The envoy called, again, for a truce in the valley."
    other = "THE ENVOY CALLED AGAIN: FOR A TRUCE – IN THE VALLEY"
    assert list(near_duplicate_pairs([one, other])) == [(0, 1)]


def test_a_chain_of_similar_texts_is_one_cluster_and_strangers_stay_apart() -> None:
    chain = [words(0, 20), words(2, 22), words(4, 24), words(6, 26)]
    assert (0, 3) not in pairs_by_hand(chain)
    first, *others = near_duplicate_clusters([*chain, words(40, 60), "too short"])
    assert others[:3] == [first] * 3
    assert len({first, *others[3:]}) == 3


def test_the_words_order_matters() -> None:
    assert list(near_duplicate_pairs([words(0, 12), " ".join(reversed(WORDS[:12]))])) == []


def test_no_texts_have_no_clusters() -> None:
    assert near_duplicate_clusters([]) == []
    assert list(near_duplicate_pairs(["", "   "])) == []


def test_unpaired_surrogates_are_accepted() -> None:
    text = words(0, 9) + " a\ud83db"
    assert len(set(near_duplicate_clusters([text, text, text + " more"]))) == 1


def test_the_same_words_typed_in_another_way_are_near_duplicates() -> None:
    typed = "They won’t sign the oﬀered cease\u00adfire before the harvest in Lwo\u0301w."
    plain = "They won't sign the offered ceasefire before the harvest in Lwów."
    assert set(near_duplicate_pairs([typed, plain, plain.replace(" ", "\u00a0")])) == {(0, 1), (0, 2), (1, 2)}
