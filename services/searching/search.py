"""What people look for at a server before they move anything: patients, studies, series, what a transfer would take.

Searches name patients. They leave a line in the audit trail whose keys are encrypted, and nothing in any log.
"""

from dicom.network import choose
from models.db.engine import Database
from models.domain.errors import BadRequest, NotFound
from models.domain.nodes import Server
from models.domain.people import Actor
from models.domain.previews import Preview as Preview
from models.domain.queries import checked
from models.domain.refs import PatientQuery, SeriesFound, StudyQuery, StudyRef, is_uid
from models.settings import Settings
from services.searching import search_access
from services.searching.previewing import counted
from services.searching.previewing import preview as preview
from services.searching.search_access import may_go_on as may_go_on
from services.searching.searches import PatientSearch as PatientSearch
from services.searching.searches import StudySearch as StudySearch
from services.searching.visits import Stop as Stop
from services.searching.visits import Visit

LIMIT = 200
"""How many studies or patients a search shows, unless the server or the caller wants fewer."""


def studies(
    db: Database, settings: Settings, actor: Actor, node_id: int, query: StudyQuery, limit: int = LIMIT
) -> StudySearch:
    """A search for studies that begins when it is iterated; of what is found it gives ``limit`` at most.

    Raises at once, before anything is asked: NotPermitted, UnderMaintenance, AppLocked, or BadRequest naming every key
    that cannot be as it is. What the iteration raises is PeerError kinds.
    """
    server = search_access.source(db, actor, node_id)
    wanted = checked(query)
    _check_patient_root(server, wanted)
    _check_limit(limit)
    return StudySearch(db, settings, actor, server, wanted, min(limit, server.max_search_results))


def patients(
    db: Database, settings: Settings, actor: Actor, node_id: int, query: PatientQuery, limit: int = LIMIT
) -> PatientSearch:
    """A search for patients, in all other ways like ``studies``.

    A server that knows no patients but by their studies is asked for those, and each patient is given once.
    """
    server = search_access.source(db, actor, node_id)
    keys = StudyQuery(patient_id=query.patient_id, patient_name=query.patient_name, birth_date=query.birth_date)
    _check_limit(limit)
    return PatientSearch(db, settings, actor, server, checked(keys), min(limit, server.max_search_results))


def series(
    db: Database, settings: Settings, actor: Actor, node_id: int, study: StudyRef, stop: Stop | None = None
) -> tuple[SeriesFound, ...]:
    """The series of a study by their numbers, those without one last, with how many instances each has.

    Where the server does not count them they are listed, which costs a C-FIND for each series; the count is None where
    it cannot do that either. Raises as ``studies`` does, NotFound when the server does not have the study, Canceled
    after ``stop``.
    """
    server = search_access.source(db, actor, node_id)
    if not is_uid(study.study_uid):
        raise BadRequest.of({"study_uid": "this is no DICOM UID."})
    found: tuple[SeriesFound, ...] = ()
    details = {"study_uid": study.study_uid, "patient_id": study.patient_id}
    finder = choose.asker(server, settings.calling_ae_title)
    with (
        search_access.recorded(db, actor, server, lambda: f"{len(found)} series of a study", details),
        (stop or Stop()).of(Visit(db, server)) as visit,
        visit.using(finder),
    ):
        found = tuple(counted(finder, study, one) for one in finder.find_series(study))
        if not found:
            raise NotFound
    return tuple(sorted(found, key=_by_number))


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise BadRequest.of({"limit": "it must be positive."})


def _check_patient_root(server: Server, query: StudyQuery) -> None:
    """A server that knows no studies without their patient has to be asked for one."""
    is_patient_root = server.patient_root_find_support and not server.study_root_find_support
    if is_patient_root and (not query.patient_id or set("*?") & set(query.patient_id)):
        raise BadRequest.of({"patient_id": "this server can only be searched for a whole patient ID, no wildcards."})


def _by_number(found: SeriesFound) -> tuple[bool, float, str]:
    try:
        return False, float(found.number), found.series_uid
    except ValueError:
        return True, 0.0, found.series_uid
