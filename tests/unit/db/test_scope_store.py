"""One trial has one linkage key, and within it a patient and a pseudonym belong together for good."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from cryptography.fernet import Fernet

from models.db.engine import Database
from models.db.scopes import ScopeStore
from models.domain.errors import IdentityConflict, NotFound, NotPermitted


@pytest.fixture
def scopes(database: Database) -> ScopeStore:
    return ScopeStore(database)


def test_a_trial_has_one_key_and_others_have_another(scopes: ScopeStore) -> None:
    trial, again, other, alone = scopes.for_trial("T1"), scopes.for_trial("T1"), scopes.for_trial("T2"), scopes.new()
    assert trial == again
    keys = [scopes.key(scope) for scope in (trial, other, alone, scopes.new())]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {32}
    assert scopes.key(trial) == keys[0]


def test_a_new_trial_gets_one_key_though_many_ask_at_once(scopes: ScopeStore) -> None:
    together = Barrier(6)

    def ask(_: int) -> int:
        together.wait()
        return scopes.for_trial("T1")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1


def test_a_key_is_not_readable_with_another_master_key(scopes: ScopeStore, empty_url: str) -> None:
    scope = scopes.new()
    stranger = Database(empty_url, Fernet.generate_key().decode())
    with pytest.raises(NotPermitted):
        ScopeStore(stranger).key(scope)
    stranger.close()


def test_binding_twice_changes_nothing(scopes: ScopeStore) -> None:
    scope = scopes.new()
    for _ in range(2):
        scopes.bind(scope, "digest-1", "ANON1")
    scopes.bind(scope, "digest-2", "ANON2")
    scopes.bind(scopes.new(), "digest-1", "ANON2")


@pytest.mark.parametrize(("digest", "pseudonym"), [("digest-1", "ANON2"), ("digest-2", "ANON1")])
def test_two_patients_are_never_merged_and_one_is_never_split(scopes: ScopeStore, digest: str, pseudonym: str) -> None:
    scope = scopes.new()
    scopes.bind(scope, "digest-1", "ANON1")
    with pytest.raises(IdentityConflict) as raised:
        scopes.bind(scope, digest, pseudonym)
    assert "ANON" not in raised.value.message


def test_two_patients_who_ask_at_once_do_not_get_one_pseudonym(scopes: ScopeStore) -> None:
    scope = scopes.new()
    together = Barrier(4)

    def bind(number: int) -> bool:
        together.wait()
        try:
            scopes.bind(scope, f"digest-{number}", "ANON1")
        except IdentityConflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(bind, range(4))) == [False, False, False, True]


def test_unknown_scopes_are_not_found(scopes: ScopeStore) -> None:
    with pytest.raises(NotFound):
        scopes.key(4711)
    with pytest.raises(NotFound):
        scopes.bind(4711, "digest", "ANON1")
