"""What monitoring is told at /metrics, as Prometheus reads it: answers by operation, and the tree's statistics.

Where several processes are one service, whichever is asked tells of all: each number with its `worker` label. Nothing
is added up here, for a sum falls when a worker dies, and Prometheus would take all that is left of it for new.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import chain

import trio
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.supervisor import ChildStatistics
from domain.policy import Operation

_GROUP = re.compile(rb"^(?=# HELP )", re.MULTILINE)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Transports tell it of every answer; `statistics` gives the supervision tree as it is now.

    A `worker` is one of several, and has a way to get what all of them tell, `of_all`.
    """

    def __init__(
        self,
        statistics: Callable[[], ChildStatistics],
        *,
        worker: str | None = None,
        of_all: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._told: Collector = self._registry if worker is None else _Labelled(self._registry, worker)
        self._of_all = of_all
        self._answers = Histogram(
            "transactions_answer_seconds",
            "Time from a request's arrival to its answer",
            ("transport", "operation", "status"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._observers: dict[tuple[str, Operation, int], Callable[[float], None]] = {}
        self._registry.register(_Tree(statistics))
        tasks = Gauge("transactions_tasks", "Trio tasks that live now", registry=self._registry)
        tasks.set_function(lambda: trio.lowlevel.current_statistics().tasks_living)
        ProcessCollector(registry=self._registry)

    def answered(self, transport: str, operation: Operation, status: int, took_s: float) -> None:
        """A request was answered; `status` is the transport's own number."""
        key = transport, operation, status
        observe = self._observers.get(key)
        if observe is None:
            labelled = self._answers.labels(transport, operation.value, str(status))
            observe = self._observers[key] = labelled.observe
        observe(took_s)

    def text(self) -> bytes:
        """Everything of this process, now."""
        return generate_latest(self._told)

    async def text_of_all(self) -> bytes:
        """Everything of the service, now."""
        return self.text() if self._of_all is None else await self._of_all()


def merged(texts: Iterable[bytes]) -> bytes:
    """Several texts as one, in which each metric is one group, as the format demands it."""
    groups: dict[bytes, list[bytes]] = {}
    for text in texts:
        for group in _GROUP.split(text)[1:]:
            help_line, type_line, *samples = group.splitlines(keepends=True)
            groups.setdefault(help_line, [help_line, type_line]).extend(samples)
    return b"".join(chain.from_iterable(groups.values()))


class _Labelled(Collector):
    """What another collector has, of one worker."""

    def __init__(self, of: Collector, worker: str) -> None:
        self._of = of
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        for metric in self._of.collect():
            labelled = [
                each._replace(labels={**each.labels, "worker": self._worker}) for each in metric.samples
            ]
            metric.samples = labelled
            yield metric


class _Tree(Collector):
    """Every number of every child's statistics, under the name of its class and field."""

    def __init__(self, statistics: Callable[[], ChildStatistics]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for child, name, value in _numbers(self._statistics()):
            family = families.get(name)
            if family is None:
                family = families[name] = GaugeMetricFamily(name, "As `kill -USR1` prints it", labels=["child"])
            family.add_metric([child], value)
        yield from families.values()


def _numbers(node: ChildStatistics) -> Iterator[tuple[str, str, float]]:
    yield node.name, "transactions_child_restarts", node.restarts
    yield node.name, "transactions_child_running", node.running
    statistics = node.statistics
    for each in statistics if isinstance(statistics, tuple) else (statistics,):
        if dataclasses.is_dataclass(each):
            prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", type(each).__name__.removesuffix("Statistics")).lower()
            for field in dataclasses.fields(each):
                value = getattr(each, field.name)
                if isinstance(value, int | float):
                    yield node.name, f"transactions_{prefix}_{field.name}", value
    yield from _all(node.children)


def _all(children: Iterable[ChildStatistics]) -> Iterator[tuple[str, str, float]]:
    for child in children:
        yield from _numbers(child)
