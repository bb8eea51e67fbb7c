"""Makes and rotates the token key and Redis' password. Runs as a function in AWS, called by Secrets Manager.

A rotation is four calls, each of which may be repeated: `createSecret` stores a pending version, `setSecret` tells the
server, `testSecret` has nothing to test from outside the network, `finishSecret` makes the pending version the current.
`first` is Terraform's: it makes a value where there is none.

Token keys move up one place in each rotation: the next becomes the current, the current becomes the former, and a
new one is made to come. So every process knows a key for a whole period before any process uses it, and for a whole
period after: nobody is logged out, if all processes start anew within each period.

Redis accepts two passwords while they change (ROTATE); the former is refused (SET) when the next change begins.
https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth.html
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
POLL_S = 10
POLLS_MAX = 40
Value = dict[str, str]


def handler(event: Mapping[str, str], _context: object) -> str:
    """Entry: `Step` and `SecretId`, and for all steps but `first` the pending version's `ClientRequestToken`."""
    import boto3  # type: ignore[import-not-found] # of the function's own runtime; nowhere else needed

    return rotate(event, boto3.client("secretsmanager"), boto3.client("elasticache"), os.environ)


def rotate(
    event: Mapping[str, str],
    manager: Any,
    cache: Any,
    environ: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """One step, with the clients it needs."""
    step, secret, version = event["Step"], event["SecretId"], event.get("ClientRequestToken") or ""
    redis = Redis(cache, environ["REDIS_GROUP"], sleep) if secret == environ["REDIS_SECRET"] else None
    if redis is None and secret != environ["TOKEN_SECRET"]:
        raise ValueError("not a secret of ours")
    if step == "first":
        return _first(manager, secret, redis)
    if step == "createSecret":
        _create(manager, secret, version, redis)
    elif step == "setSecret" and redis is not None:
        redis.forget_all_but(_known(manager, secret, CURRENT)["auth_token"])
        redis.accept(_known(manager, secret, PENDING, version)["auth_token"])
    elif step == "finishSecret":
        _finish(manager, secret, version)
    return step


def _first(manager: Any, secret: str, redis: Redis | None) -> str:
    if _value(manager, secret, CURRENT) is not None:
        return "there is one"
    if redis is None:
        value = moved_up(None)
    else:
        value = {"auth_token": secrets.token_hex(32)}
        redis.accept(value["auth_token"])
        redis.forget_all_but(value["auth_token"])
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps(value))
    return "made"


def _create(manager: Any, secret: str, version: str, redis: Redis | None) -> None:
    if _value(manager, secret, PENDING, version) is not None:
        return
    value = {"auth_token": secrets.token_hex(32)} if redis else moved_up(_known(manager, secret, CURRENT))
    manager.put_secret_value(
        SecretId=secret, ClientRequestToken=version, SecretString=json.dumps(value), VersionStages=[PENDING]
    )


def moved_up(value: Value | None) -> Value:
    """The keys after a rotation: TOKEN_RETIRED_KEYS is the one to come, then the former."""
    if value is None:
        keys = [secrets.token_hex(32), secrets.token_hex(32)]
    else:
        to_come = value["TOKEN_RETIRED_KEYS"].split(",")[0]
        keys = [to_come, secrets.token_hex(32), value["TOKEN_SYMMETRIC_KEY"]]
    return {"TOKEN_SYMMETRIC_KEY": keys[0], "TOKEN_RETIRED_KEYS": ",".join(keys[1:])}


def _finish(manager: Any, secret: str, version: str) -> None:
    stages = manager.describe_secret(SecretId=secret)["VersionIdsToStages"]
    current = next(known for known, labels in stages.items() if CURRENT in labels)
    if current != version:
        manager.update_secret_version_stage(
            SecretId=secret, VersionStage=CURRENT, MoveToVersionId=version, RemoveFromVersionId=current
        )


def _value(manager: Any, secret: str, stage: str, version: str = "") -> Value | None:
    chosen = {"VersionId": version} if version else {}
    try:
        text = manager.get_secret_value(SecretId=secret, VersionStage=stage, **chosen)["SecretString"]
    except manager.exceptions.ResourceNotFoundException:
        return None
    value: Value = json.loads(text)
    return value


def _known(manager: Any, secret: str, stage: str, version: str = "") -> Value:
    value = _value(manager, secret, stage, version)
    if value is None:
        raise LookupError(f"the secret has no version that is {stage}")
    return value


class Redis:
    """The server's passwords: one, or while they change the newest two."""

    def __init__(self, cache: Any, group: str, sleep: Callable[[float], None]) -> None:
        self._cache, self._group, self._sleep = cache, group, sleep

    def accept(self, password: str) -> None:
        """Beside the newest one so far."""
        self._change(password, "ROTATE")

    def forget_all_but(self, password: str) -> None:
        """The newest one stays."""
        self._change(password, "SET")

    def _change(self, password: str, strategy: str) -> None:
        self._wait()
        self._cache.modify_replication_group(
            ReplicationGroupId=self._group,
            AuthToken=password,
            AuthTokenUpdateStrategy=strategy,
            ApplyImmediately=True,
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(POLLS_MAX):
            groups = self._cache.describe_replication_groups(ReplicationGroupId=self._group)
            if groups["ReplicationGroups"][0]["Status"] == "available":
                return
            self._sleep(POLL_S)
        raise TimeoutError("Redis is still being changed")
