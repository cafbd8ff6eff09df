"""What nobody expected: a reference for the person, and the place in the log. Never values: they may be patients'."""

import logging
import secrets
import traceback

from models.domain.errors import AditError

log = logging.getLogger(__name__)


def record(error: BaseException) -> str:
    """Log where an error came from, and return the reference under which it is found.

    Messages of libraries quote the values they stumbled over, so only our own are logged, and no locals.
    """
    reference = secrets.token_hex(4)
    log.error("fault %s: %s", reference, "\n".join(told(error)))
    return reference


def apology(reference: str) -> str:
    """The sentence for a person who met an error that is ours."""
    return f"Something went wrong on our side. If it happens again, tell an administrator this reference: {reference}"


def told(error: BaseException) -> list[str]:
    """The kinds of an error and its causes with the places they came from, and the texts of those that are ours."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None:
        text = f": {current.message}" if isinstance(current, AditError) else ""
        frames = traceback.extract_tb(current.__traceback__)
        chain += [f"{type(current).__name__}{text}", *(f"  {f.filename}:{f.lineno} in {f.name}" for f in frames)]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain
