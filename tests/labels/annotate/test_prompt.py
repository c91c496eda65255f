from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.prompt import run_prompt
from labels.annotate.session import Session
from labels.annotate.tasks import LabellingSession
from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.records import Document, Sentence
from labels.sampling.drawing import DrawRequest
from labels.sampling.suggestions import Suggester
from labels.store import Draft, Store
from labels.store.codebook_migration import apply_migration, plan_migration
from tests.labels.annotate.conftest import score
from tests.labels.store.builders import decision, model

Stored = list[tuple[str, str | None, tuple[str, ...]]]
TEXTS = ("One here.", "Two here.", "Three here.")


@pytest.fixture
def store() -> Iterator[Store]:
    """A document of three sentences."""
    with Store("store.db") as opened:
        fill(opened)
        yield opened


def fill(store: Store) -> None:
    text = " ".join(TEXTS)
    document = Document("paper", text, title="The title")
    rows = [Sentence(document.id, text.index(part), text.index(part) + len(part), part) for part in TEXTS]
    store.documents.add([(document, rows)])


def typing(*lines: str) -> Callable[[str], str]:
    """Answers to come one by one; then the input ends."""
    rest = iter(lines)

    def ask(_: str) -> str:
        try:
            return next(rest)
        except StopIteration:
            raise EOFError from None

    return ask


def label(store: Store, codebook: Codebook, *lines: str, size: int = 3) -> tuple[int, list[str]]:
    """What `run_prompt` returned for typed lines, and what it said."""
    said: list[str] = []
    session = LabellingSession(store, codebook, "ana", DrawRequest(size=size))
    return run_prompt(session, codebook, typing(*lines), said.append).decided, said


def stored(store: Store) -> Stored:
    return [(event.event, event.state, event.labels) for event in store.events.all()]


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("a", ("aid",)),
        ("t", ("truce",)),
        ("ta", ("aid", "truce")),
        ("a, t", ("aid", "truce")),
        (" a t ", ("aid", "truce")),
        ("aa", ("aid",)),
        ("n", ()),
        (" n ", ()),
    ],
)
def test_keys_record_labels_in_codebook_order(
    store: Store, codebook: Codebook, typed: str, labels: tuple[str, ...]
) -> None:
    decided, _ = label(store, codebook, typed)

    assert decided == 1
    assert stored(store) == [("annotate", "reviewed", labels)]


def test_s_skips(store: Store, codebook: Codebook) -> None:
    assert label(store, codebook, "s")[0] == 1
    assert stored(store) == [("annotate", "skipped", ())]


def test_u_undoes_the_last_decision_and_shows_its_sentence(store: Store, codebook: Codebook) -> None:
    decided, said = label(store, codebook, "a", "u", "t")

    assert decided == 1
    assert [event for event, _, _ in stored(store)] == ["annotate", "undo", "annotate"]
    shown = [line for line in said if line.startswith("  > ")]
    assert shown[2] == shown[0] != shown[1]
    assert store.events.all()[2].sentence_id == store.events.all()[0].sentence_id


def test_u_without_a_decision_says_so(store: Store, codebook: Codebook) -> None:
    decided, said = label(store, codebook, "u")

    assert decided == 0
    assert said[-1] == "Nothing to undo."
    assert stored(store) == []


@pytest.mark.parametrize("lines", [("a", "q", "t"), ("a",)], ids=["q", "end of input"])
def test_quitting_keeps_what_was_decided(store: Store, codebook: Codebook, lines: tuple[str, ...]) -> None:
    assert label(store, codebook, *lines)[0] == 1
    assert stored(store) == [("annotate", "reviewed", ("aid",))]


@pytest.mark.parametrize("last", ["q", "", "a"])
def test_after_the_last_sentence_any_answer_but_undo_ends(store: Store, codebook: Codebook, last: str) -> None:
    decided, _ = label(store, codebook, "a", last, "t", "t", size=1)

    assert decided == 1
    assert stored(store) == [("annotate", "reviewed", ("aid",))]


