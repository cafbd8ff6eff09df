"""What the client can ask of the REST interface, as steps that a wire takes: both clients speak through it.

What names patients is sent in bodies, never in addresses.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, TypedDict, TypeVar, cast

from adit_client.calls import JSON, Call, with_json
from adit_client.errors import BadAnswer, BadArgument, WaitTimedOut
from adit_client.gateway import Trial, uid
from adit_client.reading import of
from adit_client.searches import NDJSON
from adit_client.steps import Opened, Pause, Retries, Steps, opened, sent
from adit_client.values import (
    Found,
    Held,
    HeldCount,
    Item,
    Job,
    JobFilters,
    Jobs,
    Kind,
    Me,
    NewToken,
    Nodes,
    NodeWish,
    PatientFound,
    PatientKeys,
    Plan,
    PlanOptions,
    Profile,
    Receipt,
    SeriesFound,
    StudyFound,
    StudyKeys,
    StudyWish,
    Token,
    TransferOptions,
)

T = TypeVar("T")

JobOrId = Job | int
ItemOrId = Item | int
Report = Callable[[Job], object]

BASE = "/api/v1"
_PAGE = 500
"""How many results are asked for at a time where all are wanted."""
_FIRST_LOOK_S = 0.5
_LONGEST_LOOK_S = 10.0
"""How long `wait` waits between two looks at a job: at first short, later longer."""
_PATIENCE = 3
"""How many times as many tries `wait` makes as other calls, since the job goes on also while the server does not."""


@dataclass(frozen=True)
class Rest:
    """What can be asked. Arguments are checked at once; nothing is sent before the steps are taken."""

    trial: Trial
    retries: Retries
    now: Callable[[], float] = field(default=time.monotonic, repr=False)

    # -- the owner of the token, nodes -------------------------------------------------------------

    def me(self) -> Steps[Me]:
        """The owner of the token."""
        return self._value(get("/me"), Me)

    def nodes(self) -> Steps[Nodes]:
        """From where to where they may transfer."""
        return self._value(get("/nodes"), Nodes)

    def tokens(self) -> Steps[list[Token]]:
        """Their tokens."""
        return self._values(get("/tokens"), Token)

    def profiles(self) -> Steps[list[Profile]]:
        """What transfers can name."""
        return self._values(get("/profiles"), Profile)

    def add_token(
        self,
        expires_at: datetime | None,
        description: str,
        operations: Iterable[str] | None,
        nodes: Iterable[int] | None,
    ) -> Steps[NewToken]:
        """A new token. When the answer is lost it is not asked for again: there would be two."""
        content = {
            "expires_at": None if expires_at is None else expires_at.astimezone().isoformat(),
            "description": description,
            "operations": None if operations is None else list(operations),
            "nodes": None if nodes is None else list(nodes),
        }
        return self._value(post("/tokens", content), NewToken)

    def revoke_token(self, token: Token | int) -> Steps[None]:
        """The end of a token."""
        return self._nothing(_delete(f"/tokens/{id_of(token)}"))

    # -- searches ----------------------------------------------------------------------------------

    def search(
        self, what: type[T], source: NodeWish | None, limit: int | None, keys: Mapping[str, object]
    ) -> Steps[Found[T]]:
        """What a server lists of patients or studies."""
        return self._found(_search(what, source, limit, keys, JSON), what)

    def search_series(
        self, study_uid: str, source: NodeWish | None, patient_id: str | None
    ) -> Steps[Found[SeriesFound]]:
        """What a server lists of a study."""
        keys = {"study_uid": uid(study_uid), "patient_id": patient_id}
        return self._found(_search(SeriesFound, source, None, keys, JSON), SeriesFound)

    def searching(
        self, what: type[Any], source: NodeWish | None, limit: int | None, keys: Mapping[str, object]
    ) -> Steps[Opened]:
        """The same as of `search` while the server still answers, a line for each."""
        return opened(_search(what, source, limit, keys, NDJSON), self.retries)

    # -- jobs --------------------------------------------------------------------------------------

    def plan(self, transfer: Transfer, options: PlanOptions) -> Steps[Plan]:
        """What a transfer would move."""
        content = {**transfer.content(), **given_of(PlanOptions, options)}
        return self._value(post("/jobs/plan", content, is_repeatable=True), Plan)

    def transfer(self, transfer: Transfer, kind: Kind, key: str | None, options: TransferOptions) -> Steps[Job]:
        """The job that a transfer has become; sent with a key, so that it becomes one even if it is sent twice."""
        trial = {"trial_protocol_id": self.trial.protocol_id, "trial_protocol_name": self.trial.protocol_name}
        if "trial_protocol_id" in options:
            trial = {}
        named = {name: text for name, text in trial.items() if text}
        content = {"kind": kind, **transfer.content(), **named, **given_of(TransferOptions, options)}
        headers = {"Idempotency-Key": str(uuid.uuid4()) if key is None else key}
        return self._value(post("/jobs", content, headers, is_repeatable=True), Job)

    def jobs(self, limit: int, offset: int, filters: JobFilters) -> Steps[Jobs]:
        """A part of the jobs that are meant."""
        query = [*pairs_of(given_of(JobFilters, filters)), ("limit", str(limit)), ("offset", str(offset))]
        return self._jobs(get("/jobs", query))

    def job(self, job: JobOrId) -> Steps[Job]:
        """The job as it is now."""
        return self._value(get(f"/jobs/{id_of(job)}"), Job)

    def change(self, job: JobOrId, action: str, content: Mapping[str, object] | None = None) -> Steps[Job]:
        """The job after something was done to it."""
        return self._value(post(f"/jobs/{id_of(job)}/{action}", content), Job)

    def delete(self, job: JobOrId) -> Steps[None]:
        """The end of a job that has not begun."""
        return self._nothing(_delete(f"/jobs/{id_of(job)}"))

    def wait(self, job: JobOrId, timeout_s: float | None, report: Report) -> Steps[Job]:
        """The job when it has ended, whatever came of it; raises WaitTimedOut, and the job goes on."""
        return self._wait(id_of(job), timeout_s, report)

    # -- items -------------------------------------------------------------------------------------

    def items(self, job: JobOrId, state: str | None) -> Steps[list[Item]]:
        """All items of a job, in the order of the request."""
        query = [] if state is None else [("state", state)]
        return self._every(f"/jobs/{id_of(job)}/items", Item, query)

    def item(self, item: ItemOrId) -> Steps[Item]:
        """The item as it is now."""
        return self._value(get(f"/items/{id_of(item)}"), Item)

    def receipts(self, job: JobOrId) -> Steps[list[Receipt]]:
        """The receipts of all items of a job."""
        return self._every(f"/jobs/{id_of(job)}/receipts", Receipt)

    def receipt(self, item: ItemOrId) -> Steps[Receipt]:
        """The receipt of one item."""
        return self._value(get(f"/items/{id_of(item)}/receipt"), Receipt)

    def cancel_item(self, item: ItemOrId) -> Steps[Item]:
        """An item that waits, canceled."""
        return self._value(post(f"/items/{id_of(item)}/cancel"), Item)

    def reset(self, item: ItemOrId) -> Steps[Item]:
        """The item, which waits again."""
        return self._value(post(f"/items/{id_of(item)}/reset"), Item)

    def delete_item(self, item: ItemOrId) -> Steps[None]:
        """The end of an item that has not begun."""
        return self._nothing(_delete(f"/items/{id_of(item)}"))

    # -- reviews -----------------------------------------------------------------------------------

    def jobs_with_held(self) -> Steps[list[HeldCount]]:
        """The jobs with instances that wait for a review."""
        return self._values(get("/reviews"), HeldCount)

    def held(self, job: JobOrId) -> Steps[list[Held]]:
        """The instances of a job that wait for a review."""
        return self._values(get(f"/reviews/{id_of(job)}"), Held)

    def review(self, verdict: str, item: ItemOrId, reason: str, sop_uids: Iterable[str] | None) -> Steps[Item]:
        """The item after held instances of it were released or rejected."""
        uids = None if sop_uids is None else [uid(one) for one in sop_uids]
        content = {"item_id": id_of(item), "sop_uids": uids, "reason": reason}
        return self._value(post(f"/reviews/{verdict}", content), Item)

    # -- everything else ---------------------------------------------------------------------------

    def request(self, method: str, path: str, query: Mapping[str, object] | None, content: object | None) -> Steps[Any]:
        """Whatever else the interface has, as JSON; None where the answer is empty."""
        if not path.startswith("/v1/") or "/.." in path or "?" in path or "#" in path:
            raise BadArgument("path: it begins with /v1/, and has no query.")
        is_reading = method.upper() in ("GET", "HEAD")
        pairs = tuple(pairs_of(query or {}))
        headers = {"Accept": JSON}
        call = Call(method.upper(), f"/api{path}", pairs, headers, is_repeatable=is_reading)
        if not is_reading:
            call = (
                replace(with_json(method.upper(), f"/api{path}", content), query=pairs)
                if content is not None
                else replace(call, headers={**headers, "Content-Length": "0"})
            )
        return self._json(call)

    # -- steps -------------------------------------------------------------------------------------

    def _wait(self, job_id: int, timeout_s: float | None, report: Report) -> Steps[Job]:
        end = None if timeout_s is None else self.now() + timeout_s
        patient = replace(
            self, retries=replace(self.retries, tries=self.retries.tries * _PATIENCE, longest_wait_s=600.0)
        )
        pause_s = _FIRST_LOOK_S
        while True:
            job = yield from patient.job(job_id)
            report(job)
            if job.has_ended:
                return job
            left_s = pause_s if end is None else end - self.now()
            if left_s <= 0:
                error = WaitTimedOut()
                error.job = job
                raise error
            yield Pause(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)

    def _every(self, path: str, kind: type[T], query: Sequence[tuple[str, str]] = ()) -> Steps[list[T]]:
        found: list[T] = []
        while True:
            page = (*query, ("limit", str(_PAGE)), ("offset", str(len(found))))
            told = (yield from sent(get(path, page), self.retries)).json()
            results = results_of(told)
            found += [of(kind, one) for one in results]
            if not results or len(found) >= number_of(told, "total"):
                return found

    def _found(self, call: Call, kind: type[T]) -> Steps[Found[T]]:
        told = (yield from sent(call, self.retries)).json()
        found = Found([of(kind, one) for one in results_of(told)])
        found.has_more = told.get("has_more") is True
        return found

    def _jobs(self, call: Call) -> Steps[Jobs]:
        told = (yield from sent(call, self.retries)).json()
        found = Jobs([of(Job, one) for one in results_of(told)])
        found.total = number_of(told, "total")
        return found

    def _value(self, call: Call, kind: type[T]) -> Steps[T]:
        answer = yield from sent(call, self.retries)
        return of(kind, answer.json())

    def _values(self, call: Call, kind: type[T]) -> Steps[list[T]]:
        answer = yield from sent(call, self.retries)
        return [of(kind, one) for one in results_of(answer.json())]

    def _json(self, call: Call) -> Steps[Any]:
        answer = yield from sent(call, self.retries)
        return answer.json() if answer.body else None

    def _nothing(self, call: Call) -> Steps[None]:
        yield from sent(call, self.retries)


@dataclass(frozen=True)
class Transfer:
    """Which studies are to go from where to where; what is left out the server chooses, if there is only one."""

    studies: Iterable[str | StudyWish]
    source: NodeWish | None = None
    destination: NodeWish | None = None

    def content(self) -> dict[str, object]:
        """The fields of the request; raises BadArgument for a single text, which would be taken letter by letter."""
        if isinstance(self.studies, str):
            raise BadArgument("studies: a list is needed, also for one study.")
        wishes = [StudyWish(study) if isinstance(study, str) else study for study in self.studies]
        content: dict[str, object] = {"studies": [_told(wish) for wish in wishes]}
        nodes = {"source": self.source, "destination": self.destination}
        return content | {name: node for name, node in nodes.items() if node is not None}


def _told(wish: StudyWish) -> dict[str, object]:
    for one in (wish.study_uid, *wish.series_uids):
        uid(one)
    return {name: list(value) if name == "series_uids" else value for name, value in asdict(wish).items() if value}


def _search(
    what: type[Any], source: NodeWish | None, limit: int | None, keys: Mapping[str, object], accept: str
) -> Call:
    place, allowed = _SEARCHES[what]
    content = given_of(allowed, keys)
    if isinstance(modalities := content.get("modalities"), str):
        content["modalities"] = [one.strip() for one in modalities.split(",")]
    chosen = {name: value for name, value in (("source", source), ("limit", limit)) if value is not None}
    return post(f"/search/{place}", {**content, **chosen}, {"Accept": accept}, is_repeatable=True)


class _SeriesKeys(TypedDict, total=False):
    study_uid: str
    patient_id: str


_SEARCHES: Mapping[type[Any], tuple[str, type[Any]]] = {
    PatientFound: ("patients", PatientKeys),
    StudyFound: ("studies", StudyKeys),
    SeriesFound: ("series", _SeriesKeys),
}


def given_of(allowed: type[Any], given: Mapping[str, object]) -> dict[str, object]:
    """The named arguments without those that are None; raises TypeError for one that there is not."""
    unknown = given.keys() - allowed.__optional_keys__
    if unknown:
        raise TypeError(f"there is no argument {', '.join(sorted(unknown))}")
    return {name: value for name, value in given.items() if value is not None}


def get(path: str, query: Iterable[tuple[str, str]] = ()) -> Call:
    """A call that reads something."""
    return Call("GET", BASE + path, tuple(query), {"Accept": JSON}, is_repeatable=True)


def post(
    path: str, content: object = None, headers: Mapping[str, str] | None = None, is_repeatable: bool = False
) -> Call:
    """A call that carries JSON, or nothing."""
    if content is None:
        return Call("POST", BASE + path, (), {"Accept": JSON, "Content-Length": "0", **(headers or {})})
    call = with_json("POST", BASE + path, content, is_repeatable)
    return replace(call, headers={**call.headers, **(headers or {})})


def _delete(path: str) -> Call:
    return Call("DELETE", BASE + path, (), {"Accept": JSON})


def pairs_of(values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    """Names and texts as queries and forms have them; several values are repeated, and None is left out."""
    for name, value in values.items():
        several = cast("Iterable[object]", value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        for one in several:
            if one is not None:
                yield name, str(one).lower() if isinstance(one, bool) else str(one)


def id_of(one: Job | Item | Token | int) -> int:
    """The number of a job, an item or a token; raises BadArgument for what is none."""
    number = one if isinstance(one, int) else one.id
    if isinstance(number, bool) or number < 1:
        raise BadArgument("A job, an item or a token is named by a positive number.")
    return number


def results_of(told: Any, name: str = "results") -> list[Any]:
    """The list in an answer; raises BadAnswer when there is none."""
    results = cast("dict[str, Any]", told).get(name) if isinstance(told, dict) else None
    if not isinstance(results, list):
        raise BadAnswer("The server's answer is no list of results. Check the versions of server and client.")
    return cast("list[Any]", results)


def number_of(told: Any, name: str) -> int:
    """A number in an answer; 0 where it is left out."""
    number = cast("dict[str, Any]", told).get(name, 0)
    return number if isinstance(number, int) else 0
