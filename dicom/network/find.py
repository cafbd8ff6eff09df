"""Searches a server by C-FIND (PS3.4 section C.4.1)."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from dicom import attributes
from dicom.network import identifiers as ids
from dicom.network.association import Association, DimsePort
from dicom.network.commands import Message, Operation
from dicom.network.contexts import service
from dicom.network.dicom_json import Item, only, text
from dicom.network.direct import association_kind
from dicom.network.identifiers import Identifier, Keys, encode, nested
from dicom.network.matching import matches_keys, matches_patient, matches_study
from dicom.network.status import SUCCESS, failure, is_pending, is_warning
from models.domain.errors import AditError, BadRequest, PeerLied, Unsupported
from models.domain.nodes import Server
from models.domain.refs import (
    InstanceFound,
    Level,
    PatientFound,
    PatientQuery,
    SeriesFound,
    StudyFound,
    StudyQuery,
    StudyRef,
    is_uid,
)

logger = logging.getLogger(__name__)

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"

_PATIENT_KEYS = (ids.PATIENT_NAME, ids.PATIENT_ID, ids.BIRTH_DATE, ids.SEX)
_STUDY_KEYS = (
    *(ids.PATIENT_NAME, ids.PATIENT_ID, ids.BIRTH_DATE, ids.STUDY_UID, ids.STUDY_DATE, ids.STUDY_TIME),
    *(ids.ACCESSION_NUMBER, ids.STUDY_DESCRIPTION, ids.MODALITIES_IN_STUDY, ids.SERIES_COUNT),
    ids.STUDY_INSTANCE_COUNT,
)
_SERIES_KEYS = (ids.MODALITY, ids.SERIES_NUMBER, ids.SERIES_DESCRIPTION, ids.SERIES_INSTANCE_COUNT, ids.SERIES_UID)
_INSTANCE_KEYS = (ids.SOP_UID, ids.SOP_CLASS_UID, ids.TRANSFER_SYNTAX_UID)

_Found = TypeVar("_Found", SeriesFound, InstanceFound)


class DimseFinder(DimsePort[Association]):
    """A Finder over C-FIND on one association.

    Results are yielded as they arrive and filtered again here, because servers ignore matching keys that they do not
    know. A search that breaks raises; it is never repeated here, so nobody sees a result twice. Ending the iteration
    early breaks the association off, because C-CANCEL is badly supported; the next search opens another. A search
    begun while another is being iterated reads the rest of that one into memory first.

    Raises Unsupported without an information model, BadRequest where the model needs a PatientID, PeerBusy on status
    A7xx, PeerError on other failures (PS3.4 table C.4-1), TimedOut without an answer.
    """

    def __init__(self, server: Server, calling_ae_title: str) -> None:
        super().__init__(server, calling_ae_title, association_kind(server))
        self._running: _Search | None = None

    def find_patients(self, query: PatientQuery) -> Iterator[PatientFound]:
        """Yield each matching patient once; without the patient root model those who have a study.

        Patients without PatientID cannot be told apart and are left out.
        """
        keys = dict.fromkeys(_PATIENT_KEYS, "") | {
            ids.PATIENT_ID: query.patient_id,
            ids.PATIENT_NAME: query.patient_name,
            ids.BIRTH_DATE: query.birth_date,
        }
        is_patient_root = self._server.patient_root_find_support
        level = Level.PATIENT if is_patient_root else Level.STUDY
        seen: set[str] = set()
        for identifier in self._search(PATIENT_ROOT if is_patient_root else self._model(), level, keys):
            found = _patient(identifier)
            if found.patient_id and found.patient_id not in seen and matches_patient(query, found):
                seen.add(found.patient_id)
                yield found

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]:
        """Yield each matching study once; costs one C-FIND for each wanted modality, which is a single value key.

        Entries without a valid StudyInstanceUID are counted in the log only.
        """
        model = self._model(query.patient_id)
        seen: set[str] = set()
        invalid = 0
        for modality in query.modalities or ("",):
            wanted = replace(query, modalities=(modality,) if modality else ())
            for identifier in self._search(model, Level.STUDY, _study_keys(wanted)):
                found = _study(identifier)
                invalid += not is_uid(found.study_uid)
                if is_uid(found.study_uid) and found.study_uid not in seen and matches_study(wanted, found):
                    seen.add(found.study_uid)
                    yield found
        if invalid:
            logger.warning("A C-FIND answer lists %d studies without a valid StudyInstanceUID.", invalid)

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]:
        """Yield the series of the study; raises PeerLied when one has no valid UID, as a count of them would lie."""
        keys = dict.fromkeys(_SERIES_KEYS, "") | {ids.STUDY_UID: study.study_uid}
        answers = self._search_below(study, Level.SERIES, keys)
        of_study = (found for found in answers if found.text(ids.STUDY_UID) in ("", study.study_uid))
        return _each_once(of_study, lambda found: _series(found, study.study_uid), lambda found: found.series_uid)

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        """Yield the instances of the series, or the one that is named; raises PeerLied when one has no valid UID."""
        wanted = (ids.SOP_UID,) if only_uids else _INSTANCE_KEYS
        keys = dict.fromkeys(wanted, "") | {ids.STUDY_UID: study.study_uid, ids.SERIES_UID: series_uid}
        answers = self._search_below(study, Level.IMAGE, keys | {ids.SOP_UID: sop_uid})
        of_series = (found for found in answers if found.text(ids.SERIES_UID) in ("", series_uid))
        return _each_once(of_series, lambda found: _instance(found, series_uid), lambda found: found.sop_uid)

    def find_attributes(
        self, level: Level, matching: Mapping[str, str], returned: Collection[str] | None
    ) -> Iterator[Item]:
        """Yield what fits; costs one C-FIND for each wanted modality.

        There is no way to ask for everything, so that means what PS3.4 and PS3.3 know of the level. Studies without a
        valid UID are counted in the log only; below, one without raises PeerLied.
        """
        unique = attributes.UNIQUE_KEYS[level]
        model = self._model(matching.get(attributes.PATIENT_ID, ""))
        wanted = {*(attributes.known_at(level) if returned is None else returned), *matching, unique}
        tags = {path.partition(".")[0] for path in wanted}
        seen: set[str] = set()
        for keys in one_modality_each(matching):
            for identifier in self._search(model, level, nested(dict.fromkeys(wanted, "") | keys)):
                found = only(identifier.item(), tags)
                uid = text(found, unique)
                if is_valid(uid, level) and uid not in seen and matches_keys(level, keys, found):
                    seen.add(uid)
                    yield found

    def _search_below(self, study: StudyRef, level: Level, keys: dict[int, str]) -> Iterator[Identifier]:
        model = self._model(study.patient_id)
        patient = {ids.PATIENT_ID: study.patient_id} if model == PATIENT_ROOT else {}
        return self._search(model, level, keys | patient)

    def _model(self, patient_id: str = "") -> str:
        """Study root where the server has it, else patient root, which needs a PatientID below PATIENT level."""
        if self._server.study_root_find_support:
            return STUDY_ROOT
        if not self._server.patient_root_find_support:
            raise Unsupported(f"{self._server.name} supports no C-FIND. Check its protocol settings.")
        if not patient_id or "*" in patient_id or "?" in patient_id:
            raise BadRequest(f"{self._server.name} has only the patient root model: give the whole PatientID.")
        return PATIENT_ROOT

    def _search(self, model: str, level: Level, keys: Keys) -> Iterator[Identifier]:
        if self._running is not None:
            self._running.read_all()
        proposal = service(model)
        association = self._associated(proposal)
        association.request(Message(Operation.FIND, model), proposal.contexts[0], (encode(level, keys),))
        search = self._running = _Search(association, self._server.timeouts.response.total_seconds())
        try:
            yield from search
        finally:
            if not search.is_finished:
                association.break_off()
            if self._running is search:
                self._running = None


class _Search:
    """The responses to one C-FIND request, each once, in order of arrival."""

    def __init__(self, association: Association, timeout_s: float) -> None:
        self._association = association
        self._timeout_s = timeout_s
        self._read_ahead: deque[Identifier] = deque()
        self._error: AditError | None = None
        self.is_finished = False

    def __iter__(self) -> Iterator[Identifier]:
        while True:
            while self._read_ahead:
                yield self._read_ahead.popleft()
            if self._error is not None:
                raise self._error
            if self.is_finished:
                return
            self._read_one()

    def read_all(self) -> None:
        """Read what is still to come, so that the association is free; an error is kept for the iteration."""
        try:
            while not self.is_finished:
                self._read_one()
        except AditError as error:
            self._error = error
            self.is_finished = True
            self._association.break_off()

    def _read_one(self) -> None:
        response, _ = self._association.receive(self._timeout_s)
        status = self._association.status_of(response)
        if is_pending(status):
            if response.data_set is None:
                raise PeerLied(f"{self._association.name} announced a match and sent none.")
            self._read_ahead.append(Identifier(bytes(response.data_set)))
            return
        self.is_finished = True
        self._association.rest()
        if status != SUCCESS and not is_warning(status):
            raise failure(self._association.name, "C-FIND", status)


def one_modality_each(matching: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The keys once for each wanted modality of the study, which is a single value key in C-FIND."""
    for modality in matching.get(attributes.MODALITIES_IN_STUDY, "").split("\\"):
        yield {**matching, attributes.MODALITIES_IN_STUDY: modality} if modality else dict(matching)


