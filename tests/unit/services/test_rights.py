"""Who may do what: a table of every door of the services, and one of closed applications.

Rights are checked in ``services``, so that pages, API and shell have the same; therefore the tables call services only.
Each cell is one try by a person who was just looked up, undone afterwards.
"""

from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.project import ProjectStore
from models.db.questions import BatchFileStore, Question, QuestionStore
from models.db.scopes import ScopeStore
from models.db.sessions import SessionStore
from models.db.tables import ItemRow, JobRow
from models.db.tokens import TokenStore
from models.domain.answers import Answer, CheckedStudy, RowVerdict
from models.domain.audit import AuditAction
from models.domain.batch_requests import BatchFile
from models.domain.batches import grouped
from models.domain.errors import AditError
from models.domain.jobs import Job, JobKind, State
from models.domain.mails import JobMails
from models.domain.people import Actor, Group, NodeRight, Permission, User, operator
from models.domain.project import App, AppState, Project
from models.domain.refs import StudyFound, StudyQuery, StudyRef
from models.domain.requests import JobHead, StudyWish, TransferRequest
from models.domain.tokens import TokenWish
from models.domain.webhooks import WebhookWish
from models.settings import Settings
from services import audit, escrow, folder_holds, holding, jobs, nodes, project, quotas, review, trials
from services.alarms import standing as alarms
from services.batches import checks, content, queries, results, transfers, verdicts
from services.checks import connections
from services.chores import overview, performing
from services.people import accounts, groups, sessions, tokens
from services.post import broadcasts, notifications
from services.searching import search
from services.webhooks import administration as webhooks
from tests.batches import a_query, a_transfer, query_rows, transfer_rows
from tests.databases import MASTER_KEY, new_url
from tests.people import PASSWORD, a_profile, a_session, a_user
from tests.samples import a_folder, a_request, a_server, some_settings

WHY = "the table of rights asks"
NOBODY_YET = Actor("")
HOOK = WebhookWish("https://board.example.org/adit")

