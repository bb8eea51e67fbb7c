"""What processes cost: CPU time and resident memory of one with all its descendants, as /proc tells."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Seconds in user and in kernel mode, of the process and its descendants that live."""
    return sum(_cpu_ticks(each) for each in _family(pid)) / TICKS_PER_S


def resident_mib(pid: int) -> float:
    """Of the process and its descendants."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(pid))
    return pages * PAGE_BYTES / 2**20


def _cpu_ticks(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[11]) + int(fields[12])


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile
                children[int(_fields(folder.name)[1])].append(int(folder.name))
    family = [pid]
    for each in family:
        family += children[each]
    return family


def _fields(pid: int | str) -> list[str]:
    """Of its `stat`, from the state on: what comes before may have spaces in it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
