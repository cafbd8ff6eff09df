"""Prefect's own command, of which one thing is mended before it starts its server.

Prefect 3.8.8 inserts scheduled flow runs in a way that SQLAlchemy refuses from 2.1 on (``FlowRun.state`` is a hybrid
property without ``bulk_dml``), so that nothing that has a schedule was ever run; its server's log has "Can't evaluate
bulk DML statement". Versions of SQLAlchemy before that left the value out without a word, as this does.
"""

from typing import Any

from prefect.server.database.orm_models import FlowRun


def mend_schedules() -> None:
    """Let many flow runs be inserted by one statement; their states are inserted by another, in any case."""
    hybrid: Any = vars(FlowRun)["state"]
    if getattr(hybrid, "bulk_dml_setter", None) is None:
        hybrid.bulk_dml_setter = _leave_out


def _leave_out(_kind: type[FlowRun], _mapping: dict[str, Any], _value: object) -> None:
    """Set no column."""


if __name__ == "__main__":
    from prefect.cli import app

    mend_schedules()
    app()
