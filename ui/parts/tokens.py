"""API tokens in words, the same for their owners and for administrators: what they may do, how long, how much used."""

from collections.abc import Mapping

from models.domain.quotas import readable
from models.domain.tokens import Operation, Token
from ui import context
from ui.parts import amounts, times
from ui.parts.confirm import Question

OPERATIONS: Mapping[Operation, str] = {
    Operation.READ: "See jobs and receipts",
    Operation.SEARCH: "Search servers",
    Operation.RETRIEVE: "Fetch studies over DICOMweb",
    Operation.STORE: "Store studies over DICOMweb",
    Operation.TRANSFER: "Submit and steer transfers",
    Operation.ADMINISTER: "Administer",
}


def expiry(token: Token) -> str:
    """When the token ends, or has ended."""
    if token.expires_at is None:
        return "never expires"
    return f"{'expired' if has_expired(token) else 'expires'} {times.moment(token.expires_at)}"


def has_expired(token: Token) -> bool:
    """Whether the token is over; for some time it is still listed."""
    return token.has_expired(context.database().clock())


def limits(token: Token, nodes: Mapping[int, str]) -> str:
    """What the token is limited to, ``can only search servers; only with PACS``; empty for no limit.

    ``nodes`` are names by id.
    """
    told: list[str] = []
    if token.operations is not None:
        words = [word for operation, word in OPERATIONS.items() if operation in token.operations]
        told.append(f"can only {', '.join(word[0].lower() + word[1:] for word in words)}")
    if token.nodes is not None:
        names = sorted(nodes[node_id] for node_id in token.nodes if node_id in nodes)
        told.append(f"only with {', '.join(names)}" if names else "with no server or folder any more")
    return "; ".join(told)


def usage(token: Token) -> str:
    """How much the token was used, ``1,204 requests, 3.4 GB``."""
    if not token.request_count:
        return "never used"
    return f"{amounts.counted(token.request_count, 'request')}, {readable(token.answered_bytes)}"


def revocation(token: Token, owner: str = "") -> Question:
    """The question before a token is revoked; ``owner`` is named where it is somebody else's."""
    whose = f" of {owner}" if owner else ""
    named = f" ({token.description})" if token.description else ""
    return Question(
        "Revoke the token?",
        f"Scripts that use {token.beginning}…{named}{whose} are refused at once. This cannot be taken back.",
        "Revoke",
        "The token is revoked.",
    )