def test_the_last_decision_of_a_draw_can_be_undone(store: Store, codebook: Codebook) -> None:
    assert label(store, codebook, "a", "u", "t", "q", size=1)[0] == 1
    assert stored(store)[1:] == [("undo", None, ()), ("annotate", "reviewed", ("truce",))]


def test_help_shows_every_rule_and_decides_nothing(store: Store) -> None:
    rules = {"include": ["Loans"], "exclude": ["Thanks"]}
    book = codebook_from_dict(
        {"name": "b", "labels": [{"name": "aid", "key": "a", "definition": "Help.", **rules}]}, "b"
    )
    decided, said = label(store, book, "?", "q")

    assert decided == 0
    assert said[-3:] == ["[a] aid: Help.", "      in: Loans", "      out: Thanks"]


def test_a_sentence_is_shown_with_place_title_and_neighbours(store: Store, codebook: Codebook) -> None:
    _, said = label(store, codebook, "n", "n", "n")

    start = said.index("  > Two here.")
    number = [line for line in said if line.startswith("  > ")].index("  > Two here.") + 1
    assert said[start - 2 : start + 2] == [
        f"[{number}/3] The title",
        "    … One here.",
        "  > Two here.",
        "    Three here. …",
    ]


def test_a_sentence_is_shown_once_however_often_one_mistypes(store: Store, codebook: Codebook) -> None:
    _, said = label(store, codebook, "x", "?", "u", "a", size=1)

    assert len([line for line in said if line.startswith("  > ")]) == 1


def menus(session: Session, codebook: Codebook, *lines: str) -> list[str]:
    """What was asked before each of the lines typed."""
    asked: list[str] = []
    answer = typing(*lines)

    def ask(menu: str) -> str:
        asked.append(menu)
        return answer(menu)

    run_prompt(session, codebook, ask, lambda _: None)
    return asked


def test_the_menu_names_all_keys(store: Store, codebook: Codebook) -> None:
    (menu,) = menus(LabellingSession(store, codebook, "ana"), codebook, "q")

    for part in ("[a] aid", "[t] truce", "[n] none", "[s] skip", "[u] undo", "[!text] note", "[q] quit", "[?] help"):
        assert part in menu


def test_the_menu_offers_none_only_where_the_codebook_allows_it(store: Store) -> None:
    content: dict[str, Any] = {"name": "b", "exclusive": True, "labels": [{"name": "aid"}, {"name": "truce"}]}
    for allowed in (True, False):
        book = codebook_from_dict(content | {"allow_none": allowed}, "b")
        (menu,) = menus(LabellingSession(store, book, "ana"), book, "q")
        assert ("[n] none" in menu) is allowed


def test_an_answer_that_is_not_understood_names_the_keys(store: Store, codebook: Codebook) -> None:
    _, said = label(store, codebook, "x")

    assert said[-1].startswith(
        "'x' is not one of the keys. Type label keys (a t), #name for a label by its name, n none, s skip, "
        ":n not a sentence, u undo"
    )


@pytest.mark.parametrize("answer", ["", " ", ",", " , ", ",,"])
def test_an_answer_without_any_key_decides_nothing(store: Store, codebook: Codebook, answer: str) -> None:
    assert label(store, codebook, answer)[0] == 0
    assert stored(store) == []


@given(st.text(max_size=6))
@settings(deadline=None, max_examples=25)
def test_whatever_is_typed_only_keys_decide(typed: str) -> None:
    book = codebook_from_dict(
        {"name": "b", "labels": [{"name": "aid", "key": "a"}, {"name": "truce", "key": "t"}]}, "b"
    )
    bare = typed.strip()
    assume(bare not in {"n", "s"} and not bare.startswith("#"))
    only_keys = bool(set(bare) & {"a", "t"}) and set(bare) <= {"a", "t", " ", ","}
    with Store("sqlite://") as store:
        fill(store)
        decided, _ = label(store, book, typed)

        assert decided == (1 if only_keys else 0)
        assert len(store.events.all()) == decided


