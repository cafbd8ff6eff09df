"""Keeps what reviewers decided about held instances."""

from collections.abc import Collection, Mapping

from sqlalchemy import select

from models.db.engine import Database
from models.db.tables import ReviewRow
from models.domain.reviews import Decision


class ReviewStore:
    """Decisions by item and SOP Instance UID of the source."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, item_id: int, sop_uids: Collection[str], decision: Decision, reviewer: str) -> None:
        """Write a decision down; it replaces an earlier one about the same instance."""
        with self._db.transaction() as session:
            for sop_uid in sorted(sop_uids):
                row = session.get(ReviewRow, (item_id, sop_uid)) or ReviewRow(item_id=item_id, sop_uid=sop_uid)
                row.decision, row.reviewer = decision, reviewer
                row.decided_at = self._db.clock()
                session.add(row)

    def decisions(self, item_id: int) -> Mapping[str, Decision]:
        """What was decided about instances of an item, by SOP Instance UID."""
        with self._db.reading() as session:
            rows = session.execute(select(ReviewRow.sop_uid, ReviewRow.decision).where(ReviewRow.item_id == item_id))
            return dict(rows.all())
