"""What schemas are made of: texts and numbers that a database can hold, and pages of long lists."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar, cast

from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from models.domain.refs import UID_PATTERN

T = TypeVar("T")

LARGEST_ID = 2**31 - 1
MOST_AT_ONCE = 500
_MOST_UNKNOWN = 10

Id = Annotated[int, Field(strict=True, ge=1, le=LARGEST_ID)]
Number = Annotated[int, Field(ge=1, le=LARGEST_ID)]
"""The same in an address, where everything is text."""
Version = Annotated[Id, Field(description="As it was read; refused with 409 when somebody else has changed it since.")]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
"""Any text but the character NUL, which PostgreSQL does not keep."""
LongText = Annotated[str, Field(max_length=50_000, pattern=r"^[^\x00]*$")]
Uid = Annotated[
    str, Field(max_length=64, pattern=rf"^{UID_PATTERN.pattern}$", examples=["1.2.840.113619.2.55.3.604688119.969"])
]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time within the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its time zone."""


def _node(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_ID:
        return value
    if isinstance(value, str) and 1 <= len(value) <= 64 and "\x00" not in value:
        return value
    raise ValueError("the id, the name or the AE title of a node")


NodeWish = Annotated[
    int | str,
    PlainValidator(_node),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
                {"type": "string", "minLength": 1, "maxLength": 64},
            ],
            "description": "Its id, its name or its AE title.",
        }
    ),
]
"""How a request names a node."""


def _distinct(values: Sequence[T]) -> Sequence[T]:
    if len(set(values)) < len(values):
        raise ValueError("one stands there twice")
    return values


Ids = Annotated[
    list[Id],
    Field(fail_fast=True, max_length=10_000, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]


class Request(BaseModel):
    """A body that a caller sends: unknown fields are refused, and errors never quote what was sent.

    Its lists have ``fail_fast``: an error for each of their values would take longer and more memory than all else.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, sent: Any) -> Any:
        if isinstance(sent, dict) and len(cast(dict[object, object], sent)) > len(cls.model_fields) + _MOST_UNKNOWN:
            raise ValueError("there are too many fields")
        return cast(Any, sent)


class Answer(BaseModel):
    """A body that a caller gets."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Page(Answer, Generic[T]):
    """A part of a list; ``total`` is how many there are in all."""

    results: list[T]
    total: int


class Listed(Answer, Generic[T]):
    """A whole list, which is never long."""

    results: list[T]


class Paging(BaseModel):
    """Which part of a list is wanted."""

    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 50
    offset: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0


def _paging(
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE, description="How many at most.")] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST_ID, description="How many to pass over.")] = 0,
) -> Paging:
    return Paging(limit=limit, offset=offset)


Part = Annotated[Paging, Depends(_paging)]
"""A parameter of a route that gives a part of a list."""
