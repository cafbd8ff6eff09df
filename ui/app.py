"""The main script, run anew with everything a person does: frame of the page, menu, and the page itself."""

from pathlib import Path

import streamlit as st

from models.domain.people import User
from services import project
from ui import context, navigation, session
from ui.parts import batch_draft, new_secret, new_token
from ui.parts.escape import escape_markdown
from ui.parts.flash import show_flashes

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = '<script src="/app/static/session.js"></script><script src="/app/static/menu.js"></script>'
_MENU_PIXELS = 240
_ROOM = "<style>@media (min-width: 768px) { [data-testid=stMainBlockContainer] { padding-inline: 2.5rem; } }</style>"
"""Streamlit leaves twice as much empty at both sides: on a laptop, lists of jobs would not fit in between."""


def main() -> None:
    """Draw one run."""
    st.set_page_config("ADIT", str(_STATIC / "icon.png"), layout="wide", initial_sidebar_state=_MENU_PIXELS)
    st.html(_ROOM)
    st.html(_SCRIPTS, unsafe_allow_javascript=True)
    st.logo(str(_STATIC / f"logo-{st.context.theme.type or 'light'}.svg"), link=None)
    found = session.signed_in()
    show_flashes()
    screens = navigation.visible(found.actor)
    pages = {
        screen.path: st.Page(
            screen.file, title=screen.title, icon=screen.icon, url_path=screen.path, default=not screen.path
        )
        for screen in screens
    }
    chosen = st.navigation(list(pages.values()), position="hidden")
    new_token.forget_unless_at(chosen.url_path)
    new_secret.forget_unless_at(chosen.url_path)
    batch_draft.forget_unless_at(chosen.url_path)
    with st.sidebar:
        _draw_menu(screens, pages)
        _draw_person(found.user, pages)
    if found.actor.is_staff and project.get(context.database()).maintenance:
        st.warning("Maintenance mode is on: only administrators get in.", icon=":material/construction:")
    chosen.run()


def _draw_menu(screens: tuple[navigation.Screen, ...], pages: dict[str, st.Page]) -> None:
    """Links in two sections. Streamlit's own menu nests sections in a way that screen readers stumble over."""
    for section in (navigation.TRANSFERS, navigation.ADMINISTRATION):
        of_section = [screen for screen in screens if screen.section == section]
        if of_section and section == navigation.ADMINISTRATION:
            st.divider()
        with st.container(gap="xsmall"):
            for screen in of_section:
                st.page_link(pages[screen.path], width="stretch")


def _draw_person(user: User, pages: dict[str, st.Page]) -> None:
    st.divider()
    st.caption(f"Signed in as {escape_markdown(user.called)}")
    if "profile" in pages:
        st.page_link(pages["profile"], width="stretch")
    st.button("Sign out", key="sign_out", icon=":material/logout:", on_click=session.sign_out, width="stretch")
    st.caption(f"Times are those of {context.time_zone().key}.")


main()
