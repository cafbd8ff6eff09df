"""People change what is theirs to change, and the pages remember their choices."""

from pathlib import Path

import pytest

from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, Outdated
from models.domain.people import Actor, operator
from models.settings import Settings
from services import audit
from services.people import accounts
from tests.people import a_profile, a_user, acting
from tests.samples import some_settings

SHELL = operator("shell")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@pytest.fixture
def ada(database: Database, settings: Settings) -> Actor:
    return acting(database, settings, a_user(database))


def test_people_see_their_own_account_and_no_other(database: Database, ada: Actor) -> None:
    other = a_user(database, "other")
    assert accounts.me(database, ada) == accounts.get(database, ada, ada.user_id or 0)
    with pytest.raises(NotPermitted):
        accounts.get(database, ada, other.id)
    with pytest.raises(NotPermitted):
        accounts.get(database, ada, 4711)
    with pytest.raises(NotFound):
        accounts.get(database, SHELL, 4711)
    with pytest.raises(NotPermitted):
        accounts.me(database, SHELL)


def test_people_change_their_names_phone_and_department(database: Database, ada: Actor) -> None:
    version = accounts.me(database, ada).version
    wanted = a_profile(first_name=" Augusta  Ada ", department="Neurology")
    after = accounts.change_profile(database, ada, wanted, version)
    assert after.profile == a_profile(first_name="Augusta Ada", department="Neurology")
    line = audit.entries(database, SHELL)[0]
    assert (line.action, line.subject) == (AuditAction.CHANGE_USER, "account ada; changed first_name, department")
    with pytest.raises(Outdated):
        accounts.change_profile(database, ada, wanted, version)


def test_people_cannot_change_their_address(database: Database, ada: Actor) -> None:
    version = accounts.me(database, ada).version
    with pytest.raises(BadRequest) as raised:
        accounts.change_profile(database, ada, a_profile(email="new@example.org"), version)
    assert raised.value.problems.keys() == {"email"}


def test_people_cannot_empty_their_profile(database: Database, ada: Actor) -> None:
    with pytest.raises(BadRequest) as raised:
        accounts.change_profile(database, ada, a_profile(phone_number="", last_name=" "), 1)
    assert raised.value.problems == {"phone_number": "Needed.", "last_name": "Needed."}


def test_choices_are_remembered_for_each_person(database: Database, settings: Settings, ada: Actor) -> None:
    other = acting(database, settings, a_user(database, "other"))
    accounts.remember(database, ada, source=3, theme="dark")
    accounts.remember(database, ada, theme=None, sizes=[25, 50])
    assert accounts.preferences(database, ada) == {"source": 3, "sizes": [25, 50]}
    assert accounts.preferences(database, other) == accounts.preferences(database, SHELL) == {}
    with pytest.raises(NotPermitted):
        accounts.remember(database, SHELL, theme="dark")


def test_the_pages_do_not_remember_without_end(database: Database, ada: Actor) -> None:
    accounts.remember(database, ada, theme="dark")
    with pytest.raises(BadRequest):
        accounts.remember(database, ada, much="x" * 20_000)
    assert accounts.preferences(database, ada) == {"theme": "dark"}