# The people:
#   nobody     an account in no group
#   holder     in a group that gives a source, a destination, and the right of the row; where there is none, all rights
#   other      in a group that gives a source, a destination, and all rights but that of the row
#   staff      staff in no group
#   superuser  a superuser in no group
#   operator   the person at the shell
#   out        somebody who had all rights and was deactivated: for them there is no actor any more
# The cells: ok, or how many are shown; no (NotPermitted); none (NotFound: for them it does not exist); asked (the
# rights suffice; what is asked for is refused then as nothing, so that no server is needed); other errors by name.
TABLE = """
door                        right                    nobody  holder      other   staff   superuser   operator    out

accounts.list               -                        no      no          no      ok      ok          ok          out
accounts.count              -                        no      no          no      ok      ok          ok          out
accounts.get                -                        no      no          no      ok      ok          ok          out
accounts.get (own)          -                        ok      ok          ok      ok      ok          none        out
accounts.me                 -                        ok      ok          ok      ok      ok          no          out
accounts.add                -                        no      no          no      no      ok          ok          out
accounts.update             -                        no      no          no      no      ok          ok          out
accounts.approve            -                        no      no          no      no      ok          ok          out
accounts.deactivate         -                        no      no          no      no      ok          ok          out
accounts.activate           -                        no      no          no      no      ok          ok          out
accounts.send_reset         -                        no      no          no      no      ok          ok          out
accounts.change_profile     -                        ok      ok          ok      ok      ok          no          out
accounts.preferences        -                        ok      ok          ok      ok      ok          ok          out
accounts.remember           -                        ok      ok          ok      ok      ok          no          out
sessions.list               -                        ok      ok          ok      ok      ok          no          out
sessions.count (foreign)    -                        no      no          no      ok      ok          ok          out
sessions.end (foreign)      -                        none    none        none    none    none        no          out
sessions.end_others         -                        ok      ok          ok      ok      ok          no          out

tokens.list                 -                        ok      ok          ok      ok      ok          no          out
tokens.add                  ADD_TOKEN                no      ok          no      no      ok          no          out
tokens.add (lasting)        ADD_LASTING_TOKEN        no      ok          no      no      ok          no          out
tokens.revoke (own)         -                        ok      ok          ok      ok      ok          none        out
tokens.revoke (foreign)     -                        none    none        none    ok      ok          ok          out
tokens.of_everybody         -                        no      no          no      ok      ok          ok          out
tokens.count_of_everybody   -                        no      no          no      ok      ok          ok          out
tokens.owners               -                        no      no          no      ok      ok          ok          out

groups.list                 -                        no      no          no      ok      ok          ok          out
groups.get                  -                        no      no          no      ok      ok          ok          out
groups.names                -                        ok      ok          ok      ok      ok          ok          out
groups.add                  -                        no      no          no      ok      ok          ok          out
groups.add (guarded)        -                        no      no          no      no      ok          ok          out
groups.update               -                        no      no          no      ok      ok          ok          out
groups.update (guarded)     -                        no      no          no      no      ok          ok          out
groups.update (give)        -                        no      no          no      no      ok          ok          out
groups.delete               -                        no      no          no      ok      ok          ok          out
groups.delete (guarded)     -                        no      no          no      no      ok          ok          out
groups.access               -                        no      no          no      ok      ok          ok          out
groups.update_access        -                        no      no          no      ok      ok          ok          out
groups.update_access (g.)   -                        no      no          no      no      ok          ok          out

nodes.sources               -                        0       1           1       0       0           2           out
nodes.destinations          -                        0       1           1       0       0           3           out
nodes.listed                -                        no      no          no      ok      ok          ok          out
nodes.shown                 -                        no      no          no      ok      ok          ok          out
nodes.with_authorization    -                        no      no          no      ok      ok          ok          out
nodes.add_server            -                        no      no          no      ok      ok          ok          out
nodes.add_folder            -                        no      no          no      ok      ok          ok          out
nodes.update                -                        no      no          no      ok      ok          ok          out
nodes.clear_authorization   -                        no      no          no      ok      ok          ok          out
nodes.delete                -                        no      no          no      ok      ok          ok          out
holding.stop                -                        no      no          no      ok      ok          ok          out
holding.let_go_on           -                        no      no          no      ok      ok          ok          out
folder_holds.try_now        -                        no      no          no      ok      ok          ok          out
connections.test            -                        no      no          no      ok      ok          ok          out
quotas.usage                -                        none    ok          ok      ok      ok          ok          out
quotas.usages               -                        0       1           1       1       1           1           out
quotas.measure_now          -                        no      no          no      ok      ok          ok          out

search.studies              EXPLORE                  no      ok          ok      no      no          ok          out
search.studies (no use)     UPLOAD                   no      no          ok      no      no          ok          out
search.studies (foreign)    EXPLORE                  no      no          no      no      no          ok          out
search.series               ADD_BATCH_QUERY          no      asked       asked   no      no          asked       out
search.preview              ADD_SELECTIVE_TRANSFER   no      asked       asked   no      no          asked       out
search.preview (foreign)    ADD_SELECTIVE_TRANSFER   no      no          no      no      no          asked       out

jobs.submit (selective)     ADD_SELECTIVE_TRANSFER   no      ok          no      no      BadRequest  ok          out
jobs.submit (batch)         ADD_BATCH_TRANSFER       no      ok          no      no      BadRequest  ok          out
jobs.submit (to foreign)    ADD_BATCH_TRANSFER       no      BadRequest  no      no      BadRequest  ok          out
jobs.submit (urgent)        BATCH_URGENT             no      ok          no      no      BadRequest  ok          out
jobs.submit (identity)      BATCH_UNPSEUDONYMIZED    no      ok          no      no      BadRequest  ok          out
queries.submit              ADD_BATCH_QUERY          no      ok          no      no      BadRequest  ok          out
queries.submit (foreign)    ADD_BATCH_QUERY          no      BadRequest  no      no      BadRequest  ok          out
queries.submit (urgent)     BATCH_QUERY_URGENT       no      ok          no      no      BadRequest  ok          out
checks.submit               ADD_BATCH_TRANSFER       no      ok          no      no      BadRequest  ok          out
checks.submit (to foreign)  ADD_BATCH_TRANSFER       no      BadRequest  no      no      BadRequest  ok          out
checks.submit (urgent)      BATCH_URGENT             no      ok          no      no      BadRequest  ok          out
checks.submit (identity)    BATCH_UNPSEUDONYMIZED    no      ok          no      no      BadRequest  ok          out
checks.outcome (own)        -                        ok      ok          ok      ok      ok          ok          out
checks.outcome (foreign)    -                        none    none        none    ok      ok          ok          out
checks.outcome (member's)   VIEW_BATCH_TRANSFER      none    ok          none    ok      ok          ok          out
checks.count (foreign)      -                        none    none        none    ok      ok          ok          out
checks.rows (own)           -                        ok      ok          ok      ok      ok          ok          out
checks.rows (member's)      VIEW_BATCH_TRANSFER      none    no          none    no      no          ok          out
checks.rows (foreign)       -                        none    none        none    no      no          ok          out
transfers.submit (own)      ADD_BATCH_TRANSFER       no      ok          no      no      BadRequest  ok          out
transfers.submit (other's)  VIEW_BATCH_TRANSFER      none    no          none    no      no          no          out
results.page (own)          -                        ok      ok          ok      ok      ok          ok          out
results.page (member's)     VIEW_BATCH_QUERY         none    no          none    no      no          ok          out
results.count (member's)    VIEW_BATCH_QUERY         none    ok          none    ok      ok          ok          out
results.export (own)        -                        ok      ok          ok      ok      ok          ok          out
results.export (member's)   VIEW_BATCH_QUERY         none    no          none    no      no          ok          out
verdicts.file (own)         -                        ok      ok          ok      ok      ok          ok          out
verdicts.file (member's)    VIEW_BATCH_TRANSFER      none    no          none    no      no          ok          out
jobs.get (own)              -                        ok      ok          ok      ok      ok          ok          out
jobs.get (foreign)          -                        none    none        none    ok      ok          ok          out
jobs.get (of a member)      VIEW_BATCH_TRANSFER      none    ok          none    ok      ok          ok          out
jobs.items (foreign)        -                        none    none        none    ok      ok          ok          out
jobs.receipts (foreign)     -                        none    none        none    ok      ok          ok          out
jobs.receipts (member's)    VIEW_BATCH_TRANSFER      none    no          none    ok      ok          ok          out
jobs.list (everybody)       -                        no      no          no      ok      ok          ok          out
jobs.overview               -                        no      no          no      ok      ok          ok          out
jobs.at_work                -                        no      no          no      ok      ok          ok          out
jobs.verify (own)           -                        no      no          no      ok      ok          ok          out
jobs.verify (foreign)       -                        none    none        none    ok      ok          ok          out
jobs.cancel (own)           -                        ok      ok          ok      ok      ok          ok          out
jobs.cancel (foreign)       -                        none    none        none    ok      ok          ok          out
jobs.cancel (of a member)   VIEW_BATCH_TRANSFER      none    no          none    ok      ok          ok          out
jobs.hurry (own)            BATCH_URGENT             no      ok          no      no      ok          ok          out
jobs.hurry (foreign)        BATCH_URGENT             none    none        none    no      ok          ok          out
jobs.resume (own)           ADD_BATCH_TRANSFER       no      ok          no      ok      ok          ok          out
jobs.resume (foreign)       ADD_BATCH_TRANSFER       none    none        none    ok      ok          ok          out
jobs.retry (own)            ADD_BATCH_TRANSFER       no      ok          no      ok      ok          ok          out
jobs.restart (own)          -                        no      no          no      ok      ok          ok          out
jobs.delete (own)           -                        ok      ok          ok      ok      ok          ok          out
jobs.delete (foreign)       -                        none    none        none    ok      ok          ok          out
jobs.cancel_item (own)      -                        ok      ok          ok      ok      ok          ok          out
jobs.cancel_item (foreign)  -                        none    none        none    ok      ok          ok          out
jobs.reset_item (own)       ADD_BATCH_TRANSFER       no      ok          no      ok      ok          ok          out
jobs.reset_item (foreign)   ADD_BATCH_TRANSFER       none    none        none    ok      ok          ok          out
jobs.delete_item (own)      -                        ok      ok          ok      ok      ok          ok          out
jobs.delete_item (foreign)  -                        none    none        none    ok      ok          ok          out

project.get                 -                        ok      ok          ok      ok      ok          ok          out
project.update              -                        no      no          no      ok      ok          ok          out
project.set_app             -                        no      no          no      no      ok          ok          out
chores.listed               -                        no      no          no      ok      ok          ok          out
chores.history              -                        no      no          no      ok      ok          ok          out
chores.newest               -                        no      no          no      ok      ok          ok          out
chores.in_trouble           -                        no      no          no      ok      ok          ok          out
chores.run_now              -                    no      no          no      Unreachable  Unreachable  Unreachable  out
chores.perform_here         -                        no      no          no      ok      ok          ok          out
broadcasts.recipients       -                        no      no          no      ok      ok          ok          out
broadcasts.preview          -                        no      no          no      ok      ok          ok          out
broadcasts.send             -                        no      no          no      ok      ok          ok          out
broadcasts.list             -                        no      no          no      ok      ok          ok          out
broadcasts.deliveries       -                        no      no          no      ok      ok          ok          out

webhooks.list               -                        no      no          no      ok      ok          ok          out
webhooks.get                -                        no      no          no      ok      ok          ok          out
webhooks.add                -                        no      no          no      ok      ok          ok          out
webhooks.update             -                        no      no          no      ok      ok          ok          out
webhooks.delete             -                        no      no          no      ok      ok          ok          out
webhooks.renew_secret       -                        no      no          no      ok      ok          ok          out
webhooks.test               -                        no      no          no      ok      ok          ok          out
webhooks.notices            -                        no      no          no      ok      ok          ok          out
webhooks.count_notices      -                        no      no          no      ok      ok          ok          out
webhooks.send_again         -                        no      no          no      ok      ok          ok          out
alarms.list                 -                        no      no          no      ok      ok          ok          out
notifications.chosen        -                        ok      ok          ok      ok      ok          ok          out
notifications.choose        -                        ok      ok          ok      ok      ok          no          out

audit.entries               READ_AUDIT               no      ok          no      no      ok          ok          out
audit.count                 READ_AUDIT               no      ok          no      no      ok          ok          out
audit.details               READ_AUDIT               no      ok          no      no      ok          ok          out
audit.export                READ_AUDIT               no      ok          no      no      ok          ok          out
review.waiting              REVIEW_HELD              no      ok          no      no      ok          ok          out
review.held (own)           -                        ok      ok          ok      ok      ok          ok          out
review.held (foreign)       REVIEW_HELD              none    ok          none    ok      ok          ok          out
review.release              REVIEW_HELD              no      WrongState  no      no      WrongState  WrongState  out
review.reject               REVIEW_HELD              no      WrongState  no      no      WrongState  WrongState  out
trials.list                 -                        no      no          no      ok      ok          ok          out
trials.get                  -                        no      no          no      ok      ok          ok          out
trials.named                -                        no      no          no      ok      ok          ok          out
trials.allow                -                        no      no          no      ok      ok          ok          out
trials.remove               -                        no      no          no      ok      ok          ok          out
escrow.look_up              READ_ESCROW              no      none        no      no      none        none        out
escrow.forget               FORGET_SCOPE             no      ok          no      no      ok          ok          out
"""

