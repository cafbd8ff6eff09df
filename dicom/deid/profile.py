"""De-identification profiles: the Basic Profile of PS3.15 with options and overrides, written by people as YAML."""

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

import yaml
from pydicom.datadict import tag_for_keyword

from dicom.deid.encoding import known_vr
from dicom.deid.pixels.rules import PixelRules
from dicom.deid.rules import PATIENT_ID, PATIENT_NAME, SERIES_UID, SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_UID, name_of
from dicom.deid.table import Option as Option
from models.domain.errors import ProfileInvalid

DEFAULT = "research"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),\s*([0-9A-Fa-f]{4})\)?")
_DEEPEST = 5
"""How many profiles may extend one another; more is a circle, or a maze."""
_IDENTIFYING = frozenset({SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_UID, SERIES_UID})
_SET_BY_US = frozenset({PATIENT_NAME, PATIENT_ID, 0x00120062, 0x00120063, 0x00120064, 0x00280303})
_DATES, _UIDS = frozenset({b"DA", b"DT", b"TM"}), frozenset({b"UI"})
_TEXTS = frozenset({b"LO", b"LT", b"SH", b"ST", b"UC", b"UT"})


class Action(StrEnum):
    """What a profile can say about one attribute."""

    KEEP = "keep"
    DELETE = "delete"
    EMPTY = "empty"
    DUMMY = "dummy"
    MAP = "map"
    SHIFT = "shift"
    CLEAN = "clean"


class StandIn(StrEnum):
    """What gets an invented, realistic value where the table asks for an empty or dummy one."""

    NAMES = "names"
    IDENTIFIERS = "identifiers"
    ADDRESSES = "addresses"
    INSTITUTIONS = "institutions"


@dataclass(frozen=True)
class Profile:
    """What is done with every attribute, as a person chose it; ``policy.compiled`` turns it into rules.

    ``overrides`` are by tag, and stronger than the table. ``discloses`` says in sentences what an output tells although
    it is pseudonymized. ``approved_texts`` are whole descriptions that stay as they are, ``approved_words`` single
    words that cleaning keeps in addition to its lexicon.
    """

    name: str
    title: str = ""
    summary: str = ""
    options: frozenset[Option] = frozenset()
    overrides: Mapping[int, Action] = field(default_factory=dict[int, Action], hash=False)
    stand_ins: frozenset[StandIn] = frozenset()
    pixels: PixelRules = field(default_factory=PixelRules, hash=False)
    approved_texts: frozenset[str] = frozenset()
    approved_words: frozenset[str] = frozenset()
    discloses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_options(self.options)
        for tag, action in self.overrides.items():
            _check_override(self, tag, action)


def shipped() -> tuple[str, ...]:
    """Return the names of the profiles that come with the product."""
    folder = resources.files("dicom.deid").joinpath("data", "profiles")
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def available(directory: Path | None = None) -> tuple[str, ...]:
    """Return the names of the shipped profiles and of those in a site's directory, sorted."""
    own = {file.stem for file in directory.glob("*.yaml")} if directory else set[str]()
    return tuple(sorted({*shipped(), *own}))


def load(name: str, directory: Path | None = None) -> Profile:
    """Return a profile by its name: a site's own in ``directory``, else a shipped one.

    Raises ProfileInvalid naming the file, the key and the reason.
    """
    merged = _merged(name, directory, 0)
    try:
        return Profile(
            name=name,
            title=_text(merged, "title"),
            summary=_text(merged, "summary"),
            options=_members(merged, "options", Option),
            overrides=_overrides(merged),
            stand_ins=_members(merged, "stand_ins", StandIn),
            pixels=PixelRules.from_mapping(_mapping(merged, "pixels")),
            approved_texts=frozenset(_texts(merged, "approved_texts")),
            approved_words=frozenset(_texts(merged, "approved_words")),
            discloses=tuple(_texts(merged, "discloses")),
        )
    except ProfileInvalid as exc:
        raise ProfileInvalid(f"Profile {name}: {exc.message}") from None


_OWN_KEYS = ("title", "summary", "options", "stand_ins", "discloses")
"""Keys of which a profile's own value replaces that of the profile it extends."""
_JOINED_MAPPINGS = ("overrides", "pixels")
_JOINED_LISTS = ("approved_texts", "approved_words")
_KEYS = frozenset({"extends", *_OWN_KEYS, *_JOINED_MAPPINGS, *_JOINED_LISTS})


def _merged(name: str, directory: Path | None, depth: int) -> dict[str, object]:
    if depth > _DEEPEST:
        raise ProfileInvalid(f"Profile {name}: extends: too many profiles extend one another.")
    own = _read(name, directory)
    if unknown := sorted(set(own) - _KEYS):
        raise ProfileInvalid(f"Profile {name}: {unknown[0]}: there is no such key.")
    parent = own.get("extends")
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise ProfileInvalid(f"Profile {name}: extends: not the name of a profile.")
    # a site's own "research" may extend the shipped one of the same name
    base = _merged(parent, None if parent == name else directory, depth + 1)
    return _joined(base, own)


