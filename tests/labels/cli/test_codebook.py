"""`communique codebook diff` and `migrate`, and versions in the store; the others are in `test_cli`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from shlex import split
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import load_codebook, parse_codebook
from labels.gold import resolve
from labels.records import Annotation, Sentence
from labels.store import Store
from trainer.cli import app
from trainer.data.corpus import store_examples

OLD = """name = "small"
version = "1"
rules = ["Judge the sentence alone."]
[[labels]]
name = "aid"
definition = "Help [of any kind] is promised."
include = ["gifts", "loans"]
[[labels]]
name = "truce"
"""
REWORDED = (
    OLD.replace("Help [of any kind]", "Support").replace('"gifts", ', "").replace('version = "1"', 'version = "1.1"')
)
NEW = """name = "small"
version = "2"
[[labels]]
name = "loan"
[[labels]]
name = "gift"
[[labels]]
name = "halt"
"""
MIGRATE = ("codebook", "migrate", "old.toml", "new.toml", "--split", "aid=loan,gift", "--rename", "truce=halt")
RELABEL = ("label", "--annotator", "ana", "--strategy", "relabel")
SENTENCES = [
    Sentence("d1", 0, 9, "Oslo [sic] pledged trucks."),
    Sentence("d1", 10, 19, "The envoy called for a truce."),
]


@pytest.fixture(autouse=True)
def books(isolated: Path) -> None:
    """Three versions of a codebook in the working folder."""
    for name, text in (("old.toml", OLD), ("reworded.toml", REWORDED), ("new.toml", NEW)):
        (isolated / name).write_text(text, encoding="utf-8")


@pytest.fixture
def filled(isolated: Path) -> Path:
    """The default store of the working folder: one sentence labelled `aid`, one `truce`."""
    old = load_codebook("old.toml")
    with Store("communique.db") as store:
        store.codebooks.add(old)
        store.add_annotated(SENTENCES, [])
        store.events.add(
            [
                Annotation(f"e{label}", sentence.id, "ana", "annotate", "reviewed", (label,), old.hash, "2026-01-01")
                for sentence, label in zip(SENTENCES, old.label_names, strict=True)
            ]
        )
    return isolated / "communique.db"


def run(*arguments: str, typed: str = "") -> Any:
    return CliRunner().invoke(app, list(arguments), input=typed)


def succeed(*arguments: str, typed: str = "") -> str:
    """What the command printed, white space made even."""
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def refuse(*arguments: str) -> str:
    """The message of a command that must fail for its input, without a traceback."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


def contents() -> tuple[Any, ...]:
    with Store("communique.db", create=False) as store:
        return store.events.all(), store.codebooks.all(), store.codebooks.migrations(), store.relabelling.waiting()


def readings(book: str) -> dict[str, tuple[str, ...]]:
    """The gold of the store under a codebook."""
    with Store("communique.db", create=False) as store:
        return resolve(store.events.all(), load_codebook(book), store.codebooks.history()).gold


# -- diff


def test_diff_says_which_labels_came_and_went_and_what_to_type() -> None:
    printed = succeed("codebook", "diff", "old.toml", "new.toml")

    assert "Labels only in the old version: aid, truce" in printed
    assert "Labels only in the new version: loan, gift, halt" in printed
    assert "rules - Judge the sentence alone." in printed
    assert printed.endswith("communique codebook migrate old.toml new.toml")


def test_diff_shows_wording_and_says_that_nothing_else_changed() -> None:
    printed = succeed("codebook", "diff", "old.toml", "reworded.toml")

    assert "Label aid: definition - Help [of any kind] is promised. + Support is promised. include - gifts" in printed
    assert "Label truce" not in printed
    assert "annotations made under either version mean the same" in printed
    assert "migrate" not in printed


def test_diff_names_fields_in_another_order(isolated: Path) -> None:
    (isolated / "other.toml").write_text(OLD.replace('["gifts", "loans"]', '["loans", "gifts"]'), encoding="utf-8")

    assert "include: the same in another order" in succeed("codebook", "diff", "old.toml", "other.toml")


def test_diff_of_a_codebook_with_itself_says_so() -> None:
    assert succeed("codebook", "diff", "old.toml", "old.toml").endswith("The two versions are identical.")


@pytest.mark.usefixtures("filled")
def test_diff_takes_versions_that_the_store_keeps() -> None:
    assert succeed("codebook", "diff", "small@1", load_codebook("old.toml").hash).endswith("identical.")
    assert "this store has no codebook 'small@7'" in refuse("codebook", "diff", "small@7", "new.toml")


