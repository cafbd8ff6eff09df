"""What a cell means as text, and how people are told about cells without quoting them."""

import re
from collections.abc import Iterable
from datetime import date, time

from services.batch_files.tables import Trouble, Value

_LOST = 1e15
"""From here on a spreadsheet program has replaced digits by zeros: it keeps 15 of them."""
_SCIENTIFIC = re.compile(r"\d[.,]\d+E\+\d{2,}", re.IGNORECASE)
_ERRORS = re.compile(r"#(?:REF!|N/A|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|BEZUG!|NV|WERT!|ZAHL!)|Err:\d{3}")
_MOST_NAMED = 5

_CUT = (
    "A spreadsheet program has cut digits off this long number. Format the column as text and enter the values again."
)
_FRACTION = "A number with decimals may have lost zeros at its end. Format the column as text and enter it again."
_DATE = "A spreadsheet program has made a date or time of this. Format the column as text and enter it again."
_TRUTH = "A spreadsheet program has made TRUE or FALSE of this. Format the column as text and enter it again."


class NotTextError(ValueError):
    """What is in a cell cannot be taken as the text that it once was; the message says why."""


def text_of(value: Value) -> str:
    """The text of a cell without spaces at its ends; whole numbers have no decimals. Raises NotTextError."""
    if value is None:
        return ""
    if isinstance(value, Trouble):
        raise NotTextError(value.value)
    if isinstance(value, str):
        return _checked(value.strip())
    if isinstance(value, bool):
        raise NotTextError(_TRUTH)
    if isinstance(value, float):
        return _of_number(value)
    raise NotTextError(_DATE)


def shown(value: Value) -> str:
    """The text of a cell for headings and for columns that we do not know: nothing is wrong with it."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return "" if value is None or isinstance(value, Trouble) else str(value)


def hint(value: Value) -> str:
    """What kind of thing stands in a cell."""
    if isinstance(value, Trouble):
        return "no value"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    return "nothing" if value is None else "a time" if isinstance(value, time) else "a date"


def lines_named(lines: Iterable[int]) -> str:
    """Some lines in words, the first ones by number."""
    numbers = sorted(set(lines))
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"line{'s' if len(numbers) > 1 else ''} {named}{more}"


def _checked(text: str) -> str:
    if _ERRORS.fullmatch(text):
        raise NotTextError(Trouble.FORMULA_ERROR.value)
    if _SCIENTIFIC.fullmatch(text):
        raise NotTextError(_CUT)
    return text


def _of_number(number: float) -> str:
    if abs(number) >= _LOST:
        raise NotTextError(_CUT)
    if not number.is_integer():
        raise NotTextError(_FRACTION)
    return f"{number:.0f}"