def _joined(base: dict[str, object], own: dict[str, object]) -> dict[str, object]:
    merged = {**base, **{key: own[key] for key in _OWN_KEYS if key in own}}
    for key in _JOINED_MAPPINGS:
        merged[key] = {**_mapping(base, key), **_mapping(own, key)}
    for key in _JOINED_LISTS:
        merged[key] = [*_texts(base, key), *_texts(own, key)]
    return merged


def _read(name: str, directory: Path | None) -> dict[str, object]:
    if not _NAME.fullmatch(name):
        raise ProfileInvalid("A profile's name has up to 40 lower case letters, digits and hyphens.")
    try:
        content = _content(_source(name, directory))
    # PyYAML passes on what int(), date() and deep nesting raise
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as exc:
        raise ProfileInvalid(f"Profile {name} is not valid YAML.") from exc
    if not isinstance(content, dict):
        raise ProfileInvalid(f"Profile {name} is not a list of keys and values.")
    return {str(key): value for key, value in cast("dict[object, object]", content).items()}


@lru_cache(maxsize=16)
def _content(source: str) -> object:
    """What a file says. Every request asks for a profile, and reading YAML takes longer than the rest of it."""
    return yaml.safe_load(source)


def _source(name: str, directory: Path | None) -> str:
    own = directory / f"{name}.yaml" if directory else None
    try:
        if own is not None and own.is_file():
            return own.read_text(encoding="utf-8")
        if name in shipped():
            return resources.files("dicom.deid").joinpath("data", "profiles", f"{name}.yaml").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileInvalid(f"Profile {name} cannot be read.") from exc
    raise ProfileInvalid(f"There is no profile {name}; shipped are {', '.join(shipped())}.")


def _text(content: Mapping[str, object], key: str) -> str:
    value = content.get(key, "")
    if not isinstance(value, str):
        raise ProfileInvalid(f"{key}: not a text.")
    return " ".join(value.split())


def _texts(content: Mapping[str, object], key: str) -> list[str]:
    value: object = content.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in cast("list[object]", value)):
        raise ProfileInvalid(f"{key}: not a list of texts.")
    return [" ".join(text.split()) for text in cast("list[str]", value)]


def _mapping(content: Mapping[str, object], key: str) -> dict[str, object]:
    value: object = content.get(key) or {}
    if not isinstance(value, dict):
        raise ProfileInvalid(f"{key}: not a list of keys and values.")
    return {str(name): entry for name, entry in cast("dict[object, object]", value).items()}


M = TypeVar("M", bound=StrEnum)


def _members(content: Mapping[str, object], key: str, kind: Callable[[str], M]) -> frozenset[M]:
    return frozenset(_member(key, text, kind) for text in _texts(content, key))


def _member(key: str, text: str, kind: Callable[[str], M]) -> M:
    try:
        return kind(text)
    except ValueError:
        raise ProfileInvalid(f"{key}: {text} is unknown.") from None


def _overrides(content: Mapping[str, object]) -> Mapping[int, Action]:
    entries = _mapping(content, "overrides")
    found = {_tag(name): _member(f"overrides: {name}", str(action), Action) for name, action in entries.items()}
    return MappingProxyType(found)


def _tag(text: str) -> int:
    match = _TAG.fullmatch(text)
    tag = int(match[1] + match[2], 16) if match else tag_for_keyword(text)
    if tag is None or not known_vr(tag):
        raise ProfileInvalid(f"overrides: {text} is no attribute (write gggg,eeee or its keyword).")
    return tag


def _check_options(options: Set[Option]) -> None:
    if {Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES} <= options:
        raise ProfileInvalid(
            "options: retain_full_dates and retain_modified_dates exclude each other (PS3.15 section E.3.6): "
            "a true date beside a shifted one tells the shift."
        )


def _check_override(profile: Profile, tag: int, action: Action) -> None:
    what, vr = f"overrides: {name_of(tag)}", known_vr(tag)
    shifts = Option.RETAIN_MODIFIED_DATES in profile.options
    if tag in _SET_BY_US:
        raise ProfileInvalid(f"{what}: its value is set for every instance and cannot be chosen.")
    if tag in _IDENTIFYING and action not in {Action.KEEP, Action.MAP}:
        raise ProfileInvalid(f"{what}: no instance can be without it.")
    if action is Action.SHIFT and not (shifts and vr in _DATES):
        raise ProfileInvalid(f"{what}: shift is for dates and times of profiles with retain_modified_dates.")
    if action is Action.KEEP and shifts and vr in _DATES - {b"TM"}:
        raise ProfileInvalid(f"{what}: a date that is kept beside shifted ones tells the shift of all of them.")
    if action is Action.MAP and vr not in _UIDS:
        raise ProfileInvalid(f"{what}: map is for UIDs.")
    if action is Action.CLEAN and vr not in _TEXTS | {b"SQ"}:
        raise ProfileInvalid(f"{what}: clean is for text and sequences.")
    if action is Action.KEEP and vr == b"PN":
        raise ProfileInvalid(f"{what}: names of persons are never kept.")
