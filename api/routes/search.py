"""Searches at servers. Keys of patients travel in bodies; what is found is streamed to who asks for lines."""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel

from api.access import Caller, needs
from api.context import Context, Here
from api.lines import NDJSON, Lines, wants_lines
from api.routing import SlowRoute
from api.schemas.search import (
    PatientKeys,
    PatientsFound,
    PatientShown,
    SearchEnd,
    SeriesFoundThere,
    SeriesKeys,
    SeriesShown,
    StudiesFound,
    StudyKeys,
    StudyShown,
)
from api.streams import Stream
from models.domain.refs import StudyRef
from models.domain.tokens import Operation
from services import nodes
from services.searching import search
from services.searching.search import PatientSearch, Stop, StudySearch

router = APIRouter(prefix="/v1/search", tags=["search"], route_class=SlowRoute)

Searcher = Annotated[Caller, Depends(needs(Operation.SEARCH))]
Accepted = Annotated[str, Header(alias="accept", include_in_schema=False)]
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            NDJSON: {
                "schema": {
                    "type": "string",
                    "description": 'An object in each line as the server answers; the last is {"end": {"count": ..., '
                    '"has_more": ...}}, or {"error": ...} where the server failed half-way.',
                }
            }
        }
    }
}


@router.post("/patients", response_model=PatientsFound, responses=_LINES)
def find_patients(here: Here, caller: Searcher, keys: PatientKeys, accept: Accepted = "") -> Stream:
    """Patients at a server. With ``Accept: application/x-ndjson`` each comes as a line as soon as it is known."""
    source = nodes.chosen_source(here.db, caller.actor, keys.source)
    found = search.patients(here.db, here.settings, caller.actor, source.id, keys.query(), keys.limit)
    if wants_lines(accept):
        return _lines(here, caller, found, PatientShown, source.id)

    def told() -> PatientsFound:
        with found:
            results = [PatientShown.model_validate(patient) for patient in found]
        return PatientsFound(results=results, count=found.count, has_more=found.has_more)

    return document(here, caller, told, found.close, source.id)


@router.post("/studies", response_model=StudiesFound, responses=_LINES)
def find_studies(here: Here, caller: Searcher, keys: StudyKeys, accept: Accepted = "") -> Stream:
    """Studies at a server. With ``Accept: application/x-ndjson`` each comes as a line as soon as it is known."""
    source = nodes.chosen_source(here.db, caller.actor, keys.source)
    found = search.studies(here.db, here.settings, caller.actor, source.id, keys.query(), keys.limit)
    if wants_lines(accept):
        return _lines(here, caller, found, StudyShown, source.id)

    def told() -> StudiesFound:
        with found:
            results = [StudyShown.model_validate(study) for study in found]
        return StudiesFound(results=results, count=found.count, has_more=found.has_more)

    return document(here, caller, told, found.close, source.id)


@router.post("/series", response_model=SeriesFoundThere)
def find_series(here: Here, caller: Searcher, keys: SeriesKeys) -> Stream:
    """The series of a study, by their numbers, with how many instances each has."""
    source = nodes.chosen_source(here.db, caller.actor, keys.source)
    study = StudyRef(keys.study_uid, keys.patient_id)
    stop = Stop()

    def told() -> SeriesFoundThere:
        found = search.series(here.db, here.settings, caller.actor, source.id, study, stop)
        return SeriesFoundThere(results=[SeriesShown.model_validate(series) for series in found], count=len(found))

    return document(here, caller, told, stop, source.id)


def document(
    here: Context, caller: Caller, told: Callable[[], BaseModel], stop: Callable[[], None], *node_ids: int
) -> Stream:
    """One document, whose search ends when the caller hangs up, or may not search at these nodes any more.

    They are the source and, for a plan, the destination.
    """

    def piece() -> Iterator[bytes]:
        with here.searches.taken(caller.actor.user_id):
            found = told().model_dump_json().encode()
        yield found

    may_go_on = partial(search.may_go_on, here.db, caller.actor, *node_ids)
    return Stream(piece(), "application/json", stop=stop, is_alive=may_go_on)


def _lines(
    here: Context,
    caller: Caller,
    found: PatientSearch | StudySearch,
    shape: type[PatientShown] | type[StudyShown],
    source_id: int,
) -> Lines:
    def each() -> Generator[BaseModel]:
        with here.searches.taken(caller.actor.user_id):
            yield from (shape.model_validate(one) for one in found)

    return Lines(
        each(),
        lambda: SearchEnd(count=found.count, has_more=found.has_more),
        stop=found.close,
        is_alive=partial(search.may_go_on, here.db, caller.actor, source_id),
    )
