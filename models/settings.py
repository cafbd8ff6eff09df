"""All settings of an installation, read from ``ADIT_...`` variables or a ``.env`` file; it refuses unsafe production.

``example.env`` names every field with its description and default, and a test keeps it so.
"""

import re
from datetime import timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

EXAMPLE_MASTER_KEY = "ZXhhbXBsZSBrZXksIG5ldmVyIGluIHByb2R1Y3Rpb24="
"""The key printed in ``example.env``: everybody knows it, so production refuses it."""

_GUESSED_PASSWORDS = frozenset({"", "adit", "admin", "changeme", "change-me", "password", "postgres", "secret"})
_USER_AND_PASSWORD = re.compile(r"[!-9;-~]+:[!-~]+")

AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """One installation. Build it once at start: wrong values raise pydantic's ValidationError, which names the fields.

    The values themselves are kept out of the error, since some are secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="ADIT_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        frozen=True,
    )

    environment: Literal["development", "production"] = Field(
        default="development", description="development or production; production refuses unsafe values."
    )
    data_dir: Path = Field(
        default=Path("data"), description="Where the spool, logs and the SQLite database live; holds patient data."
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="Empty for SQLite in the data directory (one machine), else postgresql+psycopg://user:pw@host/name.",
    )
    master_key: SecretStr = Field(
        description="Encrypts linkage keys and credentials in the database. Keep a copy apart from the backups. "
        'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
    )
    calling_ae_title: AeTitle = Field(default="ADIT", description="The AE title under which servers know us.")
    receiver_ae_title: AeTitle = Field(default="ADIT", description="The AE title to which servers send on C-MOVE.")
    receiver_host: str = Field(default="0.0.0.0", description="The address on which the C-MOVE receiver listens.")
    receiver_port: Port = Field(default=11112, description="The port on which the C-MOVE receiver listens.")
    prefect_host: str = Field(default="127.0.0.1", description="Host of the Prefect server.")
    prefect_port: Port = Field(default=4200, description="Port of the Prefect server.")
    prefect_auth: SecretStr = Field(
        default=SecretStr(""),
        description="user:password of Prefect's API, which can run any program as our user. "
        "Empty: adit up makes its own in prefect.auth in the data directory.",
    )
    stream_mb: int = Field(default=64, ge=1, description="Megabytes of instances a worker holds between two servers.")
    spool_reserve_mb: int = Field(default=256, ge=0, description="Megabytes that must stay free where the spool is.")
    lease_s: int = Field(default=20, ge=1, description="Seconds after which the work of a silent worker is taken over.")
    max_attempts: int = Field(default=3, ge=1, description="How often an item is tried before it has failed.")
    retry_wait_s: int = Field(default=120, ge=0, description="Seconds before the second attempt; twice that, then ...")
    exclude_modalities: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Modalities that are never moved when a study is pseudonymized, such as PR,SR."
    )

    profile: str = Field(
        default="research",
        min_length=1,
        description="The de-identification profile of requests that name none: basic, research, adit-compatible or "
        "one of profiles_dir.",
    )
    profiles_dir: Path | None = Field(
        default=None,
        description="A directory with de-identification profiles of this site, name.yaml each. Empty: none.",
    )
    escrow: bool = Field(
        default=False,
        description="Whether the patient ID behind each pseudonym is kept, encrypted, for those who may look it up.",
    )

    @field_validator("profiles_dir")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else None

    @field_validator("exclude_modalities", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().upper() for part in value.split(",") if part.strip())

    @field_validator("database_url")
    @classmethod
    def _is_a_known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("only postgresql+psycopg:// and sqlite:/// are supported")
        return value

    @field_validator("master_key")
    @classmethod
    def _is_a_fernet_key(cls, value: SecretStr) -> SecretStr:
        try:
            Fernet(value.get_secret_value())
        except ValueError:
            raise ValueError("not a Fernet key (32 bytes in URL-safe base64)") from None
        return value

    @field_validator("prefect_auth")
    @classmethod
    def _is_user_and_password(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _USER_AND_PASSWORD.fullmatch(value.get_secret_value()):
            raise ValueError("not of the form user:password (ASCII, without spaces)")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.is_production:
            problems = [
                *_unsafe_key(self.master_key),
                *_unsafe_password(self.database_url),
                *_unsafe_prefect(self.prefect_host, self.prefect_auth),
            ]
            if problems:
                raise ValueError(" ".join(problems))
        return self

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def spool_dir(self) -> Path:
        """The folder of data in transit. It holds patient data and is swept."""
        return self.data_dir / "spool"

    @property
    def url(self) -> str:
        """The database to use; SQLite is fine in production as long as all workers run on this machine."""
        return self.database_url or f"sqlite:///{self.data_dir / 'adit.db'}"

    @property
    def prefect_api_url(self) -> str:
        return f"http://{self.prefect_host}:{self.prefect_port}/api"

    @property
    def lease_for(self) -> timedelta:
        return timedelta(seconds=self.lease_s)

    @property
    def retry_wait(self) -> timedelta:
        return timedelta(seconds=self.retry_wait_s)


def _unsafe_key(key: SecretStr) -> list[str]:
    if key.get_secret_value() == EXAMPLE_MASTER_KEY:
        return ["master_key: the example key is not a secret; make your own."]
    return []


def _unsafe_password(url: str) -> list[str]:
    """Complain about a password anybody would try first; none at all is for sockets that check the caller's user."""
    password = urlsplit(url).password
    if password is not None and unquote(password).lower() in _GUESSED_PASSWORDS:
        return ["database_url: its password is one that everybody knows; choose your own."]
    return []


def _unsafe_prefect(host: str, auth: SecretStr) -> list[str]:
    """Complain about a Prefect API that other machines reach without a password, or with one they would guess."""
    password = auth.get_secret_value().partition(":")[2]
    if password.lower() in _GUESSED_PASSWORDS and (password or not _is_loopback(host)):
        return ["prefect_auth: needed where others reach prefect_host, with a password that nobody guesses."]
    return []


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()  # pyright: ignore[reportCallIssue]  (master_key comes from the environment)
