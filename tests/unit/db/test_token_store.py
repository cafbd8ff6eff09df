"""Tokens are known by a keyed digest, found while they are good, and counted; idempotency keys by their digests."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, text

from models.db.engine import Database
from models.db.idempotency import IdempotencyStore, Kept
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.tables import ApiTokenNodeRow, ApiTokenRow, IdempotencyRow
from models.db.tokens import TokenStore
from models.domain.errors import NotFound, WrongState
from models.domain.tokens import Operation, OwnedToken, Token, TokenWish, Use
from tests.databases import Clock
from tests.people import a_profile, a_user
from tests.samples import a_server, add_job

SECRET = f"adit_{'x' * 43}"


def add(db: Database, user_id: int, secret: str = SECRET, **wish: object) -> Token:
    return TokenStore(db).add(user_id, secret, secret[:9], TokenWish(**wish))  # type: ignore[arg-type]


def test_a_token_comes_back_as_it_was_made(database: Database, clock: Clock) -> None:
    user, node = a_user(database), NodeStore(database).add(a_server())
    limited = add(
        database,
        user.id,
        description="nightly",
        expires_at=clock.now + timedelta(days=1),
        operations=frozenset({Operation.READ, Operation.STORE}),
        nodes=frozenset({node.id}),
    )
    assert limited == Token(
        id=limited.id,
        user_id=user.id,
        beginning="adit_xxxx",
        description="nightly",
        created_at=clock.now,
        expires_at=clock.now + timedelta(days=1),
        operations=frozenset({Operation.READ, Operation.STORE}),
        nodes=frozenset({node.id}),
    )
    plain = add(database, user.id, "other")
    assert (plain.operations, plain.nodes, plain.expires_at) == (None, None, None)
    assert TokenStore(database).of_user(user.id) == (plain, limited)


def test_a_token_is_found_by_its_secret_until_it_expires(database: Database, clock: Clock) -> None:
    store, user = TokenStore(database), a_user(database)
    token = add(database, user.id, expires_at=clock.now + timedelta(seconds=60))
    found = store.find(SECRET)
    assert found is not None
    assert (found.token, found.user) == (token, user)
    assert store.find(f"{SECRET}x") is None
    clock.pass_by(59)
    assert store.find(SECRET) is not None and store.is_alive(token.id)
    clock.pass_by(1)
    assert store.find(SECRET) is None and not store.is_alive(token.id)


@pytest.mark.parametrize("is_limited", [False, True])
def test_looking_a_token_up_takes_three_questions_or_four(database: Database, is_limited: bool) -> None:
    user, node = a_user(database), NodeStore(database).add(a_server())
    add(database, user.id, nodes=frozenset({node.id}) if is_limited else None)
    asked: list[str] = []
    with database.reading() as session:
        engine = session.get_bind().engine
    listener = lambda *call: asked.append(call[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", listener)
    try:
        TokenStore(database).find(SECRET)
    finally:
        event.remove(engine, "before_cursor_execute", listener)
    assert len([statement for statement in asked if "SELECT" in statement]) == 3 + is_limited


def test_the_database_knows_no_secret_and_its_digest_needs_the_master_key(database: Database) -> None:
    add(database, a_user(database).id)
    with database.reading() as session:
        kept = str(session.execute(text("SELECT * FROM api_tokens")).all())
        (digest,) = session.scalars(select(ApiTokenRow.digest))
    assert SECRET not in kept
    assert digest == TokenStore(database)._digest(SECRET)
    assert database.vault.key_for("tokens") != database.vault.key_for("idempotency")


def test_a_token_that_loses_its_last_node_may_use_none(database: Database) -> None:
    nodes, user = NodeStore(database), a_user(database)
    node = nodes.add(a_server())
    token = add(database, user.id, nodes=frozenset({node.id}))
    nodes.delete(node.id)
    assert TokenStore(database).get(token.id).token.nodes == frozenset()


def test_tokens_are_listed_with_their_owners_page_by_page(database: Database) -> None:
    store = TokenStore(database)
    grace, ada = a_user(database, "grace"), a_user(database, "ada")
    a_user(database, "eve")
    first, second, third = add(database, grace.id, "1"), add(database, ada.id, "2"), add(database, grace.id, "3")
    owned = [OwnedToken(third, "grace"), OwnedToken(second, "ada"), OwnedToken(first, "grace")]
    assert list(store.list(None, 50, 0)) == owned
    assert list(store.list(None, 1, 1)) == owned[1:2]
    assert list(store.list(grace.id, 50, 0)) == [owned[0], owned[2]]
    assert (store.count(None), store.count(grace.id), store.count(0)) == (3, 2, 0)
    assert list(store.owners().items()) == [(ada.id, "ada"), (grace.id, "grace")]
    assert store.get(second.id) == owned[1]


def test_a_removed_token_is_gone_with_its_limits(database: Database) -> None:
    store, node = TokenStore(database), NodeStore(database).add(a_server())
    token = add(database, a_user(database).id, nodes=frozenset({node.id}))
    store.remove(token.id)
    assert store.find(SECRET) is None and not store.is_alive(token.id)
    with pytest.raises(NotFound):
        store.remove(token.id)
    with pytest.raises(NotFound):
        store.get(token.id)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ApiTokenNodeRow)) == 0


def test_usage_adds_up(database: Database, clock: Clock) -> None:
    store, user = TokenStore(database), a_user(database)
    used, other = add(database, user.id, "1"), add(database, user.id, "2")
    store.note_use({used.id: Use(2, 3_000_000_000, clock.now), 4711: Use(1, 1, clock.now)})
    clock.pass_by(5)
    store.note_use({used.id: Use(1, 5, clock.now)})
    found = store.get(used.id).token
    assert (found.request_count, found.answered_bytes, found.last_used_at) == (3, 3_000_000_005, clock.now)
    assert store.get(other.id).token.last_used_at is None


def test_usage_noted_at_the_same_moment_is_not_lost(database: Database, clock: Clock) -> None:
    store, user = TokenStore(database), a_user(database)
    ids = [add(database, user.id, str(number)).id for number in range(3)]
    with ThreadPoolExecutor(4) as pool:
        uses = {token_id: Use(1, 10, clock.now) for token_id in ids}
        assert list(pool.map(lambda _: store.note_use(uses), range(8))) == [None] * 8
    assert {token.request_count for token in store.of_user(user.id)} == {8}


def test_only_tokens_that_expired_before_are_swept(database: Database, clock: Clock) -> None:
    store, user = TokenStore(database), a_user(database)
    add(database, user.id, "old", expires_at=clock.now - timedelta(seconds=1))
    kept = add(database, user.id, "new", expires_at=clock.now), add(database, user.id, "lasting")
    assert store.sweep(clock.now) == 1
    assert store.of_user(user.id) == kept[::-1]


def test_whoever_is_removed_takes_tokens_along(database: Database, clock: Clock) -> None:
    user = UserStore(database).add("fresh", a_profile("fresh"))
    add(database, user.id)
    UserStore(database).remove_unconfirmed(clock.now + timedelta(1))
    assert TokenStore(database).count(None) == 0


def test_an_idempotency_key_leads_to_its_job_for_its_owner_only(database: Database) -> None:
    store, job = IdempotencyStore(database), add_job(database)
    store.keep("ada", "key", "digest", job.id)
    assert store.find("ada", "key") == Kept("digest", job.id)
    assert store.find("grace", "key") is None
    assert store.find("ada", "other") is None
    store.keep("grace", "key", "another", job.id)
    assert store.find("ada", "key") == Kept("digest", job.id)


def test_a_key_that_two_requests_bring_at_once_makes_one_job(database: Database) -> None:
    add_job(database)
    store = IdempotencyStore(database)

    def submit(_: int) -> bool:
        try:
            with database.transaction():
                if store.claim("ada", "key") is not None:
                    return False
                store.keep("ada", "key", "digest", add_job(database).id)
        except WrongState:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(submit, range(4))) == [False, False, False, True]
    assert JobStore(database).count() == 2


def test_the_database_knows_neither_keys_nor_requests(database: Database) -> None:
    store, job = IdempotencyStore(database), add_job(database)
    store.keep("ada", "PATIENT-1", store.digest_of('{"patient_id": "PATIENT-1"}'), job.id)
    with database.reading() as session:
        kept = str(session.execute(text("SELECT * FROM idempotency_keys")).all())
    assert "PATIENT" not in kept
    assert store.digest_of("a") == store.digest_of("a") != store.digest_of("b")


def test_keys_are_forgotten_when_they_are_old_or_their_job_is_deleted(database: Database, clock: Clock) -> None:
    store, job, other = IdempotencyStore(database), add_job(database), add_job(database)
    store.keep("ada", "old", "d", job.id)
    clock.pass_by(10)
    store.keep("ada", "new", "d", job.id)
    store.keep("ada", "gone", "d", other.id)
    JobStore(database).delete(other.id)
    assert store.find("ada", "gone") is None
    assert store.sweep(clock.now) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(IdempotencyRow)) == 1
    assert store.find("ada", "new") is not None
