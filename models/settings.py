"""All settings of an installation, read from ``ADIT_...`` variables or a ``.env`` file; it refuses unsafe production.

``example.env`` names every field with its description and default, and a test keeps it so.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models import setting_rules

EXAMPLE_MASTER_KEY = "ZXhhbXBsZSBrZXksIG5ldmVyIGluIHByb2R1Y3Rpb24="
"""The key printed in ``example.env``: everybody knows it, so production refuses it."""

_GUESSED_PASSWORDS = frozenset({"", "adit", "admin", "changeme", "change-me", "password", "postgres", "secret"})
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")
_CRON_FIELDS = ("minute", "hour", "day", "month", "weekday")
_USER_AND_PASSWORD = re.compile(r"[!-9;-~]+:[!-~]+")
_DAYS_OF_A_CENTURY = 36_525
_SQLITE = "sqlite:///"

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
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How programs write their logs: text for people, json for programs that collect them.",
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="Empty for SQLite in the data directory (one machine), else postgresql+psycopg://user:pw@host/name.",
    )
    database_password: SecretStr = Field(
        default=SecretStr(""),
        description="The password that database_url and prefect_database_url leave out. Empty: theirs, or none.",
    )
    master_key: SecretStr = Field(
        description="Encrypts linkage keys and credentials in the database. Keep a copy apart from the backups. "
        'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
    )
    calling_ae_title: AeTitle = Field(default="ADIT", description="The AE title under which servers know us.")
    receiver_ae_title: AeTitle = Field(default="ADIT", description="The AE title to which servers send on C-MOVE.")
    receiver_host: str = Field(default="0.0.0.0", description="The address on which the C-MOVE receiver listens.")
    receiver_port: Port = Field(default=11112, description="The port on which the C-MOVE receiver listens.")
    prefect_host: str = Field(default="127.0.0.1", description="The address on which the Prefect server listens.")
    prefect_port: Port = Field(default=4200, description="The port on which the Prefect server listens.")
    prefect_url: str = Field(
        default="",
        description="How everything else reaches the Prefect server: https:// through a TLS proxy from other machines. "
        "Empty: at prefect_host and prefect_port.",
    )
    prefect_page_url: str = Field(
        default="", description="How browsers reach Prefect's page. Empty: as everything else does."
    )
    prefect_ca_file: Path | None = Field(
        default=None,
        description="Certificates (PEM) by which prefect_url is trusted. Empty: those of public authorities.",
    )
    prefect_database_url: str = Field(
        default="",
        repr=False,
        description="Prefect's own database: postgresql+asyncpg://user:pw@host/name. "
        "Empty: SQLite in the data directory.",
    )
    prefect_auth: SecretStr = Field(
        default=SecretStr(""),
        description="user:password of Prefect's API, which can run any program as our user. "
        "Empty: adit up makes its own in prefect.auth in the data directory.",
    )
    stream_mb: int = Field(
        default=64, ge=1, le=1_000_000, description="Megabytes of instances a worker holds between two servers."
    )
    spool_reserve_mb: int = Field(
        default=256, ge=0, le=1_000_000_000, description="Megabytes that must stay free where the spool is."
    )
    lease_s: int = Field(
        default=20, ge=1, le=86_400, description="Seconds after which the work of a silent worker is taken over."
    )
    items_at_a_time: int = Field(
        default=3, ge=1, le=32, description="How many items of one job a worker moves at the same time."
    )
    max_attempts: int = Field(default=3, ge=1, le=1_000, description="How often an item is tried before it has failed.")
    retry_wait_s: int = Field(
        default=120, ge=0, le=604_800, description="Seconds before the second attempt; twice that, then ..."
    )
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
    start_unverified: bool = Field(
        default=True, description="Whether jobs of users begin at once, or wait until staff has verified them."
    )
    time_zone: str = Field(
        default="Europe/Berlin", description="The time zone of transfer windows and of times on pages and in mails."
    )
    web_host: str = Field(default="127.0.0.1", description="The address on which the web pages are served.")
    web_port: Port = Field(default=8000, description="The port on which the web pages are served.")
    web_url: str = Field(
        default="http://localhost:8000",
        description="How browsers reach the pages, through a TLS proxy in production; links in mails begin with it.",
    )
    web_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses of reverse proxies whose word on the caller's address is taken, with commas between.",
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="The bearer token by which Prometheus reads /metrics. "
        "Empty: only programs of the same machine read it.",
    )
    api_requests_per_minute: int = Field(
        default=600,
        ge=1,
        le=1_000_000,
        description="How many requests one person may send with API tokens in a minute.",
    )
    api_retrievals: int = Field(
        default=4,
        ge=1,
        le=1_000,
        description="Retrievals through the DICOMweb gateway at the same time, at most half of them of one person.",
    )
    session_idle_minutes: int = Field(
        default=120, ge=1, le=525_600, description="Minutes after which an idle session has ended."
    )
    session_hours: int = Field(default=12, ge=1, le=8_760, description="Hours after which every session has ended.")
    registration_open: bool = Field(default=True, description="Whether people may register themselves.")
    registration_domains: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Mail domains from which people may register, such as example.org. Empty: all."
    )
    smtp_url: SecretStr = Field(
        default=SecretStr(""),
        description="The mail server: smtp://host:port, smtp+starttls://user:pw@host:587 or smtps://user:pw@host:465. "
        "Empty: mails wait in the database.",
    )
    mail_from: str = Field(default="adit@localhost", description="The sender of all mails.")
    support_email: str = Field(default="", description="Where users get help; error pages and mails name it.")
    admin_email: str = Field(
        default="", description="Who is told about new registrations, full folders and alarms. Empty: all superusers."
    )
    webhook_http_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Other machines to which webhooks may go without TLS, such as automation.example.org."
    )
    admin_username: str = Field(
        default="", description="The first superuser, made at the start when there is none. Empty: adit create-admin."
    )
    admin_user_email: str = Field(default="", description="The mail address of the first superuser.")
    admin_password: SecretStr = Field(
        default=SecretStr(""), description="The password of the first superuser; remove it after the first start."
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""),
        description="A token for the API that the first superuser gets, good for a year: adit generate-auth-token.",
    )
    backup_dir: Path | None = Field(
        default=None,
        description="Where backups of the database are kept; better on another disk. Empty: backups in the data "
        "directory.",
    )
    backup_keep: int = Field(
        default=30, ge=1, le=100_000, description="How many backups are kept; older ones are removed."
    )
    backup_enabled: bool = Field(default=True, description="Whether the database is backed up at set times.")
    backup_cron: str = Field(
        default="30 1 * * *",
        description="When it is backed up: minute, hour, day, month and weekday, as in a crontab, in time_zone.",
    )
    disk_warn_gb: float = Field(
        default=20,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Administrators are told when a disk has fewer gigabytes free than this.",
    )
    keep_jobs_days: int = Field(
        default=0,
        ge=0,
        le=_DAYS_OF_A_CENTURY,
        description="Days after their end at which jobs lose what names patients; receipts stay. 0: never.",
    )
    keep_runs_days: int = Field(
        default=30,
        ge=0,
        le=_DAYS_OF_A_CENTURY,
        description="Days after their end at which flow runs are deleted in Prefect. 0: never.",
    )
    oidc_issuer: str = Field(
        default="", description="The issuer URL of an OpenID Connect provider for signing in. Empty: passwords only."
    )
    oidc_client_id: str = Field(default="", description="Our client ID at the OpenID Connect provider.")
    oidc_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Our client secret at the OpenID Connect provider."
    )
    oidc_name: str = Field(
        default="single sign-on", min_length=1, max_length=100, description="What the sign-in page calls the provider."
    )

    @field_validator("profiles_dir", "prefect_ca_file", "backup_dir")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else None

    @field_validator("exclude_modalities", mode="before")
    @classmethod
    def _split_modalities(cls, value: object) -> object:
        return _split_at_commas(value.upper()) if isinstance(value, str) else value

    @field_validator("webhook_http_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return _split_at_commas(value.lower()) if isinstance(value, str) else value

    @field_validator("registration_domains", mode="before")
    @classmethod
    def _split_domains(cls, value: object) -> object:
        return _split_at_commas(value.lower().replace("@", "")) if isinstance(value, str) else value

    @field_validator("exclude_modalities")
    @classmethod
    def _are_modalities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for modality in value:
            setting_rules.check_modality(modality)
        return value

    @field_validator("webhook_http_hosts", "registration_domains")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            setting_rules.check_host(host)
        return value

    @field_validator("backup_cron")
    @classmethod
    def _is_a_cron_line(cls, value: str) -> str:
        form = f"not of the form {' '.join(_CRON_FIELDS)}, such as 30 1 * * *"
        if len(value.split()) != len(_CRON_FIELDS):
            raise ValueError(form)
        try:
            CronSim(value, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as exc:
            raise ValueError(f"{form} ({str(exc).lower()})") from None
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_a_known_zone(cls, value: str) -> str:
        if not is_time_zone(value):
            raise ValueError("not a time zone, such as Europe/Berlin")
        return value

    @field_validator("web_url", "prefect_url", "prefect_page_url")
    @classmethod
    def _is_an_address(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name != "web_url":
            return value
        form = "https://host or http://host:port"
        parts = setting_rules.check_url(value, {"http", "https"}, form)
        if parts.query or parts.path.strip("/"):
            raise ValueError(f"not of the form {form}")
        return value.rstrip("/")

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str) -> str:
        if value:
            setting_rules.check_url(value, {"http", "https"}, "https://host/path")
        return value

    @field_validator("receiver_host", "prefect_host", "web_host")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        setting_rules.check_host(value)
        return value

    @field_validator("web_proxies")
    @classmethod
    def _are_proxies(cls, value: str) -> str:
        setting_rules.check_proxies(value)
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, value: str) -> str:
        setting_rules.check_sender(value)
        return value

    @field_validator("support_email", "admin_email", "admin_user_email")
    @classmethod
    def _is_a_mail_address(cls, value: str) -> str:
        if value:
            setting_rules.check_mail_address(value)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: SecretStr) -> SecretStr:
        if text := value.get_secret_value():
            form = "smtp://host:port, smtp+starttls://... or smtps://..., with %2F for / in a password"
            setting_rules.check_url(text, {"smtp", "smtp+starttls", "smtps"}, form)
        return value

    @field_validator("database_url")
    @classmethod
    def _is_a_known_database(cls, value: str) -> str:
        if value and not value.startswith((_SQLITE, "postgresql+psycopg://")):
            raise ValueError("only postgresql+psycopg:// and sqlite:/// are supported")
        if value:
            setting_rules.check_database(value)
        return value

    @field_validator("prefect_database_url")
    @classmethod
    def _is_a_database_of_prefect(cls, value: str) -> str:
        if value and not value.startswith("postgresql+asyncpg://"):
            raise ValueError("only postgresql+asyncpg:// is supported")
        if value:
            setting_rules.check_database(value)
        return value

    @field_validator("master_key")
    @classmethod
    def _is_a_fernet_key(cls, value: SecretStr) -> SecretStr:
        try:
            Fernet(value.get_secret_value())
        except ValueError:
            raise ValueError("not a Fernet key (32 bytes in URL-safe base64)") from None
        return value

    @field_validator("metrics_token")
    @classmethod
    def _is_a_token(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("not a token of 16 or more letters, digits and -._~+/=")
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
                *_unsafe_password("database_url", self.url),
                *_unsafe_password("prefect_database_url", self.prefect_database),
                *_unsafe_prefect(self.prefect_host, self.prefect_auth),
                *_unsafe_way_to_prefect(self.prefect_url),
                *_unsafe_web(self.web_host, self.web_url),
                *_unsafe_admin(self.admin_password),
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
    def backups_dir(self) -> Path:
        """Where backups are kept."""
        return self.backup_dir or self.data_dir / "backups"

    @property
    def prefect_dir(self) -> Path:
        """What is Prefect's: its SQLite database, and what its programs keep."""
        return self.data_dir / "prefect"

    @property
    def temporary_dir(self) -> Path:
        """Where programs and flow runs have their working directories; emptied at each start."""
        return self.data_dir / "tmp"

    @property
    def logs_dir(self) -> Path:
        """The logs of the programs that `adit up` starts."""
        return self.data_dir / "logs"

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database; None when it is another one."""
        return Path(self.url.removeprefix(_SQLITE).partition("?")[0]) if self.url.startswith(_SQLITE) else None

    @property
    def url(self) -> str:
        """The database to use; SQLite is fine in production as long as all workers run on this machine."""
        return self._with_password(self.database_url) or f"{_SQLITE}{self.data_dir / 'adit.db'}"

    @property
    def prefect_database(self) -> str:
        """Prefect's own database."""
        at_home = f"sqlite+aiosqlite:///{self.prefect_dir / 'prefect.db'}"
        return self._with_password(self.prefect_database_url) or at_home

    @property
    def prefect_server_url(self) -> str:
        """The address of the Prefect server for programs."""
        return self.prefect_url or f"http://{_reachable(self.prefect_host)}:{self.prefect_port}"

    @property
    def prefect_ui_url(self) -> str:
        """The address of Prefect's page for browsers."""
        return self.prefect_page_url or self.prefect_server_url

    @property
    def prefect_api_url(self) -> str:
        return f"{self.prefect_server_url}/api"

    @property
    def cookies_are_secure(self) -> bool:
        """Whether browsers send our cookies over TLS only."""
        return self.web_url.startswith("https://")

    @property
    def lease_for(self) -> timedelta:
        return timedelta(seconds=self.lease_s)

    @property
    def retry_wait(self) -> timedelta:
        return timedelta(seconds=self.retry_wait_s)

    def _with_password(self, url: str) -> str:
        """The address of a database, with the password that it leaves out."""
        parts, password = urlsplit(url), self.database_password.get_secret_value()
        if not password or not parts.username or parts.password is not None:
            return url
        return url.replace("@", f":{quote(password, safe='')}@", 1)