# -- show, check


@pytest.mark.parametrize("reference", ["small@1", "small@{hash}", "{hash}"])
def test_show_and_check_take_versions_that_the_store_keeps(filled: Path, reference: str) -> None:
    filled.rename("team.db")
    old = load_codebook("old.toml")
    version = (reference.format(hash=old.hash), "--store", "team.db")

    assert parse_codebook(run("codebook", "show", *version).stdout, "printed") == old
    assert succeed("codebook", "check", *version).startswith(f"small 1 ({old.hash}): 2 labels, multi-label.")
    assert "communique.db: this label store does not exist" in refuse("codebook", "show", version[0])


# -- migrate


@pytest.mark.usefixtures("filled")
def test_migrate_shows_what_would_become_of_annotations_and_writes_nothing() -> None:
    before = contents()
    printed = succeed(*MIGRATE)

    assert "'aid' is now 'loan' or 'gift' 0 1 1" in printed
    assert "'truce' is now called 'halt' 1 0 1" in printed
    assert "Standing annotations: 2 (annotators: 1). Unchanged: 0, changed by the steps: 1, undecided: 1." in printed
    assert "Sentences to label again: 1." in printed
    assert "Oslo [sic] pledged trucks. ana: aid -> undecided: loan, gift" in printed
    assert "The envoy called for a truce. ana: truce -> halt" in printed
    assert printed.endswith("Nothing is written yet. To record the steps, repeat the command with --apply.")
    assert contents() == before


@pytest.mark.usefixtures("filled")
def test_migrate_apply_records_queues_and_says_what_to_type_next() -> None:
    printed = succeed(*MIGRATE, "--apply")

    assert "Recorded in communique.db." in printed
    assert "Sentences added to the queue for relabelling: 1." in printed
    assert "communique label --annotator YOUR_NAME --strategy relabel --codebook new.toml" in printed
    assert f"data.codebook=small@{load_codebook('old.toml').hash}" in printed
    with Store("communique.db") as store:
        assert [entry.previous for entry in store.relabelling.waiting()] == [("aid",)]
        assert len(store.codebooks.migrations()) == 1


@pytest.mark.usefixtures("filled")
def test_next_commands_after_a_migration_quote_store_and_files(isolated: Path) -> None:
    (isolated / "communique.db").rename(isolated / "my store.db")
    (isolated / "new.toml").rename(isolated / "my book.toml")
    place = ("--store", "my store.db")

    told = re.search(
        r"communique (codebook migrate .*)", succeed("codebook", "diff", "old.toml", "my book.toml", *place)
    )
    assert told
    printed = succeed(*split(told[1]), *MIGRATE[4:], "--apply")

    again = "communique label --annotator YOUR_NAME --strategy relabel --store 'my store.db' --codebook 'my book.toml'"
    assert "Recorded in my store.db. " in printed
    assert f"Next: {again} To train" in printed
    assert printed.endswith(
        f"--set data.codebook=small@{load_codebook('old.toml').hash} --set 'data.store=my store.db'"
    )
    assert f"Next: {again.partition('--codebook')[0]}" in succeed("status", *place)


def training_note() -> str:
    with Store("communique.db") as store:
        return " ".join(store_examples(store, load_codebook("new.toml")).notes)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "tell", [lambda: succeed("agreement", "--codebook", "new.toml"), lambda: succeed("status"), training_note]
)
def test_the_next_command_decides_what_a_split_left_open(tell: Callable[[], str]) -> None:
    succeed(*MIGRATE, "--apply")
    told = re.search(r"communique (label --annotator )YOUR_NAME( --strategy relabel --codebook [^\s`]+)", tell())
    assert told

    succeed(*split("ana".join(told.groups())), typed="#loan\nq\n")

    assert readings("new.toml") == {SENTENCES[0].id: ("loan",), SENTENCES[1].id: ("halt",)}
    assert "Left out" not in succeed("agreement", "--codebook", "new.toml")
    assert "label --annotator" not in succeed("status")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("book", ["old.toml", "reworded.toml", "other.toml"])
def test_the_queue_is_not_used_up_under_a_codebook_that_decides_nothing(isolated: Path, book: str) -> None:
    (isolated / "other.toml").write_text(OLD.replace('"aid"', '"threat"'), encoding="utf-8")
    succeed(*MIGRATE, "--apply")
    before = contents()

    message = refuse(*RELABEL, "--codebook", book)

    assert "queued sentences are undecided under codebook 'small' 2" in message
    new = load_codebook("new.toml").hash
    assert f"Use `communique label --annotator ana --strategy relabel --codebook small@{new}`." in message
    assert contents() == before