# The same for applications that are closed to some. Here staff and superusers are in the group that gives the rights.
CLOSED = """
door                        state         holder            staff             superuser         operator

jobs.submit (batch)         open          ok                ok                ok                ok
jobs.submit (batch)         maintenance   UnderMaintenance  ok                ok                ok
jobs.submit (batch)         locked        AppLocked         AppLocked         ok                ok
jobs.submit (batch)         suspended     ok                ok                ok                ok
jobs.resume (own)           open          ok                ok                ok                ok
jobs.resume (own)           maintenance   UnderMaintenance  ok                ok                ok
jobs.resume (own)           locked        AppLocked         AppLocked         ok                ok
jobs.resume (own)           suspended     ok                ok                ok                ok
jobs.cancel (own)           maintenance   ok                ok                ok                ok
jobs.cancel (own)           locked        ok                ok                ok                ok
jobs.get (own)              locked        ok                ok                ok                ok
search.studies              open          ok                ok                ok                ok
search.studies              maintenance   UnderMaintenance  ok                ok                ok
search.studies              locked        AppLocked         AppLocked         ok                ok
search.studies              suspended     ok                ok                ok                ok
accounts.sign_in            open          ok                ok                ok                -
accounts.sign_in            maintenance   UnderMaintenance  ok                ok                -
accounts.sign_in            locked        ok                ok                ok                -
"""

