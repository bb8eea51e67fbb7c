"""Frames and header literals, against hand-made bytes and the hpack library."""

from __future__ import annotations

import pytest
from hpack import Decoder

from transport.client import frames
from transport.client.frames import ProtocolViolation, frame


def taken(data: bytes) -> tuple[list[frames.Frame], bytes]:
    buffer = bytearray(data)
    return list(frames.take_frames(buffer)), bytes(buffer)


def test_frame_is_what_the_rfc_draws():
    assert frame(frames.PING, frames.ACK, 0, b"12345678") == b"\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678"


def test_take_frames_gives_whole_frames_and_leaves_the_rest():
    whole = frame(frames.DATA, frames.END_STREAM, 5, b"abc") + frame(frames.SETTINGS, 0, 0, b"")
    assert taken(whole + b"\x00\x00\x04\x00") == (
        [(frames.DATA, frames.END_STREAM, 5, b"abc"), (frames.SETTINGS, 0, 0, b"")],
        b"\x00\x00\x04\x00",
    )


def test_take_frames_ignores_the_reserved_bit_of_the_stream_id():
    assert taken(frame(frames.DATA, 0, 2**31 + 7, b""))[0][0][2] == 7


@pytest.mark.parametrize(
    "data",
    [
        (frames.FRAME_BYTES_MAX + 1).to_bytes(3, "big") + b"\x00\x00\x00\x00\x00\x01",
        frame(frames.PING, 0, 0, b"short"),
        frame(frames.RST_STREAM, 0, 1, b""),
        frame(frames.WINDOW_UPDATE, 0, 0, b"12345"),
    ],
)
def test_take_frames_refuses_a_wrong_size(data):
    with pytest.raises(ProtocolViolation):
        taken(data)


def test_settings_come_back_as_they_went():
    settings = [(frames.MAX_CONCURRENT_STREAMS, 100), (frames.INITIAL_WINDOW_SIZE, 2**31 - 1)]
    assert frames.settings_of(frames.settings_frame(settings)[9:]) == settings


def test_settings_of_a_broken_size_are_refused():
    with pytest.raises(ProtocolViolation):
        frames.settings_of(b"12345")


def test_padding_and_priority_are_taken_off():
    payload = b"\x02" + b"prior" + b"content" + b"\x00\x00"
    assert frames.without_padding(frames.PADDED | frames.HAS_PRIORITY, payload) == b"content"


@pytest.mark.parametrize("payload", [b"", b"\x05abc"])
def test_padding_longer_than_the_payload_is_refused(payload):
    with pytest.raises(ProtocolViolation):
        frames.without_padding(frames.PADDED, payload)


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 254, 255, 4_096, 16_000])
def test_literal_is_read_by_hpack_and_leaves_no_state(length):
    decoder = Decoder(max_header_list_size=2**20)
    (field,) = decoder.decode(frames.literal("authorization", "x" * length))
    assert field == ("authorization", "x" * length)
    assert not field.indexable
    assert not decoder.header_table.dynamic_entries
