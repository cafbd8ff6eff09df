"""What names and profiles of accounts must be like. Every problem is a sentence under the name of its field."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple

from models.domain.addresses import LONGEST_MAIL, is_mail_address
from models.domain.errors import BadRequest
from models.domain.people import Profile

_USERNAME = re.compile(r"[A-Za-z0-9_.@+-]{1,150}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LENGTHS = {"email": LONGEST_MAIL, "first_name": 150, "last_name": 150, "phone_number": 64, "department": 128}
FIELDS = tuple(_LENGTHS)


def cleaned(profile: Profile) -> Profile:
    """The profile without blanks around and twice within its texts."""
    return Profile(*(" ".join(text.split()) for text in astuple(profile)))


def username_problems(username: str) -> dict[str, str]:
    """What is wrong with a username, apart from whether somebody else has it."""
    if not username:
        return {"username": "Needed."}
    if not _USERNAME.fullmatch(username):
        return {"username": "At most 150 characters, of letters without accents, digits, and _ . @ + - only."}
    return {}


def profile_problems(profile: Profile, needed: Iterable[str] = FIELDS) -> dict[str, str]:
    """What is wrong with a profile; ``needed`` are the fields that must not be empty."""
    problems: dict[str, str] = {}
    for field, longest in _LENGTHS.items():
        text: str = getattr(profile, field)
        if not text and field in needed:
            problems[field] = "Needed."
        elif len(text) > longest:
            problems[field] = f"At most {longest} characters."
        elif _CONTROL.search(text):
            problems[field] = "It has characters that cannot be shown."
    if profile.email and not is_mail_address(profile.email):
        problems["email"] = "This is not a mail address."
    return problems


def domain_problems(email: str, domains: Iterable[str]) -> dict[str, str]:
    """Whether people with this mail address may not register themselves; with no domain named, all may."""
    allowed = sorted(domains)
    if not allowed or email.rpartition("@")[2].casefold() in allowed:
        return {}
    return {"email": f"Only addresses of {', '.join(allowed)} can be registered."}


def refuse(problems: Mapping[str, str]) -> None:
    """Raise BadRequest when there are problems."""
    if problems:
        raise BadRequest.of(problems)