def _split_at_commas(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _unsafe_key(key: SecretStr) -> list[str]:
    if key.get_secret_value() == EXAMPLE_MASTER_KEY:
        return ["master_key: the example key is not a secret; make your own."]
    return []


def _unsafe_password(name: str, url: str) -> list[str]:
    """Complain about a password anybody would try first; none at all is for sockets that check the caller's user."""
    password = urlsplit(url).password
    if password is not None and unquote(password).lower() in _GUESSED_PASSWORDS:
        return [f"{name}: its password is one that everybody knows; choose your own."]
    return []


def _unsafe_prefect(host: str, auth: SecretStr) -> list[str]:
    """Complain about a Prefect API that other machines reach without a password, or with one they would guess."""
    password = auth.get_secret_value().partition(":")[2]
    if password.lower() in _GUESSED_PASSWORDS and (password or not _is_loopback(host)):
        return ["prefect_auth: needed where others reach prefect_host, with a password that nobody guesses."]
    return []


def _unsafe_way_to_prefect(url: str) -> list[str]:
    """Complain about a password that would cross a network in clear; names without a dot are those of containers."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and not _is_loopback(host) and ("." in host or ":" in host):
        return ["prefect_url: it must begin with https://, since whoever reads its password runs programs as our user."]
    return []


def _unsafe_web(host: str, url: str) -> list[str]:
    """Complain about pages that browsers elsewhere would fetch without TLS: passwords and patients travel there."""
    outside = not _is_loopback(host) or not _is_loopback(urlsplit(url).hostname or "")
    if outside and not url.startswith("https://"):
        return ["web_url: it must begin with https://, with a TLS proxy in front of the web pages."]
    return []


def _unsafe_admin(password: SecretStr) -> list[str]:
    text = password.get_secret_value()
    if text and text.lower() in _GUESSED_PASSWORDS:
        return ["admin_password: one that everybody knows; choose your own."]
    return []


def _reachable(host: str) -> str:
    """Where this machine reaches what listens on an address, as it stands in a URL."""
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()  # pyright: ignore[reportCallIssue]  (master_key comes from the environment)


def is_time_zone(name: str) -> bool:
    """Whether there is such a time zone; a directory of zones, as Europe, is none."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True