OF_USE_ONLY_WITH = {
    Permission.BATCH_URGENT: Permission.ADD_BATCH_TRANSFER,
    Permission.BATCH_UNPSEUDONYMIZED: Permission.ADD_BATCH_TRANSFER,
    Permission.BATCH_QUERY_URGENT: Permission.ADD_BATCH_QUERY,
    Permission.ADD_LASTING_TOKEN: Permission.ADD_TOKEN,
}
"""Whoever is given the one is given the other here, too."""

SHORT = {"NotPermitted": "no", "NotFound": "none"}


@dataclass
class World:
    """What the doors lead to, and the person who tries them."""

    db: Database
    settings: Settings
    source: int
    folder: int
    foreign: int
    other: User
    waiting: User
    plain: Group
    guarded: Group
    actor: Actor = NOBODY_YET

    def user(self) -> User:
        return UserStore(self.db).get(self.actor.user_id or 0)

    def job(self, owner: str, state: State = State.PENDING, studies: int = 1) -> Job:
        """A job in a state, whatever led there."""
        scope = ScopeStore(self.db).new()
        job = JobStore(self.db).add(owner, a_request(self.source, self.folder, studies), scope, state=state)
        if state in {State.FAILURE, State.CANCELED}:
            with self.db.transaction() as session:
                session.execute(update(JobRow).where(JobRow.id == job.id).values(state=state))
                session.execute(update(ItemRow).where(ItemRow.job_id == job.id).values(state=state))
        return replace(job, state=state)

    def own(self, state: State = State.PENDING) -> int:
        return self.job(self.actor.name, state).id

    def foreign_job(self, state: State = State.PENDING) -> int:
        return self.job("stranger", state).id

    def members_job(self) -> int:
        """Of somebody who is in every group that the actor is in."""
        return self.job(self.other.username).id

    def item(self, owner: str, state: State = State.PENDING) -> int:
        return JobStore(self.db).items(self.job(owner, state, studies=2).id)[0].id

    def request(self, kind: JobKind = JobKind.BATCH_TRANSFER, to: int = 0, **fields: object) -> TransferRequest:
        wish = StudyWish("1.2.3", "P1", pseudonym="" if fields.get("keep_identity") else "SUBJ-1")
        return TransferRequest(kind, self.source, to or self.folder, (wish,), **fields)  # type: ignore[arg-type]

    def submit(self, request: TransferRequest) -> object:
        return jobs.submit(self.db, self.settings, self.actor, request)

    def query(self, source: int = 0, **fields: object) -> object:
        request = a_query([source or self.source], *query_rows(1), **fields)
        return queries.submit(self.db, self.settings, self.actor, request)

    def check(self, to: int = 0, **fields: object) -> object:
        row = replace(transfer_rows(1)[0], pseudonym="" if fields.get("keep_identity") else "SUBJ-1")
        request = a_transfer(self.source, to or self.folder, row, **fields)
        return checks.submit(self.db, self.settings, self.actor, request)

    @property
    def without_prefect(self) -> Settings:
        """The settings, with a port on which nobody answers."""
        return self.settings.model_copy(update={"prefect_port": 1})

    def asked(self, owner: str, kind: JobKind = JobKind.BATCH_CHECK) -> int:
        """A query or a check that has ended, made of a file."""
        row, item = query_rows(1)[0], grouped(transfer_rows(1))[0]
        is_check, study = kind is JobKind.BATCH_CHECK, StudyFound("1.2.1", "P1")
        asks = content.packed_transfer(item) if is_check else content.packed_query(row)
        question = Question(self.source, asks, self.folder if is_check else None, (2,))
        store, files = QuestionStore(self.db), BatchFileStore(self.db)
        job = store.add(owner, JobHead(kind), store.sealed([question]))
        files.keep(job.id, files.sealed(BatchFile("a.csv", b"PatientID;StudyInstanceUID\nP1;1.2.1\n")))
        claim = JobStore(self.db).claim_next(job.id, self.settings.lease_for)
        assert claim is not None
        answer = CheckedStudy(RowVerdict.FOUND, "Found.", study) if is_check else Answer(study)
        QuestionStore(self.db).end(claim[1], State.SUCCESS, "Found.", [answer])
        return job.id

    def own_query(self) -> int:
        return self.asked(self.actor.name, JobKind.BATCH_QUERY)

    def members_query(self) -> int:
        return self.asked(self.other.username, JobKind.BATCH_QUERY)

    def trial(self) -> str:
        ScopeStore(self.db).for_trial("T1", "eve")
        return "T1"

    def trial_number(self) -> int:
        return ScopeStore(self.db).of_trial(self.trial())

    def entry(self) -> int:
        AuditStore(self.db).add("x", AuditAction.SEARCH, "x", "", "done", "", {"patient_id": "P1"})
        return AuditStore(self.db).entries(limit=1)[0].id

    def broadcast(self) -> int:
        return broadcasts.send(self.db, operator("x"), "Subject", "Message", None).id

    def webhook(self) -> int:
        return webhooks.add(self.db, self.settings, operator("x"), HOOK).webhook.id

    def notice(self) -> tuple[int, int]:
        """A webhook, and a notice of it."""
        webhook_id = self.webhook()
        return webhook_id, webhooks.test(self.db, operator("x"), webhook_id).id

    def session_of_other(self) -> int:
        return SessionStore(self.db).add("digest", self.other.id, "", "").id

    def wish(self, **fields: object) -> TokenWish:
        return replace(TokenWish(expires_at=self.db.clock() + timedelta(days=1)), **fields)  # type: ignore[arg-type]

    def token_of(self, user_id: int | None) -> int:
        return TokenStore(self.db).add(user_id, "secret", "adit_abcd", TokenWish()).id if user_id else 0


