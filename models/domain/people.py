"""Who acts, what they may do, and the groups through which they may."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.domain.tokens import Token


class Permission(StrEnum):
    """Rights a group can give, by the name the admin guide uses (``app.codename``)."""

    ADD_SELECTIVE_TRANSFER = "selective_transfer.add_selectivetransferjob"
    VIEW_SELECTIVE_TRANSFER = "selective_transfer.view_selectivetransferjob"
    SELECTIVE_URGENT = "selective_transfer.can_process_urgently"
    SELECTIVE_UNPSEUDONYMIZED = "selective_transfer.can_transfer_unpseudonymized"
    DOWNLOAD_STUDY = "selective_transfer.can_download_study"
    ADD_BATCH_QUERY = "batch_query.add_batchqueryjob"
    VIEW_BATCH_QUERY = "batch_query.view_batchqueryjob"
    BATCH_QUERY_URGENT = "batch_query.can_process_urgently"
    ADD_BATCH_TRANSFER = "batch_transfer.add_batchtransferjob"
    VIEW_BATCH_TRANSFER = "batch_transfer.view_batchtransferjob"
    BATCH_URGENT = "batch_transfer.can_process_urgently"
    BATCH_UNPSEUDONYMIZED = "batch_transfer.can_transfer_unpseudonymized"
    ADD_MASS_TRANSFER = "mass_transfer.add_masstransferjob"
    VIEW_MASS_TRANSFER = "mass_transfer.view_masstransferjob"
    MASS_URGENT = "mass_transfer.can_process_urgently"
    MASS_UNPSEUDONYMIZED = "mass_transfer.can_transfer_unpseudonymized"
    EXPLORE = "dicom_explorer.query_dicom_server"
    WEB_QUERY = "dicom_web.can_query"
    WEB_RETRIEVE = "dicom_web.can_retrieve"
    WEB_STORE = "dicom_web.can_store"
    UPLOAD = "upload.can_upload_data"
    ADD_TOKEN = "token_authentication.add_token"
    ADD_LASTING_TOKEN = "token_authentication.can_generate_never_expiring_token"
    REVIEW_HELD = "deidentification.review_held"
    READ_ESCROW = "deidentification.read_escrow"
    FORGET_SCOPE = "deidentification.forget_scope"
    READ_AUDIT = "audit.view_entry"

    @property
    def label(self) -> str:
        """How the admin guide words it: application, what it is about, and what can be done."""
        app = self.value.partition(".")[0]
        about, can = _WORDS[self]
        return f"{app} | {about} | {can}"


_WORDS: Mapping[Permission, tuple[str, str]] = {
    Permission.ADD_SELECTIVE_TRANSFER: ("selective transfer job", "Can add selective transfer job"),
    Permission.VIEW_SELECTIVE_TRANSFER: ("selective transfer job", "Can view jobs of group members"),
    Permission.SELECTIVE_URGENT: ("selective transfer job", "Can process urgently"),
    Permission.SELECTIVE_UNPSEUDONYMIZED: ("selective transfer job", "Can transfer unpseudonymized"),
    Permission.DOWNLOAD_STUDY: ("selective transfer job", "Can download study"),
    Permission.ADD_BATCH_QUERY: ("batch query job", "Can add batch query job"),
    Permission.VIEW_BATCH_QUERY: ("batch query job", "Can view jobs of group members"),
    Permission.BATCH_QUERY_URGENT: ("batch query job", "Can process urgently"),
    Permission.ADD_BATCH_TRANSFER: ("batch transfer job", "Can add batch transfer job"),
    Permission.VIEW_BATCH_TRANSFER: ("batch transfer job", "Can view jobs of group members"),
    Permission.BATCH_URGENT: ("batch transfer job", "Can process urgently"),
    Permission.BATCH_UNPSEUDONYMIZED: ("batch transfer job", "Can transfer unpseudonymized"),
    Permission.ADD_MASS_TRANSFER: ("mass transfer job", "Can add mass transfer job"),
    Permission.VIEW_MASS_TRANSFER: ("mass transfer job", "Can view jobs of group members"),
    Permission.MASS_URGENT: ("mass transfer job", "Can process urgently"),
    Permission.MASS_UNPSEUDONYMIZED: ("mass transfer job", "Can transfer unpseudonymized"),
    Permission.EXPLORE: ("dicom server", "Can query DICOM server"),
    Permission.WEB_QUERY: ("dicom web", "Can query"),
    Permission.WEB_RETRIEVE: ("dicom web", "Can retrieve"),
    Permission.WEB_STORE: ("dicom web", "Can store"),
    Permission.UPLOAD: ("upload", "Can upload data"),
    Permission.ADD_TOKEN: ("token", "Can add token"),
    Permission.ADD_LASTING_TOKEN: ("token", "Can generate never expiring token"),
    Permission.REVIEW_HELD: ("held instance", "Can release and reject"),
    Permission.READ_ESCROW: ("escrow", "Can look up the patient behind a pseudonym"),
    Permission.FORGET_SCOPE: ("trial", "Can forget the pseudonyms of a trial"),
    Permission.READ_AUDIT: ("audit entry", "Can view and export"),
}

GUARDED = frozenset({Permission.REVIEW_HELD, Permission.READ_ESCROW, Permission.FORGET_SCOPE, Permission.READ_AUDIT})
"""Rights that reach behind pseudonyms; only a superuser may give them, and fill groups that have them."""

WITHOUT_EFFECT = frozenset(
    {
        Permission.DOWNLOAD_STUDY,
        Permission.ADD_MASS_TRANSFER,
        Permission.VIEW_MASS_TRANSFER,
        Permission.MASS_URGENT,
        Permission.MASS_UNPSEUDONYMIZED,
        Permission.UPLOAD,
    }
)
"""Rights to what this version cannot do. A group keeps those that it has; they are not offered."""


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """Which nodes somebody may read from and write to: the union of what the groups may; ``every`` is the shell's."""

    sources: frozenset[int] = frozenset()
    destinations: frozenset[int] = frozenset()
    every: bool = False

    def may_read(self, node_id: int) -> bool:
        return self.every or node_id in self.sources

    def may_write(self, node_id: int) -> bool:
        return self.every or node_id in self.destinations


