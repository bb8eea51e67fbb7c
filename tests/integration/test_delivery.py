"""Mails leave over a real SMTP server, or as files."""

from __future__ import annotations

import email
import email.policy
import time
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
import trio

from actors.delivery import DeliveryFailed, FileDelivery, SmtpDelivery, parse_smtp_url
from tests.support.smtp import SmtpServer, make_certificate, smtp_server


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "bank@example.com"
    message["To"] = "alice@example.com"
    message["Subject"] = "Grüße"
    message.set_content("hello\n.\nlines that begin with a dot\n")
    return message


def smtp(url: str, timeout_s: float = 5) -> SmtpDelivery:
    return SmtpDelivery(parse_smtp_url(url), timeout_s=timeout_s)


async def hang_ups(server: SmtpServer, number: int) -> None:
    with trio.fail_after(8):
        while server.hang_ups < number:
            await trio.sleep(0.01)


async def test_a_mail_arrives_whole():
    with smtp_server() as server:
        await smtp(f"smtp://127.0.0.1:{server.port}").deliver(mail())
        (received,) = server.mails
    arrived = email.message_from_bytes(received.content, policy=email.policy.default)
    assert received.recipients == ["alice@example.com"]
    assert arrived["Subject"] == "Grüße"
    assert "\n.\nlines" in arrived.get_content().replace("\r\n", "\n")


async def test_login_happens_over_starttls_only(tmp_path):
    certificate = make_certificate(tmp_path)
    with smtp_server(certificate) as server:
        url = f"smtp://bank:secret@127.0.0.1:{server.port}?ca_file={certificate[0]}"
        await smtp(url).deliver(mail())
        assert server.logins == ["bank"]
        assert [each.encrypted for each in server.mails] == [True]


async def test_an_unknown_authority_is_refused(tmp_path):
    with smtp_server(make_certificate(tmp_path)) as server:
        delivery = smtp(f"smtp://bank:secret@127.0.0.1:{server.port}")
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await delivery.deliver(mail())
        assert server.logins == []


async def test_credentials_are_not_sent_without_starttls():
    with smtp_server() as server:
        delivery = smtp(f"smtp://bank:secret@127.0.0.1:{server.port}")
        with pytest.raises(DeliveryFailed, match="STARTTLS") as caught:
            await delivery.deliver(mail())
        assert server.attempts == 0
    assert not caught.value.permanent


async def test_a_wrong_password_may_be_mended(tmp_path):
    certificate = make_certificate(tmp_path)
    with smtp_server(certificate) as server, pytest.raises(DeliveryFailed, match=r"^535 ") as caught:
        await smtp(f"smtp://bank:wrong@127.0.0.1:{server.port}?ca_file={certificate[0]}").deliver(mail())
    assert not caught.value.permanent


@pytest.mark.parametrize(("answer", "permanent"), [("451 later", False), ("554 never", True)])
async def test_refusals_are_told_apart(answer, permanent):
    with smtp_server() as server:
        server.answer_with([answer])
        with pytest.raises(DeliveryFailed) as caught:
            await smtp(f"smtp://127.0.0.1:{server.port}").deliver(mail())
    assert caught.value.permanent is permanent


async def test_a_server_that_hangs_or_is_away_is_no_permanent_failure():
    with smtp_server() as server:
        server.answer_with([], delay_s=1)
        with pytest.raises(DeliveryFailed) as caught:
            await smtp(f"smtp://127.0.0.1:{server.port}", timeout_s=0.2).deliver(mail())
        assert not caught.value.permanent
    with pytest.raises(DeliveryFailed) as caught:
        await smtp(f"smtp://127.0.0.1:{server.port}").deliver(mail())
    assert not caught.value.permanent


async def test_files_are_written_whole_and_sort_by_time(tmp_path):
    delivery = FileDelivery(tmp_path / "mail")
    for _ in range(3):
        await delivery.deliver(mail())
    files = sorted((tmp_path / "mail").iterdir())
    assert [file.suffix for file in files] == [".eml"] * 3
    assert email.message_from_bytes(files[0].read_bytes(), policy=email.policy.default)["Subject"] == "Grüße"


async def test_an_unwritable_folder_is_a_failed_delivery(tmp_path):
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(DeliveryFailed):
        await FileDelivery(tmp_path / "mail").deliver(mail())


@pytest.mark.parametrize(
    "url", ["http://x", "smtp://", "smtp://h:1?nonsense=1", "smtp://h:1?starttls=maybe", "smtp://h:port"]
)
def test_a_bad_smtp_url_is_a_value_error(url):
    with pytest.raises(ValueError, match=r".+"):
        parse_smtp_url(url)


@pytest.mark.parametrize(("answer", "permanent"), [("450 busy", False), ("550 nobody", True)])
async def test_refused_recipients_are_told_apart(answer, permanent):
    with smtp_server() as server:
        server.answer_with([], recipient=answer)
        with pytest.raises(DeliveryFailed, match=f"^{answer}$") as caught:
            await smtp(f"smtp://127.0.0.1:{server.port}").deliver(mail())
        assert server.attempts == 0
    assert caught.value.permanent is permanent


