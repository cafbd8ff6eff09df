"""What the check of a batch transfer has found, on the page of its job, and the step from it to the transfer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from models.domain.answers import CheckedRow, RowVerdict
from models.domain.errors import AditError, Bug, Refused
from models.domain.jobs import Job
from models.domain.people import Actor, Permission
from models.domain.quotas import readable
from services.batches import checks, transfers
from services.batches.checks import Outcome
from services.job_access import may_know_patients
from ui import context, session
from ui.parts import amounts, links, studies, tables
from ui.parts.batch_upload import show_refused
from ui.parts.flash import flash
from ui.parts.job_tables import lines_of
from ui.parts.query_results import file_buttons
from ui.parts.status import Colour
from ui.parts.tables import Column, Look

_HIDDEN = "The rows name patients. Only who submitted the job may see them."


@dataclass(frozen=True, slots=True)
class _Word:
    """How a verdict is called, its colour, what it means for a study, and how to say that such studies stay behind."""

    name: str
    colour: Colour
    meaning: str
    left_out: str = ""


_WORDS: Mapping[RowVerdict, _Word] = {
    RowVerdict.FOUND: _Word("Found", "green", "It is there, and can be transferred."),
    RowVerdict.ALREADY_THERE: _Word(
        "Already there", "blue", "An earlier job has brought it, or the destination has all of it."
    ),
    RowVerdict.NOT_FOUND: _Word("Not found", "red", "The source has no such study.", "was not found"),
    RowVerdict.AMBIGUOUS: _Word(
        "Ambiguous", "orange", "Several studies fit the row. Name one by its StudyInstanceUID.", "is ambiguous"
    ),
    RowVerdict.MISMATCH: _Word(
        "Another patient",
        "red",
        "The study belongs to another patient than the row says, or its patient ID or pseudonym cannot be used.",
        "belongs to another patient",
    ),
    RowVerdict.EXCLUDED: _Word(
        "Excluded", "gray", "All of it is of modalities that are not transferred.", "is of excluded modalities"
    ),
    RowVerdict.FAILED: _Word(
        "Failed",
        "red",
        "The source could not be asked. Retry the failed items, or leave them out.",
        "could not be looked up",
    ),
}
_WAITING = "Waiting"


def show_outcome(job: Job, actor: Actor) -> None:
    """Draw the totals, the rows by verdict, and what leads to the transfer."""
    outcome = checks.outcome(context.database(), actor, job.id)
    st.header("What the check has found", anchor=False)
    _totals(outcome)
    _verdicts(outcome)
    if outcome.transfer_id:
        links.job_button(outcome.transfer_id, f"To its transfer, job {outcome.transfer_id}", ":material/send:")
    elif outcome.has_ended:
        _offer(outcome, job, actor)
    if not may_know_patients(actor, job):
        st.caption(_HIDDEN)
        return
    st.header("The rows", anchor=False)
    if outcome.has_ended:
        file_buttons(job)
    _rows(outcome, job, actor)


def _totals(outcome: Outcome) -> None:
    found = outcome.of.get(RowVerdict.FOUND)
    room = outcome.usage.left_bytes if outcome.usage else None
    with st.container(horizontal=True, key="check-totals"):
        st.metric("Studies found", found.studies if found else 0, border=True, width="content")
        st.metric("Images", f"{outcome.instances:,}", border=True, width="content")
        st.metric("About", readable(outcome.size_bytes), border=True, width="content")
        if room is not None:
            st.metric("Room in the folder", readable(room), border=True, width="content")
    if found and found.uncounted:
        which = amounts.counted(found.uncounted, "study")
        st.caption(f"The source does not count the images of {which}; they are not in these numbers.")
    if not outcome.has_room:
        st.error(
            "The folder has no room for that much. Its transfer will be refused until there is some.",
            icon=":material/error:",
        )


def _verdicts(outcome: Outcome) -> None:
    """One line for each verdict that is no plain success."""
    lines = [
        f":{word.colour}[**{amounts.counted(tally.studies, 'study')}: {word.name.lower()}.**] {word.meaning}"
        for verdict, word in _WORDS.items()
        if verdict is not RowVerdict.FOUND and (tally := outcome.of.get(verdict)) and tally.studies
    ]
    if outcome.waiting:
        lines.append(f"**{amounts.counted(outcome.waiting, 'study')}: not looked at yet.**")
    if lines:
        st.markdown("\n".join(f"- {line}" for line in lines))


def _offer(outcome: Outcome, job: Job, actor: Actor) -> None:
    """Draw what has to be said before the transfer, and the button that makes it."""
    if job.owner != actor.name or Permission.ADD_BATCH_TRANSFER not in actor.permissions:
        return
    counts = {verdict: tally.studies for verdict, tally in outcome.of.items() if tally.studies}
    with st.container(border=True, key="make-transfer"):
        again = _asks_again(job, counts)
        open_ones = [verdict for verdict in counts if _WORDS[verdict].left_out]
        left_out = {verdict for verdict in open_ones if _asks_to_leave_out(job, verdict, counts[verdict])}
        total = counts.get(RowVerdict.FOUND, 0) + (counts.get(RowVerdict.ALREADY_THERE, 0) if again else 0)
        is_ready = bool(total) and len(left_out) == len(open_ones)
        _say_what_is_missing(total, len(open_ones) - len(left_out))
        is_asked = st.button(
            f"Transfer {amounts.counted(total, 'study')}",
            type="primary",
            icon=":material/send:",
            key="transfer",
            disabled=not is_ready,
        )
        if is_asked and is_ready:
            leave_out = left_out if again else {*left_out, RowVerdict.ALREADY_THERE}
            _transfer(job, leave_out, again)
    if not is_ready:
        links.batch_transfer_link("Hand in another file", icon=":material/upload_file:")


def _asks_again(job: Job, counts: Mapping[RowVerdict, int]) -> bool:
    count = counts.get(RowVerdict.ALREADY_THERE, 0)
    if not count:
        return False
    are = "that is" if count == 1 else "that are"
    return st.checkbox(
        f"Also transfer {amounts.counted(count, 'study')} {are} already there",
        key=f"again-{job.id}",
        help="Otherwise they stay as they are.",
    )


def _asks_to_leave_out(job: Job, verdict: RowVerdict, count: int) -> bool:
    """What was ticked for one check never counts for another that is opened in its place."""
    label = f"Leave out what {_WORDS[verdict].left_out}: {amounts.counted(count, 'study')}"
    return st.checkbox(label, key=f"leave-out-{verdict.value}-{job.id}")


def _say_what_is_missing(total: int, open_count: int) -> None:
    if not total:
        st.caption("There is nothing to transfer.")
    elif open_count:
        st.caption("Say above what shall be left out; or correct the file, and hand it in again.")


def _transfer(job: Job, leave_out: Collection[RowVerdict], again: bool) -> None:
    """Make the transfer; of one check there is one, however often somebody clicks."""
    with st.spinner("Making the transfer"):
        try:
            made = transfers.submit(context.database(), context.settings(), session.actor(), job.id, leave_out, again)
        except Bug:
            raise
        except AditError as error:
            problems = dict(error.problems) if isinstance(error, Refused) else dict[str, str]()
            show_refused(problems or {"request": error.message}, ())
            return
    flash(f"Job {made.id} is accepted.")
    links.go_to_job(made.id)


def _rows(outcome: Outcome, job: Job, actor: Actor) -> None:
    db = context.database()
    known = [verdict for verdict in _WORDS if outcome.of.get(verdict)]
    wanted = None
    if len(known) > 1:
        chosen = st.pills(
            "Show only",
            [verdict.value for verdict in known],
            format_func=lambda value: f"{_WORDS[RowVerdict(value)].name} ({outcome.of[RowVerdict(value)].studies:,})",
            key=f"verdict-{job.id}",
        )
        wanted = RowVerdict(chosen) if chosen else None

    def load(limit: int, offset: int) -> Sequence[CheckedRow]:
        return checks.rows(db, actor, job.id, wanted, limit, offset)

    picked = tables.paged_table(checks.count(db, actor, job.id, wanted), load, _look(job), "checked")
    if picked.opened:
        links.go_to_item(picked.opened.item_id)


def _look(job: Job) -> Look[CheckedRow]:
    colours = {word.name: str(word.colour) for word in _WORDS.values()} | {_WAITING: "gray"}
    verdicts = st.column_config.MultiselectColumn(
        "Verdict", options=list(colours), color=list(colours.values()), width=125
    )
    unnamed = "identity is kept" if job.keep_identity else "generated"
    large, medium = st.column_config.TextColumn(width="large"), st.column_config.TextColumn(width="medium")
    columns = [
        Column[CheckedRow]("Lines", lambda row: lines_of(row.lines), st.column_config.TextColumn(width="small")),
        Column[CheckedRow]("Row ID", lambda row: row.row_id),
        Column[CheckedRow]("Verdict", lambda row: [_WORDS[row.verdict].name if row.verdict else _WAITING], verdicts),
        Column[CheckedRow]("What was found", lambda row: row.sentence, medium),
        Column[CheckedRow]("Study", lambda row: studies.title(row.study) if row.study else "", large),
        Column[CheckedRow]("Pseudonym", lambda row: row.pseudonym or unnamed),
        Column[CheckedRow]("Images", lambda row: row.instance_count, st.column_config.NumberColumn(width="small")),
        Column[CheckedRow]("About", lambda row: readable(row.size_bytes) if row.size_bytes else ""),
    ]
    return Look(columns, "Rows of the check", lambda row: row.item_id, "study", button="Open")
