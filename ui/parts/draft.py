"""The transfer that somebody is putting together: what was found, what is chosen of it, and what a check has said.

It lives in the session of one browser tab and holds plain values, chosen by UID and never by position. Nothing in it is
believed: the services look at every request anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from models.domain.refs import SeriesFound, StudyFound
from models.domain.requests import TransferRequest
from services.searching.search import Preview
from ui.parts.searching import Search

_KEY = "transfer-draft"


@dataclass(slots=True)
class Chosen:
    """A study that will be moved; ``series_uids`` empty means all of it."""

    study: StudyFound
    series_uids: tuple[str, ...] = ()

    @property
    def patient(self) -> str:
        """What tells patients apart: the ID, or the study where the archive gives none."""
        return self.study.patient_id or self.study.study_uid


@dataclass(slots=True)
class Draft:
    """What one tab has put together so far. ``removals`` counts what was taken out again beside the table.

    ``is_sent`` is set by the first click on the last button, so that a second one does nothing.
    """

    source_id: int = 0
    search: Search[StudyFound] | None = None
    chosen: dict[str, Chosen] = field(default_factory=dict[str, Chosen])
    series: dict[str, Search[SeriesFound]] = field(default_factory=dict[str, Search[SeriesFound]])
    check: Search[Preview] | None = None
    checked: TransferRequest | None = None
    removals: int = 0
    is_sent: bool = False
    job_id: int = 0

    def use_source(self, source_id: int) -> None:
        """Begin anew when another source is chosen: what was found and chosen belongs to the one before."""
        if source_id != self.source_id:
            self.stop()
            self.search, self.check, self.checked = None, None, None
            self.chosen, self.series, self.source_id = {}, {}, source_id

    def tick(self, shown: Sequence[StudyFound], ticked: Sequence[StudyFound]) -> None:
        """Take over what is ticked among the studies shown; those of earlier searches stay chosen."""
        wanted = {study.study_uid for study in ticked}
        for study in shown:
            if study.study_uid not in wanted:
                self.chosen.pop(study.study_uid, None)
            elif study.study_uid not in self.chosen:
                self.chosen[study.study_uid] = Chosen(study)

    def remove(self, study_uid: str) -> None:
        """Take one study out again."""
        self.chosen.pop(study_uid, None)
        self.removals += 1

    def clear(self) -> None:
        """Take every study out again."""
        self.chosen.clear()
        self.removals += 1

    def forget_series(self, study_uid: str) -> None:
        """Ask for the series of a study anew when they are next looked at."""
        self.series.pop(study_uid, None)

    def patients(self) -> Mapping[str, Chosen]:
        """One chosen study of each patient, in the order in which they were chosen."""
        found: dict[str, Chosen] = {}
        for chosen in self.chosen.values():
            found.setdefault(chosen.patient, chosen)
        return found

    def stop(self) -> None:
        """End what is still being asked."""
        for running in (self.search, self.check, *self.series.values()):
            if running:
                running.cancel()


def current() -> Draft:
    """The draft of this tab; an empty one to begin with."""
    return st.session_state.setdefault(_KEY, Draft())


def discard() -> None:
    """Forget the draft."""
    current().stop()
    del st.session_state[_KEY]
