"""API tokens: whose script it is and what it may do, and how people make tokens and revoke them.

A token can do no more than its owner, in the browser, at this very moment; it may be limited to less.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.people import UserStore
from models.db.tokens import TokenStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.people import Actor, NodeAccess, Permission, Standing, User
from models.domain.tokens import Operation, OwnedToken, Token, TokenWish, Use
from services import audit, nodes
from services.people import actors
from services.people.secret_tokens import API_PREFIX, new_api_token

LONGEST_LIFE = timedelta(days=366)
"""A date farther away needs the right to tokens that never expire."""
DESCRIPTION_LENGTH = 200
MOST_TOKENS = 100
"""How many one person may have."""

_BEGINNING_LENGTH = 9
_FIRST_LIFE = timedelta(days=365)
_SECRET = re.compile(rf"{API_PREFIX}[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that was shown, whose it is, and what it may do now: use it for one request, then look again."""

    token: Token
    user: User
    actor: Actor


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that has just been made, with its secret, which nobody can see again."""

    token: Token
    secret: str = field(repr=False)


def add_first(db: Database, user: User, secret: str, by: str) -> None:
    """Give the first superuser a token whose secret stands in the settings; it is good for a year.

    Raises BadRequest when the secret has not the form of a token.
    """
    if not _SECRET.fullmatch(secret):
        raise BadRequest("ADIT_ADMIN_TOKEN is no token. Make one with adit generate-auth-token.")
    wish = TokenWish("first token, from the settings", db.clock() + _FIRST_LIFE)
    with db.transaction():
        token = TokenStore(db).add(user.id, secret, secret[:_BEGINNING_LENGTH], wish)
        audit.record(db, by, AuditAction.ADD_TOKEN, f"{_subject(token, user.username)}: {_words(db, token)}")


def bearer(db: Database, token: str, address: str) -> Bearer | None:
    """Who shows this token; None when it is unknown, was revoked, has expired, or its owner may not come in.

    Costs three small questions, and one more for a token that is limited to nodes. Any text is a fine token.
    """
    if not _SECRET.fullmatch(token):
        return None
    found = TokenStore(db).find(token)
    if found is None or found.user.standing is not Standing.ACTIVE:
        return None
    actor = _cut_down(actors.of_user(found.user, found.rights, address), found.token)
    return Bearer(found.token, found.user, actor)


def is_alive(db: Database, token_id: int) -> bool:
    """Whether a token that was good at the beginning of a long answer still is; costs one question."""
    return TokenStore(db).is_alive(token_id)


def actor_now(db: Database, actor: Actor) -> Actor | None:
    """What somebody who came in by a token may do now; None when it does not count any more. Costs four questions."""
    token = actor.token
    if token is None or not is_alive(db, token.id):
        return None
    user = UserStore(db).get(token.user_id)
    return _cut_down(actors.of_user(user, GroupStore(db).rights(user.id), actor.address), token)


def add(db: Database, actor: Actor, wish: TokenWish) -> NewToken:
    """A new token of the actor.

    One that is limited to nodes never administers. A token can make another only when it has no limits itself, and
    none that outlives it. Raises NotPermitted, or BadRequest naming ``description``, ``expires_at``, ``operations`` and
    ``nodes``.
    """
    with audit.refusals_recorded(db, actor, AuditAction.ADD_TOKEN, f"account {actor.name}"):
        owner = _id(actor)
        _check_may_add(actor, wish)
    wish = _cleaned(wish)
    if problems := _problems(actor, wish, db.clock()):
        raise BadRequest.of(problems)
    secret = new_api_token()
    with db.transaction():
        token = TokenStore(db).add(owner, secret, secret[:_BEGINNING_LENGTH], wish, MOST_TOKENS)
        audit.record(db, actor, AuditAction.ADD_TOKEN, f"{_subject(token, actor.name)}: {_words(db, token)}")
        return NewToken(token, secret)


def list(db: Database, actor: Actor) -> tuple[Token, ...]:
    """The actor's own tokens, newest first; one that has expired stays for some time. One with limits lists itself."""
    own = TokenStore(db).of_user(_id(actor))
    shown = actor.token
    return own if shown is None or not shown.is_limited else tuple(token for token in own if token.id == shown.id)


def revoke(db: Database, actor: Actor, token_id: int) -> None:
    """End a token at once: one's own, or for staff any. A token with limits revokes no other of its owner than itself.

    Raises NotPermitted, or NotFound, also for a token of somebody else.
    """
    with audit.refusals_recorded(db, actor, AuditAction.REVOKE_TOKEN, f"token {token_id}"):
        if actor.token and actor.token.is_limited and actor.token.id != token_id and not actor.is_staff:
            raise NotPermitted("A token with limits revokes no other than itself.")
    with db.transaction():
        found = TokenStore(db).get(token_id)
        if found.token.user_id != actor.user_id and not actor.is_staff:
            raise NotFound("There is no such token.")
        TokenStore(db).remove(token_id)
        audit.record(db, actor, AuditAction.REVOKE_TOKEN, _subject(found.token, found.owner))


