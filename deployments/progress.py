"""Shows a job on the terminal: a bar while it runs, and what its receipts prove afterwards."""

import time
from collections.abc import Callable, Mapping, Sequence

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.screen import FAILURE, SUCCESS, WARNING, console, say, show_table
from models.db.engine import Database
from models.domain.jobs import FINISHED, Item, Job, State
from models.domain.people import Actor
from models.domain.receipts import Receipt, ReceiptSummary
from services import jobs

_LOOK_EVERY_S = 0.5
_COLUMNS = (
    "#",
    "pseudonym",
    "state",
    "error",
    "verdict",
    "expected",
    "stored",
    "confirmed",
    "left out",
    "held",
    "missing",
)


def watch(db: Database, actor: Actor, job_id: int, pause: Callable[[float], None] = time.sleep) -> Job:
    """Show a bar until the job has ended, and return the job; what holds it back stands beside the bar.

    ``pause`` waits for so many seconds.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"Job {job_id}", total=1.0, note="waits for its flow run")
        while (job := jobs.get(db, actor, job_id)).state not in FINISHED:
            fraction, note = _stand(jobs.items(db, actor, job_id), jobs.receipt_summaries(db, actor, job_id))
            progress.update(bar, completed=fraction, note=f"{note}. {job.message}" if job.message else note)
            pause(_LOOK_EVERY_S)
        _, note = _stand(jobs.items(db, actor, job_id), jobs.receipt_summaries(db, actor, job_id))
        progress.update(bar, completed=1.0, note=note)
    return job


def show_items(db: Database, actor: Actor, job_id: int) -> None:
    """Print what has become of every item of a job: counts of instances, then each study with its message."""
    found = jobs.receipts(db, actor, job_id)
    keeps_identity = jobs.get(db, actor, job_id).keep_identity
    rows = [_row(item, receipt, keeps_identity) for item, receipt in found]
    show_table(f"Items of job {job_id}", _COLUMNS, rows)
    for item, _ in found:
        code = f"{item.error_code}: " if item.error_code else ""
        say(f"#{item.position} study {item.study_uid}: {code}{item.message or 'not tried yet'}")


def exit_status(items: Sequence[Item]) -> int:
    """0 only when every item is a success, 1 when some have warnings, 2 when any failed, was canceled or goes on."""
    states = {item.state for item in items}
    if states <= {State.SUCCESS}:
        return SUCCESS
    return WARNING if states <= {State.SUCCESS, State.WARNING} else FAILURE


def _stand(items: Sequence[Item], receipts: Mapping[int, ReceiptSummary]) -> tuple[float, str]:
    """How much is done, from 0 to 1, and the same in words."""
    ended = sum(item.state in FINISHED for item in items)
    stored = sum(receipt.stored for receipt in receipts.values())
    done = sum(_share_done(item, receipts.get(item.id)) for item in items)
    return done / max(len(items), 1), f"{ended} of {len(items)} items, {stored} instances stored"


def _share_done(item: Item, receipt: ReceiptSummary | None) -> float:
    if item.state in FINISHED:
        return 1.0
    wanted = (receipt.expected or 0) - receipt.left_out - receipt.held if receipt else 0
    return min(receipt.stored / wanted, 1.0) if receipt and wanted > 0 else 0.0


def _row(item: Item, receipt: Receipt, keeps_identity: bool) -> tuple[object, ...]:
    pseudonym = item.pseudonym or ("identity kept" if keeps_identity else "not known yet")
    begun = (item.position, pseudonym, item.state.value, item.error_code)
    if not item.attempts and not receipt.received:
        return begun
    return (
        *begun,
        receipt.verdict.value,
        "unknown" if receipt.expected is None else len(receipt.expected),
        len(receipt.stored),
        len(receipt.confirmed) if receipt.is_confirmable else "cannot be asked",
        len(receipt.left_out),
        len(receipt.held),
        len(receipt.missing),
    )
