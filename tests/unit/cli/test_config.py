from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.cli.config import keys, load_settings
from howdah.domain.errors import SetupError
from howdah.domain.memory import Profile
from howdah.domain.organizations import ApiVersion
from howdah.domain.settings import (
    ApiSettings,
    BackupSettings,
    PostgresSettings,
    QuotaSettings,
    RouterSettings,
    Settings,
)

STATE = Path("/somewhere")


BACKUP = BackupSettings(
    "s3://bucket/prefix",
    "https://s3.example.com",
    "eu-central-1",
    "id",
    "secret",
    False,
    Path("/ca.pem"),
    "AES256",
    12.0,
    3,
    30.0,
    14.0,
    50,
    4,
    2.5,
    3.5,
    2,
)


def load(
    toml: str | None = None, *, tmp: Path | None = None, options: dict[str, object] | None = None, **environ: str
) -> Settings:
    file = None
    if toml is not None:
        assert tmp is not None
        file = tmp / "howdah.toml"
        file.write_text(toml)
    return load_settings(options or {}, environ=environ, file=file, default_state=STATE)


def refusal(*arguments: str, **more: object) -> str:
    with pytest.raises(SetupError) as refused:
        load(*arguments, **more)  # type: ignore[arg-type]
    return refused.value.sentence


POSTGRES = PostgresSettings(
    "3000-3001", "4000-4001", 5, Path("/b"), Path("/t"), Profile.DEDICATED, 48, ("egress", "limits")
)


def test_nothing_said_gives_the_defaults() -> None:
    assert load() == Settings(state=STATE)


def test_every_key_can_be_said_in_the_file(tmp_path: Path) -> None:
    toml = """
        state = "/elsewhere"
        domain = "DB.example.com."
        rename_grace_hours = 1
        activity_retention_days = 30
        [api]
        host = "::1"
        port = 1
        default_version = "beta"
        [router]
        addresses = ["0.0.0.0", "::"]
        port = 2
        [postgres]
        ports = "3000-3001"
        uids = "4000-4001"
        pool = 5
        binaries = "/b"
        templates = "/t"
        profile = "dedicated"
        memory_gib = 48
        require = ["egress", "limits"]
        [backup]
        archive = "s3://bucket/prefix"
        s3_endpoint = "https://s3.example.com"
        s3_region = "eu-central-1"
        s3_access_key = "id"
        s3_secret_key = "secret"
        s3_path_style = false
        s3_ca_file = "/ca.pem"
        s3_encryption = "AES256"
        interval_hours = 12
        retention_days = 30
        keep_after_delete_days = 14
        chain = 3
        rate_mib = 50
        parallel = 4
        spool_gib = 2.5
        drill_interval_days = 3.5
        drill_parallel = 2
        [quota]
        services = 3
        storage_gib = 400
    """
    assert load(toml, tmp=tmp_path) == Settings(
        state=Path("/elsewhere"),
        domain="db.example.com",
        rename_grace_hours=1.0,
        activity_retention_days=30.0,
        api=ApiSettings("::1", 1, ApiVersion.BETA),
        router=RouterSettings(("0.0.0.0", "::"), 2),
        postgres=POSTGRES,
        backup=BACKUP,
        quota=QuotaSettings(3, 400),
    )


