"""Recognize titles and captions: lines without a finite verb.

A title such as "Military aid" or "The road to Geneva" asserts nothing. A headline such as "Oslo calls for truce" is a
statement. Word lists (`headings.toml`) and neighbouring words decide, because there is no parser. In doubt, a line
counts as having a verb, because a statement that is mistaken for a title is lost for the study. The rules are for
English.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*['’]?|[:;,|–—&]")
_TITLE_MAX_WORDS = 14
_CAPTION_MAX_WORDS = 16
_INNER_END = re.compile(r"(?<![A-Z])(?<![A-Z][a-z])(?<!vs)[.!?]\s")
_ENDED = re.compile(r"[.!?…;,][\"'”’»)\]*]*\Z")
_HEADING_MAX = 200
_UNFINISHED = re.compile(r"[.…;,:][\"'”’»)\]*]*\Z")
_NUMBERED = re.compile(r"(?:\d+|[IVXivx]+|[a-zA-Z])[.)]\s")
_QUOTED = tuple("\"'“‘„«")
_NAME = r"(?:[A-Z][\w.’'-]*|al-[A-Z]\w*)"
_LINKS = r"(?:de|da|di|del|van|von|der|bin|ben|al|el|la|le|ul|of)"
_PERSON = re.compile(rf"{_NAME}(?: (?:{_LINKS} ){{0,2}}{_NAME}){{1,3}}")


@dataclass(frozen=True)
class _Lexicon:
    finite: frozenset[str]
    base: frozenset[str]
    third: frozenset[str]
    past: frozenset[str]
    nouns: frozenset[str]
    plurals: frozenset[str]
    commands: frozenset[str]
    compounds: frozenset[str]
    unchanged: frozenset[str]
    pairs: frozenset[str]
    before_infinitive: frozenset[str]
    modifiers: frozenset[str]
    before_noun: frozenset[str]
    objects: frozenset[str]
    plural_nouns: frozenset[str]
    adjectives: frozenset[str]
    offices: frozenset[str]


@cache
def _lexicon() -> _Lexicon:
    content = tomllib.loads(Path(__file__).with_name("headings.toml").read_text(encoding="utf-8"))
    lists = {(part, name): frozenset(text.split()) for part, own in content.items() for name, text in own.items()}
    ambiguous = lists["verbs", "also_nouns"]
    base = lists["verbs", "plain"] | ambiguous
    return _Lexicon(
        finite=lists["finite", "words"],
        base=base,
        third=frozenset(map(_third_person, base)),
        past=frozenset(map(_past, base)),
        nouns=ambiguous,
        plurals=frozenset(map(_third_person, ambiguous - lists["verbs", "rare_plurals"])),
        commands=lists["verbs", "commands"],
        compounds=lists["nouns", "compounds"],
        unchanged=lists["verbs", "unchanged"],
        pairs=lists["verbs", "with_preposition"],
        before_infinitive=lists["nouns", "before_infinitive"],
        modifiers=lists["nouns", "modifiers"],
        before_noun=lists["nouns", "before_noun"],
        objects=lists["nouns", "objects"],
        plural_nouns=lists["nouns", "plurals"],
        adjectives=lists["nouns", "adjectives"],
        offices=lists["titles", "offices"],
    )


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh", "go", "do", "to")):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y\Z", verb) else verb + "s"


def _past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if re.search(r"[^aeiou]y\Z", verb) else verb + "ed"


def is_title(line: str) -> bool:
    """Return whether a line is a title: short, without a full stop or other final mark, and without a finite verb.

    Quotations, numbered items and lines that begin with a small letter are never titles.
    """
    if len(line) > 12 * _TITLE_MAX_WORDS or _ENDED.search(line) or _INNER_END.search(line):
        return False
    if line.startswith(_QUOTED) or _NUMBERED.match(line):
        return False
    words = _WORD.findall(line)
    short = 0 < sum(word[0].isalnum() for word in words) <= _TITLE_MAX_WORDS
    return short and not line[:1].islower() and any(map(str.isalpha, line)) and not has_finite_verb(line)


def is_heading(line: str) -> bool:
    """Return whether a line looks like a headline: short, not numbered, and without a full stop or other final mark."""
    return len(line) <= _HEADING_MAX and _UNFINISHED.search(line) is None and not _NUMBERED.match(line)


def is_speaker_caption(line: str) -> bool:
    """Return whether a line names a person and an office, such as "Jens Stoltenberg, NATO Secretary General"."""
    line = line.rstrip(" :")
    person = _PERSON.match(line)
    if person is None or len(line) > 12 * _CAPTION_MAX_WORDS or _ENDED.search(line):
        return False
    words = _WORD.findall(line)
    if len(words) > _CAPTION_MAX_WORDS or ":" in words or has_finite_verb(line):
        return False
    offices = _lexicon().offices
    name, comma, office = line.partition(",")
    if comma:
        return _PERSON.fullmatch(name) is not None and any(word.lower() in offices for word in _WORD.findall(office))
    # Without a comma, the office must follow a name of two or three words: "John Kirby Adviser to the White House".
    return any(word.lower() in offices and word[0].isupper() for word in words[2:4]) and not any(
        word.lower() in offices for word in words[:2]
    )


# -- finite verbs


def has_finite_verb(line: str) -> bool:
    """Return whether a line of English may contain a finite verb; True if uncertain."""
    words = _WORD.findall(line.replace("’", "'"))
    return any(_may_be_verb(words, index) for index in range(len(words)))


def _may_be_verb(words: list[str], index: int) -> bool:
    word = words[index].lower()
    lexicon = _lexicon()
    if word in lexicon.finite:
        return True
    if word == "may":  # "May" is the month, except before another verb
        return words[index] == "may" or _word_at(words, index + 1).lower() in lexicon.base | {"be", "have"}
    if index == 0 or not words[index - 1][0].isalnum():
        after_comma = _word_at(words, index - 1) == "," and _is_clear_verb(word)
        return after_comma or _is_command(words, index)
    if not _follows_noun(words, index):
        return word in lexicon.base and _word_at(words, index - 1).lower() == "to" and _is_future(words, index - 1)
    return _is_verb_after_noun(words, index)


def _is_command(words: list[str], index: int) -> bool:
    """Return whether the first word of a clause is a command, as in "Stop the war"."""
    word, following = words[index].lower(), _word_at(words, index + 1)
    if word not in _lexicon().base or not following[:1].isalnum():
        return False
    if following.lower() in _lexicon().objects or following[0].isdigit() or word not in _lexicon().nouns:
        return True
    return word in _lexicon().commands and following[0].islower() and following not in _lexicon().before_noun


def _is_verb_after_noun(words: list[str], index: int) -> bool:
    word, lexicon = words[index].lower(), _lexicon()
    if _is_clear_verb(word):
        return True
    base = word in lexicon.base and _follows_plural(words, index)
    if base and word not in lexicon.nouns:
        return True
    return (base or word in lexicon.unchanged or _ends_in_s(word)) and _is_verb_of_object(words, index)


def _ends_in_s(word: str) -> bool:
    """Return whether a word may be a verb in the third person: it ends in -s, because no list has all verbs."""
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "'s", "s'")) and word not in _lexicon().compounds


def is_finite(word: str) -> bool:
    """Return whether a word after a noun is a finite verb, not a noun or an adjective."""
    return word.lower() in _lexicon().finite or _is_clear_verb(word.lower())


def _is_clear_verb(word: str) -> bool:
    """Return whether a word after a noun is a past form in -ed, or a third person that is not also a plural noun."""
    lexicon = _lexicon()
    past = word.endswith("ed") and len(word) > 4 and "-" not in word and word not in lexicon.adjectives
    return past or (word in lexicon.third and word not in lexicon.plurals)


def _word_at(words: list[str], index: int) -> str:
    return words[index] if 0 <= index < len(words) else ""


def _follows_noun(words: list[str], index: int) -> bool:
    """Return whether the previous word may be the subject of a verb: no article, preposition, adjective or genitive."""
    before = _word_at(words, index - 1)
    lexicon = _lexicon()
    if before.lower().endswith("ly") and index > 1:  # an adverb: "Oslo firmly rejects"
        before = _word_at(words, index - 2)
    plain = before.lower()
    return plain[:1].isalnum() and plain not in lexicon.before_noun and not plain.endswith(("'s", "s'"))


def _follows_modifier(words: list[str], index: int) -> bool:
    """Return whether the previous word makes a compound noun, as in "peace talks"."""
    return _word_at(words, index - 1).lower() in _lexicon().modifiers


def _follows_plural(words: list[str], index: int) -> bool:
    """Return whether the previous words contain a plural or two nouns, which may be the subject."""
    before = [word.lower() for word in words[:index]]
    plural = any(word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")) for word in before)
    joined = any(word in ("and", ",", "&") for word in before[:-1])
    return plural or joined or before[-1] in _lexicon().plural_nouns or before[-1].endswith(("ch", "ese", "ish"))


def _is_verb_of_object(words: list[str], index: int) -> bool:
    """Return whether a word that is also a noun has an object or the preposition of a verb, as in "calls for"."""
    word, following = words[index].lower(), _word_at(words, index + 1)
    if following.lower() in _lexicon().objects or following[:1].isdigit():
        return True
    if _follows_modifier(words, index):
        return False
    if f"{word}:{following.lower()}" in _lexicon().pairs:
        return True
    return following[:1].isalnum() and following.lower() not in _lexicon().before_noun


def _is_future(words: list[str], index: int) -> bool:
    """Return whether "to" at `index` announces an act ("Oslo to send trucks"), not a purpose ("Steps to end war")."""
    before = _word_at(words, index - 1).lower()
    return before[:1].isalnum() and before not in _lexicon().before_infinitive and before not in _lexicon().before_noun
