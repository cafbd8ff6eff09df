"""One data directory: its settings and secrets, the lock of the one `adit up` that may run on it, who runs."""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from errno import ENOTDIR
from pathlib import Path
from typing import Literal, cast

from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from models.domain.errors import BadRequest, NotPermitted, WrongState, reason_of
from models.settings import Settings, settings

_MASTER_KEY = "ADIT_MASTER_KEY"
_PREFECT_AUTH = "ADIT_PREFECT_AUTH"
_PREFECT_USER = "adit"
_LOCK_WITHIN_S = 1.0
"""Other commands hold the lock for an instant, to see whether anybody else does."""


class _Place(BaseSettings):
    """What has to be known before the settings can be read."""

    model_config = Settings.model_config

    environment: Literal["development", "production"] = "development"
    data_dir: Path = Path("data")
    master_key: SecretStr | None = None
    prefect_auth: SecretStr | None = None
    profiles_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """The `adit up` that works on a data directory."""

    pid: int
    prefect_port: int
    receiver_port: int
    web_port: int


def open_settings(data_dir: Path | None = None, makes_key: bool = False, **overrides: object) -> Settings:
    """Read the settings of this process; ``overrides`` are fields that go before variables and ``.env``.

    Without a master key in the settings, the data directory's own is used, which a development installation makes
    for itself when ``makes_key`` is set; so it is with the password of Prefect's API, in production too.

    Raises BadRequest naming wrong settings, or when there is no key yet; NotPermitted when a production installation
    has none.
    """
    given = {"data_dir": data_dir, **overrides}
    for name, value in given.items():
        if value is not None:
            os.environ[f"ADIT_{name.upper()}"] = str(value)
    with _readable():
        place = _Place()
        _check_is_directory(place.data_dir)
        os.environ["ADIT_DATA_DIR"] = str(place.data_dir.expanduser().absolute())
        if place.master_key is None:
            os.environ[_MASTER_KEY] = _own_master_key(place, makes_key)
        if place.prefect_auth is None:
            os.environ[_PREFECT_AUTH] = _own_prefect_auth(Path(os.environ["ADIT_DATA_DIR"]), makes_key)
        settings.cache_clear()
        return settings()


def _check_is_directory(data_dir: Path) -> None:
    """Raise BadRequest when the data directory cannot be one, or we may not look into it."""
    try:
        if data_dir.expanduser().is_dir():
            os.scandir(data_dir.expanduser()).close()
        elif data_dir.expanduser().exists():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
    except (OSError, RuntimeError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else "there is no such place"
        raise BadRequest(f"ADIT_DATA_DIR: {data_dir} cannot be used: {why.lower()}.") from exc


def with_web_url(chosen: Settings) -> Settings:
    """The settings, with the address of the pages on this machine where nobody has said how browsers reach them."""
    if "web_url" in chosen.model_fields_set:
        return chosen
    return open_settings(web_url=f"http://localhost:{chosen.web_port}")


def profiles_dir() -> Path | None:
    """The directory of the site's own profiles as the settings have it; needs no installation.

    Raises BadRequest naming wrong settings.
    """
    with _readable():
        return _Place().profiles_dir


def exported(settings: Settings) -> Mapping[str, str]:
    """The settings as variables, for processes that run elsewhere; relative paths are made absolute."""
    return {f"ADIT_{name.upper()}": _exported(settings, name) for name in settings.model_fields_set}


def how_to_sign_in(settings: Settings) -> str:
    """Where a person finds user and password for Prefect's page; the password itself is not in the text."""
    path = _prefect_auth_file(settings.data_dir)
    with suppress(FileNotFoundError):
        if path.read_text(encoding="ascii").strip() == settings.prefect_auth.get_secret_value():
            return f"with the line in {path}"
    return f"with the value of {_PREFECT_AUTH}"


@contextmanager
def locked(settings: Settings) -> Generator[None]:
    """Be the only one who works on the data directory; raises WrongState when somebody else does."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock_file(settings.data_dir).open("a+b") as file:
        if not _lock(file.fileno()):
            raise WrongState(f"Another adit up works on {settings.data_dir}.")
        file.truncate(0)
        try:
            yield
        finally:
            file.truncate(0)


def write_down(settings: Settings) -> None:
    """Leave a note for other commands where this `adit up` can be found."""
    note = Running(os.getpid(), settings.prefect_port, settings.receiver_port, settings.web_port)
    _lock_file(settings.data_dir).write_text(json.dumps(asdict(note)), encoding="ascii")


def running(settings: Settings) -> Running | None:
    """The `adit up` that works on the data directory at this moment, or None; also while it is still starting."""
    with suppress(FileNotFoundError), _lock_file(settings.data_dir).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(ValueError, TypeError):
                return Running(**json.load(file))
    return None


def _lock(descriptor: int) -> bool:
    limit = time.monotonic() + _LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > limit:
                return False
            time.sleep(0.05)
        else:
            return True


def _lock_file(data_dir: Path) -> Path:
    return data_dir / "up.lock"


def _own_master_key(place: _Place, makes_key: bool) -> str:
    """The key in the data directory."""
    path = place.data_dir / "master.key"
    if place.environment == "production":
        raise NotPermitted(f"A production installation needs {_MASTER_KEY} in its environment.")
    if makes_key:
        _make_secret(path, Fernet.generate_key())
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError as exc:
        raise BadRequest(f"There is no installation in {place.data_dir}. Begin one with adit up.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"{path} cannot be read.") from exc


def _own_prefect_auth(data_dir: Path, makes_it: bool) -> str:
    """User and password in the data directory; empty where no `adit up` has been."""
    path = _prefect_auth_file(data_dir)
    if makes_it:
        _make_secret(path, f"{_PREFECT_USER}:{secrets.token_urlsafe(24)}".encode())
    try:
        auth = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"{path} cannot be read.") from exc
    if not auth:
        raise BadRequest(f"{path} is empty. Remove it and start adit up again.")
    return auth


def _prefect_auth_file(data_dir: Path) -> Path:
    return data_dir / "prefect.auth"


def _make_secret(path: Path, secret: bytes) -> None:
    """Write a secret for this user only, unless there is one already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(path, secret)
    except OSError as exc:
        raise BadRequest(f"ADIT_DATA_DIR: nothing can be written to {path.parent}: {reason_of(exc)}.") from exc


def _write_once(path: Path, secret: bytes) -> None:
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)


def _exported(settings: Settings, name: str) -> str:
    value: object = getattr(settings, name)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, cast("tuple[object, ...]", value)))
    if name == "database_url" and settings.database_url.startswith("sqlite:///"):
        return f"sqlite:///{Path(settings.database_url.removeprefix('sqlite:///')).absolute()}"
    return str(value)


@contextmanager
def _readable() -> Generator[None]:
    """Turn pydantic's report into one line that names the variables; the values may be secret."""
    try:
        yield
    except ValidationError as exc:
        problems = [f"ADIT_{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}." for error in exc.errors()]
        raise BadRequest(" ".join(problems)) from None
