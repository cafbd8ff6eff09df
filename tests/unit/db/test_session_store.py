"""Sessions end in time, links are good once, and tries are counted whatever happens at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select

from models.db.engine import Database
from models.db.people import UserStore
from models.db.sessions import Limit, LinkStore, SessionStore, TryStore
from models.db.tables import LinkRow, TryRow, WebSessionRow
from models.domain.errors import NotFound, TooManyTries
from models.domain.people import LinkPurpose
from tests.databases import Clock
from tests.people import a_profile, a_user

RESET, CONFIRM = LinkPurpose.RESET_PASSWORD, LinkPurpose.CONFIRM_EMAIL
LIMIT = Limit("subject", 3, timedelta(minutes=1))


def test_a_session_is_found_until_it_is_too_old(database: Database, clock: Clock) -> None:
    store, user = SessionStore(database), a_user(database)
    begun = clock.now
    session = store.add("digest", user.id, "192.0.2.1" * 20, "x" * 300)
    clock.pass_by(60)
    found = store.find("digest", begun - timedelta(seconds=1), begun - timedelta(seconds=1))
    assert found is not None
    assert (found.session, found.user) == (session, user)
    assert (len(session.address), len(session.agent)) == (64, 255)
    assert store.find("digest", begun, begun - timedelta(seconds=1)) is None
    assert store.find("digest", begun - timedelta(seconds=1), begun) is None
    assert store.find("other", begun - timedelta(seconds=1), begun - timedelta(seconds=1)) is None
    store.touch(session.id)
    assert store.find("digest", begun, begun - timedelta(seconds=1)) is not None


def test_looking_a_session_up_takes_three_questions(database: Database, clock: Clock) -> None:
    store, user = SessionStore(database), a_user(database)
    store.add("digest", user.id, "", "")
    asked: list[str] = []
    with database.reading() as session:
        engine = session.get_bind().engine
    listener = lambda *call: asked.append(call[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", listener)
    try:
        store.find("digest", clock.now - timedelta(1), clock.now - timedelta(1))
    finally:
        event.remove(engine, "before_cursor_execute", listener)
    assert len([statement for statement in asked if "SELECT" in statement]) == 3


def test_sessions_end_one_by_one_or_together(database: Database, clock: Clock) -> None:
    store = SessionStore(database)
    ada, grace = a_user(database, "ada"), a_user(database, "grace")
    first = store.add("1", ada.id, "", "")
    clock.pass_by(1)
    second, third, hers = (
        store.add(digest, user.id, "", "") for digest, user in (("2", ada), ("3", ada), ("4", grace))
    )
    assert store.of_user(ada.id) == (third, second, first)
    with pytest.raises(NotFound):
        store.end_one(ada.id, hers.id)
    store.end_one(ada.id, first.id)
    assert store.end_all(ada.id, but=third.id) == 1
    assert store.of_user(ada.id) == (third,)
    assert store.end("3") == "ada"
    assert store.end("3") == ""
    assert store.of_user(grace.id) == (hers,)


def test_sessions_that_are_over_are_swept(database: Database, clock: Clock) -> None:
    store, user = SessionStore(database), a_user(database)
    store.add("idle", user.id, "", "")
    clock.pass_by(100)
    kept = store.add("new", user.id, "", "")
    store.sweep(clock.now - timedelta(seconds=99), clock.now - timedelta(days=1))
    assert store.of_user(user.id) == (kept,)
    store.sweep(clock.now - timedelta(days=1), clock.now)
    assert store.of_user(user.id) == ()


def test_a_link_is_good_once_for_one_purpose_and_in_time(database: Database, clock: Clock) -> None:
    store, user = LinkStore(database), a_user(database)
    store.add("a", user.id, RESET, clock.now + timedelta(hours=2))
    store.add("b", user.id, RESET, clock.now + timedelta(hours=3))
    assert store.user_of("a", RESET) == user.id
    assert store.use("a", CONFIRM) is None
    assert store.use("a", RESET) == user.id
    assert store.use("a", RESET) is None
    clock.pass_by(3 * 3600)
    assert store.user_of("b", RESET) is None
    assert store.use("b", RESET) is None


def test_a_link_that_two_people_open_at_once_is_good_for_one(database: Database, clock: Clock) -> None:
    store, user = LinkStore(database), a_user(database)
    store.add("a", user.id, RESET, clock.now + timedelta(hours=2))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: store.use("a", RESET), range(6)))
    assert sorted(answers, key=bool) == [None] * 5 + [user.id]


def test_void_and_expired_links_are_removed(database: Database, clock: Clock) -> None:
    store, user = LinkStore(database), a_user(database)
    for digest, purpose in (("a", RESET), ("b", CONFIRM)):
        store.add(digest, user.id, purpose, clock.now + timedelta(hours=2))
    store.void(user.id, RESET)
    assert (store.user_of("a", RESET), store.user_of("b", CONFIRM)) == (None, user.id)
    store.void(user.id)
    assert store.user_of("b", CONFIRM) is None
    store.add("c", user.id, RESET, clock.now + timedelta(hours=2))
    clock.pass_by(7200)
    store.add("d", user.id, RESET, clock.now + timedelta(hours=2))
    with database.reading() as session:
        assert session.scalars(select(LinkRow.token_digest)).all() == ["d"]


def test_tries_beyond_a_limit_are_refused_and_not_counted(database: Database, clock: Clock) -> None:
    store = TryStore(database)
    for _ in range(3):
        store.add([LIMIT, Limit("other", 100, timedelta(hours=1))])
    for _ in range(5):
        with pytest.raises(TooManyTries):
            store.add([Limit("other", 100, timedelta(hours=1)), LIMIT])
    assert count(database) == 6
    store.add([Limit("other", 100, timedelta(hours=1))])
    clock.pass_by(60)
    store.add([LIMIT])


def test_forgiven_tries_make_room(database: Database) -> None:
    store = TryStore(database)
    other = Limit("other", 5, timedelta(minutes=1))
    store.add([LIMIT])
    ids = store.add([LIMIT, other])
    store.add([other])
    store.forgive(ids, "subject")
    assert count(database) == 1


def test_tries_at_the_same_moment_never_pass_a_limit(database: Database) -> None:
    store = TryStore(database)

    def is_let_through(_: int) -> bool:
        try:
            return bool(store.add([LIMIT]))
        except TooManyTries:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(is_let_through, range(16))) == 3


def test_old_tries_are_swept(database: Database, clock: Clock) -> None:
    store = TryStore(database)
    store.add([LIMIT])
    clock.pass_by(25 * 3600)
    store.add([LIMIT])
    assert count(database) == 1


def test_whoever_is_removed_takes_sessions_and_links_along(database: Database, clock: Clock) -> None:
    user = UserStore(database).add("fresh", a_profile("fresh"))
    SessionStore(database).add("d", user.id, "", "")
    LinkStore(database).add("d", user.id, CONFIRM, clock.now)
    UserStore(database).remove_unconfirmed(clock.now + timedelta(1))
    with database.reading() as session:
        for table in (WebSessionRow, LinkRow):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(TryRow)) or 0
