"""The article: its claims, read from statements.toml, and its parts, from article.toml."""

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PATH, ARTICLE = (Path(__file__).with_name(name) for name in ("statements.toml", "article.toml"))


@dataclass(frozen=True)
class Claim:
    """What the article says.

    id: 1 to 51. about: an activation's name, or "all". en, zh: the claim in our words. rule: see `evidence.verdict`.
    decided_by: names of experiments. standing: what the literature says: T true, C true on a condition, I imprecise,
    W wrong. instead: what to say where the claim does not simply hold, in both languages, or nothing.
    """

    id: int
    about: str
    en: str
    zh: str
    rule: str
    decided_by: tuple[str, ...]
    standing: str
    instead: tuple[str, ...]


@functools.cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the article's order."""
    entries = tomllib.loads(PATH.read_text(encoding="utf-8"))["claim"]
    lists = ("decided_by", "instead")
    return tuple(Claim(**{**entry, **{key: tuple(entry.get(key, ())) for key in lists}}) for entry in entries)


def select(numbers: Iterable[int | str] | None) -> tuple[Claim, ...]:
    """The claims of these numbers, or all. Raises ValueError for what is not the number of a claim."""
    if numbers is None:
        return claims()
    known = {str(claim.id): claim for claim in claims()}
    words = [str(number) for number in numbers]
    for word in words or ["none"]:
        if word not in known:
            raise ValueError(f"`only` takes numbers of claims, from 1 to {len(known)}, got {word}")
    return tuple(dict.fromkeys(known[word] for word in words))


@dataclass(frozen=True)
class Section:
    """What the article's part on an activation is about, each in English and in Chinese."""

    title: tuple[str, str]
    uses: tuple[str, str]
    virtues: tuple[str, str]
    faults: tuple[str, str]


@functools.cache
def sections() -> dict[str, Section]:
    """The parts of the article, by the activation's name or "all", in its order."""
    entries = tomllib.loads(ARTICLE.read_text(encoding="utf-8"))
    return {name: Section(**{key: tuple(words) for key, words in entry.items()}) for name, entry in entries.items()}
