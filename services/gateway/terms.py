"""What is asked for through the gateway, and on which terms it may leave: treated, or with the patient's identity."""

from dataclasses import dataclass, field

from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy
from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotPermitted, ProfileInvalid
from models.domain.nodes import Server
from models.domain.people import Actor, Permission
from models.domain.refs import Level, StudyFound, is_uid
from models.domain.requests import name_problems, refuse, trial_problems
from models.settings import Settings
from services import audit, profiles, pseudonyms


@dataclass(frozen=True, slots=True)
class Wanted:
    """A study, one series of it, or one instance of that; empty means all of the level above."""

    study_uid: str
    series_uid: str = ""
    sop_uid: str = ""

    @property
    def level(self) -> Level:
        """The level of the one thing that is wanted."""
        if self.sop_uid:
            return Level.IMAGE
        return Level.SERIES if self.series_uid else Level.STUDY

    def check(self) -> None:
        """Raise BadRequest naming every part that is no DICOM UID."""
        uids = {"study": self.study_uid, "series": self.series_uid, "instance": self.sop_uid}
        given = {name: uid for name, uid in uids.items() if uid or name == "study"}
        problems = {name: "this is no DICOM UID." for name, uid in given.items() if not is_uid(uid)}
        if problems:
            raise BadRequest.of(problems)

    def __str__(self) -> str:
        match self.level:
            case Level.IMAGE:
                return "one instance"
            case Level.SERIES:
                return "a series"
            case _:
                return "a study"


@dataclass(frozen=True, slots=True)
class Terms:
    """The caller's parameters. Without a pseudonym and without a trial everything keeps its patient's identity.

    With a trial the patient goes under the pseudonym that the trial has for them, and everything becomes what a
    transfer for the trial makes of it. An empty ``profile`` means that of the settings.
    """

    pseudonym: str = field(default="", repr=False)
    trial_protocol_id: str = ""
    trial_protocol_name: str = ""
    profile: str = ""

    @property
    def keep_identity(self) -> bool:
        return not self.pseudonym and not self.trial_protocol_id

    def check(self) -> None:
        """Raise BadRequest naming every parameter that cannot be as it is."""
        problems = [
            *name_problems("", self.pseudonym),
            *trial_problems(self.trial_protocol_id, self.trial_protocol_name),
        ]
        if self.keep_identity and self.trial_protocol_name:
            problems.append("trial_protocol_name: it needs a trial_protocol_id or a pseudonym beside it.")
        if self.keep_identity and self.profile:
            problems.append("profile: it needs a pseudonym or a trial_protocol_id beside it.")
        refuse(problems)

    def policy(self, settings: Settings) -> Policy | None:
        """The rules by which everything is treated, None where the identity is kept; raises BadRequest."""
        if self.keep_identity:
            return None
        try:
            return profiles.policy_now(settings, self.profile or settings.profile)
        except ProfileInvalid as error:
            raise BadRequest.of({"profile": error.message}) from error


def check_may_keep_identity(db: Database, actor: Actor, server: Server) -> None:
    """Raise NotPermitted for who may not see whose study it is; the try is written down."""
    with audit.refusals_recorded(db, actor, AuditAction.WEB_RETRIEVE, f"server {server.name}: with identity"):
        if Permission.SELECTIVE_UNPSEUDONYMIZED not in actor.permissions:
            raise NotPermitted(
                "You may not retrieve with the patients' identity. Give a pseudonym or a trial_protocol_id."
            )


def deidentifier(
    db: Database, settings: Settings, actor: Actor, terms: Terms, policy: Policy, study: StudyFound
) -> Deidentifier:
    """What treats the instances of a study, whose patient is bound to a pseudonym by that where there is a trial.

    Raises IdentityConflict when the pseudonym tells who it is, or contradicts what the trial knows; NotPermitted when
    the trial has become that of others meanwhile; WrongState.
    """
    key, pseudonym = _key_and_pseudonym(db, settings, actor, terms, study)
    return Deidentifier(
        policy,
        key,
        pseudonym,
        terms.trial_protocol_id,
        terms.trial_protocol_name,
        study=study,
    )


def _key_and_pseudonym(
    db: Database, settings: Settings, actor: Actor, terms: Terms, study: StudyFound
) -> tuple[LinkageKey, str]:
    if terms.trial_protocol_id:
        return pseudonyms.bind_study(db, settings, actor, terms.trial_protocol_id, study, terms.pseudonym)
    pseudonyms.check_tells_nobody(terms.pseudonym, study)
    return pseudonyms.key_without_trial(db, actor, terms.pseudonym), terms.pseudonym