EVERY_NODE = NodeAccess(every=True)


@dataclass(frozen=True, slots=True)
class Actor:
    """The person in whose name something is done, as of the moment it was looked up: never keep one.

    ``user_id`` is None for the operator at the shell. Staff are administrators; a superuser has every permission.
    Neither reaches a node that no group of theirs may use. ``address`` is where a request came from, for the trail.
    ``token`` is the one that the person's script showed, None in a browser; where it is limited to nodes, jobs that
    name other nodes than those of ``nodes_limit`` do not exist for it.
    """

    name: str
    is_staff: bool = False
    permissions: frozenset[Permission] = frozenset()
    access: NodeAccess = NodeAccess()
    is_superuser: bool = False
    user_id: int | None = None
    groups: frozenset[int] = frozenset()
    address: str = ""
    token: Token | None = None
    nodes_limit: frozenset[int] | None = None


def operator(name: str) -> Actor:
    """The person at the shell of the machine: whoever can read the master key may do everything."""
    return Actor(name, is_staff=True, permissions=frozenset(Permission), access=EVERY_NODE, is_superuser=True)


class Standing(StrEnum):
    """How far an account has come; only ``active`` can sign in."""

    UNCONFIRMED = "unconfirmed"
    AWAITS_APPROVAL = "awaits_approval"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person tells about themselves, checked in ``services.people.accounts``."""

    email: str
    first_name: str
    last_name: str
    phone_number: str = ""
    department: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """An account. The username never changes and is never given again, since jobs know their owner by it.

    Only one whose mail address nobody has confirmed in time disappears again; it never had a job.

    ``version`` grows with every change, so that an outdated form is refused.
    """

    id: int
    username: str
    profile: Profile
    is_active: bool
    is_staff: bool
    is_superuser: bool
    groups: frozenset[int]
    joined_at: datetime
    email_confirmed_at: datetime | None
    approved_at: datetime | None
    last_login_at: datetime | None
    version: int

    @property
    def full_name(self) -> str:
        return f"{self.profile.first_name} {self.profile.last_name}".strip()

    @property
    def called(self) -> str:
        """How to address them: by their name, or by the username where they have told none."""
        return self.full_name or self.username

    @property
    def standing(self) -> Standing:
        """How far the account has come; only an active one can sign in."""
        if not self.is_active:
            return Standing.DEACTIVATED
        if self.email_confirmed_at is None:
            return Standing.UNCONFIRMED
        return Standing.ACTIVE if self.approved_at else Standing.AWAITS_APPROVAL


@dataclass(frozen=True, slots=True)
class NodeRight:
    """What one group may do with one node."""

    node_id: int
    source: bool = False
    destination: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A group with all it gives. ``nodes`` holds only nodes of which it may use at least one side."""

    name: str
    permissions: frozenset[Permission] = frozenset()
    members: frozenset[int] = frozenset()
    nodes: frozenset[NodeRight] = frozenset()
    id: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class WebSession:
    """A browser that is signed in; ``id`` tells sessions apart and gives no access."""

    id: int
    user_id: int
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str


class LinkPurpose(StrEnum):
    """What a link in a mail is good for, once."""

    CONFIRM_EMAIL = "confirm_email"
    RESET_PASSWORD = "reset_password"
