"""Users, groups, and the tokens of everybody."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.context import Here
from api.routes.admin import Admin
from api.routing import Route
from api.schemas.people import GroupChanged, GroupShown, GroupWished, UserChanged, UserShown, UserWished
from api.schemas.shapes import Listed, Number, Page, Part, Text
from api.schemas.tokens import TokenOfSomebody, TokenShown
from models.domain.people import Standing
from services.people import accounts, groups, tokens

router = APIRouter(prefix="/v1/admin", tags=["admin: people"], route_class=Route)

UserId = Annotated[Number, Path()]
GroupId = Annotated[Number, Path()]


@router.get("/users")
def list_users(
    here: Here,
    admin: Admin,
    part: Part,
    text: Annotated[Text, Query(description="Words that occur in a name, mail address or department.")] = "",
    standing: Annotated[Standing | None, Query()] = None,
) -> Page[UserShown]:
    """Accounts by name."""
    found = accounts.list(here.db, admin.actor, text, standing, part.limit, part.offset)
    total = accounts.count(here.db, admin.actor, text, standing)
    return Page(results=[UserShown.of(user) for user in found], total=total)


@router.post("/users", status_code=201)
def add_user(here: Here, admin: Admin, wished: UserWished) -> UserShown:
    """A new account, whose owner gets a link to choose a password."""
    user = accounts.add(
        here.db,
        here.settings,
        admin.actor,
        wished.username,
        wished.profile(),
        wished.groups,
        wished.is_staff,
        wished.is_superuser,
    )
    return UserShown.of(user)


@router.get("/users/{user_id}")
def show_user(here: Here, admin: Admin, user_id: UserId) -> UserShown:
    """One account."""
    return UserShown.of(accounts.get(here.db, admin.actor, user_id))


@router.put("/users/{user_id}")
def change_user(here: Here, admin: Admin, user_id: UserId, changed: UserChanged) -> UserShown:
    """Replace all that can be changed of an account."""
    before = accounts.get(here.db, admin.actor, user_id)
    return UserShown.of(accounts.update(here.db, admin.actor, changed.applied_to(before)))


@router.post("/users/{user_id}/approve")
def approve_user(here: Here, admin: Admin, user_id: UserId) -> UserShown:
    """Let somebody in who has registered."""
    return UserShown.of(accounts.approve(here.db, here.settings, admin.actor, user_id))


@router.post("/users/{user_id}/deactivate")
def deactivate_user(here: Here, admin: Admin, user_id: UserId) -> UserShown:
    """Shut somebody out at once, with all browsers and tokens."""
    return UserShown.of(accounts.deactivate(here.db, admin.actor, user_id))


@router.post("/users/{user_id}/activate")
def activate_user(here: Here, admin: Admin, user_id: UserId) -> UserShown:
    """Take a deactivation back."""
    return UserShown.of(accounts.activate(here.db, admin.actor, user_id))


@router.post("/users/{user_id}/reset", status_code=204)
def reset_password(here: Here, admin: Admin, user_id: UserId) -> None:
    """Mail somebody a link to choose a password."""
    accounts.send_reset(here.db, here.settings, admin.actor, user_id)


@router.get("/groups")
def list_groups(here: Here, admin: Admin) -> Listed[GroupShown]:
    """All groups by name."""
    return Listed(results=[GroupShown.of(group) for group in groups.list(here.db, admin.actor)])


@router.post("/groups", status_code=201)
def add_group(here: Here, admin: Admin, wished: GroupWished) -> GroupShown:
    """A new group."""
    return GroupShown.of(groups.add(here.db, admin.actor, wished.group()))


@router.get("/groups/{group_id}")
def show_group(here: Here, admin: Admin, group_id: GroupId) -> GroupShown:
    """One group."""
    return GroupShown.of(groups.get(here.db, admin.actor, group_id))


@router.put("/groups/{group_id}")
def change_group(here: Here, admin: Admin, group_id: GroupId, changed: GroupChanged) -> GroupShown:
    """Replace all that a group is; its members have what it gives from their next request on."""
    return GroupShown.of(groups.update(here.db, admin.actor, changed.group(group_id, changed.version)))


@router.delete("/groups/{group_id}", status_code=204)
def delete_group(here: Here, admin: Admin, group_id: GroupId) -> None:
    """Remove a group; its members lose what it gave."""
    groups.delete(here.db, admin.actor, group_id)


@router.get("/tokens")
def list_tokens_of_everybody(
    here: Here, admin: Admin, part: Part, user_id: Annotated[Number | None, Query()] = None
) -> Page[TokenOfSomebody]:
    """The tokens of everybody, or of one user, newest first."""
    found = tokens.of_everybody(here.db, admin.actor, user_id, part.limit, part.offset)
    results = [TokenOfSomebody(token=TokenShown.of(one.token), owner=one.owner) for one in found]
    return Page(results=results, total=tokens.count_of_everybody(here.db, admin.actor, user_id))


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token_of_somebody(here: Here, admin: Admin, token_id: Annotated[Number, Path()]) -> None:
    """End a token of anybody at once."""
    tokens.revoke(here.db, admin.actor, token_id)