def is_valid(uid: str, level: Level) -> bool:
    """Whether an entry has a UID; one without is only logged among studies, and raises PeerLied below."""
    if not is_uid(uid) and level is not Level.STUDY:
        raise PeerLied("The server lists an entry without a valid UID.")
    if not is_uid(uid):
        logger.warning("An answer lists a study without a valid StudyInstanceUID; it is left out.")
    return is_uid(uid)


def _each_once(
    answers: Iterator[Identifier], build: Callable[[Identifier], _Found], uid_of: Callable[[_Found], str]
) -> Iterator[_Found]:
    seen: set[str] = set()
    for identifier in answers:
        found = build(identifier)
        uid = uid_of(found)
        if not is_uid(uid):
            raise PeerLied("The server lists an entry without a valid UID.")
        if uid not in seen:
            seen.add(uid)
            yield found


def _study_keys(query: StudyQuery) -> dict[int, str]:
    return dict.fromkeys(_STUDY_KEYS, "") | {
        ids.STUDY_UID: query.study_uid,
        ids.PATIENT_ID: query.patient_id,
        ids.PATIENT_NAME: query.patient_name,
        ids.BIRTH_DATE: query.birth_date,
        ids.ACCESSION_NUMBER: query.accession_number,
        ids.STUDY_DATE: query.study_date,
        ids.STUDY_TIME: query.study_time,
        ids.STUDY_DESCRIPTION: query.study_description,
        ids.MODALITIES_IN_STUDY: "".join(query.modalities),
    }


