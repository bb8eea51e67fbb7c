"""`transactions drill`: something goes wrong on purpose, on an installation of its own, and a judge looks on."""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio
from rich.console import Console

from cli.drill.failover import failover
from cli.drill.installation import ROOT, DrillFailed
from cli.drill.judge import Verdict
from cli.drill.kill import kill
from cli.drill.network import network
from cli.drill.postgres import postgres
from cli.drill.proxy import Link
from cli.drill.redis import redis
from cli.drill.shutdown import shutdown
from cli.drill.soak import soak
from cli.drill.stage import Stage, open_stage
from cli.drill.timeline import timeline
from cli.drill.workers import WORKERS, workers
from cli.settings import Settings, SettingsError
from infra.local.process import LocalServerError

OK, FAILED = 0, 1
SECONDS_MAX = 3_600.0


@dataclass(frozen=True, slots=True)
class Drill:
    """What can be practised."""

    what: str
    run: Callable[[Stage], Awaitable[list[Verdict]]]
    seconds: float
    services: int = 1
    proxied: frozenset[Link] = frozenset()
    standby: bool = False
    environment: dict[str, str] = field(default_factory=dict)


DRILLS = {
    "kill": Drill("one of two services is killed, again and again", kill, 30.0, services=2),
    "workers": Drill(
        "one of two workers of a service is killed, again and again",
        workers,
        30.0,
        environment={"WORKERS": str(WORKERS)},
    ),
    "failover": Drill("the database dies, and its standby takes over", failover, 10.0, standby=True),
    "network": Drill(
        "lines that are slow, silent, or cut, on every side", network, 20.0, proxied=frozenset(Link)
    ),
    "postgres": Drill(
        "the database is killed, its sessions ended, answers to COMMIT lost",
        postgres,
        20.0,
        proxied=frozenset({Link.POSTGRES}),
    ),
    "redis": Drill("Redis is stopped, killed, emptied and hung", redis, 20.0, proxied=frozenset({Link.REDIS})),
    "soak": Drill("steady load, and nothing may grow", soak, 60.0),
    "shutdown": Drill("SIGTERM under load, and a successor", shutdown, 10.0),
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "drill",
        help="failures on purpose, and a judge who looks for what was lost",
        description="Starts an installation of its own (PostgreSQL, Redis, service) in a temporary folder, puts load "
        "on it, lets something go wrong, and judges by what the clients were told. Touches nothing else. Exit "
        "status 1: a promise was broken.",
        epilog="drills: " + "; ".join(f"{name}: {drill.what}" for name, drill in DRILLS.items()),
    )
    parser.add_argument("name", metavar="NAME", choices=DRILLS, help=", ".join(DRILLS))
    parser.add_argument("--seed", type=int, help="for all that is left to chance (default: a new one, printed)")
    parser.add_argument("--seconds", type=float, help="how long the load is (default: the drill's own)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the timeline there")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, _: Settings) -> int:
    """Exit status 0 when every promise was kept."""
    drill = DRILLS[arguments.name]
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    seconds = drill.seconds if arguments.seconds is None else arguments.seconds
    if not 0 < seconds <= SECONDS_MAX:
        raise SettingsError(f"--seconds: must be more than 0 and at most {SECONDS_MAX:g}")
    if not arguments.json:
        print(f"drill {arguments.name}, seed {seed}, {seconds:g} s", flush=True)
    try:
        verdicts, drawn = carry_out(arguments.name, seed, seconds)
    except (DrillFailed, LocalServerError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return FAILED
    if arguments.svg is not None:
        arguments.svg.write_text(drawn)
    _report(verdicts, arguments.name, seed, as_json=arguments.json)
    return OK if all(verdict.kept for verdict in verdicts) else FAILED


def carry_out(name: str, seed: int, seconds: float, code: Path = ROOT) -> tuple[list[Verdict], str]:
    """The verdicts and the timeline, as an SVG, of a drill with the service in `code`.

    Raises DrillFailed or LocalServerError.
    """
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        Path(folder).chmod(0o755)  # under root PostgreSQL runs as another user, who has to get in
        return trio.run(_carry_out, Path(folder), name, seed, seconds, code)


async def _carry_out(
    folder: Path, name: str, seed: int, seconds: float, code: Path
) -> tuple[list[Verdict], str]:
    drill = DRILLS[name]
    opening = open_stage(
        folder,
        random.Random(seed),
        seconds,
        services=drill.services,
        proxied=drill.proxied,
        standby=drill.standby,
        environment=drill.environment,
        code=code,
    )
    async with opening as stage:
        verdicts = await drill.run(stage)
        title = f"transactions drill {name} --seed {seed} --seconds {seconds:g}"
        return verdicts, timeline(title, stage.load.history.attempts, stage.probe)


def _report(verdicts: list[Verdict], name: str, seed: int, *, as_json: bool) -> None:
    if as_json:
        told = [verdict._asdict() for verdict in verdicts]
        print(
            json.dumps({"drill": name, "seed": seed, "kept": all(v.kept for v in verdicts), "verdicts": told})
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    for verdict in verdicts:
        word = "[green]kept  " if verdict.kept else "[red]BROKEN"
        console.print(f"{word}[/] {verdict.promise}: {verdict.detail}")
