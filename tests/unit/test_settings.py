"""Settings: one clear line for everything that is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli.settings import SettingsError, load


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
    (tmp_path / "certificate.pem").write_text("nothing")
    paths = {
        "GRPC_TLS_CERTIFICATE": str(tmp_path / "certificate.pem"),
        "GRPC_TLS_KEY": str(tmp_path / "key.pem"),
    }
    with pytest.raises(SettingsError, match=r"^GRPC_TLS_CERTIFICATE: "):
        load({**environ, **paths})