def _patient(found: Identifier) -> PatientFound:
    return PatientFound(
        patient_id=found.text(ids.PATIENT_ID),
        patient_name=found.text(ids.PATIENT_NAME),
        birth_date=found.text(ids.BIRTH_DATE),
        sex=found.text(ids.SEX),
    )


def _study(found: Identifier) -> StudyFound:
    return StudyFound(
        study_uid=found.text(ids.STUDY_UID),
        patient_id=found.text(ids.PATIENT_ID),
        patient_name=found.text(ids.PATIENT_NAME),
        birth_date=found.text(ids.BIRTH_DATE),
        accession_number=found.text(ids.ACCESSION_NUMBER),
        study_date=found.text(ids.STUDY_DATE),
        study_time=found.text(ids.STUDY_TIME),
        study_description=found.text(ids.STUDY_DESCRIPTION),
        modalities=tuple(found.texts(ids.MODALITIES_IN_STUDY)),
        series_count=found.count(ids.SERIES_COUNT),
        instance_count=found.count(ids.STUDY_INSTANCE_COUNT),
    )


def _series(found: Identifier, study_uid: str) -> SeriesFound:
    return SeriesFound(
        study_uid=study_uid,
        series_uid=found.text(ids.SERIES_UID),
        modality=found.text(ids.MODALITY),
        number=found.text(ids.SERIES_NUMBER),
        description=found.text(ids.SERIES_DESCRIPTION),
        instance_count=found.count(ids.SERIES_INSTANCE_COUNT),
    )


def _instance(found: Identifier, series_uid: str) -> InstanceFound:
    return InstanceFound(
        series_uid=series_uid,
        sop_uid=found.text(ids.SOP_UID),
        sop_class_uid=found.text(ids.SOP_CLASS_UID),
        transfer_syntax_uid=next(iter(found.texts(ids.TRANSFER_SYNTAX_UID)), ""),
    )