def of_everybody(
    db: Database, actor: Actor, user_id: int | None = None, limit: int = 50, offset: int = 0
) -> tuple[OwnedToken, ...]:
    """The tokens of everybody or of one user, newest first; raises NotPermitted for others than staff."""
    _check_is_staff(actor)
    return TokenStore(db).list(user_id, limit, offset)


def count_of_everybody(db: Database, actor: Actor, user_id: int | None = None) -> int:
    """How many tokens ``of_everybody`` would find without a limit, for staff."""
    _check_is_staff(actor)
    return TokenStore(db).count(user_id)


def owners(db: Database, actor: Actor) -> Mapping[int, str]:
    """The usernames of those who have tokens by their ids, by name, for staff."""
    _check_is_staff(actor)
    return TokenStore(db).owners()


def note_use(db: Database, uses: Mapping[int, Use]) -> None:
    """Add to the usage of tokens, by their ids, in one transaction; those revoked in the meantime are passed over."""
    if uses:
        TokenStore(db).note_use(uses)


def _cut_down(actor: Actor, token: Token) -> Actor:
    """The actor, with the limits of the token. Without ADMINISTER a superuser keeps the rights, but not the power."""
    actor = replace(actor, token=token, nodes_limit=token.nodes)
    if token.nodes is not None:
        access = actor.access
        actor = replace(actor, access=NodeAccess(access.sources & token.nodes, access.destinations & token.nodes))
    if not token.allows(Operation.ADMINISTER):
        actor = replace(actor, is_staff=False, is_superuser=False)
    return actor


def _check_may_add(actor: Actor, wish: TokenWish) -> None:
    if Permission.ADD_TOKEN not in actor.permissions:
        raise NotPermitted("You may not make API tokens. Ask an administrator for the right.")
    if actor.token and actor.token.is_limited:
        raise NotPermitted("A token with limits cannot make tokens.")
    if wish.expires_at is None and Permission.ADD_LASTING_TOKEN not in actor.permissions:
        raise NotPermitted("You may not make tokens that never expire. Ask an administrator for the right.")


def _cleaned(wish: TokenWish) -> TokenWish:
    """The wish without blanks around its description; one with nodes names what it can do, which is all but administer.

    Else "no limit" would administer.
    """
    operations = wish.operations
    if wish.nodes is not None and operations is None:
        operations = frozenset(Operation) - {Operation.ADMINISTER}
    return replace(wish, description=" ".join(wish.description.split()), operations=operations)


def _problems(actor: Actor, wish: TokenWish, now: datetime) -> dict[str, str]:
    problems: dict[str, str] = {}
    if len(wish.description) > DESCRIPTION_LENGTH:
        problems["description"] = f"At most {DESCRIPTION_LENGTH} characters."
    elif not wish.description.isprintable():
        problems["description"] = "It has characters that cannot be shown."
    if problem := _expiry_problem(actor, wish.expires_at, now):
        problems["expires_at"] = problem
    if wish.operations is not None and not wish.operations:
        problems["operations"] = "Choose at least one, or do not limit the token to any."
    if problem := _nodes_problem(actor, wish):
        problems["nodes"] = problem
    return problems


def _expiry_problem(actor: Actor, expires_at: datetime | None, now: datetime) -> str:
    last = actor.token.expires_at if actor.token else None
    if expires_at is None:
        return "A token cannot make one that outlives it." if last else ""
    if expires_at.tzinfo is None:
        return "Say in which time zone."
    if last and expires_at > last:
        return "A token cannot make one that outlives it."
    if expires_at <= now:
        return "This is in the past."
    if expires_at > now + LONGEST_LIFE and Permission.ADD_LASTING_TOKEN not in actor.permissions:
        return f"At most {LONGEST_LIFE.days} days from now."
    return ""


def _nodes_problem(actor: Actor, wish: TokenWish) -> str:
    if wish.nodes is None:
        return ""
    if not wish.nodes:
        return "Choose at least one, or do not limit the token to any."
    if not wish.nodes <= actor.access.sources | actor.access.destinations:
        return "One of these is not among your sources and destinations."
    if wish.operations is not None and Operation.ADMINISTER in wish.operations:
        return "A token that administers cannot be limited to some nodes."
    return ""


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only staff may see the tokens of others.")


def _id(actor: Actor) -> int:
    if actor.user_id is None:
        raise NotPermitted("The shell has no account, and so no tokens.")
    return actor.user_id


def _subject(token: Token, owner: str) -> str:
    return f"token {token.id} ({token.beginning}) of {owner}"


def _words(db: Database, token: Token) -> str:
    """What the token can do and how long, as the trail words it; never its description, which a person typed."""
    ends = "never expires" if token.expires_at is None else f"expires {token.expires_at:%Y-%m-%d %H:%M} UTC"
    words = [ends]
    if token.operations is not None:
        words.append(", ".join(sorted(token.operations)))
    if token.nodes is not None:
        names = nodes.names(db)
        words.append(f"nodes {', '.join(sorted(names[node_id] for node_id in token.nodes))}")
    return "; ".join(words)