def test_every_key_can_be_said_in_the_environment() -> None:
    said = {
        "HOWDAH_STATE": "/elsewhere",
        "HOWDAH_DOMAIN": "db.example.com",
        "HOWDAH_RENAME_GRACE_HOURS": "0.5",
        "HOWDAH_ACTIVITY_RETENTION_DAYS": "7.5",
        "HOWDAH_API_HOST": "127.0.0.2",
        "HOWDAH_API_PORT": "1",
        "HOWDAH_API_DEFAULT_VERSION": "beta",
        "HOWDAH_API_RATE_LIMIT": "7",
        "HOWDAH_API_TLS_CERTIFICATE": "/c.pem",
        "HOWDAH_API_TLS_KEY": "/k.pem",
        "HOWDAH_API_TLS_GENERATE": "false",
        "HOWDAH_API_TLS_NAMES": "api.example.com,192.0.2.1",
        "HOWDAH_ROUTER_ADDRESSES": "127.0.0.1, ::1",
        "HOWDAH_ROUTER_PORT": "2",
        "HOWDAH_ROUTER_WORKERS": "2",
        "HOWDAH_POSTGRES_PORTS": "3000-3001",
        "HOWDAH_POSTGRES_UIDS": "4000-4001",
        "HOWDAH_POSTGRES_POOL": "5",
        "HOWDAH_POSTGRES_BINARIES": "/b",
        "HOWDAH_POSTGRES_TEMPLATES": "/t",
        "HOWDAH_POSTGRES_PROFILE": "dedicated",
        "HOWDAH_POSTGRES_MEMORY_GIB": "48",
        "HOWDAH_POSTGRES_REQUIRE": "egress,limits",
        "HOWDAH_BACKUP_ARCHIVE": "s3://bucket/prefix",
        "HOWDAH_BACKUP_S3_ENDPOINT": "https://s3.example.com",
        "HOWDAH_BACKUP_S3_REGION": "eu-central-1",
        "HOWDAH_BACKUP_S3_ACCESS_KEY": "id",
        "HOWDAH_BACKUP_S3_SECRET_KEY": "secret",
        "HOWDAH_BACKUP_S3_PATH_STYLE": "false",
        "HOWDAH_BACKUP_S3_CA_FILE": "/ca.pem",
        "HOWDAH_BACKUP_S3_ENCRYPTION": "AES256",
        "HOWDAH_BACKUP_INTERVAL_HOURS": "12",
        "HOWDAH_BACKUP_RETENTION_DAYS": "30",
        "HOWDAH_BACKUP_KEEP_AFTER_DELETE_DAYS": "14",
        "HOWDAH_BACKUP_CHAIN": "3",
        "HOWDAH_BACKUP_RATE_MIB": "50",
        "HOWDAH_BACKUP_PARALLEL": "4",
        "HOWDAH_BACKUP_SPOOL_GIB": "2.5",
        "HOWDAH_BACKUP_DRILL_INTERVAL_DAYS": "3.5",
        "HOWDAH_BACKUP_DRILL_PARALLEL": "2",
        "HOWDAH_QUOTA_SERVICES": "3",
        "HOWDAH_QUOTA_STORAGE_GIB": "400",
    }
    assert set(said) == {key.variable for key in keys()}
    assert load(**said) == Settings(
        state=Path("/elsewhere"),
        domain="db.example.com",
        rename_grace_hours=0.5,
        activity_retention_days=7.5,
        api=ApiSettings(
            "127.0.0.2", 1, ApiVersion.BETA, 7, Path("/c.pem"), Path("/k.pem"), False, ("api.example.com", "192.0.2.1")
        ),
        router=RouterSettings(("127.0.0.1", "::1"), 2, 2),
        postgres=POSTGRES,
        backup=BACKUP,
        quota=QuotaSettings(3, 400),
    )


def test_an_option_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    toml = "[api]\nport = 1\n[router]\nport = 1\n[postgres]\npool = 1\n"
    environ = {"HOWDAH_API_PORT": "2", "HOWDAH_ROUTER_PORT": "2"}
    settings = load(toml, tmp=tmp_path, options={"api.port": 3, "router.port": None}, **environ)
    assert (settings.api.port, settings.router.port, settings.postgres.pool) == (3, 2, 1)


def test_an_unknown_key_of_the_file_names_the_nearest(tmp_path: Path) -> None:
    said = refusal("[api]\nprot = 1\n", tmp=tmp_path)
    assert "unknown key api.prot; nearest: api.port" in said
    assert str(tmp_path / "howdah.toml") in said


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    assert "unknown key apy" in refusal("[apy]\nport = 1\n", tmp=tmp_path)


