"""People with the rights to transfer, their jobs, and how those have ended, for tests of pages."""

from dataclasses import replace
from datetime import timedelta

from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.domain.jobs import Item, Job, JobKind, State
from models.domain.nodes import Server
from models.domain.people import Actor, Group, NodeRight, Permission, User
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import jobs, nodes
from services.people import groups
from tests.app_pages import Site
from tests.people import a_user

MAY = frozenset({Permission.ADD_SELECTIVE_TRANSFER, Permission.SELECTIVE_URGENT})


def a_server(site: Site, name: str) -> Server:
    fields = {"study_root_find_support": True, "study_root_get_support": True, "store_scp_support": True}
    return nodes.add_server(site.db, site.shell, Server(name, name.upper(), "127.0.0.1", 104, **fields))


def a_researcher(site: Site, name: str = "ada", may: frozenset[Permission] = MAY) -> User:
    """A user in a group of her own that reads from the PACS and writes to the research archive."""
    user = a_user(site.db, name)
    known = {node.name: node.id for node in nodes.list(site.db)}
    source = known.get("PACS") or a_server(site, "PACS").id
    target = known.get("Research") or a_server(site, "Research").id
    rights = frozenset({NodeRight(source, source=True), NodeRight(target, destination=True)})
    groups.add(site.db, site.shell, Group(f"Group of {name}", may, frozenset({user.id}), rights))
    return user


def a_job(site: Site, user: User, *studies: str, **fields: object) -> Job:
    known = {node.name: node.id for node in nodes.list(site.db)}
    wishes = tuple(StudyWish(uid, f"PID{uid}") for uid in studies or ("1.2.3",))
    request = TransferRequest(JobKind.SELECTIVE_TRANSFER, known["PACS"], known["Research"], wishes, **fields)  # type: ignore[arg-type]
    return jobs.submit(site.db, site.settings, in_the_name_of(site, user), request)


def in_the_name_of(site: Site, user: User) -> Actor:
    return replace(site.shell, name=user.username)


def ended(site: Site, job: Job, state: State, receipt: Receipt, message: str = "", code: str = "") -> Item:
    """The next item of a job, after one attempt with this end."""
    store = JobStore(site.db)
    claimed = store.claim_next(job.id, timedelta(minutes=1))
    assert claimed is not None
    item, lease = claimed
    ReceiptStore(site.db).save(lease, receipt)
    store.end_attempt(lease, state, message, code)
    return store.item(item.id)


def uids(count: int, first: int = 1) -> set[str]:
    return {f"1.2.3.{number}" for number in range(first, first + count)}
