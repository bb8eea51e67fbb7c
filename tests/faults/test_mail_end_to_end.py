"""Mail of the whole service: over a real SMTP server, and with Redis away."""

from __future__ import annotations

import email
import email.policy
import time

import httpx
import psycopg
import redis as redis_library

from infra.local.redis import LocalRedis
from tests.support.service import ServiceProcess, link_in
from tests.support.smtp import make_certificate, smtp_server


def until(condition, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_link_in_a_mail_sent_over_smtp_verifies_the_address(database_url, redis_url, tmp_path):
    certificate = make_certificate(tmp_path)
    with smtp_server(certificate) as server:
        server.answer_with(["451 try again later"])
        service = ServiceProcess(
            tmp_path / "var",
            database_url,
            redis_url,
            SMTP_URL=f"smtp://bank:secret@127.0.0.1:{server.port}?ca_file={certificate[0]}",
            EMAIL_SENDER_NAME="Bänk",
        ).start()
        name = service.register(verified=False)
        until(lambda: server.mails)
        (received,) = server.mails
        mail = email.message_from_bytes(received.content, policy=email.policy.default)
        assert mail["From"] == "Bänk <bank@example.com>"
        assert received.recipients == [f"{name}@example.com"]
        assert received.encrypted
        assert httpx.get(link_in(mail)).json() == {"is_verified": True}
        assert service.stop() == 0
    assert not (tmp_path / "var" / "mail").exists()


def test_registration_works_while_redis_is_away_and_the_mail_comes_later(database_url, tmp_path):
    redis = LocalRedis(tmp_path / "redis")
    redis.start()
    service = ServiceProcess(tmp_path / "var", database_url, redis.url).start()
    redis.kill()
    name = service.register(verified=False)
    time.sleep(0.3)
    assert not (tmp_path / "var" / "mail").exists()
    assert httpx.get(f"{service.http}/readyz").status_code == 200  # money still moves
    redis.start()
    assert httpx.get(service.verification_link(f"{name}@example.com", timeout_s=20)).status_code == 200
    assert service.stop() == 0
    redis.stop()


def test_neither_database_nor_redis_ever_holds_a_usable_link(database_url, redis_url, tmp_path):

    service = ServiceProcess(tmp_path / "var", database_url, redis_url).start()
    name = service.register(verified=False)
    link = service.verification_link(f"{name}@example.com")
    secret = link.rpartition("secret_code=")[2]
    token = service.login(name)
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        dump = "".join(
            str(connection.execute(f"select t::text from {table} t").fetchall()) for (table,) in tables
        )
    assert name in dump
    for treasure in (secret, token):
        assert treasure not in dump
        assert treasure.encode().hex() not in dump
    with redis_library.Redis.from_url(redis_url) as client:
        everything = b"".join(client.dump(key) or b"" for key in client.scan_iter())
    assert secret.encode() not in everything
    assert service.stop() == 0
