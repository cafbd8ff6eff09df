"""The pages behind the gate, run by Streamlit's own test harness on real services and a real database."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from models.db.engine import Database
from models.domain.people import Actor, User, operator
from models.settings import Settings
from tests.databases import MASTER_KEY, put_tables
from tests.people import a_session, a_user
from ui import context, session

_SCRIPT = Path(__file__).parents[1] / "ui" / "app.py"
_PATIENCE_S = 60

# every page that is opened is a server that starts, and reads about all installed packages at that
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


@dataclass
class Site:
    """One installation, and who sits at the browser."""

    db: Database
    settings: Settings
    monkeypatch: pytest.MonkeyPatch
    shell: Actor = field(default_factory=lambda: operator("shell"))

    def sign_in(self, user: User) -> None:
        """Whose cookie the browser sends from now on."""
        token = a_session(self.db, self.settings, user)
        self.monkeypatch.setattr(session, "_token", lambda: token)

    def sign_in_superuser(self) -> User:
        user = a_user(self.db, "root", is_superuser=True, is_staff=True)
        self.sign_in(user)
        return user

    def sign_in_staff(self) -> User:
        user = a_user(self.db, "staff", is_staff=True)
        self.sign_in(user)
        return user

    def open(self, screen: str, **query: str) -> AppTest:
        """A page as it looks when it was opened by its address."""
        app = AppTest.from_file(_SCRIPT, default_timeout=_PATIENCE_S)
        app._page_hash = calc_hash("" if screen == "home" else screen.replace("_", "-"))
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        app.switch_page(f"screens/{screen}.py")  # raises ValueError for whom there is no such page
        assert app._page_hash == app._finished_page_script_hash, "another page was opened"
        return app


def a_site(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty installation on SQLite."""
    settings = Settings(master_key=MASTER_KEY, data_dir=directory, _env_file=None)  # type: ignore[call-arg,arg-type]
    put_tables(settings.url)
    db = Database(settings.url, MASTER_KEY)
    monkeypatch.setattr(context, "database", lambda: db)
    monkeypatch.setattr(context, "settings", lambda: settings)
    return Site(db, settings, monkeypatch)


def click(app: AppTest, key: str) -> AppTest:
    """Click a button, and run what follows."""
    app.button(key=key).click().run()
    assert not app.exception, app.exception
    return app


def told(app: AppTest) -> str:
    """Everything that the page says in words, without what keeps Markdown away."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.text, app.info, app.success)
    shown = [element.value for kind in (*kinds, app.warning, app.error, app.toast) for element in kind]
    return "\n".join(shown).replace("\\", "").replace("\u2060", "")


def labels(app: AppTest) -> set[str]:
    """The labels of all fields and buttons."""
    kinds = (app.text_input, app.text_area, app.number_input, app.checkbox, app.multiselect, app.radio, app.selectbox)
    return {element.label for kind in (*kinds, app.button, app.toggle) for element in kind}
