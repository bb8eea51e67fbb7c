"""Settings: one clear line for everything that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from application.mail import Sender, verification_mail
from cli.settings import SettingsError, load
from domain.users import MailedSecret, User
from transport.http.hygiene import security_headers

NOW = datetime(2025, 1, 1, tzinfo=UTC)
USER = User("alice", "Alice", "alice@example.com", False, [], NOW, NOW)
ASKED = MailedSecret(UUID(int=1), "alice", "alice@example.com", b"hash", timedelta(minutes=15))


class Killed(BaseException):
    pass


@pytest.fixture
def environ(tmp_path) -> dict[str, str]:
    return {"VAR_DIR": str(tmp_path / "var")}


def test_defaults_are_those_of_the_contract(environ):
    settings = load(environ)
    assert settings.environment == "development"
    assert settings.http_server_address == "127.0.0.1:8080"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.access_token_duration == timedelta(minutes=15)
    assert settings.refresh_token_duration == timedelta(hours=24)
    assert settings.currencies == ("USD", "EUR", "CAD")
    assert settings.shutdown_grace_s == 25
    assert settings.require_verified_email


def test_development_makes_a_key_once_and_keeps_it(environ, tmp_path):
    first, second = load(environ), load(environ)
    assert first.token_keys == second.token_keys
    assert len(first.token_keys[0]) == 32
    assert (tmp_path / "var" / "token-symmetric-key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", ["k" * 32, "ab" * 32])
def test_a_key_is_32_bytes_raw_or_hex(environ, key):
    assert len(load({**environ, "TOKEN_SYMMETRIC_KEY": key}).token_keys[0]) == 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "mysql://x"),
        ("REDIS_URL", "localhost"),
        ("HTTP_SERVER_ADDRESS", "8080"),
        ("GRPC_SERVER_ADDRESS", "x:99999"),
        ("TOKEN_FORMAT", "saml"),
        ("TOKEN_SYMMETRIC_KEY", "short"),
        ("ACCESS_TOKEN_DURATION", "15"),
        ("REFRESH_TOKEN_DURATION", "0s"),
        ("SMTP_URL", "mail.example.com"),
        ("EMAIL_SENDER_ADDRESS", "nobody"),
        ("PUBLIC_URL", "ftp://x"),
        ("REQUIRE_VERIFIED_EMAIL", "yes"),
        ("CURRENCIES", "usd"),
        ("SHUTDOWN_GRACE", "soon"),
        ("BOOTSTRAP_ADMIN_USERNAME", "root"),
        ("GRPC_TLS_CERTIFICATE", "certificate.pem"),
        ("TOKEN_RETIRED_KEYS", f"{'ab' * 32},short"),
        ("RATE_LIMITS", "no"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://bank.example/"),
        ("ALLOWED_ORIGINS", "bank.example"),
        ("ALLOWED_ORIGINS", "https://bank.example:443"),
        ("ALLOWED_ORIGINS", "https://bank.example:99999"),
        ("ALLOWED_ORIGINS", "https://Bank.example"),
        ("ALLOWED_ORIGINS", "https://-"),
        ("DATABASE_URL", "postgresql://h:99999/x"),
        ("DATABASE_URL", "postgresql://h:0/x"),
        ("DATABASE_URL", "postgresql://u:hush@[::1"),
        ("DATABASE_URL", "postgresql://h/x?no_such=1"),
        ("DATABASE_URL", "postgresql:"),
        ("REDIS_URL", "redis://h:abc"),
        ("REDIS_URL", "redis://h:99999"),
        ("REDIS_URL", "redis://:hush@[::1"),
        ("REDIS_URL", "redis://h/0?no_such=1"),
        ("SMTP_URL", "smtp://u:hush@[::1"),
        ("SMTP_URL", "smtp://u:hush@h:x"),
        ("SMTP_URL", "smtp://u:hush@h\u2100"),
        ("PUBLIC_URL", "http://"),
        ("PUBLIC_URL", "https://bank.example/?a=b"),
        ("PUBLIC_URL", "https://bank.example/a b"),
        ("PUBLIC_URL", "https://bank.example#top"),
        ("PUBLIC_URL", "https://bank.example:99999"),
        ("PUBLIC_URL", "https://u:hush@bank.example"),
        ("HTTP_SERVER_ADDRESS", "[::1:8080"),
        ("HTTP_SERVER_ADDRESS", "::1:8080"),
        ("HTTP_SERVER_ADDRESS", ":8080"),
        ("HTTP_SERVER_ADDRESS", "999.0.0.1:8080"),
        ("HTTP_SERVER_ADDRESS", "a b:8080"),
        ("HTTP_SERVER_ADDRESS", "127.0.0.1:８０８０"),
        ("GRPC_SERVER_ADDRESS", "127.0.0.1:8080"),
        ("ACCESS_TOKEN_DURATION", "99999999999999d"),
        ("ACCESS_TOKEN_DURATION", "3651d"),
        ("ACCESS_TOKEN_DURATION", "1ms"),
        ("REFRESH_TOKEN_DURATION", "15 m"),
        ("SHUTDOWN_GRACE", "1s"),
        ("CURRENCIES", "USD,EUR,USD"),
        ("CURRENCIES", "USD,,EUR"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,"),
        ("TOKEN_RETIRED_KEYS", f"{'ab' * 32},{'ab' * 32}"),
        ("WORKERS", "0"),
        ("WORKERS", "01"),
        ("WORKERS", "-2"),
        ("WORKERS", "65"),
        ("WORKERS", "999"),
        ("WORKERS", "٢"),
        ("WORKERS", "2.0"),
        ("EMAIL_SENDER_ADDRESS", "two words@bank.example"),
        ("EMAIL_SENDER_NAME", "two\nlines"),
    ],
)
def test_a_malformed_value_is_one_line_naming_the_variable(environ, name, value):
    with pytest.raises(SettingsError, match=f"^{name}") as caught:
        load({**environ, name: value})
    assert "\n" not in str(caught.value)


def test_production_needs_a_key(environ):
    with pytest.raises(SettingsError, match="TOKEN_SYMMETRIC_KEY"):
        load({**environ, "ENVIRONMENT": "production"})


def test_production_has_rate_limits(environ):
    with pytest.raises(SettingsError, match="RATE_LIMITS"):
        load({**environ, "ENVIRONMENT": "production", "TOKEN_SYMMETRIC_KEY": "k" * 32, "RATE_LIMITS": "off"})
    assert not load({**environ, "RATE_LIMITS": "off"}).rate_limits


def test_lists_are_separated_by_commas(environ):
    settings = load(
        {
            **environ,
            "TOKEN_SYMMETRIC_KEY": "k" * 32,
            "TOKEN_RETIRED_KEYS": "ab" * 32,
            "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "ALLOWED_ORIGINS": "https://bank.example, http://localhost:5173",
        }
    )
    assert settings.token_keys == (b"k" * 32, bytes.fromhex("ab" * 32))
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert settings.allowed_origins == ("https://bank.example", "http://localhost:5173")


def test_secrets_are_not_in_the_repr(environ):
    settings = load({**environ, "TOKEN_SYMMETRIC_KEY": "k" * 32, "SMTP_URL": "smtp://u:pw@h"})
    assert "kkkk" not in repr(settings)
    assert "pw@h" not in repr(settings)


def test_a_certificate_that_is_none_is_told_so(environ, tmp_path):
    paths = {
        "GRPC_TLS_CERTIFICATE": str(tmp_path / "certificate.pem"),
        "GRPC_TLS_KEY": str(tmp_path / "key.pem"),
    }
    (tmp_path / "certificate.pem").write_text("nothing")
    with pytest.raises(SettingsError, match=r"^GRPC_TLS_KEY: .* can not be read"):
        load({**environ, **paths})
    (tmp_path / "key.pem").write_text("nothing")
    with pytest.raises(SettingsError, match=r"^GRPC_TLS_CERTIFICATE: unusable"):
        load({**environ, **paths})


def test_a_key_that_asks_for_a_passphrase_is_refused_and_asks_nobody(environ, tmp_path):
    key = rsa.generate_private_key(65537, 2048)
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    certificate = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, SHA256())
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths = {
        "GRPC_TLS_CERTIFICATE": str(tmp_path / "certificate.pem"),
        "GRPC_TLS_KEY": str(tmp_path / "key.pem"),
    }
    with pytest.raises(SettingsError, match=r"^GRPC_TLS_CERTIFICATE: unusable"):
        load({**environ, **paths})


@pytest.mark.parametrize(
    ("username", "password", "named"),
    [
        ("Root", "correct horse", "BOOTSTRAP_ADMIN_USERNAME"),
        ("login", "correct horse", "BOOTSTRAP_ADMIN_USERNAME"),
        ("root", "short", "BOOTSTRAP_ADMIN_PASSWORD"),
        ("root", "password123", "BOOTSTRAP_ADMIN_PASSWORD"),
    ],
)
def test_the_admin_to_be_is_one_the_domain_allows(environ, username, password, named):
    admin = {"BOOTSTRAP_ADMIN_USERNAME": username, "BOOTSTRAP_ADMIN_PASSWORD": password}
    with pytest.raises(SettingsError, match=f"^{named}: ") as caught:
        load({**environ, **admin})
    assert password not in str(caught.value)


def test_the_key_in_use_is_not_a_retired_one(environ):
    keys = {"TOKEN_SYMMETRIC_KEY": "k" * 32, "TOKEN_RETIRED_KEYS": (b"k" * 32).hex()}
    with pytest.raises(SettingsError, match=r"^TOKEN_RETIRED_KEYS: "):
        load({**environ, **keys})


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_is_a_file_is_told_so(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^VAR_DIR: "):
        load({"VAR_DIR": str(tmp_path / place)})


def test_a_folder_that_nobody_can_write_to_is_told_so():
    with pytest.raises(SettingsError, match=r"^VAR_DIR: can not be written to"):
        load({"VAR_DIR": "/proc/self"})


def test_a_key_file_is_never_half_made(environ, tmp_path, monkeypatch):
    """Killed while it is being written, and done by another process meanwhile."""
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        load(environ)
    assert list((tmp_path / "var").iterdir()) == []
    path = tmp_path / "var" / "token-symmetric-key"
    monkeypatch.setattr("os.fsync", lambda fd: path.write_text("ab" * 32))
    assert load(environ).token_keys == (bytes.fromhex("ab" * 32),)


NAMES = (
    *("ENVIRONMENT", "LOG_LEVEL", "DATABASE_URL", "REDIS_URL", "HTTP_SERVER_ADDRESS", "GRPC_SERVER_ADDRESS"),
    *("GRPC_TLS_CERTIFICATE", "GRPC_TLS_KEY", "TOKEN_FORMAT", "TOKEN_SYMMETRIC_KEY", "TOKEN_RETIRED_KEYS"),
    *("ACCESS_TOKEN_DURATION", "REFRESH_TOKEN_DURATION", "SMTP_URL", "EMAIL_SENDER_NAME", "WORKERS"),
    *("EMAIL_SENDER_ADDRESS", "PUBLIC_URL", "REQUIRE_VERIFIED_EMAIL", "CURRENCIES", "SHUTDOWN_GRACE"),
    *("RATE_LIMITS", "TRUSTED_PROXIES", "ALLOWED_ORIGINS", "BOOTSTRAP_ADMIN_USERNAME"),
    *("BOOTSTRAP_ADMIN_PASSWORD", "VAR_DIR"),
)
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff")
PIECES = (
    *(
        "postgresql://",
        "redis://",
        "unix://",
        "smtp://",
        "smtps://",
        "http://",
        "https://",
        "[::1]",
        "[",
        "]",
        "@",
    ),
    *(
        ":",
        "/",
        "?",
        "#",
        "%",
        "%zz",
        ",",
        ".",
        "..",
        "-",
        "0",
        "1",
        "65536",
        "99999999999999999999",
        "a",
        "host",
    ),
    *("=", "&", "d", "ms", "USD", "10.0.0.0/8", "sslmode", "db=x", "starttls", "ca_file", " ", "\n", "\u2100"),
)
TEXTS = st.text(CHARACTERS, max_size=80) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def loaded_or_refused(values):
    try:
        return load(values)
    except SettingsError as error:
        return error


@settings(max_examples=600, deadline=None)
@given(values=st.dictionaries(st.sampled_from(NAMES), TEXTS, min_size=1, max_size=3))
def test_any_text_is_settings_or_one_line_that_names_a_variable(values):
    with TemporaryDirectory() as folder:
        values["VAR_DIR"] = f"{folder}/{values.get('VAR_DIR', '').replace('..', '')}"
        loaded = loaded_or_refused(values)
        if isinstance(loaded, SettingsError):
            assert str(loaded).partition(":")[0] in values
            assert len(str(loaded).splitlines()) == 1
        else:
            verification_mail(
                Sender(loaded.email_sender_name, loaded.email_sender_address, loaded.public_url),
                USER,
                ASKED,
                "code",
                at=NOW,
            ).as_bytes()
            security_headers(loaded.public_url)
