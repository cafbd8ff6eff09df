"""Searches a server by QIDO-RS (PS3.18 section 10.6). Slower than C-FIND with most archives, which is asked first."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from dicom import attributes
from dicom.network.dicom_json import Item, count, normal, only, parse_items, text, texts
from dicom.network.matching import matches_keys, matches_patient, matches_study
from dicom.network.web import WebPort
from models.domain.errors import AditError, NotFound, PeerLied, Unsupported
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

PAGE_SIZE = 1000
_PAGE_LIMIT_BYTES = 512 << 20
_LITERAL = "*?,/:@"
_TEXT_KEYS = ("PatientID", "PatientName", "AccessionNumber", "StudyDescription")

SOP_CLASS_UID, SOP_UID, TRANSFER_SYNTAX_UID = "00080016", "00080018", "00083002"
STUDY_UID, SERIES_UID = "0020000D", "0020000E"
STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, STUDY_DESCRIPTION = "00080020", "00080030", "00080050", "00081030"
MODALITY, MODALITIES_IN_STUDY, SERIES_DESCRIPTION, SERIES_NUMBER = "00080060", "00080061", "0008103E", "00200011"
PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX = "00100010", "00100020", "00100030", "00100040"
SERIES_COUNT, STUDY_INSTANCE_COUNT, SERIES_INSTANCE_COUNT = "00201206", "00201208", "00201209"

_PATIENT_KEYS = (PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX)
_STUDY_KEYS = (
    *(PATIENT_NAME, PATIENT_ID, BIRTH_DATE, STUDY_UID, STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER),
    *(STUDY_DESCRIPTION, MODALITIES_IN_STUDY, SERIES_COUNT, STUDY_INSTANCE_COUNT),
)
_SERIES_KEYS = (STUDY_UID, SERIES_UID, MODALITY, SERIES_NUMBER, SERIES_DESCRIPTION, SERIES_INSTANCE_COUNT)
_INSTANCE_KEYS = (SERIES_UID, SOP_UID, SOP_CLASS_UID, TRANSFER_SYNTAX_UID)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked at one resource: the matching keys, the attributes to be returned, and which of them is unique.

    ``missing`` is what status 404 means.
    """

    path: str
    filters: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    uid_key: str
    missing: type[AditError] = Unsupported


@dataclass(frozen=True, slots=True)
class _Page:
    """A part of the results: those with a valid UID by that, and how many came in all."""

    by_uid: Mapping[str, Item]
    length: int
    is_cut: bool
    """Whether there is more by what the server says or does: a warning says so, or there is as much as was wanted."""
    may_go_on: bool
    """Whether it is worth asking once more."""

    def begins_anew(self, seen: Collection[str], first_uid: str) -> bool:
        """Whether it shows that the server does not keep to offsets: nothing in it is new, or the list begins in it.

        A page that has only some of the one before it does not: the list has grown meanwhile.
        """
        return bool(self.length) and (first_uid in self.by_uid or all(uid in seen for uid in self.by_uid))


