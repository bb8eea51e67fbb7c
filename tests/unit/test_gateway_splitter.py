"""JSON objects cut out of a stream of bytes."""

from __future__ import annotations

import json
import random

import pytest

from domain.errors import InvalidArgument
from transport.gateway.splitter import Splitter


def cut(*pieces: bytes, max_bytes: int = 1_000) -> list[bytes]:
    splitter = Splitter(max_bytes)
    found = []
    for piece in pieces:
        splitter.feed(piece)
        while (message := splitter.next()) is not None:
            found.append(message)
    assert splitter.is_empty
    return found


@pytest.mark.parametrize("between", [b"\n", b"", b"\r\n\r\n", b" \t"])
def test_objects_follow_each_other_with_any_space_between(between):
    objects = [b"{}", b'{"a": 1}', b'{\n "b": [{}, {"c": "}"}]\n}']
    assert cut(between.join(objects) + between) == objects
    assert cut(between + between.join(objects)) == objects


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": "{"}',
        b'{"a": "}\\""}',
        b'{"a\\\\": "\\\\"}',
        b'{"a": ["]", {"b": "[\\u0022"}]}',
        '{"é": "😀}"}'.encode(),
    ],
)
def test_brackets_in_strings_are_text(text):
    assert cut(text + text) == [text, text]


def test_it_is_all_one_however_it_arrives():
    chance = random.Random(7)
    values = ['\\"{', "\\\\", "}]", "é", ""]
    objects = [
        json.dumps({"k": chance.choice(values), "n": [{"x": chance.choice(values)}]}).encode()
        for _ in range(50)
    ]
    stream = b"\n".join(objects)
    assert cut(*(stream[i : i + 1] for i in range(len(stream)))) == objects
    cuts = sorted(chance.choices(range(len(stream)), k=40))
    assert cut(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))) == objects


def test_what_has_not_come_is_waited_for():
    splitter = Splitter(100)
    assert splitter.is_empty
    splitter.feed(b' {"a": ')
    assert splitter.next() is None
    assert not splitter.is_empty
    splitter.feed(b"1} ")
    assert splitter.next() == b'{"a": 1}'
    assert splitter.next() is None
    assert splitter.is_empty


@pytest.mark.parametrize("text", [b"[]", b"1", b'"x"', b"null", b"{},{}", b"\xef\xbb\xbf{}", b"\x1e{}", b"}"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(InvalidArgument, match="must be a JSON object"):
        cut(text)


@pytest.mark.parametrize("text", [b'{"a": "' + b"x" * 100, b"{" + b"[" * 100, b'{"a": "' + b"x" * 90 + b'"}'])
def test_what_is_too_large_is_refused_before_it_has_come_whole(text):
    with pytest.raises(InvalidArgument, match="96 bytes at most"):
        cut(text, max_bytes=96)
    assert cut(b'{"a": "' + b"x" * 87 + b'"}' + b"{}", max_bytes=96)
