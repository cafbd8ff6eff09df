"""API tokens on the pages: made in the words of the admin guide, shown once, revoked by owners and administrators."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from streamlit.testing.v1 import AppTest

from models.db.people import UserStore
from models.domain.nodes import Folder, Server
from models.domain.people import Group, NodeRight, Permission, User
from models.domain.tokens import Operation, Token, TokenWish, Use
from services import nodes
from services.people import actors, groups, tokens
from tests.app_pages import Site, click, labels, told
from tests.people import a_user
from ui import addresses, navigation
from ui.parts import new_token, tables
from ui.parts.tokens import OPERATIONS

MAY = frozenset({Permission.ADD_TOKEN})


def a_scripter(site: Site, name: str = "ada", *more: Permission) -> User:
    """Somebody who may make tokens and reaches a server and a folder."""
    user = a_user(site.db, name)
    server = Server(f"PACS of {name}", name.upper(), "pacs.example", 104, study_root_find_support=True)
    folder = nodes.add_folder(
        site.db, site.settings, site.shell, Folder(f"Folder of {name}", site.settings.data_dir / name)
    )
    sides = frozenset(
        {NodeRight(nodes.add_server(site.db, site.shell, server).id, True), NodeRight(folder.id, destination=True)}
    )
    groups.add(site.db, site.shell, Group(f"Group of {name}", MAY | set(more), frozenset({user.id}), sides))
    return UserStore(site.db).get(user.id)


def a_token(site: Site, user: User, **wish: object) -> tokens.NewToken:
    values: dict[str, object] = {"expires_at": site.db.clock() + timedelta(days=7)}
    actor = actors.of_name(site.db, user.username)
    return tokens.add(site.db, actor, TokenWish(**(values | wish)))  # type: ignore[arg-type]


def the_token(site: Site, user: User) -> Token:
    (found,) = tokens.list(site.db, actors.of_name(site.db, user.username))
    return found


def generated(site: Site, **fields: object) -> AppTest:
    """The page after a token was asked for with what was entered."""
    app = site.open("tokens")
    for name, value in fields.items():
        kind = {"description": app.text_input, "expires_at": app.selectbox}.get(name, app.multiselect)
        kind(key=f"token-{name}").set_value(value)
    return click(app, "token-save")


def secret(app: AppTest) -> str:
    return app.code[0].value if app.code else ""


# -- one's own --------------------------------------------------------------------------------------------------------


def test_the_profile_leads_to_the_tokens(site: Site) -> None:
    site.sign_in(a_scripter(site))
    app = site.open("profile")
    assert app.button(key="manage-tokens").label == "Manage API Token"
    app = click(app, "manage-tokens")
    assert app.title[0].value == "Manage API Token"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/token-authentication/", "/tokens"),
        ("/token-authentication", "/tokens"),
        ("/django-admin/token_authentication/", "/admin-tokens"),
        ("/admin/token_authentication/token/7/change/", "/admin-tokens"),
    ],
)
def test_the_addresses_of_the_guide_lead_to_the_tokens(address: str, target: str) -> None:
    assert addresses.moved(address) == target


def test_a_token_is_generated_as_the_guide_tells_it(site: Site) -> None:
    user = a_scripter(site)
    site.sign_in(user)
    assert {"Description (optional)", "Expiry Time", "Generate Token"} <= labels(site.open("tokens"))
    before = site.db.clock()
    app = generated(site, description="nightly export", expires_at="7 days")
    found = tokens.bearer(site.db, secret(app), "")
    assert found is not None
    assert (found.user.id, found.token.description, found.token.is_limited) == (user.id, "nightly export", False)
    assert found.token.expires_at is not None
    assert timedelta(0) <= found.token.expires_at - timedelta(days=7) - before < timedelta(minutes=5)
    assert "only be visible once" in told(app)


def test_a_token_lives_a_month_unless_something_else_is_chosen(site: Site) -> None:
    user = a_scripter(site)
    site.sign_in(user)
    generated(site)
    expires_at = the_token(site, user).expires_at
    assert expires_at is not None
    assert timedelta(days=29) < expires_at - site.db.clock() <= timedelta(days=30)


def test_the_secret_is_shown_once(site: Site) -> None:
    site.sign_in(a_scripter(site))
    app = generated(site)
    shown = secret(app)
    assert len(shown) == 48
    assert app.run().code, "something else on the page was used"
    app = click(app, "token-done")
    assert not app.code
    assert new_token._FRESH not in app.session_state
    assert "Generate Token" in labels(app)


def test_the_secret_is_forgotten_when_its_reader_goes_elsewhere(site: Site) -> None:
    site.sign_in(a_scripter(site))
    app = generated(site)
    assert new_token._FRESH in app.session_state
    app.switch_page("screens/profile.py").run()
    assert new_token._FRESH not in app.session_state
    app.switch_page("screens/tokens.py").run()
    assert not app.code
    assert new_token.PAGE in {screen.path for screen in navigation.ALL}


def test_never_is_offered_only_with_the_right(site: Site) -> None:
    plain, lasting = a_scripter(site), a_scripter(site, "eve", Permission.ADD_LASTING_TOKEN)
    site.sign_in(plain)
    assert "Never" not in site.open("tokens").selectbox(key="token-expires_at").options
    site.sign_in(lasting)
    generated(site, expires_at="Never")
    assert the_token(site, lasting).expires_at is None


def test_a_token_can_last_until_the_end_of_a_day(site: Site) -> None:
    user = a_scripter(site)
    site.sign_in(user)
    app = site.open("tokens")
    app.selectbox(key="token-expires_at").set_value("Until a date").run()
    last = site.db.clock().date() + timedelta(days=14)
    app.date_input(key="token-until").set_value(last)
    click(app, "token-save")
    expires_at = the_token(site, user).expires_at
    assert expires_at is not None
    local = expires_at.astimezone(ZoneInfo(site.settings.time_zone))
    assert (local.date(), local.hour, local.minute) == (last, 23, 59)


def test_a_day_that_is_over_is_refused_at_its_field(site: Site) -> None:
    user = a_scripter(site)
    site.sign_in(user)
    app = site.open("tokens")
    app.selectbox(key="token-expires_at").set_value("Until a date").run()
    app.date_input(key="token-until").set_value(date(2020, 1, 1))
    click(app, "token-save")
    assert "This is in the past." in told(app)
    assert not app.code
    assert tokens.list(site.db, actors.of_name(site.db, user.username)) == ()


def test_a_token_is_limited_in_peoples_words(site: Site) -> None:
    user = a_scripter(site)
    a_scripter(site, "eve")
    site.sign_in(user)
    app = site.open("tokens")
    offered = app.multiselect(key="token-operations").options
    assert OPERATIONS[Operation.SEARCH] in offered
    assert OPERATIONS[Operation.ADMINISTER] not in offered
    assert app.multiselect(key="token-nodes").options == ["Folder of ada", "PACS of ada"]
    mine = sorted(actors.of_name(site.db, "ada").access.sources)
    app = generated(site, operations=[Operation.READ, Operation.SEARCH], nodes=mine)
    token = the_token(site, user)
    assert (token.operations, token.nodes) == ({Operation.READ, Operation.SEARCH}, frozenset(mine))
    assert "it can only see jobs and receipts, search servers; only with PACS of ada" in told(app)


def test_staff_may_let_a_token_administer(site: Site) -> None:
    site.sign_in_superuser()
    assert OPERATIONS[Operation.ADMINISTER] in site.open("tokens").multiselect(key="token-operations").options


def test_every_operation_has_words() -> None:
    assert set(OPERATIONS) == set(Operation)


def test_who_may_not_generate_tokens_is_told_and_still_sees_and_revokes_theirs(site: Site) -> None:
    user = a_scripter(site)
    token = a_token(site, user, description="old").token
    (group,) = groups.list(site.db, site.shell)
    groups.delete(site.db, site.shell, group.id)
    site.sign_in(user)
    app = site.open("tokens")
    assert "You may not generate API tokens" in told(app)
    assert "token-save" not in {button.key for button in app.button}
    click(click(app, f"revoke-{token.id}"), "confirm-yes")
    assert not tokens.is_alive(site.db, token.id)


def test_the_list_tells_how_tokens_are_used(site: Site) -> None:
    user = a_scripter(site)
    used = a_token(site, user, description="*bold* export").token
    tokens.note_use(site.db, {used.id: Use(1204, 3_400_000_000, datetime.fromisoformat("2026-03-05T13:07:00Z"))})
    unused = a_token(site, user).token
    site.sign_in(user)
    words = told(site.open("tokens"))
    assert f"{used.beginning}…" in words and f"{unused.beginning}…" in words
    assert "*bold* export" in words
    assert "last used 2026-03-05" in words and "1,204 requests, 3.4 GB" in words
    assert "never used" in words


def test_a_token_is_revoked_after_a_question(site: Site) -> None:
    user = a_scripter(site)
    token = a_token(site, user, description="nightly").token
    site.sign_in(user)
    app = click(site.open("tokens"), f"revoke-{token.id}")
    assert "Scripts that use" in told(app) and "(nightly)" in told(app)
    assert tokens.is_alive(site.db, token.id)
    app = click(app, "confirm-yes")
    assert not tokens.is_alive(site.db, token.id)
    assert "The token is revoked." in told(app) and "You have none yet." in told(app)


def test_long_lists_have_pages(site: Site) -> None:
    user = a_scripter(site)
    made = [a_token(site, user, description=f"number {number}").token for number in range(11)]
    site.sign_in(user)
    keys = {button.key for button in site.open("tokens").button}
    assert len(keys & {f"revoke-{token.id}" for token in made}) == 10


# -- those of everybody -----------------------------------------------------------------------------------------------


def test_the_tokens_of_everybody_are_for_staff(site: Site) -> None:
    site.sign_in(a_scripter(site))
    assert "API tokens" not in [title.value for title in site.open("home").title]
    site.sign_in_staff()
    assert "Whose scripts may come in" in told(site.open("administration"))
    assert site.open("admin_tokens").title[0].value == "API tokens"


def test_staff_see_whose_tokens_there_are_and_revoke_any(site: Site) -> None:
    ada, eve = a_scripter(site), a_scripter(site, "eve")
    hers, other = a_token(site, ada, description="nightly").token, a_token(site, eve).token
    site.sign_in_staff()
    app = site.open("admin_tokens")
    rows = app.dataframe[0].value
    assert list(rows["Owner"]) == ["eve", "ada"]
    assert list(rows["Usage"]) == ["never used", "never used"]
    app.selectbox(key="tokens-owner").set_value("ada").run()
    assert list(app.dataframe[0].value["Owner"]) == ["ada"]
    app = pressed(app, hers)
    assert "of ada are refused" in told(app)
    click(app, "confirm-yes")
    assert not tokens.is_alive(site.db, hers.id)
    assert tokens.is_alive(site.db, other.id)


def pressed(app: AppTest, token: Token) -> AppTest:
    """The page after the button in the only row was pressed."""
    key = f"tokens-{tables.mark([token.id])}-button"
    app.session_state[key] = _Click()
    app.run()
    del app.session_state[key]
    return app


class _Click:
    """What Streamlit tells of a button in a table."""

    row = 0
