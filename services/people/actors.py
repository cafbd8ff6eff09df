"""Who acts: the rights that a person has at this very moment, however they came in."""

from models.db.engine import Database
from models.db.groups import GroupStore, Rights
from models.db.people import UserStore
from models.domain.errors import NotPermitted
from models.domain.people import Actor, Permission, Standing, User


def of_user(user: User, rights: Rights, address: str = "") -> Actor:
    """The actor that a user is by their groups. Staff and superusers reach no node that their groups may not use."""
    return Actor(
        name=user.username,
        is_staff=user.is_staff or user.is_superuser,
        permissions=frozenset(Permission) if user.is_superuser else rights.permissions,
        access=rights.access,
        is_superuser=user.is_superuser,
        user_id=user.id,
        groups=rights.groups,
        address=address,
    )


def of_name(db: Database, username: str, address: str = "") -> Actor:
    """The actor with this username, in any case.

    Raises NotFound when there is no such account, NotPermitted when it may not be used.
    """
    user = UserStore(db).by_name(username)
    if user.standing is not Standing.ACTIVE:
        raise NotPermitted("This account is not active.")
    return of_user(user, GroupStore(db).rights(user.id), address)
