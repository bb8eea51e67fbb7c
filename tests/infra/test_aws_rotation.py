"""The function that rotates secrets in AWS, with a Secrets Manager and an ElastiCache of our own making."""

# ruff: noqa: N803 - arguments have boto3's names

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cli.settings import load

SOURCE = Path(__file__).resolve().parent.parent.parent / "infra" / "aws" / "rotation.py"
TOKEN, REDIS = "arn:token", "arn:redis"
ENVIRON = {"TOKEN_SECRET": TOKEN, "REDIS_SECRET": REDIS, "REDIS_GROUP": "bank"}
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Missing(Exception):
    pass


class Manager:
    """Secrets Manager, as far as the function asks it: versions by id, each with its stages."""

    class exceptions:  # noqa: N801 - boto3's name
        ResourceNotFoundException = Missing

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], tuple[str, set[str]]] = {}

    def get_secret_value(
        self, *, SecretId: str, VersionStage: str, VersionId: str | None = None
    ) -> dict[str, Any]:
        for (secret, version), (text, stages) in self.versions.items():
            if secret == SecretId and VersionStage in stages and VersionId in (None, version):
                return {"SecretString": text}
        raise Missing

    def put_secret_value(
        self,
        *,
        SecretId: str,
        SecretString: str,
        ClientRequestToken: str = "first",
        VersionStages: tuple[str, ...] = ("AWSCURRENT",),
    ) -> None:
        assert (SecretId, ClientRequestToken) not in self.versions
        for (secret, _), (_, stages) in self.versions.items():
            if secret == SecretId:
                stages.difference_update(VersionStages)
        self.versions[SecretId, ClientRequestToken] = SecretString, set(VersionStages)

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        found = {
            version: stages for (secret, version), (_, stages) in self.versions.items() if secret == SecretId
        }
        return {"VersionIdsToStages": found}

    def update_secret_version_stage(
        self, *, SecretId: str, VersionStage: str, MoveToVersionId: str, RemoveFromVersionId: str
    ) -> None:
        self.versions[SecretId, RemoveFromVersionId][1].remove(VersionStage)
        self.versions[SecretId, MoveToVersionId][1].add(VersionStage)

    def current(self, secret: str) -> dict[str, str]:
        value: dict[str, str] = json.loads(
            self.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["SecretString"]
        )
        return value


class Cache:
    """ElastiCache: ROTATE keeps the newest two passwords, SET only the one given, which must be the newest."""

    def __init__(self) -> None:
        self.accepted = ["thrown away"]
        self.busy = 0

    def describe_replication_groups(self, *, ReplicationGroupId: str) -> dict[str, Any]:
        self.busy = max(0, self.busy - 1)
        return {"ReplicationGroups": [{"Status": "modifying" if self.busy else "available"}]}

    def modify_replication_group(
        self, *, ReplicationGroupId: str, AuthToken: str, AuthTokenUpdateStrategy: str, ApplyImmediately: bool
    ) -> None:
        assert not self.busy
        if AuthTokenUpdateStrategy == "ROTATE":
            self.accepted = [*self.accepted[-1:], AuthToken]
        else:
            assert AuthToken == self.accepted[-1]
            self.accepted = [AuthToken]
        self.busy = 3


class World:
    """The function, and what it acts on."""

    def __init__(self, function: ModuleType) -> None:
        self.manager, self.cache, self._function = Manager(), Cache(), function

    def step(self, name: str, secret: str, version: str | None = None) -> Any:
        event = {"Step": name, "SecretId": secret, "ClientRequestToken": version}
        return self._function.rotate(event, self.manager, self.cache, ENVIRON, lambda seconds: None)

    def rotate(self, secret: str, version: str) -> None:
        for name in STEPS:
            self.step(name, secret, version)


@pytest.fixture
def world() -> World:
    spec = importlib.util.spec_from_file_location("rotation", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return World(module)


def test_rotation_every_process_knows_a_token_key_before_and_after_it_is_used(world: World) -> None:
    world.step("first", TOKEN)
    before = world.manager.current(TOKEN)
    for number in range(4):
        world.rotate(TOKEN, f"version-{number}")
        now = world.manager.current(TOKEN)
        assert now["TOKEN_SYMMETRIC_KEY"] in before["TOKEN_RETIRED_KEYS"].split(",")
        assert before["TOKEN_SYMMETRIC_KEY"] in now["TOKEN_RETIRED_KEYS"].split(",")
        before = now


def test_rotation_token_keys_are_what_the_service_takes(world: World) -> None:
    world.step("first", TOKEN)
    for number in range(3):
        settings = load({"ENVIRONMENT": "production", **world.manager.current(TOKEN)})
        assert len(settings.token_keys) == (2 if number == 0 else 3)
        assert len(set(settings.token_keys)) == len(settings.token_keys)
        world.rotate(TOKEN, f"version-{number}")


def test_rotation_redis_takes_the_former_password_until_the_next_change(world: World) -> None:
    world.step("first", REDIS)
    first = world.manager.current(REDIS)["auth_token"]
    assert world.cache.accepted == [first]
    world.rotate(REDIS, "version-1")
    second = world.manager.current(REDIS)["auth_token"]
    assert world.cache.accepted == [first, second]
    world.rotate(REDIS, "version-2")
    assert world.cache.accepted == [second, world.manager.current(REDIS)["auth_token"]]


@pytest.mark.parametrize("secret", [TOKEN, REDIS])
def test_rotation_first_value_is_made_once(world: World, secret: str) -> None:
    assert world.step("first", secret) == "made"
    made = world.manager.current(secret)
    assert world.step("first", secret) == "there is one"
    assert world.manager.current(secret) == made


@pytest.mark.parametrize("secret", [TOKEN, REDIS])
def test_rotation_steps_may_be_repeated(world: World, secret: str) -> None:
    world.step("first", secret)
    for name in ("createSecret", "createSecret", "testSecret", "finishSecret", "finishSecret"):
        world.step(name, secret, "version-1")
    assert len(world.manager.versions) == 2


def test_rotation_knows_no_other_secret(world: World) -> None:
    with pytest.raises(ValueError, match="not a secret of ours"):
        world.step("first", "arn:other")
    assert world.manager.versions == {}