def _may(right: NodeRight) -> Group:
    return Group("new", nodes=frozenset({right}))


DOORS: dict[str, Callable[[World], object]] = {
    "accounts.list": lambda w: accounts.list(w.db, w.actor),
    "accounts.count": lambda w: accounts.count(w.db, w.actor),
    "accounts.get": lambda w: accounts.get(w.db, w.actor, w.other.id),
    "accounts.get (own)": lambda w: accounts.get(w.db, w.actor, w.actor.user_id or 0),
    "accounts.me": lambda w: accounts.me(w.db, w.actor),
    "accounts.add": lambda w: accounts.add(w.db, w.settings, w.actor, "new", a_profile("new")),
    "accounts.update": lambda w: accounts.update(w.db, w.actor, replace(w.other, is_staff=True)),
    "accounts.approve": lambda w: accounts.approve(w.db, w.settings, w.actor, w.waiting.id),
    "accounts.deactivate": lambda w: accounts.deactivate(w.db, w.actor, w.other.id),
    "accounts.activate": lambda w: accounts.activate(w.db, w.actor, w.other.id),
    "accounts.send_reset": lambda w: accounts.send_reset(w.db, w.settings, w.actor, w.other.id),
    "accounts.change_profile": lambda w: accounts.change_profile(
        w.db, w.actor, w.user().profile if w.actor.user_id else a_profile(), (w.actor.user_id and w.user().version) or 0
    ),
    "accounts.preferences": lambda w: accounts.preferences(w.db, w.actor),
    "accounts.remember": lambda w: accounts.remember(w.db, w.actor, theme="dark"),
    "accounts.sign_in": lambda w: accounts.sign_in(w.db, w.settings, w.actor.name, PASSWORD, "", ""),
    "sessions.list": lambda w: sessions.list(w.db, w.actor),
    "sessions.count (foreign)": lambda w: sessions.count(w.db, w.actor, w.other.id),
    "sessions.end (foreign)": lambda w: sessions.end(w.db, w.actor, w.session_of_other()),
    "sessions.end_others": lambda w: sessions.end_others(w.db, w.actor, 0),
    "tokens.list": lambda w: tokens.list(w.db, w.actor),
    "tokens.add": lambda w: tokens.add(w.db, w.actor, w.wish()),
    "tokens.add (lasting)": lambda w: tokens.add(w.db, w.actor, w.wish(expires_at=None)),
    "tokens.revoke (own)": lambda w: tokens.revoke(w.db, w.actor, w.token_of(w.actor.user_id)),
    "tokens.revoke (foreign)": lambda w: tokens.revoke(w.db, w.actor, w.token_of(w.other.id)),
    "tokens.of_everybody": lambda w: tokens.of_everybody(w.db, w.actor),
    "tokens.count_of_everybody": lambda w: tokens.count_of_everybody(w.db, w.actor),
    "tokens.owners": lambda w: tokens.owners(w.db, w.actor),
    "groups.list": lambda w: groups.list(w.db, w.actor),
    "groups.get": lambda w: groups.get(w.db, w.actor, w.plain.id),
    "groups.names": lambda w: groups.names(w.db, w.actor),
    "groups.add": lambda w: groups.add(w.db, w.actor, _may(NodeRight(w.source, source=True))),
    "groups.add (guarded)": lambda w: groups.add(w.db, w.actor, replace(w.guarded, name="new")),
    "groups.update": lambda w: groups.update(w.db, w.actor, replace(w.plain, members=frozenset({w.other.id}))),
    "groups.update (guarded)": lambda w: groups.update(w.db, w.actor, replace(w.guarded, members=frozenset())),
    "groups.update (give)": lambda w: groups.update(
        w.db, w.actor, replace(w.plain, permissions=frozenset({Permission.READ_ESCROW}))
    ),
    "groups.delete": lambda w: groups.delete(w.db, w.actor, w.plain.id),
    "groups.delete (guarded)": lambda w: groups.delete(w.db, w.actor, w.guarded.id),
    "groups.access": lambda w: groups.access(w.db, w.actor, w.source),
    "groups.update_access": lambda w: groups.update_access(
        w.db, w.actor, w.source, {w.plain.id: NodeRight(w.source, source=True)}
    ),
    "groups.update_access (g.)": lambda w: groups.update_access(
        w.db, w.actor, w.source, {w.guarded.id: NodeRight(w.source, source=True)}
    ),
    "nodes.sources": lambda w: nodes.sources(w.db, w.actor),
    "nodes.destinations": lambda w: nodes.destinations(w.db, w.actor),
    "nodes.listed": lambda w: nodes.listed(w.db, w.actor),
    "nodes.shown": lambda w: nodes.shown(w.db, w.actor, w.source),
    "nodes.with_authorization": lambda w: nodes.with_authorization(w.db, w.actor),
    "nodes.add_server": lambda w: nodes.add_server(w.db, w.actor, a_server("NEW")),
    "nodes.add_folder": lambda w: nodes.add_folder(w.db, w.settings, w.actor, a_folder("new")),
    "nodes.update": lambda w: nodes.update(
        w.db, w.settings, w.actor, replace(nodes.get(w.db, w.source), name="renamed")
    ),
    "nodes.clear_authorization": lambda w: nodes.clear_authorization(w.db, w.actor, w.source),
    "nodes.delete": lambda w: nodes.delete(w.db, w.actor, w.foreign),
    "holding.stop": lambda w: holding.stop(w.db, w.actor, w.source),
    "holding.let_go_on": lambda w: holding.let_go_on(w.db, w.actor, w.source),
    "folder_holds.try_now": lambda w: folder_holds.try_now(w.db, w.actor, w.folder),
    "connections.test": lambda w: connections.test(w.db, w.settings, w.actor, w.folder),
    "quotas.usage": lambda w: quotas.usage(w.db, w.actor, w.folder),
    "quotas.usages": lambda w: quotas.usages(w.db, w.actor),
    "quotas.measure_now": lambda w: quotas.measure_now(w.db, w.actor, w.folder),
    "search.studies": lambda w: search.studies(
        w.db, w.settings, w.actor, w.source, StudyQuery(patient_id="P1")
    ).close(),
    "search.studies (no use)": lambda w: DOORS["search.studies"](w),
    "search.studies (foreign)": lambda w: search.studies(
        w.db, w.settings, w.actor, w.foreign, StudyQuery(patient_id="P1")
    ).close(),
    "search.series": lambda w: search.series(w.db, w.settings, w.actor, w.source, StudyRef("no uid", "P1")),
    "search.preview": lambda w: search.preview(w.db, w.settings, w.actor, w.source, w.folder, ()),
    "search.preview (foreign)": lambda w: search.preview(w.db, w.settings, w.actor, w.source, w.foreign, ()),
    "jobs.submit (selective)": lambda w: w.submit(w.request(JobKind.SELECTIVE_TRANSFER)),
    "jobs.submit (batch)": lambda w: w.submit(w.request()),
    "jobs.submit (to foreign)": lambda w: w.submit(w.request(to=w.foreign)),
    "jobs.submit (urgent)": lambda w: w.submit(w.request(urgent=True)),
    "jobs.submit (identity)": lambda w: w.submit(w.request(keep_identity=True)),
    "queries.submit": lambda w: w.query(),
    "queries.submit (foreign)": lambda w: w.query(w.foreign),
    "queries.submit (urgent)": lambda w: w.query(urgent=True),
    "checks.submit": lambda w: w.check(),
    "checks.submit (to foreign)": lambda w: w.check(w.foreign),
    "checks.submit (urgent)": lambda w: w.check(urgent=True),
    "checks.submit (identity)": lambda w: w.check(keep_identity=True),
    "checks.outcome (own)": lambda w: checks.outcome(w.db, w.actor, w.asked(w.actor.name)),
    "checks.outcome (foreign)": lambda w: checks.outcome(w.db, w.actor, w.asked("stranger")),
    "checks.outcome (member's)": lambda w: checks.outcome(w.db, w.actor, w.asked(w.other.username)),
    "checks.count (foreign)": lambda w: checks.count(w.db, w.actor, w.asked("stranger")),
    "checks.rows (own)": lambda w: checks.rows(w.db, w.actor, w.asked(w.actor.name)),
    "checks.rows (member's)": lambda w: checks.rows(w.db, w.actor, w.asked(w.other.username)),
    "checks.rows (foreign)": lambda w: checks.rows(w.db, w.actor, w.asked("stranger")),
    "transfers.submit (own)": lambda w: transfers.submit(w.db, w.settings, w.actor, w.asked(w.actor.name)),
    "transfers.submit (other's)": lambda w: transfers.submit(w.db, w.settings, w.actor, w.asked(w.other.username)),
    "results.page (own)": lambda w: results.page(w.db, w.actor, w.own_query()),
    "results.page (member's)": lambda w: results.page(w.db, w.actor, w.members_query()),
    "results.count (member's)": lambda w: results.count(w.db, w.actor, w.members_query()),
    "results.export (own)": lambda w: results.export(w.db, w.actor, w.own_query()),
    "results.export (member's)": lambda w: results.export(w.db, w.actor, w.members_query()),
    "verdicts.file (own)": lambda w: verdicts.file(w.db, w.actor, w.asked(w.actor.name)),
    "verdicts.file (member's)": lambda w: verdicts.file(w.db, w.actor, w.asked(w.other.username)),
    "jobs.get (own)": lambda w: jobs.get(w.db, w.actor, w.own()),
    "jobs.get (foreign)": lambda w: jobs.get(w.db, w.actor, w.foreign_job()),
    "jobs.get (of a member)": lambda w: jobs.get(w.db, w.actor, w.members_job()),
    "jobs.items (foreign)": lambda w: jobs.items(w.db, w.actor, w.foreign_job()),
    "jobs.receipts (member's)": lambda w: jobs.receipts(w.db, w.actor, w.members_job()),
    "jobs.receipts (foreign)": lambda w: jobs.receipts(w.db, w.actor, w.foreign_job()),
    "jobs.list (everybody)": lambda w: jobs.list(w.db, w.actor, everybody=True),
    "jobs.overview": lambda w: jobs.overview(w.db, w.actor),
    "jobs.at_work": lambda w: jobs.at_work(w.db, w.actor),
    "jobs.verify (own)": lambda w: jobs.verify(w.db, w.actor, w.own(State.UNVERIFIED)),
    "jobs.verify (foreign)": lambda w: jobs.verify(w.db, w.actor, w.foreign_job(State.UNVERIFIED)),
    "jobs.cancel (own)": lambda w: jobs.cancel(w.db, w.actor, w.own()),
    "jobs.cancel (foreign)": lambda w: jobs.cancel(w.db, w.actor, w.foreign_job()),
    "jobs.cancel (of a member)": lambda w: jobs.cancel(w.db, w.actor, w.members_job()),
    "jobs.hurry (own)": lambda w: jobs.hurry(w.db, w.actor, w.own()),
    "jobs.hurry (foreign)": lambda w: jobs.hurry(w.db, w.actor, w.foreign_job()),
    "jobs.resume (own)": lambda w: jobs.resume(w.db, w.actor, w.own(State.CANCELED)),
    "jobs.resume (foreign)": lambda w: jobs.resume(w.db, w.actor, w.foreign_job(State.CANCELED)),
    "jobs.retry (own)": lambda w: jobs.retry(w.db, w.actor, w.own(State.FAILURE)),
    "jobs.restart (own)": lambda w: jobs.restart(w.db, w.actor, w.own(State.FAILURE)),
    "jobs.delete (own)": lambda w: jobs.delete(w.db, w.actor, w.own()),
    "jobs.delete (foreign)": lambda w: jobs.delete(w.db, w.actor, w.foreign_job()),
    "jobs.cancel_item (own)": lambda w: jobs.cancel_item(w.db, w.actor, w.item(w.actor.name)),
    "jobs.cancel_item (foreign)": lambda w: jobs.cancel_item(w.db, w.actor, w.item("stranger")),
    "jobs.reset_item (own)": lambda w: jobs.reset_item(w.db, w.actor, w.item(w.actor.name, State.FAILURE)),
    "jobs.reset_item (foreign)": lambda w: jobs.reset_item(w.db, w.actor, w.item("stranger", State.FAILURE)),
    "jobs.delete_item (own)": lambda w: jobs.delete_item(w.db, w.actor, w.item(w.actor.name)),
    "jobs.delete_item (foreign)": lambda w: jobs.delete_item(w.db, w.actor, w.item("stranger")),
    "project.get": lambda w: project.get(w.db),
    "project.update": lambda w: project.update(w.db, w.actor, "<b>x</b>", False, ProjectStore(w.db).get().version),
    "project.set_app": lambda w: project.set_app(w.db, w.actor, AppState(App.UPLOAD, locked=True)),
    "chores.listed": lambda w: overview.listed(w.db, w.without_prefect, w.actor),
    "chores.history": lambda w: overview.history(w.db, w.actor, "expiry"),
    "chores.newest": lambda w: overview.newest(w.db, w.actor),
    "chores.in_trouble": lambda w: overview.in_trouble(w.db, w.settings, w.actor),
    "chores.run_now": lambda w: overview.run_now(w.db, w.without_prefect, w.actor, "expiry"),
    "chores.perform_here": lambda w: performing.perform_here(w.db, w.settings, w.actor, "spool-sweep"),
    "broadcasts.recipients": lambda w: broadcasts.recipients(w.db, w.actor),
    "broadcasts.preview": lambda w: broadcasts.preview(w.settings, w.actor, "Subject", "Message"),
    "broadcasts.send": lambda w: broadcasts.send(w.db, w.actor, "Subject", "Message", None),
    "broadcasts.list": lambda w: broadcasts.list(w.db, w.actor),
    "broadcasts.deliveries": lambda w: broadcasts.deliveries(w.db, w.actor, w.broadcast()),
    "webhooks.list": lambda w: webhooks.list(w.db, w.actor),
    "webhooks.get": lambda w: webhooks.get(w.db, w.actor, w.webhook()),
    "webhooks.add": lambda w: webhooks.add(w.db, w.settings, w.actor, HOOK),
    "webhooks.update": lambda w: webhooks.update(w.db, w.settings, w.actor, w.webhook(), HOOK, 1),
    "webhooks.delete": lambda w: webhooks.delete(w.db, w.actor, w.webhook()),
    "webhooks.renew_secret": lambda w: webhooks.renew_secret(w.db, w.actor, w.webhook()),
    "webhooks.test": lambda w: webhooks.test(w.db, w.actor, w.webhook()),
    "webhooks.notices": lambda w: webhooks.notices(w.db, w.actor, w.webhook()),
    "webhooks.count_notices": lambda w: webhooks.count_notices(w.db, w.actor, w.webhook()),
    "webhooks.send_again": lambda w: webhooks.send_again(w.db, w.actor, *w.notice()),
    "alarms.list": lambda w: alarms.list(w.db, w.settings, w.actor),
    "notifications.chosen": lambda w: notifications.chosen(w.db, w.actor),
    "notifications.choose": lambda w: notifications.choose(w.db, w.actor, JobMails.NEVER),
    "audit.entries": lambda w: audit.entries(w.db, w.actor),
    "audit.count": lambda w: audit.count(w.db, w.actor),
    "audit.details": lambda w: audit.details(w.db, w.actor, w.entry(), WHY),
    "audit.export": lambda w: audit.export(w.db, w.actor),
    "review.waiting": lambda w: review.waiting(w.db, w.actor),
    "review.held (own)": lambda w: review.held(w.db, w.actor, w.own()),
    "review.held (foreign)": lambda w: review.held(w.db, w.actor, w.foreign_job()),
    "review.release": lambda w: review.release(w.db, w.actor, w.item("stranger", State.FAILURE), None, WHY),
    "review.reject": lambda w: review.reject(w.db, w.actor, w.item("stranger", State.FAILURE), None, WHY),
    "trials.list": lambda w: trials.list(w.db, w.actor),
    "trials.get": lambda w: trials.get(w.db, w.actor, w.trial_number()),
    "trials.named": lambda w: trials.named(w.db, w.actor, w.trial()),
    "trials.allow": lambda w: trials.allow(w.db, w.actor, w.trial_number(), w.other.username),
    "trials.remove": lambda w: trials.remove(w.db, w.actor, w.trial_number(), "eve"),
    "escrow.look_up": lambda w: escrow.look_up(w.db, w.actor, w.trial(), "ANON", WHY),
    "escrow.forget": lambda w: escrow.forget(w.db, w.actor, w.trial(), WHY),
}


