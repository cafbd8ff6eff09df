"""Reads tables that people write: CSV files with a line of column names."""

import csv
from collections.abc import Collection
from pathlib import Path

from models.domain.errors import BadRequest


def read_rows(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """The rows of a CSV file in UTF-8, each with these columns without spaces at the ends.

    Raises BadRequest when the file cannot be read, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = set(columns) - set(rows.fieldnames or ())
            if missing:
                raise BadRequest(f"{path.name}: columns are missing: {', '.join(sorted(missing))}.")
            return [{column: (row[column] or "").strip() for column in columns} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise BadRequest(f"{path.name} cannot be read as a CSV file in UTF-8.") from exc
