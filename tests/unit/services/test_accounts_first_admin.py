"""An installation gets its first superuser from the settings or at the shell, once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.people import UserStore
from models.domain.errors import BadRequest
from models.domain.people import Standing, operator
from models.settings import Settings
from services import audit
from services.people import accounts, secret_tokens, sessions, tokens
from tests.people import ANOTHER_PASSWORD, PASSWORD, a_session, a_user
from tests.samples import add_job, some_settings

HERE = "192.0.2.7"


def with_admin(directory: Path, **fields: str) -> Settings:
    values = {"admin_username": "root", "admin_user_email": "root@example.org", "admin_password": PASSWORD}
    return some_settings(directory, **(values | fields))


def test_the_admin_of_the_settings_is_made_once(database: Database, tmp_path: Path) -> None:
    settings = with_admin(tmp_path)
    for _ in range(2):
        accounts.ensure_admin(database, settings)
    accounts.ensure_admin(database, with_admin(tmp_path, admin_username="another"))
    (root,) = UserStore(database).superusers()
    assert (root.username, root.is_staff, root.standing) == ("root", True, Standing.ACTIVE)
    assert accounts.sign_in(database, settings, "root", PASSWORD, HERE, "")
    first = audit.entries(database, operator("x"))[-1]
    assert (first.actor, first.subject) == ("(settings)", "account root: superuser")


def test_the_admin_of_the_settings_gets_their_token_once(database: Database, tmp_path: Path) -> None:
    secret = secret_tokens.new_api_token()
    settings = with_admin(tmp_path, admin_token=secret)
    for _ in range(2):
        accounts.ensure_admin(database, settings)
    bearer = tokens.bearer(database, secret, HERE)
    assert bearer is not None and bearer.user.username == "root" and bearer.actor.is_staff
    assert bearer.token.expires_at == database.clock() + timedelta(days=365)
    (token,) = tokens.list(database, bearer.actor)
    told = [(entry.actor, entry.subject) for entry in audit.entries(database, operator("x"))]
    assert any(actor == "(settings)" and "token" in subject for actor, subject in told)
    assert not any(secret in f"{entry}" for entry in told)
    tokens.revoke(database, bearer.actor, token.id)
    accounts.ensure_admin(database, settings)
    assert tokens.bearer(database, secret, HERE) is None, "what was revoked does not come back with the next start"


def test_with_a_token_that_is_none_nobody_is_made(database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="ADIT_ADMIN_TOKEN is no token") as raised:
        accounts.ensure_admin(database, with_admin(tmp_path, admin_token="guessed"))
    assert "guessed" not in raised.value.message
    assert UserStore(database).count("", None) == 0


def test_processes_that_start_at_once_make_one_admin(database: Database, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: accounts.ensure_admin(database, with_admin(tmp_path)), range(4)))
    assert UserStore(database).count("", None) == 1


def test_nothing_is_made_where_the_settings_name_nobody(database: Database, tmp_path: Path) -> None:
    accounts.ensure_admin(database, some_settings(tmp_path))
    assert UserStore(database).count("", None) == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"admin_user_email": ""}, "email"),
        ({"admin_password": ""}, "password"),
        ({"admin_password": "password123"}, "password"),
        ({"admin_username": "the root"}, "username"),
    ],
)
def test_an_admin_who_cannot_be_made_is_said_so(
    database: Database, tmp_path: Path, fields: dict[str, str], field: str
) -> None:
    with pytest.raises(BadRequest, match=rf"ADIT_ADMIN_\.\.\. .*{field}: ") as raised:
        accounts.ensure_admin(database, with_admin(tmp_path, **fields))
    assert PASSWORD not in raised.value.message


def test_the_shell_makes_a_superuser(database: Database, tmp_path: Path) -> None:
    user = accounts.create_admin(database, "root", "root@example.org", PASSWORD)
    assert user.is_superuser
    assert accounts.sign_in(database, some_settings(tmp_path), "ROOT", PASSWORD, HERE, "")
    with pytest.raises(BadRequest) as raised:
        accounts.create_admin(database, "Root", "other@example.org", PASSWORD)
    assert raised.value.problems.keys() == {"username"}


def test_the_shell_lets_somebody_in_again(database: Database, tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    user = a_user(database, "ada")
    session = a_session(database, settings, user)
    UserStore(database).change_active(user.id, False)
    renewed = accounts.create_admin(database, "ada", "new@example.org", ANOTHER_PASSWORD, renews=True)
    assert (renewed.id, renewed.is_superuser, renewed.standing) == (user.id, True, Standing.ACTIVE)
    assert (renewed.profile.email, renewed.full_name) == ("new@example.org", "Ada Example")
    assert sessions.find(database, settings, session) is None
    assert accounts.sign_in(database, settings, "ada", ANOTHER_PASSWORD, HERE, "")


def test_an_admin_inherits_no_jobs_from_the_shell(database: Database) -> None:
    add_job(database, owner="root")
    with pytest.raises(BadRequest) as raised:
        accounts.create_admin(database, "root", "root@example.org", PASSWORD)
    assert raised.value.problems.keys() == {"username"}
