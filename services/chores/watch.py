"""Tells administrators by mail when a chore fails or is not done any more, and when that is over; each once.

And that prefect.yaml cannot be understood, which stops nothing that runs.
"""

from datetime import datetime

from models.db.engine import Database
from models.settings import Settings
from services import deployment_plan
from services.alarms import watching
from services.chores import overview
from services.chores.roster import CHORES

_PLAN = "plan"


def look(db: Database, settings: Settings, since: datetime, stands_by: bool = False) -> None:
    """Look at all chores once; ``since`` is when whoever looks has begun to.

    The file is each machine's own: that of a dispatcher which stands by is no alarm, and ends none.
    """
    found, wrong = overview.troubles(db, settings, since), deployment_plan.complaint(settings)
    if not stands_by:
        _look_at_plan(db, settings, wrong)
    for name in CHORES:
        if name in found:
            title, words = found[name]
            watching.see(db, settings, f"chore-{name}", f"Scheduled work: {title}", words)
        elif not wrong:  # else one that is late still is
            watching.clear(db, settings, f"chore-{name}")


def _look_at_plan(db: Database, settings: Settings, wrong: str) -> None:
    if wrong:
        words = f"{wrong} Prefect goes on by what it was told before. Correct the file, then run adit deploy."
        watching.see(db, settings, _PLAN, "prefect.yaml cannot be understood", words)
    else:
        watching.clear(db, settings, _PLAN)
