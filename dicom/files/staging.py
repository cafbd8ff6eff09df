"""Where studies on their way into a folder are kept out of sight, and how what nobody works on goes away again."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dicom.files.trouble import writing

STAGING = ".adit-staging"


def sweep_staging(destination: Path, alive: Callable[[str], bool]) -> int:
    """Remove what is staged under keys that are not alive; return how many keys were removed.

    Raises WriteFailed, which names the destination.
    """
    with writing(destination, "folder"):
        staging = destination / STAGING
        keys = [path for path in staging.iterdir() if not alive(path.name)] if staging.is_dir() else []
        for path in keys:
            remove(path)
    return len(keys)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
