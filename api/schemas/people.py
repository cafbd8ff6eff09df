"""Users and groups, as administrators see and change them."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from api.schemas.shapes import Answer, Flag, Id, Ids, Request, Text, Version
from models.domain.people import Group, NodeRight, Permission, Profile, Standing, User


class ProfileFields(Request):
    """What people tell about themselves."""

    email: Text = Field(examples=["jana.mueller@example.org"])
    first_name: Text = ""
    last_name: Text = ""
    phone_number: Text = ""
    department: Text = ""

    def profile(self) -> Profile:
        """The same as services take it."""
        return Profile(self.email, self.first_name, self.last_name, self.phone_number, self.department)


class UserWished(ProfileFields):
    """A new account; a link to choose a password goes to its mail address."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "mueller", "email": "jana.mueller@example.org", "groups": [1]}]}
    )

    username: Text
    groups: Ids = Field(default=[])
    is_staff: Flag = False
    is_superuser: Flag = False


class UserChanged(ProfileFields):
    """An account as it should be; all of it is replaced."""

    groups: Ids
    is_active: Flag
    is_staff: Flag
    is_superuser: Flag
    version: Version

    def applied_to(self, user: User) -> User:
        """The account with these fields."""
        return User(
            id=user.id,
            username=user.username,
            profile=self.profile(),
            is_active=self.is_active,
            is_staff=self.is_staff,
            is_superuser=self.is_superuser,
            groups=frozenset(self.groups),
            joined_at=user.joined_at,
            email_confirmed_at=user.email_confirmed_at,
            approved_at=user.approved_at,
            last_login_at=user.last_login_at,
            version=self.version,
        )


class UserShown(Answer):
    """An account. Neither its password nor anything made of it is ever shown."""

    id: int
    username: str
    email: str
    first_name: str
    last_name: str
    phone_number: str
    department: str
    is_active: bool
    is_staff: bool
    is_superuser: bool
    groups: list[int]
    standing: Standing
    joined_at: datetime
    email_confirmed_at: datetime | None
    approved_at: datetime | None
    last_login_at: datetime | None
    version: int

    @classmethod
    def of(cls, user: User) -> Self:
        """What is shown of an account."""
        profile = user.profile
        return cls(
            id=user.id,
            username=user.username,
            email=profile.email,
            first_name=profile.first_name,
            last_name=profile.last_name,
            phone_number=profile.phone_number,
            department=profile.department,
            is_active=user.is_active,
            is_staff=user.is_staff,
            is_superuser=user.is_superuser,
            groups=sorted(user.groups),
            standing=user.standing,
            joined_at=user.joined_at,
            email_confirmed_at=user.email_confirmed_at,
            approved_at=user.approved_at,
            last_login_at=user.last_login_at,
            version=user.version,
        )


class NodeRightFields(Request):
    """What a group may do with one node."""

    node_id: Id
    source: Flag = False
    destination: Flag = False


class NodeRightShown(Answer):
    """What a group may do with one node."""

    node_id: int
    source: bool
    destination: bool


class GroupWished(Request):
    """A group with all that it gives."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Radiology research",
                    "permissions": ["selective_transfer.add_selectivetransferjob"],
                    "members": [2],
                    "nodes": [{"node_id": 1, "source": True}],
                }
            ]
        }
    )

    name: Text
    permissions: Annotated[list[Permission], Field(fail_fast=True, max_length=100)] = Field(default=[])
    members: Ids = Field(default=[])
    nodes: Annotated[list[NodeRightFields], Field(fail_fast=True, max_length=10_000)] = Field(default=[])

    def group(self, group_id: int = 0, version: int = 1) -> Group:
        """The same as services take it."""
        rights = {NodeRight(right.node_id, right.source, right.destination) for right in self.nodes}
        return Group(
            name=self.name,
            permissions=frozenset(self.permissions),
            members=frozenset(self.members),
            nodes=frozenset(right for right in rights if right.source or right.destination),
            id=group_id,
            version=version,
        )


class GroupChanged(GroupWished):
    """A group as it should be; all of it is replaced."""

    version: Version


class GroupShown(Answer):
    """A group."""

    id: int
    name: str
    permissions: list[Permission]
    members: list[int]
    nodes: list[NodeRightShown]
    version: int

    @classmethod
    def of(cls, group: Group) -> Self:
        """What is shown of a group."""
        return cls(
            id=group.id,
            name=group.name,
            permissions=sorted(group.permissions),
            members=sorted(group.members),
            nodes=[
                NodeRightShown.model_validate(right) for right in sorted(group.nodes, key=lambda right: right.node_id)
            ],
            version=group.version,
        )
