"""Keeps spreadsheet programs from taking a cell of a CSV file for a formula, in a way that can be undone.

A program takes a cell for a formula by its first character, whatever quotation marks are around it (CWE-1236). Such a
cell gets an apostrophe before it. So does one that already looks guarded, so that ``plain`` gives back every text.
"""

import re

_IS_FORMULA = re.compile(r"'*[\s\x00-\x1f\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]|'*[\t\r\n]")
"""The characters OWASP names, their full-width twins and the minus sign, also behind spaces that a program may drop."""


def is_dangerous(text: str) -> bool:
    """Whether a spreadsheet program may take the text for a formula, or for a guarded one."""
    return _IS_FORMULA.match(text) is not None


def guarded(text: str) -> str:
    """The text as a cell of a CSV file."""
    return f"'{text}" if is_dangerous(text) else text


def plain(text: str) -> str:
    """The text that was guarded; another stays as it is."""
    return text[1:] if text.startswith("'") and is_dangerous(text[1:]) else text
