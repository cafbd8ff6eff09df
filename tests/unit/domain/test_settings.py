"""Settings refuse what is unsafe, and keep their secrets to themselves."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError

from models.settings import Settings

KEY = Fernet.generate_key().decode()


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **({"master_key": KEY} | values))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ADIT_{name.upper()}", raising=False)


def test_the_master_key_is_required() -> None:
    with pytest.raises(ValidationError, match="master_key"):
        Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("master_key", "much-too-short"),
        ("environment", "staging"),
        ("calling_ae_title", ""),
        ("calling_ae_title", "SEVENTEEN_LETTERS"),
        ("receiver_ae_title", "BACK\\SLASH"),
        ("receiver_ae_title", "END "),
        ("receiver_port", 0),
        ("prefect_port", 65536),
        ("database_url", "mysql://host/db"),
        ("database_url", "postgresql+psycopg://adit@db/adit?sslmode=require&sslpassword=Yei7aeph"),
        ("prefect_database_url", "postgresql+asyncpg://adit@db/prefect?password=Yei7aeph"),
        ("lease_s", 0),
        ("max_attempts", 0),
        ("prefect_auth", "much-too-short"),
        ("prefect_auth", "adit:"),
        ("prefect_auth", "adit:two words"),
    ],
)
def test_a_wrong_value_is_refused_without_being_repeated(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field) as raised:
        settings(**{field: value})
    assert "much-too-short" not in str(raised.value)


@pytest.mark.parametrize(
    "line", ["30 25 * * *", "30 1", "30 1 * * * *", "@daily", "61 * * * *", "30 1 31 2 *", "30 1 * * FRY"]
)
def test_times_that_no_crontab_has_are_refused_before_anything_starts(line: str) -> None:
    with pytest.raises(ValidationError, match="minute hour day month weekday"):
        settings(backup_cron=line)


@pytest.mark.parametrize("line", ["30 1 * * *", "*/15 6-20 * * mon-fri", "0 3 1,15 * *", "0 0 29 2 *"])
def test_times_of_a_crontab_are_taken(line: str) -> None:
    assert settings(backup_cron=line).backup_cron == line


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("web_url", "https://adit.example.org:8443"),
        ("web_url", "http://[::1]:8000"),
        ("prefect_url", "http://prefect-server:4200"),
        ("prefect_page_url", "https://prefect_page:65535"),
        ("receiver_host", "::"),
        ("receiver_host", "fe80::1%eth0"),
        ("web_host", "pacs-2.example.org."),
        ("web_proxies", "10.1.2.3, 172.30.66.0/24,::1"),
        ("web_proxies", "*"),
        ("smtp_url", "smtp+starttls://user%40clinic:p%2Fw%23d@mail.example.org:587"),
        ("smtp_url", "smtps://mail"),
        ("mail_from", "ADIT of Radiology <adit@clinic.example>"),
        ("mail_from", '"ADIT, Radiology" <adit@clinic.example>'),
        ("mail_from", "adit@localhost"),
        ("admin_email", "ada+alarms@clinic.example"),
        ("oidc_issuer", "https://id.example.org/realms/clinic"),
        ("database_url", "postgresql+psycopg:///adit?host=/run/postgresql&port=5433"),
        ("database_url", "postgresql+psycopg://adit:with/slash@db:5432/adit"),
        ("database_url", "postgresql+psycopg://adit@[::1]:5432/adit"),
        ("database_url", "postgresql+psycopg:///adit?host=one,two&port=5432,5433"),
        ("database_url", "sqlite:////var/lib/a@b/adit.db"),
        ("prefect_database_url", "postgresql+asyncpg://adit@postgres/prefect"),
        ("webhook_http_hosts", ("10.1.2.3", "automation_1")),
        ("exclude_modalities", ("PR", "SR")),
    ],
)
def test_what_installations_may_have_is_taken(field: str, value: object) -> None:
    assert getattr(settings(**{field: value}), field) in (value, SecretStr(str(value)))


@pytest.mark.parametrize("password", ["", "adit", "Postgres", "changeme"])
def test_a_password_everybody_knows_is_refused_in_production(password: str) -> None:
    url = f"postgresql+psycopg://adit:{password}@db/adit"
    assert settings(database_url=url).url == url
    with pytest.raises(ValidationError, match="database_url: its password"):
        settings(database_url=url, environment="production")


@pytest.mark.parametrize(
    ("host", "auth"), [("0.0.0.0", ""), ("prefect.hospital", ""), ("0.0.0.0", "adit:admin"), ("127.0.0.1", "adit:adit")]
)
def test_a_prefect_that_others_can_use_is_refused_in_production(host: str, auth: str) -> None:
    assert settings(prefect_host=host, prefect_auth=auth).prefect_host == host
    with pytest.raises(ValidationError, match="prefect_auth: needed"):
        settings(prefect_host=host, prefect_auth=auth, environment="production")


def test_a_safe_production_passes() -> None:
    assert settings(environment="production").is_production
    assert settings(environment="production", database_url="postgresql+psycopg://adit:Yei7aeph@db/adit").is_production
    assert settings(environment="production", database_url="postgresql+psycopg:///adit").is_production
    assert settings(environment="production", prefect_host="0.0.0.0", prefect_auth="adit:Yei7aeph").is_production


def test_secrets_are_not_in_the_text_form() -> None:
    text = repr(settings(database_url="postgresql+psycopg://adit:Yei7aeph@db/adit", prefect_auth="adit:Yei7aeph"))
    assert KEY not in text
    assert "Yei7aeph" not in text


def test_places_and_spans_follow_from_the_fields() -> None:
    chosen = settings(data_dir="/var/adit", lease_s=5, retry_wait_s=60, prefect_port=4201)
    assert chosen.url == "sqlite:////var/adit/adit.db"
    assert chosen.spool_dir == Path("/var/adit/spool")
    assert (chosen.lease_for, chosen.retry_wait) == (timedelta(seconds=5), timedelta(minutes=1))
    assert chosen.prefect_api_url == "http://127.0.0.1:4201/api"


def test_variables_are_read_and_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADIT_MASTER_KEY", KEY)
    monkeypatch.setenv("ADIT_EXCLUDE_MODALITIES", " pr, SR ,,")
    monkeypatch.setenv("ADIT_DATABASE_URL", "")
    read = Settings(_env_file=None)  # type: ignore[call-arg]
    assert read.exclude_modalities == ("PR", "SR")
    assert read.url == "sqlite:///data/adit.db"


def test_profiles_are_read_from_an_absolute_place_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (settings().profile, settings().profiles_dir, settings().escrow) == ("research", None, False)
    monkeypatch.setenv("ADIT_PROFILES_DIR", "profiles")
    monkeypatch.setenv("ADIT_ESCROW", "True")
    chosen = settings(profile="basic")
    assert chosen.profiles_dir == Path.cwd() / "profiles", "every process of a stack finds the same"
    assert (chosen.profile, chosen.escrow) == ("basic", True)
    monkeypatch.setenv("ADIT_PROFILES_DIR", "")
    assert settings().profiles_dir is None


@pytest.mark.parametrize("token", ["short", "with spaces in the middle", "ümlaut-ümlaut-ümlaut"])
def test_a_token_for_metrics_that_cannot_stand_in_a_header_or_is_guessed_is_refused(token: str) -> None:
    with pytest.raises(ValidationError, match="16 or more letters"):
        settings(metrics_token=token)


def test_logs_are_for_people_unless_somebody_wants_them_for_programs() -> None:
    assert settings().log_format == "text"
    assert settings(log_format="json").log_format == "json"
    with pytest.raises(ValidationError):
        settings(log_format="xml")


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.1.2.3", "10.1.2.3"), ("fd00::1", "[fd00::1]")],
)
def test_prefect_is_reached_where_it_listens_unless_said_otherwise(host: str, reached: str) -> None:
    chosen = settings(prefect_host=host)
    assert chosen.prefect_api_url == f"http://{reached}:4200/api"
    assert chosen.prefect_ui_url == f"http://{reached}:4200"


def test_programs_and_browsers_may_reach_prefect_on_ways_of_their_own() -> None:
    chosen = settings(prefect_host="0.0.0.0", prefect_url="https://adit.example.org:4443/")
    assert chosen.prefect_api_url == "https://adit.example.org:4443/api"
    assert chosen.prefect_ui_url == "https://adit.example.org:4443"
    inside = settings(prefect_url="http://prefect-server:4200", prefect_page_url="https://adit.example.org:4443")
    assert inside.prefect_api_url == "http://prefect-server:4200/api"
    assert inside.prefect_ui_url == "https://adit.example.org:4443"
    with pytest.raises(ValidationError, match="prefect_url"):
        settings(prefect_url="adit.example.org:4443")


@pytest.mark.parametrize("url", ["http://adit.example.org:4200", "http://10.1.2.3:4200", "http://[fd00::1]:4200"])
def test_the_password_of_prefect_crosses_no_network_in_clear_in_production(url: str) -> None:
    assert settings(prefect_url=url).prefect_server_url == url
    with pytest.raises(ValidationError, match="prefect_url: it must begin with https"):
        settings(prefect_url=url, environment="production")
    assert settings(prefect_url=url.replace("http:", "https:"), environment="production").is_production
    assert settings(prefect_url="http://prefect-server:4200", environment="production").is_production
    assert settings(prefect_url="http://127.0.0.1:4200", environment="production").is_production


def test_prefect_keeps_its_database_in_the_data_directory_or_where_it_is_told(tmp_path: Path) -> None:
    assert settings(data_dir=tmp_path).prefect_database == f"sqlite+aiosqlite:///{tmp_path}/prefect/prefect.db"
    url = "postgresql+asyncpg://prefect:Yei7aeph@db/prefect"
    assert settings(prefect_database_url=url).prefect_database == url
    with pytest.raises(ValidationError, match="prefect_database_url: its password"):
        settings(prefect_database_url=url.replace("Yei7aeph", "postgres"), environment="production")
    with pytest.raises(ValidationError, match="prefect_database_url"):
        settings(prefect_database_url="postgresql+psycopg://db/prefect")


def test_one_password_goes_into_both_addresses_that_leave_it_out() -> None:
    chosen = settings(
        database_url="postgresql+psycopg://adit@db/adit",
        prefect_database_url="postgresql+asyncpg://adit@db/prefect",
        database_password="with@/:signs",
    )
    assert chosen.url == "postgresql+psycopg://adit:with%40%2F%3Asigns@db/adit"
    assert chosen.prefect_database == "postgresql+asyncpg://adit:with%40%2F%3Asigns@db/prefect"
    own = settings(database_url="postgresql+psycopg://adit:own@db/adit", database_password="another")
    assert own.url == "postgresql+psycopg://adit:own@db/adit"
    assert settings(database_url="postgresql+psycopg:///adit", database_password="another").url.endswith(":///adit")
    with pytest.raises(ValidationError, match="database_url: its password"):
        settings(
            database_url="postgresql+psycopg://adit@db/adit", database_password="changeme", environment="production"
        )
    assert "with@" not in repr(chosen)
