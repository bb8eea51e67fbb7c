"""A wall clock that can be set while a process runs, by libfaketime (https://github.com/wolfcw/libfaketime).

Monotonic clocks stay as they are, as they do where somebody sets a machine's clock.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

from cli.drill.installation import DrillFailed
from infra.local.debian import unpacked

PACKAGE = "libfaketime"
LIBRARY = f"usr/lib/{sysconfig.get_config_var('MULTIARCH')}/faketime/libfaketime.so.1"


class FakeTime:
    """Installed here, or Debian's package unpacked in `folder`. Raises DrillFailed where neither is to be had."""

    def __init__(self, folder: Path) -> None:
        root = Path("/")
        if not (root / LIBRARY).exists():
            found = unpacked(LIBRARY, [PACKAGE], folder / "libfaketime")
            if found is None:
                raise DrillFailed(f"no {PACKAGE} and no Debian package to be had: install it")
            root = found
        self._file = folder / "offset"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(root / LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with it whoever waits for Python's GIL sleeps on, for a second
        }
        """For whose clock it is to be."""

    def set(self, offset_s: int) -> None:
        """So far ahead of the right time, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.rename(self._file)