def rows(table: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Door, second column, and the other cells by the name of their column."""
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines() if line.strip()]
    for door, second, *cells in lines[1:]:
        yield door, second, dict(zip(lines[0][2:], cells, strict=True))


@pytest.fixture(scope="module")
def a_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One database for all cells: each cell's transaction is rolled back."""
    directory = tmp_path_factory.mktemp("rights")
    (directory / "research").mkdir()
    patch = pytest.MonkeyPatch()
    patch.setattr(Database, "empty_log", lambda _: True)  # waits for the transaction that the cell is tried in
    with new_url("sqlite", directory) as url:
        db = Database(url, MASTER_KEY)
        db.migrate()
        yield _filled(db, some_settings(directory), directory)
        db.close()
    patch.undo()


def _filled(db: Database, settings: Settings, directory: Path) -> World:
    store, people, root = NodeStore(db), UserStore(db), operator("root")
    waiting = people.confirm_email(people.add("waiting", a_profile("waiting")).id)
    guarded = Group("guarded", frozenset({Permission.READ_AUDIT}))
    return World(
        db,
        settings,
        source=store.add(a_server("SOURCE")).id,
        folder=store.add(a_folder(path=str(directory / "research"))).id,
        foreign=store.add(a_server("FOREIGN")).id,
        other=a_user(db, "other"),
        waiting=waiting,
        plain=groups.add(db, root, Group("plain")),
        guarded=groups.add(db, root, guarded),
    )


class _UndoneError(Exception):
    """Ends the transaction of a cell."""


@contextmanager
def undone(db: Database) -> Iterator[None]:
    with suppress(_UndoneError), db.transaction():
        yield
        raise _UndoneError


def rights_of(who: str, right: str) -> frozenset[Permission]:
    every = frozenset(Permission)
    if right == "-":
        return every
    wanted = Permission[right]
    if who == "other":
        return every - {wanted}
    return frozenset({wanted, OF_USE_ONLY_WITH.get(wanted, wanted)})


def somebody(world: World, who: str, right: str, is_in_group: bool) -> Actor | None:
    """The actor that a browser of this person would be, None when they cannot be signed in."""
    if who == "operator":
        return operator("shell")
    db = world.db
    user = a_user(db, f"a-{who}", is_staff=who == "staff", is_superuser=who == "superuser")
    if is_in_group:
        members = frozenset({user.id, world.other.id})
        sides = frozenset({NodeRight(world.source, source=True), NodeRight(world.folder, destination=True)})
        GroupStore(db).add(Group("theirs", rights_of(who, right), members, sides))
        world.other = UserStore(db).get(world.other.id)
    token = a_session(db, world.settings, user)
    if who == "out":
        UserStore(db).change_active(user.id, False)
    found = sessions.find(db, world.settings, token)
    return found.actor if found else None


def verdict(world: World, door: str) -> str:
    try:
        answer = DOORS[door](world)
    except AditError as error:
        is_asked = door.startswith(("search.series", "search.preview")) and error.code == "BadRequest"
        return "asked" if is_asked else SHORT.get(error.code, error.code)
    is_counted = door in {"nodes.sources", "nodes.destinations", "quotas.usages"}
    return str(len(answer)) if is_counted and isinstance(answer, Sized) else "ok"


@pytest.mark.parametrize(("door", "right", "cells"), [pytest.param(*row, id=row[0]) for row in rows(TABLE)])
def test_a_door_opens_to_those_of_the_table(a_world: World, door: str, right: str, cells: Mapping[str, str]) -> None:
    found: dict[str, str] = {}
    for who in cells:
        with undone(a_world.db):
            world = replace(a_world)
            actor = somebody(world, who, right, is_in_group=who in {"holder", "other", "out"})
            found[who] = verdict(replace(world, actor=actor), door) if actor else "out"
    assert found == cells


@pytest.mark.parametrize(
    ("door", "state", "cells"), [pytest.param(*row, id=f"{row[0]}, {row[1]}") for row in rows(CLOSED)]
)
def test_a_closed_application_stays_open_to_those_of_the_table(
    a_world: World, door: str, state: str, cells: Mapping[str, str]
) -> None:
    found: dict[str, str] = {}
    for who, expected in cells.items():
        with undone(a_world.db):
            world = replace(a_world)
            actor = somebody(world, who, "ADD_BATCH_TRANSFER", is_in_group=True)
            assert actor is not None
            _close(world.db, state)
            found[who] = verdict(replace(world, actor=actor), door) if expected != "-" else "-"
    assert found == cells


def _close(db: Database, state: str) -> None:
    if state == "maintenance":
        ProjectStore(db).update(Project(maintenance=True, version=ProjectStore(db).get().version))
    elif state != "open":
        for app in App:
            ProjectStore(db).set_app(AppState(app, locked=state == "locked", suspended=state == "suspended"))


def test_every_door_is_in_a_table() -> None:
    assert {door for table in (TABLE, CLOSED) for door, *_ in rows(table)} == set(DOORS)


def test_every_right_that_a_door_asks_for_is_in_the_table() -> None:
    """Rights without a door yet stand here, to be taken away with the door's row."""
    without_a_door = {
        *("VIEW_SELECTIVE_TRANSFER", "SELECTIVE_URGENT", "SELECTIVE_UNPSEUDONYMIZED"),  # as those of batch transfers
        "DOWNLOAD_STUDY",
        *("ADD_MASS_TRANSFER", "VIEW_MASS_TRANSFER", "MASS_URGENT", "MASS_UNPSEUDONYMIZED"),
        *("WEB_QUERY", "WEB_RETRIEVE", "WEB_STORE"),
    }
    named = {right for _, right, _ in rows(TABLE)} - {"-"}
    assert named | without_a_door == {permission.name for permission in Permission}
    assert not named & without_a_door