@pytest.mark.usefixtures("filled")
def test_the_queue_waits_for_the_last_of_several_versions(isolated: Path) -> None:
    (isolated / "third.toml").write_text(NEW.replace('"2"', '"3"').replace("gift", "grant"), encoding="utf-8")
    succeed(*MIGRATE, "--apply")
    succeed("codebook", "migrate", "new.toml", "third.toml", "--rename", "gift=grant", "--apply")

    assert "--codebook small@" + load_codebook("third.toml").hash in refuse(*RELABEL, "--codebook", "new.toml")
    succeed(*RELABEL, "--codebook", "third.toml", typed="#grant\nq\n")
    assert readings("third.toml")[SENTENCES[0].id] == ("grant",)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("book", ["new.toml", "branch.toml"])
def test_either_of_two_versions_can_decide_the_queue(isolated: Path, book: str) -> None:
    (isolated / "branch.toml").write_text(NEW.replace('"2"', '"2b"').replace("gift", "grant"), encoding="utf-8")
    succeed(*MIGRATE, "--apply")
    succeed(*MIGRATE[:3], "branch.toml", "--split", "aid=loan,grant", "--rename", "truce=halt", "--apply")

    assert "label again: 'aid' is now 'loan' or 'gift'" in succeed(*RELABEL, "--codebook", book, typed="#loan\nq\n")


@pytest.mark.usefixtures("filled")
def test_doubts_are_labelled_again_under_any_version_once_nothing_is_undecided() -> None:
    succeed(*MIGRATE, "--apply")
    succeed(*RELABEL, "--codebook", "new.toml", typed="#loan\nq\n")
    with Store("communique.db") as store:
        store.relabelling.add([(SENTENCES[1].id, "in doubt", ("truce",))], source="doubts")

    assert "label again: in doubt" in succeed(*RELABEL, "--codebook", "old.toml", typed="q\n")


@pytest.mark.usefixtures("filled")
def test_migrate_apply_twice_changes_nothing_more_and_says_so() -> None:
    succeed(*MIGRATE, "--apply")
    before = contents()
    printed = succeed("codebook", "migrate", "small@1", "small@2", *MIGRATE[4:], "--apply")

    assert "These steps are already recorded." in printed
    assert "added to the queue" not in printed
    assert contents() == before


@pytest.mark.usefixtures("filled")
def test_migrate_without_steps_lists_the_options_to_type() -> None:
    message = refuse("codebook", "migrate", "old.toml", "new.toml")

    assert "'aid' is not in the new version. Explain the change with `--retire aid`" in message
    assert "'halt' is not in the old version. Explain the change with `--add halt`" in message


@pytest.mark.usefixtures("filled")
def test_migrate_refuses_a_step_that_cannot_be_followed() -> None:
    assert "`--split aid=loan` is not a valid step" in refuse(*MIGRATE[:5], "aid=loan")


@pytest.mark.parametrize("new", ["reworded.toml", "old.toml"])
def test_migrate_has_nothing_to_do_where_only_wording_changed(new: str) -> None:
    assert succeed("codebook", "migrate", "old.toml", new, "--apply").endswith("Nothing to migrate.")
    assert not Path("communique.db").exists()


def test_migrate_without_a_store_is_refused_and_makes_none() -> None:
    assert "other.db: this label store does not exist" in refuse(*MIGRATE, "--store", "other.db")
    assert not Path("other.db").exists()


@pytest.mark.usefixtures("filled")
def test_migrate_takes_every_kind_of_step(isolated: Path) -> None:
    (isolated / "third.toml").write_text(
        'name = "small"\nversion = "3"\n[[labels]]\nname = "support"\n[[labels]]\nname = "threat"\n', encoding="utf-8"
    )
    succeed(*MIGRATE, "--apply")
    printed = succeed(
        "codebook", "migrate", "new.toml", "third.toml",
        "--merge", "loan,gift=support", "--retire", "halt", "--add", "threat",
    )  # fmt: skip

    assert "'loan' and 'gift' are now 'support'" in printed
    assert "'halt' is no longer a label 1 0 1" in printed
    assert "'threat' is a new label 0 2 1" in printed
    assert "ana: halt -> undecided: threat" in printed