class QidoFinder(WebPort):
    """A Finder over QIDO-RS.

    Costs a request for each ``page_size`` results, and one for each wanted modality. Results are filtered again here,
    because servers may ignore optional keys. Raises Unsupported when nothing answers at the root URL, or when the
    server cuts its list and does not give the rest; NotFound when it says so about a study or series; an empty answer
    is no error.
    """

    def __init__(self, server: Server, page_size: int = PAGE_SIZE) -> None:
        super().__init__(server, server.dicomweb_qido_prefix, server.timeouts.response)
        self._page_size = page_size

    def find_patients(self, query: PatientQuery) -> Iterator[PatientFound]:
        """Yield each patient with a matching study once; QIDO-RS has no level for patients.

        Patients without PatientID cannot be told apart and are left out.
        """
        wider = StudyQuery(patient_id=query.patient_id, patient_name=query.patient_name, birth_date=query.birth_date)
        seen: set[str] = set()
        for item in self._search_studies(wider, (*_PATIENT_KEYS, STUDY_UID)):
            found = _patient(item)
            if found.patient_id and found.patient_id not in seen and matches_patient(query, found):
                seen.add(found.patient_id)
                yield found

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]:
        """Yield each matching study once. Entries without a valid StudyInstanceUID are counted in the log only."""
        seen: set[str] = set()
        for modality in query.modalities or ("",):
            wanted = replace(query, modalities=(modality,) if modality else ())
            for item in self._search_studies(wanted, _STUDY_KEYS):
                found = _study(item)
                if found.study_uid not in seen and matches_study(query, found):
                    seen.add(found.study_uid)
                    yield found

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]:
        """Yield the series of the study; raises PeerLied when one has no valid UID, as a count of them would lie."""
        path = f"studies/{quote(study.study_uid)}/series"
        for item in self._search(_Question(path, (), _SERIES_KEYS, SERIES_UID, NotFound)):
            if text(item, STUDY_UID) in ("", study.study_uid):
                yield _series(item, study.study_uid)

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        """Yield the instances of the series, or the one that is named; raises PeerLied when one has no valid UID."""
        keys = () if only_uids else _INSTANCE_KEYS
        path = f"studies/{quote(study.study_uid)}/series/{quote(series_uid)}/instances"
        filters = ((SOP_UID, sop_uid),) if sop_uid else ()
        for item in self._search(_Question(path, filters, keys, SOP_UID, NotFound)):
            if text(item, SERIES_UID) in ("", series_uid):
                yield _instance(item, series_uid)

    def find_attributes(
        self, level: Level, matching: Mapping[str, str], returned: Collection[str] | None
    ) -> Iterator[Item]:
        """Yield what fits. All is what the server gives for ``includefield=all``; of a study below it no patient ID."""
        unique = attributes.UNIQUE_KEYS[level]
        wanted = {*(returned or ()), *matching, unique}
        tags = {path.partition(".")[0] for path in wanted}
        names = ("all",) if returned is None else tuple(attributes.name_of(tag) for tag in sorted(tags))
        missing = Unsupported if level is Level.STUDY else NotFound
        seen: set[str] = set()
        for filters in _attribute_filters(level, matching):
            question = _Question(_resources(level, matching), filters, names, unique, missing)
            for item in self._search_widened(question):
                found = normal(item) if returned is None else only(normal(item), tags)
                uid = text(found, unique)
                if uid not in seen and matches_keys(level, matching, found):
                    seen.add(uid)
                    yield found

    def _search_studies(self, query: StudyQuery, keys: tuple[str, ...]) -> Iterator[Item]:
        """Yield the studies of a search, some of which may not match."""
        return self._search_widened(_Question("studies", _study_filters(query), keys, STUDY_UID))

    def _search_widened(self, question: _Question) -> Iterator[Item]:
        """Yield the results of a search, some of which may not match.

        Orthanc's plugin 1.7 does not decode percent-encoding and then finds nothing, without a word. So an empty
        answer to a search that needed encoding is not believed before the same search with wildcards is empty too.
        """
        is_empty = True
        for item in self._search(question):
            is_empty = False
            yield item
        if is_empty and (widened := _widened(question.filters)) != question.filters:
            yield from self._search(replace(question, filters=widened))

    def _search(self, question: _Question) -> Iterator[Item]:
        """Yield each result with a valid UID once, page after page.

        A page is read whole before its first result is yielded, so that the connection is free for another search
        meanwhile. A result without a valid UID raises PeerLied, except at STUDY level.

        From a server that does not keep to offsets everything is asked for at once, if there was more by more than a
        guess of ours.
        """
        seen: set[str] = set()
        offset, is_cut, first_uid = 0, False, ""
        while True:
            page = self._page(question, self._page_size, offset)
            begins_anew = page.begins_anew(seen, first_uid)
            yield from _fresh(page, seen)
            if begins_anew:
                if is_cut or page.is_cut:
                    yield from self._search_at_once(question, max(offset, page.length), seen)
                return
            if not page.may_go_on:
                return
            is_cut = page.is_cut
            offset += page.length
            first_uid = first_uid or next(iter(page.by_uid), "")

    def _search_at_once(self, question: _Question, known: int, seen: set[str]) -> Iterator[Item]:
        """Yield what was not seen yet of a list that is longer than the ``known`` results of its first pages.

        The limit grows until less comes than was asked for. Raises Unsupported when that is not believable: the list
        has not grown, or the server says that it has more. Some allow no limit for the search, see ``_paging``.
        """
        limit = 2 * known
        while _takes_limit(question.filters):
            page = self._page(question, limit, 0)
            yield from _fresh(page, seen)
            if not page.is_cut and page.length > known:
                return
            if page.length < limit:
                break
            limit *= 2
        raise Unsupported(
            f"{self._connection.server_name} cuts its lists and gives the same again when it is asked for the rest, so "
            "nobody knows whether a list is complete. Let it be searched by C-FIND, or raise its limit."
        )

    def _page(self, question: _Question, limit: int, offset: int) -> _Page:
        wanted = (("includefield", key) for key in question.keys)
        query = _query((*question.filters, *wanted, *_paging(question.filters, offset, limit)))
        headers = {"Accept": "application/dicom+json"}
        on_invalid = _log_invalid if question.uid_key == STUDY_UID else _raise_invalid
        with self._connection.request("GET", question.path, query=query, headers=headers) as answer:
            answer.check(question.missing)
            found = parse_items(answer.read(_PAGE_LIMIT_BYTES))
            length, warning = len(found), answer.warning
        is_full = length == limit and _takes_limit(question.filters)
        by_uid = _by_uid(found, question.uid_key, on_invalid)
        return _Page(by_uid, length, is_full or _tells_more(warning), _may_go_on(length, warning, limit))


