"""A bell that one task listens to: the least there is to wait for several things at once."""

from __future__ import annotations

import trio


class Bell:
    """Rung by whatever its task waits for; rings while it does not listen are remembered as one."""

    __slots__ = ("_rung", "_task")

    def __init__(self) -> None:
        self._rung = False
        self._task: trio.lowlevel.Task | None = None

    def ring(self) -> None:
        """Wake the listener, now or when it listens next."""
        self._rung = True
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Listen until it has been rung since the last time. A checkpoint, always."""
        if self._rung:
            await trio.lowlevel.checkpoint()
        else:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        self._rung = False

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
