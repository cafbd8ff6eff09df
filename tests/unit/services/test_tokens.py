"""A token does what its owner may do at this moment, cut down to its limits, and dies at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.receipts import ReceiptStore
from models.db.scopes import ScopeStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.jobs import Job, State
from models.domain.people import Actor, Group, NodeAccess, NodeRight, Permission, User, operator
from models.domain.receipts import Receipt
from models.domain.tokens import Operation, TokenWish, Use
from services import audit, jobs, nodes, quotas, review
from services.people import accounts, actors, groups, tokens
from tests.databases import Clock
from tests.people import a_profile, a_user
from tests.samples import a_folder, a_request, a_server
from tests.waiting import wait_until

SHELL = operator("shell")
RIGHTS = frozenset({Permission.ADD_TOKEN, Permission.ADD_BATCH_TRANSFER, Permission.VIEW_BATCH_TRANSFER})
DAY = timedelta(days=1)


@pytest.fixture
def source(database: Database) -> int:
    return NodeStore(database).add(a_server()).id


@pytest.fixture
def folder(database: Database) -> int:
    return NodeStore(database).add(a_folder()).id


@pytest.fixture
def other_folder(database: Database) -> int:
    return NodeStore(database).add(a_folder("other", "/srv/other")).id


@pytest.fixture
def user(database: Database, source: int, folder: int, other_folder: int) -> User:
    """Somebody who may make tokens, and reach a source and two folders."""
    sides = frozenset(
        {NodeRight(source, True), NodeRight(folder, destination=True), NodeRight(other_folder, destination=True)}
    )
    ada = a_user(database)
    groups.add(database, SHELL, Group("readers", RIGHTS, frozenset({ada.id}), sides))
    return UserStore(database).get(ada.id)


@pytest.fixture
def actor(database: Database, user: User) -> Actor:
    return actors.of_name(database, user.username, "192.0.2.7")


def with_rights(actor: Actor, *rights: Permission) -> Actor:
    return replace(actor, permissions=actor.permissions | set(rights))


def a_wish(db: Database, **fields: object) -> TokenWish:
    return replace(TokenWish("nightly", db.clock() + DAY), **fields)  # type: ignore[arg-type]


def shown(db: Database, actor: Actor, **fields: object) -> tokens.Bearer:
    """A new token of the actor, as the API would see it now."""
    found = tokens.bearer(db, tokens.add(db, actor, a_wish(db, **fields)).secret, "192.0.2.8")
    assert found is not None
    return found


# -- who it is ----------------------------------------------------------------------------------------------------


def test_a_token_is_as_good_as_its_owner(database: Database, actor: Actor, user: User) -> None:
    found = shown(database, actor)
    assert found.user == user
    assert found.actor == replace(actor, address="192.0.2.8", token=found.token)


@pytest.mark.parametrize("text", ["", "x", "adit_", f"adit_{'x' * 43}", f"adit_{'x' * 42}\n", "\udc80", "x" * 100_000])
def test_any_text_is_a_fine_token_that_nobody_has(database: Database, actor: Actor, text: str) -> None:
    tokens.add(database, actor, a_wish(database))
    assert tokens.bearer(database, text, "") is None


def test_a_secret_has_256_bits_and_is_not_shown_by_mistake(database: Database, actor: Actor) -> None:
    made = [tokens.add(database, actor, a_wish(database)) for _ in range(3)]
    assert len({new.secret for new in made}) == 3
    for new in made:
        assert len(new.secret) == len("adit_") + 43
        assert new.secret.startswith(new.token.beginning)
        assert len(new.token.beginning) == 9
        assert new.secret not in repr(new)


def test_a_token_of_somebody_who_is_deactivated_is_dead_at_once(database: Database, actor: Actor) -> None:
    new = tokens.add(database, actor, a_wish(database))
    accounts.deactivate(database, SHELL, actor.user_id or 0)
    assert tokens.bearer(database, new.secret, "") is None
    assert not tokens.is_alive(database, new.token.id)
    accounts.activate(database, SHELL, actor.user_id or 0)
    assert tokens.bearer(database, new.secret, "") is not None


def test_a_token_dies_when_it_expires_or_is_revoked(database: Database, actor: Actor, clock: Clock) -> None:
    first, second = (tokens.add(database, actor, a_wish(database)) for _ in range(2))
    tokens.revoke(database, actor, first.token.id)
    assert tokens.bearer(database, first.secret, "") is None
    assert not tokens.is_alive(database, first.token.id)
    assert tokens.is_alive(database, second.token.id)
    clock.pass_by(24 * 3600)
    assert tokens.bearer(database, second.secret, "") is None
    assert not tokens.is_alive(database, second.token.id)


def test_a_token_loses_a_right_when_its_owner_does(database: Database, actor: Actor) -> None:
    new = tokens.add(database, actor, a_wish(database))
    (group,) = groups.list(database, SHELL)
    groups.delete(database, SHELL, group.id)
    found = tokens.bearer(database, new.secret, "")
    assert found is not None
    assert (found.actor.permissions, found.actor.access) == (frozenset(), NodeAccess())


def test_what_somebody_may_do_now_follows_groups_account_and_token(
    database: Database, actor: Actor, source: int
) -> None:
    begun = shown(database, actor, nodes=frozenset({source})).actor
    assert tokens.actor_now(database, begun) == begun
    (group,) = groups.list(database, SHELL)
    groups.update(database, SHELL, replace(group, permissions=frozenset()))
    assert tokens.actor_now(database, begun) == replace(begun, permissions=frozenset())
    accounts.deactivate(database, SHELL, actor.user_id or 0)
    assert tokens.actor_now(database, begun) is None
    assert tokens.actor_now(database, actor) is None, "who came in without a token has none that counts"


# -- limits -------------------------------------------------------------------------------------------------------


def test_a_token_without_administer_leaves_a_superuser_the_rights_but_not_the_power(database: Database) -> None:
    a_user(database, "root", is_superuser=True)
    root = actors.of_name(database, "root")
    cut = shown(database, root, operations=frozenset(Operation) - {Operation.ADMINISTER}).actor
    assert (cut.is_staff, cut.is_superuser, cut.permissions) == (False, False, frozenset(Permission))
    for whole in (shown(database, root), shown(database, root, operations=frozenset({Operation.ADMINISTER}))):
        assert (whole.actor.is_staff, whole.actor.is_superuser) == (True, True)


def test_a_token_allows_only_what_it_is_limited_to(database: Database, actor: Actor) -> None:
    limited = shown(database, actor, operations=frozenset({Operation.READ, Operation.SEARCH})).token
    assert [operation for operation in Operation if limited.allows(operation)] == [Operation.READ, Operation.SEARCH]
    assert all(shown(database, actor).token.allows(operation) for operation in Operation)


def test_a_token_limited_to_nodes_reaches_no_other(
    database: Database, actor: Actor, source: int, folder: int, other_folder: int
) -> None:
    found = shown(database, actor, nodes=frozenset({source, folder}))
    assert found.actor.access == NodeAccess(frozenset({source}), frozenset({folder}))
    assert found.actor.nodes_limit == {source, folder}
    assert [node.id for node in nodes.destinations(database, found.actor)] == [folder]
    assert [usage.folder_id for usage in quotas.usages(database, found.actor)] == [folder]


def test_a_token_limited_to_nodes_does_not_administer(database: Database, source: int) -> None:
    root = a_user(database, "root", is_superuser=True)
    groups.add(database, SHELL, Group("g", members=frozenset({root.id}), nodes=frozenset({NodeRight(source, True)})))
    actor = actors.of_name(database, "root")
    found = shown(database, actor, nodes=frozenset({source}))
    assert found.token.operations == frozenset(Operation) - {Operation.ADMINISTER}
    assert not found.actor.is_staff and not found.actor.is_superuser
    with pytest.raises(BadRequest) as refused:
        tokens.add(
            database, actor, a_wish(database, nodes=frozenset({source}), operations=frozenset({Operation.ADMINISTER}))
        )
    assert set(refused.value.problems) == {"nodes"}


def a_job(db: Database, source: int, destination: int, owner: str = "ada") -> Job:
    return JobStore(db).add(owner, a_request(source, destination), ScopeStore(db).new())


def test_jobs_that_name_other_nodes_do_not_exist_for_a_token_limited_to_some(
    database: Database, actor: Actor, source: int, folder: int, other_folder: int
) -> None:
    within, elsewhere = a_job(database, source, folder), a_job(database, source, other_folder)
    limited = shown(database, actor, nodes=frozenset({source, folder})).actor
    assert {job.id for job in jobs.list(database, actor)} == {within.id, elsewhere.id}
    assert [job.id for job in jobs.list(database, limited)] == [within.id]
    assert jobs.count(database, limited) == 1
    assert set(jobs.counts(database, limited, [within.id, elsewhere.id])) == {within.id}
    assert jobs.get(database, limited, within.id) == within
    (item,) = JobStore(database).items(elsewhere.id)
    for door in (
        lambda: jobs.get(database, limited, elsewhere.id),
        lambda: jobs.items(database, limited, elsewhere.id),
        lambda: jobs.receipts(database, limited, elsewhere.id),
        lambda: jobs.item(database, limited, item.id),
        lambda: jobs.receipt(database, limited, item.id),
        lambda: jobs.cancel(database, limited, elsewhere.id),
        lambda: jobs.delete(database, limited, elsewhere.id),
        lambda: jobs.reset_item(database, limited, item.id),
        lambda: review.held(database, limited, elsewhere.id),
    ):
        with pytest.raises(NotFound):
            door()
    jobs.cancel(database, limited, within.id)


def test_jobs_of_colleagues_stay_within_the_limit_too(
    database: Database, actor: Actor, source: int, folder: int, other_folder: int
) -> None:
    grace = a_user(database, "grace")
    (group,) = groups.list(database, SHELL)
    groups.update(database, SHELL, replace(group, members=group.members | {grace.id}))
    within, elsewhere = a_job(database, source, folder, "grace"), a_job(database, source, other_folder, "grace")
    limited = shown(database, actor, nodes=frozenset({source, folder})).actor
    assert [job.id for job in jobs.list(database, limited, of_groups=True)] == [within.id]
    with pytest.raises(NotFound):
        jobs.get(database, limited, elsewhere.id)


def test_held_instances_elsewhere_are_not_reviewed_with_a_token_limited_to_nodes(
    database: Database, actor: Actor, source: int, folder: int, other_folder: int
) -> None:
    (group,) = groups.list(database, SHELL)
    groups.update(database, SHELL, replace(group, permissions=RIGHTS | {Permission.REVIEW_HELD}))
    limited = shown(database, actor, nodes=frozenset({source, folder})).actor
    held = [_held(database, a_job(database, source, to, "grace")) for to in (folder, other_folder)]
    assert set(review.waiting(database, actors.of_name(database, "ada"))) == {job.id for job, _ in held}
    assert set(review.waiting(database, limited)) == {held[0][0].id}
    with pytest.raises(NotFound):
        review.release(database, limited, held[1][1], None, "looked at it twice")
    review.release(database, limited, held[0][1], None, "looked at it twice")


def _held(db: Database, job: Job) -> tuple[Job, int]:
    claim = JobStore(db).claim_next(job.id, timedelta(seconds=20))
    assert claim is not None
    item, lease = claim
    ReceiptStore(db).save(lease, Receipt(expected={"1.2"}, received={"1.2"}, held={"1.2": "a face"}))
    JobStore(db).end_attempt(lease, State.WARNING, "held")
    return job, item.id


# -- making them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"description": "x" * 201}, "description"),
        ({"description": "a\u202eb"}, "description"),
        ({"expires_at": -DAY}, "expires_at"),
        ({"expires_at": timedelta()}, "expires_at"),
        ({"expires_at": 367 * DAY}, "expires_at"),
        ({"operations": frozenset()}, "operations"),
        ({"nodes": frozenset()}, "nodes"),
        ({"nodes": frozenset({4711})}, "nodes"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_by_its_field(
    database: Database, actor: Actor, clock: Clock, fields: dict[str, object], field: str
) -> None:
    if isinstance(expiry := fields.get("expires_at"), timedelta):
        fields = {"expires_at": clock.now + expiry}
    with pytest.raises(BadRequest) as refused:
        tokens.add(database, actor, a_wish(database, **fields))
    assert set(refused.value.problems) == {field}
    assert tokens.list(database, actor) == ()


def test_a_time_without_a_zone_is_refused(database: Database, actor: Actor, clock: Clock) -> None:
    with pytest.raises(BadRequest) as refused:
        tokens.add(database, actor, a_wish(database, expires_at=(clock.now + DAY).replace(tzinfo=None)))
    assert set(refused.value.problems) == {"expires_at"}


def test_foreign_nodes_and_those_that_do_not_exist_are_refused_alike(database: Database, actor: Actor) -> None:
    foreign = NodeStore(database).add(a_server("FOREIGN")).id
    told: list[str] = []
    for node_id in (foreign, 4711):
        with pytest.raises(BadRequest) as refused:
            tokens.add(database, actor, a_wish(database, nodes=frozenset({node_id})))
        told.append(refused.value.message)
    assert told[0] == told[1]


def test_a_far_date_needs_the_right_to_lasting_tokens(database: Database, actor: Actor, clock: Clock) -> None:
    far = clock.now + 4000 * DAY
    lasting = with_rights(actor, Permission.ADD_LASTING_TOKEN)
    assert tokens.add(database, lasting, a_wish(database, expires_at=far)).token.expires_at == far
    assert tokens.add(database, lasting, a_wish(database, expires_at=None)).token.expires_at is None
    with pytest.raises(NotPermitted):
        tokens.add(database, actor, a_wish(database, expires_at=None))


def test_nobody_has_more_tokens_than_anybody_needs(
    database: Database, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 2)
    for _ in range(2):
        tokens.add(database, actor, a_wish(database))
    with pytest.raises(BadRequest, match="Revoke"):
        tokens.add(database, actor, a_wish(database))


def test_two_requests_at_once_make_no_token_too_many(
    database: Database, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 1)
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            tokens.add(database, actor, a_wish(database))
            other = pool.submit(tokens.add, database, actor, a_wish(database))
            wait_until(lambda: other.done() or somebody_waits(database), "the second request")
        with pytest.raises(BadRequest, match="Revoke"):
            other.result()
    assert len(tokens.list(database, actor)) == 1


def somebody_waits(db: Database) -> bool:
    """Whether a connection waits for a lock of another one; with SQLite everybody does, before anything is read."""
    with db.reading() as session:
        if session.connection().dialect.name == "sqlite":
            return True
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_a_token_without_limits_makes_tokens_that_do_not_outlive_it(
    database: Database, actor: Actor, clock: Clock
) -> None:
    by_token = with_rights(shown(database, actor).actor, Permission.ADD_LASTING_TOKEN)
    assert tokens.add(database, by_token, a_wish(database)).token.expires_at == clock.now + DAY
    for too_long in (clock.now + 2 * DAY, None):
        with pytest.raises(BadRequest) as refused:
            tokens.add(database, by_token, a_wish(database, expires_at=too_long))
        assert set(refused.value.problems) == {"expires_at"}


def test_a_token_with_limits_makes_none_and_lists_and_revokes_only_itself(
    database: Database, actor: Actor, source: int
) -> None:
    other = tokens.add(database, actor, a_wish(database)).token
    for limits in ({"operations": frozenset(Operation)}, {"nodes": frozenset({source})}):
        limited = shown(database, actor, **limits)
        with pytest.raises(NotPermitted):
            tokens.add(database, limited.actor, a_wish(database))
        with pytest.raises(NotPermitted):
            tokens.revoke(database, limited.actor, other.id)
        assert tokens.list(database, limited.actor) == (limited.token,)
        tokens.revoke(database, limited.actor, limited.token.id)
    assert tokens.list(database, actor) == (other,)


# -- the trail ----------------------------------------------------------------------------------------------------


def test_making_and_revoking_leave_a_line_without_the_secret_and_the_description(
    database: Database, actor: Actor, source: int
) -> None:
    new = tokens.add(
        database,
        actor,
        a_wish(
            database,
            description="DOE^JOHN",
            operations=frozenset({Operation.READ, Operation.SEARCH}),
            nodes=frozenset({source}),
        ),
    )
    a_user(database, "staff", is_staff=True)
    staff = actors.of_name(database, "staff")
    tokens.revoke(database, staff, new.token.id)
    revoked, made, *_ = audit.entries(database, SHELL)
    assert (revoked.actor, revoked.action) == ("staff", AuditAction.REVOKE_TOKEN)
    assert revoked.subject == f"token {new.token.id} ({new.token.beginning}) of ada"
    assert (made.actor, made.action, made.address) == ("ada", AuditAction.ADD_TOKEN, "192.0.2.7")
    assert made.subject.endswith(": expires 2026-03-02 12:00 UTC; read, search; nodes PACS")
    assert new.secret not in made.subject and "DOE" not in made.subject


def test_the_trail_tells_which_token_a_script_has_shown(
    database: Database, actor: Actor, source: int, folder: int
) -> None:
    found, mine = shown(database, actor), a_job(database, source, folder)
    jobs.cancel(database, found.actor, mine.id)
    assert audit.entries(database, SHELL)[0].address == f"192.0.2.8, token {found.token.id}"
    with pytest.raises(NotPermitted):
        review.release(database, found.actor, JobStore(database).items(mine.id)[0].id, None, "looked at it twice")
    assert audit.entries(database, SHELL)[0].address == f"192.0.2.8, token {found.token.id}"


def test_refusals_leave_a_line(database: Database, actor: Actor) -> None:
    with pytest.raises(NotPermitted):
        tokens.add(database, replace(actor, permissions=frozenset()), a_wish(database))
    assert audit.entries(database, SHELL)[0].outcome == "NotPermitted"


def test_usage_is_noted_in_bulk(database: Database, actor: Actor, clock: Clock) -> None:
    token = shown(database, actor).token
    tokens.note_use(database, {})
    tokens.note_use(database, {token.id: Use(2, 100, clock.now)})
    (found,) = tokens.list(database, actor)
    assert (found.request_count, found.answered_bytes, found.last_used_at) == (2, 100, clock.now)


# -- actors by name -----------------------------------------------------------------------------------------------


def test_an_actor_is_known_by_name_as_long_as_the_account_is_active(database: Database, actor: Actor) -> None:
    assert actors.of_name(database, "ADA", "192.0.2.7") == actor
    with pytest.raises(NotFound):
        actors.of_name(database, "ada@example.org")
    UserStore(database).add("fresh", a_profile("fresh"))
    accounts.deactivate(database, SHELL, actor.user_id or 0)
    for name in ("fresh", "ada"):
        with pytest.raises(NotPermitted):
            actors.of_name(database, name)