def _fresh(page: _Page, seen: set[str]) -> Iterator[Item]:
    """Yield what was not seen yet, and remember it."""
    for uid, item in page.by_uid.items():
        if uid not in seen:
            seen.add(uid)
            yield item


def _takes_limit(filters: tuple[tuple[str, str], ...]) -> bool:
    """Whether a search can be asked for a part of its results.

    One for modalities asks for all at once: for it Orthanc's plugin 1.7 applies an offset twice and loses studies, and
    newer ones refuse a limit. Only a server that cuts its answer is asked for the rest.
    """
    return all(name != "ModalitiesInStudy" for name, _ in filters)


def _paging(filters: tuple[tuple[str, str], ...], offset: int, size: int = PAGE_SIZE) -> tuple[tuple[str, str], ...]:
    """Which part of the results is wanted."""
    if _takes_limit(filters):
        return (("limit", str(size)), ("offset", str(offset)))
    return (("offset", str(offset)),) if offset else ()


def _may_go_on(length: int, warning: str, size: int = PAGE_SIZE) -> bool:
    """Whether the server may have more: the page is full, or it says so (PS3.18 section 8.3.4.4).

    A round number below our limit may be a limit of the server's that it keeps to itself; asking once more is cheap.
    """
    return length > 0 and (length == size or _tells_more(warning) or (length < size and length % 10 == 0))


def _tells_more(warning: str) -> bool:
    return warning.startswith("299")


def _by_uid(page: list[Item], uid_key: str, on_invalid: Callable[[int], None]) -> dict[str, Item]:
    found = {text(item, uid_key): item for item in page}
    valid = {uid: item for uid, item in found.items() if is_uid(uid)}
    if len(valid) < len(found):
        on_invalid(len(found) - len(valid))
    return valid


def _raise_invalid(number: int) -> None:
    raise PeerLied(f"The server lists {number} entries without a valid UID.")


def _log_invalid(number: int) -> None:
    logger.warning("A QIDO-RS answer lists %d studies without a valid StudyInstanceUID; they are left out.", number)


def _query(pairs: tuple[tuple[str, str], ...]) -> str:
    """Percent-encode what has to be; a needless %2A is taken for text by Orthanc's plugin 1.7 and finds nothing."""
    return "&".join(f"{name}={quote(value, safe=_LITERAL)}" for name, value in pairs)


