"""One trial has one linkage key, and within it a patient and a pseudonym belong together for good."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from cryptography.fernet import Fernet

from models.db.engine import Database
from models.db.scopes import ScopeStore
from models.domain.errors import IdentityConflict, NotFound, NotPermitted, WrongState


@pytest.fixture
def scopes(database: Database) -> ScopeStore:
    return ScopeStore(database)


def test_a_trial_has_one_key_and_others_have_another(scopes: ScopeStore) -> None:
    trial, again, other, alone = (
        scopes.for_trial("T1", "ada"),
        scopes.for_trial("T1", "ada"),
        scopes.for_trial("T2", "ada"),
        scopes.new(),
    )
    assert trial == again
    keys = [scopes.key(scope) for scope in (trial, other, alone, scopes.new())]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {32}
    assert scopes.key(trial) == keys[0]


def test_a_new_trial_gets_one_key_though_many_ask_at_once(scopes: ScopeStore) -> None:
    together = Barrier(6)

    def ask(_: int) -> int:
        together.wait()
        return scopes.for_trial("T1", "ada")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1


def test_a_key_is_not_readable_with_another_master_key(scopes: ScopeStore, empty_url: str) -> None:
    scope = scopes.new()
    stranger = Database(empty_url, Fernet.generate_key().decode())
    with pytest.raises(NotPermitted):
        ScopeStore(stranger).key(scope)
    stranger.close()


def bind(scopes: ScopeStore, scope: int, patient: str, pseudonym: str) -> str:
    with scopes.ledger(scope, [patient], [pseudonym]) as ledger:
        return ledger.give(patient, pseudonym)


def test_binding_twice_changes_nothing(scopes: ScopeStore) -> None:
    scope = scopes.new()
    for _ in range(2):
        assert bind(scopes, scope, "digest-1", "ANON1") == "ANON1"
    bind(scopes, scope, "digest-2", "ANON2")
    bind(scopes, scopes.new(), "digest-1", "ANON2")


@pytest.mark.parametrize(
    ("digest", "pseudonym"),
    [("digest-1", "ANON2"), ("digest-2", "ANON1"), ("digest-2", "anon1"), ("digest-1", "anon1")],
)
def test_neither_patient_nor_pseudonym_is_ever_shared(scopes: ScopeStore, digest: str, pseudonym: str) -> None:
    scope = scopes.new()
    bind(scopes, scope, "digest-1", "ANON1")
    with pytest.raises(IdentityConflict):
        bind(scopes, scope, digest, pseudonym)
    assert scopes.has_bound(scope, "ANON1")
    assert not scopes.has_bound(scope, pseudonym) or pseudonym == "ANON1"


def test_many_bindings_are_looked_up_in_parts(scopes: ScopeStore) -> None:
    scope = scopes.new()
    patients = {f"digest-{n}": f"ANON{n}" for n in range(1000)}
    for _ in range(2):
        with scopes.ledger(scope, patients.keys(), patients.values()) as ledger:
            assert [ledger.give(patient, name) for patient, name in patients.items()] == [*patients.values()]
    with pytest.raises(IdentityConflict), scopes.ledger(scope, ["x"], ["ANON999"]) as ledger:
        ledger.give("x", "ANON999")


def test_of_two_that_bind_one_pseudonym_at_once_one_wins(scopes: ScopeStore) -> None:
    scope = scopes.new()
    together = Barrier(4)

    def try_to_bind(number: int) -> bool:
        together.wait()
        try:
            bind(scopes, scope, f"digest-{number}", "ANON1")
        except IdentityConflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(try_to_bind, range(4))) == [False, False, False, True]


def test_unknown_scopes_are_not_found(scopes: ScopeStore) -> None:
    for question in (scopes.key, scopes.check_is_usable, scopes.forget):
        with pytest.raises(NotFound):
            question(4711)
    with pytest.raises(NotFound):
        bind(scopes, 4711, "digest", "ANON1")
    with pytest.raises(NotFound):
        scopes.of_trial("T1")


def test_a_forgotten_scope_has_no_key_and_takes_no_patient(scopes: ScopeStore) -> None:
    scope = scopes.for_trial("T1", "ada")
    bind(scopes, scope, "digest-1", "ANON1")
    scopes.forget(scope)
    assert scopes.for_trial("T1", "ada") == scopes.of_trial("T1") == scope, (
        "a new key under the old name would be a trap"
    )
    assert not scopes.has_bound(scope, "ANON1")
    for question in (scopes.key, scopes.check_is_usable, scopes.forget):
        with pytest.raises(WrongState, match="forgotten"):
            question(scope)
    with pytest.raises(WrongState, match="forgotten"):
        bind(scopes, scope, "digest-1", "ANON1")
