"""HTTP v1: translates requests into operations of the application, and their results into JSON."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from application.service import Service
from domain.errors import Code
from transport.answer import JSON, Answer
from transport.docs.openapi import description
from transport.http import identity, ledger, schemas
from transport.http.asked import Asked
from transport.http.endpoint import Endpoints
from transport.http.limits import HttpLimits
from transport.http.problems import problem
from transport.metrics import CONTENT_TYPE, Metrics


def endpoints(service: Service, metrics: Metrics, limits: HttpLimits) -> Endpoints:
    """All of v1 on one service."""
    endpoint = Endpoints(service, metrics, limits)
    identity.add_users(endpoint)
    identity.add_mailed_links(endpoint)
    identity.add_password_page(endpoint)
    identity.add_sessions(endpoint)
    identity.add_security_events(endpoint)
    ledger.add_accounts(endpoint)
    ledger.add_bank_money(endpoint)
    ledger.add_transfers(endpoint)
    _add_probes(endpoint)
    _add_metrics(endpoint, metrics)
    _add_description(endpoint)
    return endpoint


def _add_probes(endpoint: Endpoints) -> None:
    readiness = endpoint.service.readiness

    @endpoint.page("GET", "/healthz")
    async def healthz(asked: Asked) -> msgspec.Struct:
        return schemas.Status("alive")

    @endpoint.page("GET", "/readyz")
    async def readyz(asked: Asked) -> msgspec.Struct | Answer:
        reason = await readiness.problem()
        if reason is None:
            return schemas.Status("ready")
        code = Code.SHUTTING_DOWN if readiness.draining else Code.UNAVAILABLE
        return problem(503, code, reason, retry_after_s=1)


def _add_metrics(endpoint: Endpoints, metrics: Metrics) -> None:
    @endpoint.page("GET", "/metrics")
    async def show_metrics(asked: Asked) -> Answer:
        return Answer(HTTPStatus.OK, [(b"content-type", CONTENT_TYPE.encode())], await metrics.text_of_all())


def _add_description(endpoint: Endpoints) -> None:
    described = description(endpoint.described, endpoint.service.ledger.currencies)

    @endpoint.page("GET", "/openapi.json")
    async def openapi(asked: Asked) -> Answer:
        return Answer(HTTPStatus.OK, [JSON], described)
