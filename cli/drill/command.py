"""`transactions drill`: something goes wrong on purpose, on an installation of its own, and a judge looks on."""

from __future__ import annotations

import argparse
import json
import random
import secrets
import shlex
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from rich.console import Console

from cli.drill.clock import clock
from cli.drill.disk import disk
from cli.drill.failover import failover
from cli.drill.installation import ROOT, SERVE
from cli.drill.judge import Verdict
from cli.drill.kill import kill
from cli.drill.network import network
from cli.drill.postgres import postgres
from cli.drill.proxy import Link
from cli.drill.redis import redis
from cli.drill.soak import soak
from cli.drill.stage import Stage, open_stage
from cli.drill.timeline import timeline
from cli.drill.variants import PLAIN, SHUTDOWNS
from cli.drill.workers import WORKERS, workers
from cli.settings import Settings, SettingsError

OK, FAILED = 0, 1
SECONDS_MAX = 3_600.0
BEHIND = frozenset({Link.POSTGRES, Link.REDIS})
WORDS = {True: "[green]kept  ", False: "[red]BROKEN", None: "[yellow]NOT SHOWN"}


@dataclass(frozen=True, slots=True)
class Drill:
    """What can be practised."""

    what: str
    run: Callable[[Stage], Awaitable[list[Verdict]]]
    seconds: float
    services: int = 1
    workers: int = 1
    proxied: frozenset[Link] = frozenset()
    standby: bool = False
    variants: Mapping[str, Callable[[Stage], Awaitable[list[Verdict]]]] = field(default_factory=dict)
    """Other runs than this one, by name."""


DRILLS = {
    "kill": Drill("one of two services is killed, again and again", kill, 30.0, services=2),
    "clock": Drill("the service's clock is set ahead and back by an hour", clock, 15.0),
    "disk": Drill("the database's disk is full, and room is made", disk, 15.0),
    "workers": Drill(
        "one of two workers of a service is killed, again and again",
        workers,
        30.0,
        workers=WORKERS,
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
    "shutdown": Drill("SIGTERM under load, and a successor", SHUTDOWNS[PLAIN], 10.0, variants=SHUTDOWNS),
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
    parser.add_argument("--variant", help=f"of shutdown: {', '.join(SHUTDOWNS)} (default: {PLAIN})")
    parser.add_argument(
        "--command",
        metavar="WORDS",
        help="of shutdown: what serves instead of this program, as a shell would split it; may run as another user",
    )
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
    variant = arguments.variant
    if variant is not None and variant not in drill.variants:
        known = ", ".join(drill.variants) or "it has none"
        raise SettingsError(f"--variant: no variant of {arguments.name}: {known}")
    if not arguments.json:
        print(f"drill {arguments.name}, seed {seed}, {seconds:g} s", flush=True)
    verdicts, drawn = carry_out(
        arguments.name, seed, seconds, variant=variant, command=_command(arguments.command, arguments.name)
    )
    if arguments.svg is not None:
        arguments.svg.write_text(drawn)
    _report(verdicts, arguments.name, seed, as_json=arguments.json)
    return OK if _kept(verdicts) else FAILED


def _command(words: str | None, name: str) -> Sequence[str]:
    if words is None:
        return SERVE
    if name != "shutdown":
        raise SettingsError("--command: goes with shutdown only")
    try:
        command = shlex.split(words)
    except ValueError as error:
        raise SettingsError(f"--command: {error}") from None
    if not command:
        raise SettingsError("--command: has no words")
    return command


def carry_out(
    name: str,
    seed: int,
    seconds: float,
    code: Path = ROOT,
    *,
    variant: str | None = None,
    command: Sequence[str] = SERVE,
) -> tuple[list[Verdict], str]:
    """The verdicts and the timeline, as an SVG, of a drill, or a variant of it, with the service in `code`.

    Another `command` than ours is reached, and reaches PostgreSQL and Redis, over TCP alone.

    Raises LocalServerError, which DrillFailed is, and DatabaseFault.
    """
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        Path(folder).chmod(0o755)  # under root PostgreSQL runs as another user, who has to get in
        return trio.run(_carry_out, Path(folder), name, variant, seed, seconds, code, command)


async def _carry_out(
    folder: Path,
    name: str,
    variant: str | None,
    seed: int,
    seconds: float,
    code: Path,
    command: Sequence[str],
) -> tuple[list[Verdict], str]:
    drill = DRILLS[name]
    opening = open_stage(
        folder,
        random.Random(seed),
        seconds,
        services=drill.services,
        workers=drill.workers,
        # The sockets are closed to others than us and the servers.
        proxied=drill.proxied if command is SERVE else BEHIND,
        standby=drill.standby,
        code=code,
        command=command,
    )
    async with opening as stage:
        verdicts = await (drill.run if variant is None else drill.variants[variant])(stage)
        what = name if variant is None else f"{name} --variant {variant}"
        title = f"transactions drill {what} --seed {seed} --seconds {seconds:g}"
        return verdicts, timeline(title, stage.load.history.attempts, stage.probe)


def _report(verdicts: list[Verdict], name: str, seed: int, *, as_json: bool) -> None:
    if as_json:
        told = [verdict._asdict() for verdict in verdicts]
        print(json.dumps({"drill": name, "seed": seed, "kept": _kept(verdicts), "verdicts": told}))
        return
    console = Console(highlight=False, soft_wrap=True)
    for verdict in verdicts:
        console.print(f"{WORDS[verdict.kept]}[/] {verdict.promise}: {verdict.detail}")


def _kept(verdicts: list[Verdict]) -> bool:
    return all(verdict.kept is not False for verdict in verdicts)