def test_two_labels_are_not_taken_where_the_codebook_is_exclusive(store: Store, exclusive_codebook: Codebook) -> None:
    decided, said = label(store, exclusive_codebook, "12")

    assert decided == 0
    assert said[-1] == "This codebook is exclusive: type one label only."


def test_an_exclusive_codebook_takes_one_label_or_none(store: Store, exclusive_codebook: Codebook) -> None:
    assert label(store, exclusive_codebook, "3", "n", "11")[0] == 3
    assert [labels for _, _, labels in stored(store)] == [("threat",), (), ("aid",)]


def test_none_is_not_taken_where_the_codebook_demands_a_label(store: Store) -> None:
    labels = [{"name": "aid"}, {"name": "truce"}]
    book = codebook_from_dict({"name": "b", "exclusive": True, "allow_none": False, "labels": labels}, "b")

    decided, said = label(store, book, "n")

    assert decided == 0
    assert said[-1] == "This codebook requires a label; type s (skip) if none applies."
    assert stored(store) == []


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("#truce", ("truce",)),
        ("#TR", ("truce",)),
        ("# tr", ("truce",)),
        ("#truce, #a", ("aid", "truce")),
        ("#tr ai", ("aid", "truce")),
        ("#tr #truce", ("truce",)),
    ],
)
def test_labels_are_chosen_by_the_beginning_of_their_names(
    store: Store, codebook: Codebook, typed: str, labels: tuple[str, ...]
) -> None:
    assert label(store, codebook, typed)[0] == 1
    assert stored(store) == [("annotate", "reviewed", labels)]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("#t", "2 label names begin with 't'. Type more of the name: truce, threat"),
        ("#aid x", "No label name begins with 'x'. The labels are: aid, truce, threat"),
        ("#aid #truce", "This codebook is exclusive: type one label only."),
        ("#", "Type the beginning of a label's name after #; ? lists all labels."),
    ],
)
def test_names_that_are_not_one_label_decide_nothing(
    store: Store, exclusive_codebook: Codebook, typed: str, said: str
) -> None:
    decided, lines = label(store, exclusive_codebook, typed)

    assert (decided, lines[-1]) == (0, said)
    assert stored(store) == []


def test_a_label_beyond_the_keys_is_offered_and_chosen_by_its_name(store: Store) -> None:
    names = [{"name": f"topic_{number}"} for number in range(77)]
    book = codebook_from_dict({"name": "b", "exclusive": True, "labels": names}, "b")
    menus: list[str] = []
    said: list[str] = []
    answers = iter(["?", "#topic_76", "q"])

    def ask(menu: str) -> str:
        menus.append(menu)
        return next(answers)

    run_prompt(LabellingSession(store, book, "ana"), book, ask, said.append)

    assert "  [Z] topic_56  [#name] 20 more labels  [n] none" in menus[0]
    assert {"[Z] topic_56: ", "[#] topic_57: ", "[#] topic_76: "} <= set(said)
    assert stored(store) == [("annotate", "reviewed", ("topic_76",))]


def test_decisions_of_an_earlier_sitting_count(store: Store, codebook: Codebook) -> None:
    label(store, codebook, "a", "q")

    decided, said = label(store, codebook, "t", "q")

    assert decided == 2
    assert "[2/3] The title" in said


def test_a_note_is_kept_with_the_decision_that_follows(store: Store, codebook: Codebook) -> None:
    label(store, codebook, "!who speaks?", "a", "! ", "s", "!never decided")

    events = store.events.all()
    assert [(event.state, event.labels, event.note) for event in events] == [
        ("reviewed", ("aid",), "who speaks?"),
        ("skipped", (), ""),
    ]


