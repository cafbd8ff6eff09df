"""Settings file, secrets and certificates at the shell: nothing that is in use is lost, nothing is left as printed."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from deployments import secret_values
from deployments.cli import app
from deployments.commands import workspace
from deployments.environment_file import values_of
from models.settings import EXAMPLE_MASTER_KEY, Settings
from tests.certificates import Authority

GIVEN_BY_OTHERS = {"smtp_url", "oidc_client_secret"}


@pytest.fixture(autouse=True)
def a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ADIT_{name.upper()}", raising=False)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def begun() -> Path:
    assert call("init-workspace").exit_code == 0
    return Path(".env")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_workspace_begins_with_the_example_for_this_user_only() -> None:
    env = begun()
    assert env.read_text() == workspace.EXAMPLE.read_text()
    assert env.stat().st_mode & 0o777 == 0o600


def test_a_file_of_settings_is_never_overwritten() -> None:
    env = begun()
    env.write_text("ADIT_LEASE_S=7\n")
    again = call("init-workspace")
    assert (again.exit_code, env.read_text()) == (2, "ADIT_LEASE_S=7\n")
    assert "left as it is" in again.output


def test_every_secret_of_the_settings_is_made_or_somebody_elses() -> None:
    secret = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    ours = {name.removeprefix("ADIT_").lower() for name in secret_values.MAKERS}
    assert ours | GIVEN_BY_OTHERS == secret


def test_randomized_settings_are_taken_in_production() -> None:
    env = begun()
    made = call("randomize-env-secrets")
    values = values_of(env)
    assert made.exit_code == 0, made.output
    assert env.stat().st_mode & 0o777 == 0o600
    assert values["ADIT_MASTER_KEY"] != EXAMPLE_MASTER_KEY
    assert all(values[name] and values[name] not in made.output for name in secret_values.MAKERS)
    replace(env, "ADIT_ENVIRONMENT=development", "ADIT_ENVIRONMENT=production")
    assert Settings(_env_file=env).is_production  # type: ignore[call-arg]
    assert env.read_text().count("\n") == workspace.EXAMPLE.read_text().count("\n"), "every secret has its line already"


def test_secrets_in_use_are_kept() -> None:
    env = begun()
    call("randomize-env-secrets")
    before = env.read_text()
    again = call("randomize-env-secrets")
    assert (again.exit_code, env.read_text()) == (0, before)
    assert "ADIT_MASTER_KEY: kept" in again.output


def test_force_renews_secrets_and_tells_what_depends_on_them() -> None:
    env = begun()
    call("randomize-env-secrets")
    before = values_of(env)
    forced = call("randomize-env-secrets", "--force")
    after = values_of(env)
    assert forced.exit_code == 0
    assert all(before[name] != after[name] for name in secret_values.MAKERS)
    assert "cannot be read with another key" in forced.output
    assert "ALTER ROLE" in forced.output


@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o640, 0o640), (0o644, 0o600), (0o666, 0o600)])
def test_a_changed_file_is_read_by_nobody_more_than_before(before: int, after: int) -> None:
    """Its group may be that of the user under whom programs of systemd run."""
    env = begun()
    env.chmod(before)
    assert call("randomize-env-secrets").exit_code == 0
    assert env.stat().st_mode & 0o777 == after


@pytest.mark.parametrize("trace", ["adit.db", "master.key"])
def test_the_key_of_a_database_that_is_there_is_changed_by_force_only(trace: str) -> None:
    env = begun()
    Path("data").mkdir()
    Path("data", trace).touch()
    refused = call("randomize-env-secrets")
    assert refused.exit_code == 2
    assert "Look out: ADIT_MASTER_KEY" in refused.output
    assert values_of(env)["ADIT_MASTER_KEY"] == EXAMPLE_MASTER_KEY
    assert values_of(env)["ADIT_ADMIN_PASSWORD"], "the others are made all the same"
    assert call("randomize-env-secrets", "--force").exit_code == 0
    assert values_of(env)["ADIT_MASTER_KEY"] != EXAMPLE_MASTER_KEY


def test_a_database_elsewhere_keeps_its_key_and_password() -> None:
    env = begun()
    replace(env, "ADIT_DATABASE_URL=\n", "ADIT_DATABASE_URL=postgresql+psycopg://adit@db/adit\n")
    refused = call("randomize-env-secrets")
    assert refused.exit_code == 2
    assert values_of(env)["ADIT_DATABASE_PASSWORD"] == ""
    assert values_of(env)["ADIT_MASTER_KEY"] == EXAMPLE_MASTER_KEY


def test_the_check_is_content_with_a_file_made_and_randomized() -> None:
    begun()
    call("randomize-env-secrets")
    checked = call("env-check")
    assert (checked.exit_code, checked.output) == (0, ".env: 0 wrong, 0 to look at.\n")


def test_the_check_finds_the_example_key_and_open_files() -> None:
    env = begun()
    env.chmod(0o644)
    checked = call("env-check")
    assert checked.exit_code == 2
    assert "ADIT_MASTER_KEY is the example's" in checked.output
    assert "chmod g-w,o=" in checked.output


@pytest.mark.parametrize(
    ("line", "told", "status"),
    [
        ("ADIT_LEASE_S=soon", "wrong: ADIT_LEASE_S", 2),
        ("ADIT_LEASE_SECONDS=20", "unknown: ADIT_LEASE_SECONDS", 1),
        ('ADIT_MAIL_FROM="adit@hospital.org"', "unsafe: ADIT_MAIL_FROM: quotes", 2),
        ("ADIT_LEASE_S=21", "wrong: ADIT_LEASE_S stands there twice", 2),
    ],
)
def test_the_check_names_lines_that_do_not_belong_there(line: str, told: str, status: int) -> None:
    env = begun()
    call("randomize-env-secrets")
    env.write_text(f"{env.read_text()}{line}\n")
    checked = call("env-check")
    assert (checked.exit_code, told in checked.output) == (status, True), checked.output


def test_the_check_names_what_production_refuses_without_its_value() -> None:
    env = begun()
    call("randomize-env-secrets")
    replace(env, "ADIT_ENVIRONMENT=development", "ADIT_ENVIRONMENT=production")
    replace(env, "ADIT_WEB_URL=http://localhost:8000", "ADIT_WEB_URL=http://adit.hospital.org")
    checked = call("env-check")
    assert checked.exit_code == 2
    assert "web_url: it must begin with https://" in checked.output
    assert "hospital.org" not in checked.output


def test_the_check_tells_what_an_update_has_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun()
    call("randomize-env-secrets")
    later = tmp_path / "later.env"
    later.write_text(workspace.EXAMPLE.read_text() + "ADIT_NEW=7\n")
    replace(later, "ADIT_LEASE_S=20", "ADIT_LEASE_S=30")
    monkeypatch.setattr(workspace, "EXAMPLE", later)
    checked = call("env-check")
    assert checked.exit_code == 1
    assert "new: ADIT_NEW, by default 7" in checked.output
    assert "changed default: ADIT_LEASE_S: 20 -> 30" in checked.output
    call("env-check", "--settle")
    assert "changed default" not in call("env-check").output


def test_without_a_file_the_check_says_how_to_begin() -> None:
    checked = call("env-check")
    assert checked.exit_code == 2
    assert "init-workspace" in checked.output


def test_generated_tokens_and_passwords_are_long_and_differ() -> None:
    tokens = {call("generate-auth-token").output for _ in range(3)}
    assert len(tokens) == 3
    assert all(token.startswith("adit_") and len(token) == 49 for token in tokens)
    assert len(call("generate-auth-token", "30").output.strip()) == 30
    password = call("generate-secure-password", "24").output.strip()
    assert len(password) == 24
    assert any(sign.isdigit() for sign in password) and any(not sign.isalnum() for sign in password)
    assert call("generate-secure-password", "4").exit_code == 2


def test_a_certificate_is_for_its_hosts_and_fits_its_key() -> None:
    made = call("generate-certificate-files", "--host", "adit.hospital.org", "--host", "10.1.2.3")
    assert made.exit_code == 0, made.output
    certificate, key = Path("certificates/adit.crt"), Path("certificates/adit.key")
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["adit.hospital.org"]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == ["10.1.2.3"]
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    assert {path.stat().st_mode & 0o777 for path in (certificate, key)} == {0o600}


@pytest.mark.parametrize("text", ["ADIT_LEASE_S=20\n", "ADIT_WEB_URL=\nSTACK_CERTIFICATE_FILE=\nSTACK_KEY_FILE=\n"])
def test_a_certificate_is_made_for_a_file_that_says_nothing_of_certificates(text: str) -> None:
    Path(".env").write_text(text)
    made = call("generate-certificate-files")
    assert made.exit_code == 0, made.output
    assert "for localhost" in made.output
    assert Path("certificates/adit.crt").exists() and Path("certificates/adit.key").exists()


def test_certificates_are_replaced_by_force_only() -> None:
    call("generate-certificate-files", "--host", "adit.hospital.org")
    before = Path("certificates/adit.key").read_bytes()
    assert call("generate-certificate-files", "--host", "adit.hospital.org").exit_code == 2
    assert Path("certificates/adit.key").read_bytes() == before
    assert call("generate-certificate-files", "--host", "adit.hospital.org", "--force").exit_code == 0
    assert Path("certificates/adit.key").read_bytes() != before


def test_a_chain_goes_from_the_server_to_its_authority(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "hospital"), Authority(tmp_path, "other")
    server, _ = authority.issue("adit")
    assert call("generate-certificate-chain", str(server), str(authority.file), "--to", "chain.crt").exit_code == 0
    assert Path("chain.crt").read_bytes() == server.read_bytes() + authority.file.read_bytes()
    wrong = call("generate-certificate-chain", str(server), str(other.file), "--to", "wrong.crt")
    assert (wrong.exit_code, Path("wrong.crt").exists()) == (2, False)
    assert "is not signed by" in wrong.output


def test_a_made_master_key_is_one() -> None:
    Fernet(secret_values.MAKERS[secret_values.MASTER_KEY]())
