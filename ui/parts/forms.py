"""Forms that keep what was entered, say what is wrong beside each field, and are saved once however often one clicks.

What is edited is loaded when the form opens and stays with it, its version too: a change that somebody else saved in
the meantime is never overwritten unseen. Fields don't redraw the page when they are left; buttons do, and so do fields
that are told to (``on_change="rerun"``).

Browsers check nothing here (no ``required``, ``type="email"`` or ``min_value``): what they find wrong they don't send,
and the button would save what the field had before. Services say what is wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from models.domain.errors import AditError, Bug, Outdated, Refused
from ui.parts.escape import escape_markdown
from ui.parts.flash import flash

Subject = TypeVar("Subject")

_CHANGED = "Somebody else has changed this since you opened it. Nothing was saved, and what you entered is still here."
_UNSEEN = object()


def field_problem(problems: Mapping[str, str], name: str) -> None:
    """Say what is wrong with a field, if anything is; called right after the field was drawn."""
    if name in problems:
        _say(st.empty(), problems[name])


@dataclass(slots=True)
class _Opened(Generic[Subject]):
    """A form that is open in one browser tab. ``anchor`` is its first field: when that is gone, the form was closed.

    ``loaded`` is what the subject has in each field, ``theirs`` what somebody else has put into fields that are changed
    here too, and ``memory`` what stays with the form and is no field.
    """

    identity: object
    subject: Subject
    anchor: str = ""
    loaded: dict[str, Any] = field(default_factory=dict[str, Any])
    theirs: dict[str, Any] = field(default_factory=dict[str, Any])
    memory: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: dict[str, str] = field(default_factory=dict[str, str])
    is_busy: bool = False
    is_saved: bool = False


class Form(Generic[Subject]):
    """A form about one subject, such as a group. Make it anew in every run, then draw its fields, then save.

    ``identity`` tells subjects apart: with another one the form begins anew. ``load`` fetches the subject when the form
    opens. ``close`` is called once it was saved.
    """

    def __init__(
        self, key: str, identity: object, load: Callable[[], Subject], close: Callable[[], None] = lambda: None
    ) -> None:
        self._key = key
        self._load = load
        self._close = close
        self._places: dict[str, DeltaGenerator] = {}
        self._labels: dict[str, str] = {}
        self._notice: DeltaGenerator | None = None
        self._opened: _Opened[Subject] = self._found(identity) or self._begin(identity)
        if self._opened.is_saved:
            self._finish()

    @property
    def subject(self) -> Subject:
        """What is edited, as it was when the form opened."""
        return self._opened.subject

    def key(self, name: str) -> str:
        """The key of a field or button of this form."""
        return f"{self._key}-{name}"

    def text(self, name: str, label: str, value: str, **options: Any) -> str:
        """A line of text, without spaces at its ends."""
        return str(self.field(st.text_input, name, label, value, **options) or "").strip()

    def long_text(self, name: str, label: str, value: str, **options: Any) -> str:
        """Text of several lines."""
        return str(self.field(st.text_area, name, label, value, **options) or "")

    def whole(self, name: str, label: str, value: int | None, **options: Any) -> int | None:
        """A whole number; None when the field is empty."""
        entered = self.field(st.number_input, name, label, value, value=None, step=1, format="%d", **options)
        return None if entered is None else int(entered)

    def number(self, name: str, label: str, value: float | None, **options: Any) -> float | None:
        """A number; None when the field is empty."""
        options = {"step": 1.0, "format": "%g", **options}
        shown = None if value is None else float(value)
        return self.field(st.number_input, name, label, shown, value=None, **options)

    def tick(self, name: str, label: str, value: bool, **options: Any) -> bool:
        """A box to tick."""
        return bool(self.field(st.checkbox, name, label, value, **options))

    def field(self, draw: Callable[..., Any], name: str, label: str, loaded: Any, **options: Any) -> Any:
        """Draw any widget as the field of this name, with its problem below it, and return what it holds.

        ``loaded`` is what the subject has; it is shown until somebody enters something else.
        """
        key = self.key(name)
        self._opened.anchor = self._opened.anchor or key
        if key not in st.session_state:
            st.session_state[key] = loaded
        self._merge(name, loaded)
        with st.container(gap=None):
            entered = draw(label, key=key, **{"on_change": "ignore", **options})
            self.spot(name, label)
            if name in self._opened.theirs:
                _tell_change(self._opened.theirs[name])
        return entered

    def spot(self, name: str, label: str) -> None:
        """Keep a place for problems that belong to several fields, such as ``timeouts``."""
        self._labels[name] = label
        self._places[name] = st.empty()
        _say(self._places[name], self._opened.problems.get(name, ""))

    def remembered(self, name: str, first: Any) -> Any:
        """Something that stays with the form while it is open and is no field, such as a number of rows."""
        return self._opened.memory.setdefault(name, first)

    def remember(self, name: str, value: Any) -> None:
        """Keep something with the form while it is open."""
        self._opened.memory[name] = value

    def buttons(self) -> DeltaGenerator:
        """A row for buttons, below the place where it is said what is wrong."""
        self._notice = st.container()
        return st.container(horizontal=True)

    def save_button(self, label: str = "Save") -> bool:
        """Draw the button that saves; true in the one run in which it was clicked."""
        return self.button("save", label, type="primary")

    def button(self, name: str, label: str, **options: Any) -> bool:
        """Draw another button of the form; true in the one run in which it was clicked."""
        return st.button(label, key=self.key(name), **options) and not self._opened.is_busy

    def attempt(self, act: Callable[[], Any], place: DeltaGenerator | None = None) -> bool:
        """Do something with what was entered; returns whether it was done.

        Where it fails, what is wrong is said in ``place``, or above the buttons.
        """
        opened = self._opened
        if opened.is_busy:
            return False
        opened.is_busy = True
        try:
            self._show({})
            act()
        except Bug:
            raise
        except Outdated:
            with place or self._notice or st.container():
                self._offer_both()
        except AditError as error:
            with place or self._notice or st.container():
                self.refuse(error)
        else:
            return True
        finally:
            opened.is_busy = False
        return False

    def save(self, act: Callable[[], Any], done: str, place: DeltaGenerator | None = None) -> None:
        """Save by ``act``, say so, and close the form; where it fails, the form stays with what was entered."""

        def once() -> None:
            act()
            self._opened.is_saved = True
            flash(done)

        if self.attempt(once, place):
            self._finish()

    def refuse(self, error: AditError) -> None:
        """Say what is wrong: beside the fields that the error names, and here in one list."""
        problems = dict(error.problems) if isinstance(error, Refused) else {}
        self._show(problems)
        if problems:
            lines = [f"- **{self._label(name)}**: {escape_markdown(text)}" for name, text in problems.items()]
            st.error("\n".join(["Please correct:", *lines]), icon=":material/error:")
        else:
            st.error(escape_markdown(error.message), icon=":material/error:")

    def _found(self, identity: object) -> _Opened[Subject] | None:
        opened: _Opened[Subject] | None = st.session_state.get(self._state)
        if opened is None or opened.identity != identity:
            return None
        if opened.anchor and opened.anchor not in st.session_state and not opened.is_saved:
            return None
        return opened

    def _begin(self, identity: object) -> _Opened[Subject]:
        self._forget_fields()
        opened = _Opened(identity, self._load())
        st.session_state[self._state] = opened
        return opened

    def _finish(self) -> None:
        st.session_state.pop(self._state, None)
        self._close()
        st.rerun()

    def _forget_fields(self) -> None:
        for key in [key for key in st.session_state if str(key).startswith(f"{self._key}-")]:
            del st.session_state[key]

    @property
    def _state(self) -> str:
        return f"{self._key}.form"

    def _label(self, name: str) -> str:
        return escape_markdown(self._labels.get(name, name.replace("_", " ").capitalize()))

    def _show(self, problems: Mapping[str, str]) -> None:
        self._opened.problems = dict(problems)
        for name, place in self._places.items():
            _say(place, problems.get(name, ""))

    def _offer_both(self) -> None:
        st.warning(_CHANGED, icon=":material/group:")
        with st.container(horizontal=True):
            st.button(
                "Keep mine, and show theirs where I changed nothing", key=self.key("rebase"), on_click=self._rebase
            )
            st.button("Drop mine, and show theirs", key=self.key("reload"), on_click=self._reload)

    def _rebase(self) -> None:
        self._opened.subject = self._load()

    def _reload(self) -> None:
        self._begin(self._opened.identity)

    def _merge(self, name: str, loaded: Any) -> None:
        """Take over what somebody else has put into a field that nobody has touched here."""
        before = self._opened.loaded.get(name, _UNSEEN)
        self._opened.loaded[name] = loaded
        if before is _UNSEEN or before == loaded:
            return
        if st.session_state[self.key(name)] == before:
            st.session_state[self.key(name)] = loaded
        elif st.session_state[self.key(name)] != loaded:
            self._opened.theirs[name] = loaded


def _tell_change(value: Any) -> None:
    """Say beside a field what somebody else has put there."""
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    told = f": {value}" if is_plain else ""
    st.markdown(f":small[:orange[:material/group: Somebody else changed this{escape_markdown(told)}]]")


def _say(place: DeltaGenerator, problem: str) -> None:
    if problem:
        place.markdown(f":small[:red[:material/error: {escape_markdown(problem)}]]")
    else:
        place.empty()
