"""The manifest beside each backup: what is in the file, whose it is, and a seal by which a change shows."""

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.db.vault import Vault
from models.domain.backups import Backup, DatabaseKind
from models.domain.errors import BadRequest, NotPermitted, Unreadable

_PURPOSE = "backup"
_PIECE_BYTES = 1 << 20
"""SHA-256 of so much takes about a millisecond."""


def path_of(data: Path) -> Path:
    """Where the manifest of a backup is."""
    return data.with_suffix(".json")


def write(backup: Backup, vault: Vault, target: Path) -> None:
    """Write the manifest into a new file, and have the disk keep it."""
    said = _said(backup)
    content = json.dumps({**said, "seal": _seal(said, vault)}, indent=2) + "\n"
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content.encode())
        file.flush()
        os.fsync(file.fileno())


def read(data: Path) -> Backup:
    """What the manifest beside a file says; nobody has looked at the seal. Raises BadRequest when there is none."""
    return _backup(data, _content(data))


def check(backup: Backup, vault: Vault) -> None:
    """Raise NotPermitted when a backup was made under another master key, Unreadable when it is not what it was."""
    if backup.key != vault.fingerprint:
        raise NotPermitted(
            f"The backup was made with another master key (fingerprint {backup.key}; ADIT_MASTER_KEY has "
            f"{vault.fingerprint}). Set the key that was in use then."
        )
    content = _content(backup.path)
    seal = str(content.get("seal", ""))
    if not hmac.compare_digest(seal, _seal(_said(backup), vault)):
        raise Unreadable(f"{path_of(backup.path)} was changed after the backup was made. Take another backup.")
    if digest_of(backup.path) != backup.sha256:
        raise Unreadable(f"{backup.path} is not what it was when it was made. Take another backup.")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _said(backup: Backup) -> dict[str, Any]:
    """All but where it is: a backup may be moved."""
    said = asdict(backup)
    del said["path"]
    return {**said, "made_at": backup.made_at.astimezone(UTC).isoformat(), "kind": backup.kind.value}


def _seal(said: dict[str, Any], vault: Vault) -> str:
    content = json.dumps(said, sort_keys=True).encode()
    return hmac.digest(vault.key_for(_PURPOSE), content, "sha256").hex()


def _content(data: Path) -> dict[str, Any]:
    path = path_of(data)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadRequest(f"There is no manifest {path} beside the backup.") from None
    except (OSError, ValueError, TypeError):
        raise Unreadable(f"The manifest {path} cannot be read.") from None


def _backup(data: Path, content: dict[str, Any]) -> Backup:
    try:
        said = {name: value for name, value in content.items() if name != "seal"}
        backup = Backup(path=data, **said)
        return replace(backup, made_at=datetime.fromisoformat(said["made_at"]), kind=DatabaseKind(said["kind"]))
    except (KeyError, TypeError, ValueError):
        raise Unreadable(f"{path_of(data)} is not the manifest of a backup of this version of ADIT.") from None
