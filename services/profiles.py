"""The rules that a job is treated by: found by the profile's name, and later the same as when the job was accepted."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dicom.deid import policy, profile
from dicom.deid.policy import Policy
from models.domain.errors import ProfileInvalid
from models.domain.jobs import Job
from models.settings import Settings


@dataclass(frozen=True, slots=True)
class ProfileChoice:
    """A profile for the person who chooses one; ``discloses`` says what an output still tells."""

    name: str
    title: str
    summary: str
    discloses: tuple[str, ...]


def choices(settings: Settings) -> tuple[ProfileChoice, ...]:
    """The profiles that a request can name, that of the settings first; those that are not valid are left out."""
    names = sorted(profile.available(settings.profiles_dir), key=lambda name: (name != settings.profile, name))
    return tuple(choice for name in names for choice in _choice(name, settings.profiles_dir))


def policy_now(settings: Settings, name: str) -> Policy:
    """The rules of a profile as it is now; raises ProfileInvalid naming the profile and what is wrong with it."""
    return policy.compiled(profile.load(name, settings.profiles_dir))


def policy_of(settings: Settings, job: Job) -> Policy:
    """The rules under which a job was accepted; kept in memory once they are compiled.

    Raises ProfileInvalid when the profile has changed since then, or is gone: a job is never treated by two rules.
    """
    return _unchanged(job.profile, job.policy_digest, settings.profiles_dir)


def check_is_unchanged(settings: Settings, job: Job) -> None:
    """Raise ProfileInvalid as ``policy_of`` does, for what the profile's file says at this moment."""
    _unchanged.__wrapped__(job.profile, job.policy_digest, settings.profiles_dir)


def _choice(name: str, directory: Path | None) -> tuple[ProfileChoice, ...]:
    try:
        found = profile.load(name, directory)
    except ProfileInvalid:
        return ()
    return (ProfileChoice(name, found.title, found.summary, found.discloses),)


@lru_cache(maxsize=8)
def _unchanged(name: str, digest: str, directory: Path | None) -> Policy:
    if not name:
        raise ProfileInvalid("The job is older than de-identification profiles. Submit it again.")
    found = policy.compiled(profile.load(name, directory))
    if found.digest != digest:
        raise ProfileInvalid(
            f"The profile {name} is not what it was when the job was accepted ({found.digest} now, {digest} then). "
            "Submit the rest as another job, or bring the profile back."
        )
    return found
