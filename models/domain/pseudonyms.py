"""Who has which pseudonym within one linkage scope: one patient, one pseudonym, in both directions."""

import unicodedata
from collections.abc import Iterable, Mapping

from models.domain.errors import IdentityConflict

CANDIDATES = 4
"""How many pseudonyms may be tried for a patient. A generated one is taken only if somebody gave it to another."""


def spelling(pseudonym: str) -> str:
    """What is the same for pseudonyms that people and file systems may take for one: case and composition are not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", pseudonym).casefold())


class Ledger:
    """The bindings of one scope that matter at the moment, and those added to them.

    ``bound`` are pseudonyms by the patient's keyed digest. It has to hold whatever the scope knows about the patients
    and pseudonyms that are asked for.
    """

    def __init__(self, bound: Mapping[str, str]) -> None:
        self._pseudonyms = dict(bound)
        self._patients = {spelling(pseudonym): patient for patient, pseudonym in self._pseudonyms.items()}
        self.added: dict[str, str] = {}

    def give(self, patient: str, pseudonym: str) -> str:
        """Bind a patient to the pseudonym that a person chose; doing it again changes nothing.

        Raises IdentityConflict when the patient has another one, or somebody else has this one.
        """
        if self._patients.get(spelling(pseudonym), patient) != patient:
            raise IdentityConflict("The pseudonym already belongs to another patient of this trial or job.")
        if self._pseudonyms.get(patient, pseudonym) != pseudonym:
            raise IdentityConflict("The patient already has another pseudonym in this trial or job.")
        return self._bind(patient, pseudonym)

    def generate(self, patient: str, candidates: Iterable[str]) -> str:
        """The patient's pseudonym; the first candidate that nobody has, if the patient has none yet.

        Raises IdentityConflict when all candidates are taken.
        """
        if patient in self._pseudonyms:
            return self._pseudonyms[patient]
        for candidate in candidates:
            if spelling(candidate) not in self._patients:
                return self._bind(patient, candidate)
        raise IdentityConflict("Every pseudonym that could be generated for the patient belongs to somebody else.")

    def _bind(self, patient: str, pseudonym: str) -> str:
        if patient not in self._pseudonyms:
            self.added[patient] = self._pseudonyms[patient] = pseudonym
            self._patients[spelling(pseudonym)] = patient
        return pseudonym
