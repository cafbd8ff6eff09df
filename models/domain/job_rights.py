"""Which right each kind of job needs for what."""

from collections.abc import Mapping

from models.domain.jobs import JobKind
from models.domain.people import Permission

MAY_ADD: Mapping[JobKind, Permission] = {
    JobKind.SELECTIVE_TRANSFER: Permission.ADD_SELECTIVE_TRANSFER,
    JobKind.BATCH_TRANSFER: Permission.ADD_BATCH_TRANSFER,
    JobKind.BATCH_QUERY: Permission.ADD_BATCH_QUERY,
    JobKind.BATCH_CHECK: Permission.ADD_BATCH_TRANSFER,
}
MAY_SEE: Mapping[JobKind, Permission] = {
    JobKind.SELECTIVE_TRANSFER: Permission.VIEW_SELECTIVE_TRANSFER,
    JobKind.BATCH_TRANSFER: Permission.VIEW_BATCH_TRANSFER,
    JobKind.BATCH_QUERY: Permission.VIEW_BATCH_QUERY,
    JobKind.BATCH_CHECK: Permission.VIEW_BATCH_TRANSFER,
}
"""The right to see jobs of the members of the group that gives it."""
MAY_HURRY: Mapping[JobKind, Permission] = {
    JobKind.SELECTIVE_TRANSFER: Permission.SELECTIVE_URGENT,
    JobKind.BATCH_TRANSFER: Permission.BATCH_URGENT,
    JobKind.BATCH_QUERY: Permission.BATCH_QUERY_URGENT,
    JobKind.BATCH_CHECK: Permission.BATCH_URGENT,
}
MAY_SHOW_IDENTITY: Mapping[JobKind, Permission] = {
    JobKind.SELECTIVE_TRANSFER: Permission.SELECTIVE_UNPSEUDONYMIZED,
    JobKind.BATCH_TRANSFER: Permission.BATCH_UNPSEUDONYMIZED,
    JobKind.BATCH_CHECK: Permission.BATCH_UNPSEUDONYMIZED,
}
"""A batch query has no identity to keep: nothing is moved."""
