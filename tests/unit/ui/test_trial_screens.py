"""Trials on the pages: staff sees who uses them, lets people in and takes them out; others are told to ask."""

from streamlit.testing.v1 import AppTest

from models.db.scopes import ScopeStore
from models.domain.people import Actor, operator
from services import pseudonyms, trials
from tests.app_pages import Site, click, told
from tests.people import a_user
from ui import navigation
from ui.parts import tables

SHELL = operator("shell:root")


def a_trial(site: Site, name: str = "LUNG") -> int:
    """The number of a trial that the shell has begun."""
    number, _ = pseudonyms.bind_patients(site.db, site.settings, SHELL, name, [("P1", "ANON1")])
    return number


def users(site: Site, name: str = "LUNG") -> list[str]:
    return [user.username for user in trials.named(site.db, SHELL, name).users]


def rows(app: AppTest) -> list[list[object]]:
    return app.dataframe[0].value.to_numpy().tolist()


def test_trials_are_listed_with_their_users_and_found_by_both(site: Site) -> None:
    site.sign_in_staff()
    a_user(site.db, "eve")
    trials.allow(site.db, SHELL, a_trial(site, "HEART"), "eve")
    a_trial(site)
    app = site.open("trials")
    assert [row[:3] for row in rows(app)] == [["HEART", 0, "eve, shell:root"], ["LUNG", 0, "shell:root"]]
    for wanted in ("hear", "EVE"):
        app.text_input(key="trials-q").set_value(wanted).run()
        assert [row[0] for row in rows(app)] == ["HEART"]


def test_staff_lets_somebody_in_and_takes_them_out(site: Site) -> None:
    site.sign_in_staff()
    a_user(site.db, "eve")
    number = a_trial(site)
    app = site.open("trials", id=str(number))
    assert "shares a group with one of these users" in told(app)
    app.selectbox(key="trial-username").set_value("eve")
    app = click(app, "trial-save")
    assert "eve may use the trial LUNG." in told(app)
    assert users(site) == ["eve", "shell:root"]
    assert "eve" not in app.selectbox(key="trial-username").options
    app.session_state[f"trial-users-{tables.mark(['eve', 'shell:root'])}-button"] = _Click()
    app.run()
    assert "eve was taken out of the trial LUNG." in told(app)
    assert users(site) == ["shell:root"]


def test_who_chooses_nobody_is_told_so(site: Site) -> None:
    site.sign_in_staff()
    app = click(site.open("trials", id=str(a_trial(site))), "trial-save")
    assert "there is no account with this name" in told(app)


def test_a_forgotten_trial_offers_nothing(site: Site) -> None:
    site.sign_in_staff()
    number = a_trial(site)
    ScopeStore(site.db).forget(number)
    app = site.open("trials", id=str(number))
    assert "was forgotten" in told(app)
    assert not app.selectbox and rows(app)[0][2] == "(forgotten)"


def test_the_page_is_for_staff() -> None:
    assert "trials" not in {screen.path for screen in navigation.visible(Actor("eve"))}
    assert "trials" in {screen.path for screen in navigation.visible(Actor("sam", is_staff=True))}


class _Click:
    """What Streamlit tells of a button in a table."""

    row = 0
