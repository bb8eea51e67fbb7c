"""How long a login takes does not tell whether there is such a user."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import grpc
import httpx
import pytest

from proto.transactions.v2 import identity_pb2
from tests.support.service import ServiceProcess

SAMPLES = 200
WARM_UP = 20
DIFFERENCE_MAX = 0.10
Login = Callable[[dict[str, str]], None]


@contextmanager
def over_http(service: ServiceProcess) -> Iterator[Login]:
    with httpx.Client(base_url=service.http, timeout=30) as client:

        def login(credentials: dict[str, str]) -> None:
            response = client.post("/v1/users/login", json=credentials)
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")

        yield login


@contextmanager
def over_grpc(service: ServiceProcess) -> Iterator[Login]:
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.unary_unary(
            "/transactions.v2.Identity/LoginUser",
            request_serializer=identity_pb2.LoginUserRequest.SerializeToString,
            response_deserializer=identity_pb2.LoginUserResponse.FromString,
        )

        def login(credentials: dict[str, str]) -> None:
            with pytest.raises(grpc.RpcError) as caught:
                call(identity_pb2.LoginUserRequest(**credentials), timeout=30)
            assert dict(caught.value.trailing_metadata())["error-code"] == "unauthenticated"

        yield login


@pytest.mark.parametrize("over", [over_http, over_grpc])
def test_an_unknown_user_takes_as_long_as_a_wrong_password(service: ServiceProcess, capsys, over):
    known = service.register(f"timed{time.monotonic_ns()}", verified=False)
    unknown = f"{known[:-1]}x"
    with over(service) as login:

        def seconds(username: str) -> float:
            began = time.perf_counter()
            login({"username": username, "password": "a wrong password"})
            return time.perf_counter() - began

        for _ in range(WARM_UP):
            seconds(known), seconds(unknown)
        times: dict[str, list[float]] = {known: [], unknown: []}
        for at in range(SAMPLES):
            # Each goes first as often as the other.
            for username in (known, unknown) if at % 2 else (unknown, known):
                times[username].append(seconds(username))
    there, missing = median(times[known]), median(times[unknown])
    with capsys.disabled():
        print(
            f"\n{over.__name__}, {SAMPLES} logins each: known {there * 1000:.2f} ms, "
            f"unknown {missing * 1000:.2f} ms (medians)"
        )
    assert abs(there - missing) <= DIFFERENCE_MAX * max(there, missing)