def _widened(filters: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The filters with wildcards for whatever needs percent-encoding, unless hardly any text would be left.

    ``*`` stands for a character outside ASCII, because some archives count its bytes.
    """
    wider = ((name, _wildcarded(value) if name in _TEXT_KEYS else value) for name, value in filters)
    before = dict(filters)
    return tuple((name, new if len(new.replace("*", "").replace("?", "")) > 1 else before[name]) for name, new in wider)


def _wildcarded(value: str) -> str:
    signs = (sign if quote(sign, safe=_LITERAL) == sign else "?" if sign.isascii() else "*" for sign in value)
    return "".join(signs)


def _resources(level: Level, matching: Mapping[str, str]) -> str:
    """Where the studies, series of the one study or instances of the one series are searched."""
    study, series = (quote(matching.get(key, "")) for key in (attributes.STUDY_UID, attributes.SERIES_UID))
    below = {Level.SERIES: f"/{study}/series", Level.IMAGE: f"/{study}/series/{series}/instances"}
    return "studies" + below.get(level, "")


def _attribute_filters(level: Level, matching: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], ...]]:
    """The filters of each search that is needed: one for each wanted modality, as not every server takes several."""
    in_path = {
        Level.SERIES: {attributes.STUDY_UID, attributes.PATIENT_ID},
        Level.IMAGE: {attributes.STUDY_UID, attributes.SERIES_UID, attributes.PATIENT_ID},
    }.get(level, set[str]())
    wanted = {path: value for path, value in matching.items() if value and path not in in_path}
    for modality in wanted.pop(attributes.MODALITIES_IN_STUDY, "").split("\\"):
        chosen = (("ModalitiesInStudy", modality),) if modality else ()
        yield tuple((attributes.name_of(path), value.replace("\\", ",")) for path, value in wanted.items()) + chosen


def _study_filters(query: StudyQuery) -> tuple[tuple[str, str], ...]:
    wanted = (
        ("StudyInstanceUID", query.study_uid.replace("\\", ",")),
        ("PatientID", query.patient_id),
        ("PatientName", query.patient_name),
        ("PatientBirthDate", query.birth_date),
        ("AccessionNumber", query.accession_number),
        ("StudyDate", query.study_date),
        ("StudyTime", query.study_time),
        ("StudyDescription", query.study_description),
        *(("ModalitiesInStudy", modality) for modality in query.modalities),
    )
    return tuple((name, value) for name, value in wanted if value)


def _patient(item: Item) -> PatientFound:
    return PatientFound(
        patient_id=text(item, PATIENT_ID),
        patient_name=text(item, PATIENT_NAME),
        birth_date=text(item, BIRTH_DATE),
        sex=text(item, SEX),
    )


def _study(item: Item) -> StudyFound:
    return StudyFound(
        study_uid=text(item, STUDY_UID),
        patient_id=text(item, PATIENT_ID),
        patient_name=text(item, PATIENT_NAME),
        birth_date=text(item, BIRTH_DATE),
        accession_number=text(item, ACCESSION_NUMBER),
        study_date=text(item, STUDY_DATE),
        study_time=text(item, STUDY_TIME),
        study_description=text(item, STUDY_DESCRIPTION),
        modalities=tuple(texts(item, MODALITIES_IN_STUDY)),
        series_count=count(item, SERIES_COUNT),
        instance_count=count(item, STUDY_INSTANCE_COUNT),
    )


def _series(item: Item, study_uid: str) -> SeriesFound:
    return SeriesFound(
        study_uid=study_uid,
        series_uid=text(item, SERIES_UID),
        modality=text(item, MODALITY),
        number=text(item, SERIES_NUMBER),
        description=text(item, SERIES_DESCRIPTION),
        instance_count=count(item, SERIES_INSTANCE_COUNT),
    )


def _instance(item: Item, series_uid: str) -> InstanceFound:
    return InstanceFound(
        series_uid=series_uid,
        sop_uid=text(item, SOP_UID),
        sop_class_uid=text(item, SOP_CLASS_UID),
        transfer_syntax_uid=next(iter(texts(item, TRANSFER_SYNTAX_UID)), ""),
    )