def test_an_unknown_variable_names_the_nearest() -> None:
    assert "HOWDAH_API_PROT is not known; nearest: HOWDAH_API_PORT" in refusal(HOWDAH_API_PROT="1")


@pytest.mark.parametrize("variable", ["HOWDAH_PYTHON", "HOWDAH_TEST_CACHE", "HOWDAH_SERVICE_HOST", "HOME"])
def test_variables_that_are_no_keys_are_left_alone(variable: str) -> None:
    assert load(**{variable: "x"}) == Settings(state=STATE)


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"missing\.toml cannot be read: No such file"):
        load_settings({}, environ={}, file=tmp_path / "missing.toml", default_state=STATE)
    assert "is not TOML" in refusal("api = [", tmp=tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("HOWDAH_API_PORT", "x", "it must be a whole number"),
        ("HOWDAH_API_PORT", "65536", "it must be from 0 to 65535"),
        ("HOWDAH_API_HOST", "example.com", "it must be an IP address"),
        ("HOWDAH_API_DEFAULT_VERSION", "gamma", "it must be one of: preview, beta"),
        ("HOWDAH_ROUTER_ADDRESSES", "", "it must name at least one IP address"),
        ("HOWDAH_ROUTER_ADDRESSES", "127.0.0.1,here", "it must be an IP address"),
        ("HOWDAH_POSTGRES_PORTS", "20000", "two numbers with a hyphen between"),
        ("HOWDAH_POSTGRES_PORTS", "20-30", "it must lie within 1024-65535"),
        ("HOWDAH_POSTGRES_UIDS", "9000-8000", "the smaller number first"),
        ("HOWDAH_POSTGRES_PROFILE", "huge", "it must be one of: shared, dedicated"),
        ("HOWDAH_POSTGRES_BINARIES", " ", "it must be a path"),
        ("HOWDAH_RENAME_GRACE_HOURS", "-1", "it must be from 0 to"),
        ("HOWDAH_RENAME_GRACE_HOURS", "nan", "it must be from 0 to"),
        ("HOWDAH_DOMAIN", "-x.com", "it must be a DNS name"),
        ("HOWDAH_DOMAIN", "a" * 64, "it must be a DNS name"),
    ],
)
def test_a_wrong_value_names_its_key_its_place_and_the_rule(variable: str, value: str, rule: str) -> None:
    said = refusal(**{variable: value})
    (key,) = [key for key in keys() if key.variable == variable]
    assert said.startswith(f"{key.name} (environment variable {variable}) is ")
    assert rule in said


@pytest.mark.parametrize("value", ["true", '"x"', "1.5", "[1]"])
def test_the_file_gives_numbers_as_numbers(tmp_path: Path, value: str) -> None:
    assert "it must be a whole number" in refusal(f"[api]\nport = {value}\n", tmp=tmp_path)


@given(st.sampled_from([key.variable for key in keys()]), st.text())
def test_any_text_of_a_variable_is_accepted_or_refused_with_a_sentence_that_names_it(variable: str, text: str) -> None:
    said = variable
    try:
        load(**{variable: text})
    except SetupError as refused:
        said = refused.sentence
    assert variable in said


def test_an_address_that_others_reach_needs_tls() -> None:
    said = refusal(HOWDAH_API_HOST="0.0.0.0")
    assert said.startswith("api.host is 0.0.0.0, ")
    assert "Set api.tls_certificate and api.tls_key" in said
    tls = {"HOWDAH_API_TLS_CERTIFICATE": "/c.pem", "HOWDAH_API_TLS_KEY": "/k.pem"}
    assert load(HOWDAH_API_HOST="0.0.0.0", **tls).api.host == "0.0.0.0"