def test_a_note_keeps_the_chosen_labels(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana", DrawRequest(size=3))
    session.keep_draft(("truce",), "")

    run_prompt(session, codebook, typing("!who speaks?"), lambda _: None)

    item = session.current()
    assert item is not None
    assert item.draft == Draft(("truce",), "who speaks?")


# -- adjudicators


@pytest.fixture
def disputed(store: Store) -> Store:
    """Ana and ben differ on all three sentences."""
    for sentence in store.documents.sentences():
        store.events.add([decision(sentence.id, "ana", labels=("aid",)), decision(sentence.id, "ben")])
    return store


def test_the_prompt_counts_disputes_left_undecided(disputed: Store, codebook: Codebook) -> None:
    session = AdjudicationSession(disputed, codebook, "eva")

    asked = menus(session, codebook, "a", "s", "s", "u", "a", "s", "s", "q")

    assert "[s] leave" in asked[0]
    assert asked[3].startswith("\n2 left undecided.  [u] undo  [q] quit")
    assert len(disputed.events.all()) == 6 + 3
    (first, *_) = menus(AdjudicationSession(disputed, codebook, "eva"), codebook, "q")
    assert "[s] leave" in first


def test_the_prompt_shows_a_concurrent_adjudication_before_overruling(disputed: Store, codebook: Codebook) -> None:
    ids = [sentence.id for sentence in disputed.documents.sentences()]
    session, said = AdjudicationSession(disputed, codebook, "eva"), list[str]()
    answers = iter(["a", "a", "n", "q"])

    def ask(_: str) -> str:
        answer = next(answers)
        if not said.count("mia decides"):
            disputed.events.add([decision(key, "mia", "adjudicate", labels=("truce",)) for key in ids[:2]])
            said.append("mia decides")
        return answer

    run_prompt(session, codebook, ask, said.append)

    assert [event.labels for event in disputed.events.all() if event.annotator == "eva"] == [("aid",), ()]
    refusal, *later = said[said.index("mia decides") + 1 :]
    assert refusal.startswith("mia decided this sentence in the meantime: truce.")
    assert later[:3] == [
        "",
        "[3/3] The title",
        "    Disputed sentences that mia decided in the meantime: 1. They are not shown again.",
    ]


def test_an_adjudication_is_marked_beside_an_annotation(disputed: Store, codebook: Codebook) -> None:
    (first, *_) = disputed.documents.sentences()
    session, said = AdjudicationSession(disputed, codebook, "eva"), list[str]()
    disputed.events.add([decision(first.id, "ana", "adjudicate")])
    session.go_to(1)

    run_prompt(session, codebook, typing("q"), said.append)

    assert said[-3:] == ["    [1] ana: aid", "    [2] ben: none", "    [3] ana, adjudicating: none"]


def test_an_opinion_shows_its_undecided_labels(store: Store, codebook: Codebook) -> None:
    (first, *_) = store.documents.sentences()
    then = {"codebook_hash": codebook.hash}
    store.events.add([decision(first.id, "ana", labels=("aid",), **then), decision(first.id, "ben", **then)])
    book = codebook_from_dict(
        {"name": "small", "version": "2", "labels": [{"name": "loan"}, {"name": "gift"}]}, "small"
    )
    steps = [Step("split", ("aid",), ("loan", "gift")), Step("retire", ("truce",), ())]
    apply_migration(store, plan_migration(store, codebook, book, steps))
    store.events.add([decision(first.id, who, codebook_hash=book.hash, labels=(who,)) for who in ("loan", "gift")])
    said: list[str] = []

    run_prompt(AdjudicationSession(store, book, "eva"), book, typing("q"), said.append)

    assert "    ana: aid, now undecided: loan, gift" in said


@pytest.mark.parametrize(
    ("withheld", "said_of_it", "events"),
    [
        (0.0, "    a model suggests: aid  [:y] accept", [("accepted", ("aid",))]),
        (1.0, "    a model's suggestion is withheld", []),
    ],
)
def test_a_suggestion_is_accepted_unless_it_is_withheld(
    store: Store, codebook: Codebook, withheld: float, said_of_it: str, events: list[tuple[str, tuple[str, ...]]]
) -> None:
    score(store)
    said: list[str] = []
    session = LabellingSession(store, codebook, "ana", suggester=Suggester(store, model(), "ana", withheld))

    run_prompt(session, codebook, typing(":y", "q"), said.append)

    assert said_of_it in said
    assert [(event.basis, event.labels) for event in store.events.all()] == events
    assert ("The suggestion is withheld here. Type label keys." in said) == (not events)
