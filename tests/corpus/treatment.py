"""The corpus as the engine leaves it, for each shipped profile."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pydicom import Dataset

from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from dicom.deid.streams import opened
from dicom.part10 import part10_prefix, split_part10
from models.domain.errors import AditError
from models.domain.instances import EncodedInstance
from tests.corpus import CorpusInstance, instances
from tests.corpus.encoding import decoded

PROFILES = ("basic", "research", "adit-compatible")
SECRET, OTHER_SECRET = bytes(range(32)), bytes(range(32, 64))


@dataclass(frozen=True, slots=True)
class Output:
    """What became of one instance of the corpus and passed."""

    original: CorpusInstance
    instance: EncodedInstance

    @property
    def encoded(self) -> bytes:
        """The data set in its transfer syntax."""
        return b"".join(self.instance.parts)

    @property
    def plain(self) -> bytes:
        """The data set, inflated."""
        return bytes(opened(self.instance.parts, self.instance.transfer_syntax_uid)[0])

    @property
    def part10(self) -> bytes:
        """The file as a folder destination writes it."""
        instance = self.instance
        return part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid) + self.encoded

    @property
    def dataset(self) -> Dataset:
        """The data set as pydicom reads it."""
        return decoded(self.part10)


def pseudonym_of(original: CorpusInstance) -> str:
    """The pseudonym under which the instance's patient is treated."""
    return f"ALIAS{original.patient.number:03}"


def deidentifier(profile: str, original: CorpusInstance, secret: bytes, released: frozenset[str]) -> Deidentifier:
    """A fresh engine for the instance's patient."""
    policy = compiled(load(profile))
    return Deidentifier(policy, LinkageKey(secret), pseudonym_of(original), released=released)


@cache
def outcomes(profile: str, secret: bytes = SECRET, released: bool = False) -> Mapping[str, Output | AditError]:
    """Kind -> what came out, or the error that stopped the instance; one engine treats all of a patient.

    With ``released`` a person has let everything pass that is held for review.
    """
    let_pass = frozenset(original.instance.sop_uid for original in instances()) if released else frozenset()
    engines: dict[int, Deidentifier] = {}
    found: dict[str, Output | AditError] = {}
    for original in instances():
        number = original.patient.number
        if number not in engines:
            engines[number] = deidentifier(profile, original, secret, let_pass)
        try:
            found[original.kind] = Output(original, engines[number].instance(split_part10(original.part10)))
        except AditError as exc:
            found[original.kind] = exc
    return found


def outputs(profile: str, secret: bytes = SECRET, released: bool = True) -> dict[str, Output]:
    """Kind -> what came out, of those that passed; unless told otherwise, after a person has let the held ones pass."""
    found = outcomes(profile, secret, released)
    return {kind: outcome for kind, outcome in found.items() if isinstance(outcome, Output)}


def stopped(profile: str, released: bool = False) -> dict[str, AditError]:
    """Kind -> the error that stopped it."""
    found = outcomes(profile, SECRET, released)
    return {kind: outcome for kind, outcome in found.items() if isinstance(outcome, AditError)}