async def test_a_mail_refused_for_now_is_taken_later():
    with smtp_server() as server:
        server.answer_with(["451 later"])
        delivery = smtp(f"smtp://127.0.0.1:{server.port}")
        with pytest.raises(DeliveryFailed):
            await delivery.deliver(mail())
        await delivery.deliver(mail())
        assert len(server.mails) == 1


async def test_a_mail_that_was_taken_is_delivered_whatever_quit_says():
    with smtp_server() as server:
        server.answer_with([], quit_="421 going down")
        await smtp(f"smtp://127.0.0.1:{server.port}").deliver(mail())
        assert len(server.mails) == 1


async def test_starttls_is_used_when_it_is_offered(tmp_path):
    certificate = make_certificate(tmp_path)
    with smtp_server(certificate, tls="offered") as server:
        await smtp(f"smtp://127.0.0.1:{server.port}?ca_file={certificate[0]}").deliver(mail())
        await smtp(f"smtp://127.0.0.1:{server.port}?starttls=off").deliver(mail())
        assert [each.encrypted for each in server.mails] == [True, False]


async def test_smtps_is_tls_from_the_start(tmp_path):
    certificate = make_certificate(tmp_path)
    with smtp_server(certificate, tls="implicit") as server:
        await smtp(f"smtps://127.0.0.1:{server.port}?ca_file={certificate[0]}").deliver(mail())
        assert len(server.mails) == 1
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await smtp(f"smtps://127.0.0.1:{server.port}").deliver(mail())


async def test_a_certificate_for_another_host_is_refused(tmp_path):
    certificate = make_certificate(tmp_path)
    with smtp_server(certificate, tls="offered") as server:
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await smtp(f"smtp://localhost:{server.port}?ca_file={certificate[0]}").deliver(mail())
        assert server.attempts == 0


async def test_a_cancelled_delivery_ends_at_once_and_hangs_up():
    with smtp_server() as server:
        server.answer_with([], delay_s=10)
        await hang_ups(server, 1)  # of the probe that found the server ready
        began = time.monotonic()
        with trio.move_on_after(0.3):
            await smtp(f"smtp://127.0.0.1:{server.port}", timeout_s=20).deliver(mail())
        assert time.monotonic() - began < 8
        await hang_ups(server, 2)  # before the server would have answered


async def test_a_delivery_as_a_whole_is_bounded():
    with smtp_server() as server:
        server.answer_with([], delay_s=3)
        parsed = parse_smtp_url(f"smtp://127.0.0.1:{server.port}")
        with pytest.raises(DeliveryFailed, match=r"within 0\.3 s") as caught:
            await SmtpDelivery(parsed, timeout_s=10, delivery_timeout_s=0.3).deliver(mail())
    assert not caught.value.permanent


async def test_a_mail_to_nobody_is_refused_for_good():
    message = mail()
    del message["To"]
    with smtp_server() as server, pytest.raises(DeliveryFailed) as caught:
        await smtp(f"smtp://127.0.0.1:{server.port}").deliver(message)
    assert caught.value.permanent


async def test_files_of_one_moment_have_names_of_their_own_and_one_reader(tmp_path):
    delivery = FileDelivery(tmp_path, now=lambda: datetime(2026, 1, 2, 3, 4, 5, 6, UTC))
    for _ in range(2):
        await delivery.deliver(mail())
    first, second = sorted(tmp_path.iterdir())
    assert first.name[:22] == second.name[:22] == "20260102T030405.000006"
    assert first.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "url",
    [
        "smtp://user:pa/word@host",
        "smtp://user:pa#word@host",
        "smtp://user:paword@host:99999",
        "smtp://:paword@host",
        "smtp://us%C3%A9r:paword@host",
        "smtp://user:paword@host?starttls=auto",
        "smtps://user:paword@host?starttls=off",
        "smtp://user:paword@host?ca_file=/nowhere",
        "smtp://user:paword@a..b",
    ],
)
def test_a_bad_smtp_url_is_refused_in_one_line_without_its_password(url):
    with pytest.raises(ValueError, match=r".+") as caught:
        parse_smtp_url(url)
    assert "\n" not in str(caught.value)
    assert "paword" not in str(caught.value)
    assert "'pa" not in str(caught.value)


def test_smtp_url_parts_are_decoded_and_have_defaults():
    server = parse_smtp_url("smtp://us%40er:p%2Fw@mail.example.com")
    assert (server.host, server.port, server.username, server.password) == (
        "mail.example.com",
        25,
        "us@er",
        "p/w",
    )
    assert server.starttls == "required"
    assert parse_smtp_url("smtps://[::1]").port == 465
    assert "p/w" not in repr(server)
