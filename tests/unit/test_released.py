"""Changes planted in the .proto files: what breaks clients is seen, what does not passes."""

from __future__ import annotations

import shutil

import pytest

from infra.protogen import DESCRIPTORS, ROOT, describe
from infra.released import breaking

LEDGER = "transactions/v2/ledger.proto"
BREAKING = {
    "a field is gone": ("  string name = 2 [", "  string label = 7 ["),
    "a field has another type": ("bool atomic = 2", "int64 atomic = 2"),
    "a field has another number": ("bool atomic = 2", "bool atomic = 3"),
    "a method has another name": ("rpc GetTransfer(", "rpc ReadTransfer("),
    "a method no longer streams": ("returns (stream WatchAccountResponse)", "returns (WatchAccountResponse)"),
    "a path is another one": ('get: "/v2/transfers/{id}"', 'get: "/v2/transfer/{id}"'),
    "an HTTP method is another one": ('post: "/v2/transfers"', 'put: "/v2/transfers"'),
}
HARMLESS = {
    "nothing": ("", ""),
    "a field more": ("bool atomic = 2", "bool dry_run = 3;\n  bool atomic = 2"),
    "one more way to a method": (
        'get: "/v2/transfers/{id}"',
        'get: "/v2/transfers/{id}"\n additional_bindings {get: "/v2/transfer/{id}"}',
    ),
}


def broken(folder, change) -> list[str]:
    """What breaks, in words, where the ledger's file is changed."""
    shutil.copytree(ROOT, folder / "proto")
    path, (old, new) = folder / "proto" / LEDGER, change
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    describe(folder / "proto", folder / DESCRIPTORS)
    return breaking(folder / DESCRIPTORS, ROOT / DESCRIPTORS)


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_seen(tmp_path, change):
    assert broken(tmp_path, change)


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_change_passes(tmp_path, change):
    assert broken(tmp_path, change) == []


def test_descriptors_do_not_depend_on_where_and_when_they_are_made(tmp_path):
    shutil.copytree(ROOT, tmp_path / "proto")
    describe(tmp_path / "proto", tmp_path / DESCRIPTORS)
    assert (tmp_path / DESCRIPTORS).read_bytes() == (ROOT / DESCRIPTORS).read_bytes()
