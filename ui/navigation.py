"""Which pages there are, in the order of the menu, and who sees them. Rights themselves are checked by services."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.domain.people import Actor, Permission

SCREENS = Path(__file__).parent / "screens"


def _everybody(_actor: Actor) -> bool:
    return True


def _staff(actor: Actor) -> bool:
    return actor.is_staff


def _holder(permission: Permission) -> Callable[[Actor], bool]:
    return lambda actor: permission in actor.permissions


@dataclass(frozen=True, slots=True)
class Screen:
    """One page: ``ui/screens/<file>.py``, found at ``/<path>``. Without a section it is not in the menu."""

    path: str
    title: str
    icon: str
    section: str
    is_for: Callable[[Actor], bool] = _everybody

    @property
    def file(self) -> Path:
        """The script of the page."""
        return SCREENS / f"{self.path.replace('-', '_') or 'home'}.py"


TRANSFERS, ADMINISTRATION, NOT_IN_MENU = "Transfers", "Administration", ""

ALL = (
    Screen("", "Home", ":material/home:", TRANSFERS),
    Screen(
        "selective-transfer",
        "Selective transfer",
        ":material/search:",
        TRANSFERS,
        _holder(Permission.ADD_SELECTIVE_TRANSFER),
    ),
    Screen(
        "batch-query",
        "Batch query",
        ":material/manage_search:",
        TRANSFERS,
        _holder(Permission.ADD_BATCH_QUERY),
    ),
    Screen(
        "batch-transfer",
        "Batch transfer",
        ":material/table_view:",
        TRANSFERS,
        _holder(Permission.ADD_BATCH_TRANSFER),
    ),
    Screen("jobs", "My jobs", ":material/list_alt:", TRANSFERS),
    Screen("reviews", "Reviews", ":material/visibility:", TRANSFERS, _holder(Permission.REVIEW_HELD)),
    Screen("job", "Job", ":material/list_alt:", NOT_IN_MENU),
    Screen("item", "Item", ":material/list_alt:", NOT_IN_MENU),
    Screen("profile", "Profile", ":material/person:", NOT_IN_MENU),
    Screen("tokens", "Manage API Token", ":material/key:", NOT_IN_MENU),
    Screen("administration", "Administration", ":material/settings:", ADMINISTRATION, _staff),
    Screen("job-overview", "Job Overview", ":material/monitoring:", ADMINISTRATION, _staff),
    Screen("users", "Users", ":material/person_search:", ADMINISTRATION, _staff),
    Screen("groups", "Groups", ":material/group:", ADMINISTRATION, _staff),
    Screen("trials", "Trials", ":material/science:", ADMINISTRATION, _staff),
    Screen("admin-tokens", "API tokens", ":material/key:", ADMINISTRATION, _staff),
    Screen("servers", "DICOM servers", ":material/dns:", ADMINISTRATION, _staff),
    Screen("folders", "DICOM folders", ":material/folder:", ADMINISTRATION, _staff),
    Screen("project-settings", "Project settings", ":material/tune:", ADMINISTRATION, _staff),
    Screen("scheduled-work", "Scheduled work", ":material/event_repeat:", ADMINISTRATION, _staff),
    Screen("broadcast", "Broadcast", ":material/campaign:", ADMINISTRATION, _staff),
    Screen("webhooks", "Webhooks", ":material/webhook:", ADMINISTRATION, _staff),
    Screen("audit", "Audit trail", ":material/history:", ADMINISTRATION, _holder(Permission.READ_AUDIT)),
)


def visible(actor: Actor) -> tuple[Screen, ...]:
    """The pages that exist for this person, those that are not in the menu too; others are as good as not there."""
    return tuple(screen for screen in ALL if screen.is_for(actor) and screen.file.exists())
