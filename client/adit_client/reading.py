"""Makes values out of JSON by the types of their fields.

Fields that this version does not know are left out, and those that the server leaves out get their default: server and
client need not be of the same day. What does not fit is named by its field, never by what stood there.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from adit_client.errors import BadAnswer

T = TypeVar("T")


def of(kind: type[T], told: object) -> T:
    """A value of this kind, which is a dataclass; raises BadAnswer naming the field that does not fit."""
    found: T = _read(kind, told, kind.__name__)
    return found


def _read(kind: Any, told: object, where: str) -> Any:
    if kind is Any:
        return told
    if is_dataclass(kind):
        return _dataclass(kind, told, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if told is None else _read(next(one for one in inner if one is not types.NoneType), told, where)
    if origin is tuple and isinstance(told, list):
        return tuple(_read(inner[0], one, where) for one in cast("list[object]", told))
    if origin is Mapping and isinstance(told, dict):
        return {key: _read(inner[1], one, where) for key, one in cast("dict[str, object]", told).items()}
    # up to Python 3.10 ``isinstance(tuple[str], type)`` is true
    return _plain(kind if origin is None else None, told, where)


def _plain(kind: Any, told: object, where: str) -> Any:
    if kind is datetime and isinstance(told, str):
        return _moment(told, where)
    if kind is float and isinstance(told, int) and not isinstance(told, bool):
        return float(told)
    if isinstance(kind, type) and isinstance(told, kind) and (kind is bool) == isinstance(told, bool):  # pyright: ignore[reportUnknownArgumentType]
        return told
    raise BadAnswer(f"The server's answer does not fit: {where}. Check the versions of server and client.")


def _dataclass(kind: Any, told: object, where: str) -> Any:
    if not isinstance(told, dict):
        raise BadAnswer(f"The server's answer does not fit: {where}. Check the versions of server and client.")
    by_name = cast("dict[str, object]", told)
    given: dict[str, Any] = {}
    for one, field_type in _fields(kind):
        if one.name in by_name:
            given[one.name] = _read(field_type, by_name[one.name], f"{where}.{one.name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise BadAnswer(f"The server's answer lacks {where}.{one.name}. Check the versions of server and client.")
    return kind(**given)


@cache
def _fields(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind, vars(sys.modules[kind.__module__]))
    return tuple((one, hints[one.name]) for one in fields(kind) if one.init)


def _moment(text: str, where: str) -> datetime:
    try:
        # Python 3.10 does not know the Z
        return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise BadAnswer(f"The server's answer does not fit: {where} is no time.") from None
