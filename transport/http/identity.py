"""v1 of identity: users, sessions, mailed links, security events."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from quart import request
from werkzeug.exceptions import MethodNotAllowed

from application.ledger import SEQ_BEYOND_ALL
from domain.errors import InvalidArgument, NotFound
from domain.policy import Operation
from transport.answer import Answer
from transport.http import schemas
from transport.http.asked import Asked
from transport.http.endpoint import Endpoints
from transport.http.pages import page, page_of, password_form, wants_html
from transport.paging import cut

ACCEPTED = schemas.Status("accepted")
PASSWORD_PAGE = "/v1/users/password_reset/page"


def add_users(endpoint: Endpoints) -> None:
    """Registration, reading, changing."""
    users = endpoint.service.users

    @endpoint(
        "POST",
        "/v1/users",
        Operation.CREATE_USER,
        takes=schemas.CreateUser,
        gives=schemas.UserBody,
        status=HTTPStatus.CREATED,
    )
    async def create_user(asked: Asked, body: schemas.CreateUser) -> schemas.UserBody:
        user = await users.create(
            asked.client,
            username=body.username,
            password=body.password,
            full_name=body.full_name,
            email=body.email,
        )
        return schemas.UserBody.of(user)

    @endpoint("GET", "/v1/users/<username:username>", Operation.GET_USER, gives=schemas.UserBody)
    async def get_user(asked: Asked, username: str) -> schemas.UserBody:
        return schemas.UserBody.of(await users.get(asked.principal, username))

    @endpoint(
        "PATCH",
        "/v1/users/<username:username>",
        Operation.UPDATE_USER,
        takes=schemas.UpdateUser,
        gives=schemas.UserBody,
    )
    async def update_user(asked: Asked, username: str, body: schemas.UpdateUser) -> schemas.UserBody:
        user = await users.update(
            asked.principal,
            asked.client,
            username,
            full_name=_given(body.full_name),
            email=_given(body.email),
            password=_given(body.password),
        )
        return schemas.UserBody.of(user)


def add_mailed_links(endpoint: Endpoints) -> None:
    """What is proven by mail: an address, and who may choose a new password."""
    links = endpoint.service.mailed_links

    @endpoint(
        "GET",
        "/v1/verify_email",
        Operation.VERIFY_EMAIL,
        gives=schemas.Verified,
        query=("email_id", "secret_code"),
    )
    async def verify_email(asked: Asked) -> schemas.Verified | Answer:
        if request.method == "HEAD":  # as who scans mails for links asks, and would use this one up
            raise MethodNotAllowed(["GET"])
        html = wants_html()
        try:
            email_id = request.args.get("email_id", "")
            secret_code = request.args.get("secret_code", "")
            await links.verify_email(asked.client, email_id=email_id, secret_code=secret_code)
        except NotFound:
            if not html:
                raise
            return page("This link is not valid", "It was used before, or is older than 15 minutes.", 404)
        if html:
            return page("Thank you", "Your email address is verified. You may close this page.", 200)
        return schemas.Verified(is_verified=True)

    @endpoint(
        "POST",
        "/v1/users/resend_verification",
        Operation.RESEND_VERIFICATION,
        takes=schemas.EmailAddress,
        gives=schemas.Status,
        status=HTTPStatus.ACCEPTED,
    )
    async def resend_verification(asked: Asked, body: schemas.EmailAddress) -> schemas.Status:
        await links.resend_verification(asked.client, email=body.email)
        return ACCEPTED

    @endpoint(
        "POST",
        "/v1/users/password_reset",
        Operation.REQUEST_PASSWORD_RESET,
        takes=schemas.EmailAddress,
        gives=schemas.Status,
        status=HTTPStatus.ACCEPTED,
    )
    async def request_password_reset(asked: Asked, body: schemas.EmailAddress) -> schemas.Status:
        await links.request_password_reset(asked.client, email=body.email)
        return ACCEPTED

    @endpoint(
        "POST",
        "/v1/users/password_reset/confirm",
        Operation.CONFIRM_PASSWORD_RESET,
        takes=schemas.ConfirmPasswordReset,
        gives=schemas.Status,
    )
    async def confirm_password_reset(asked: Asked, body: schemas.ConfirmPasswordReset) -> schemas.Status:
        await links.confirm_password_reset(
            asked.client,
            reset_id=body.reset_id,
            secret_code=body.secret_code,
            password=body.password,
        )
        return schemas.Status("changed")


def add_password_page(endpoint: Endpoints) -> None:
    """The link in the mail is a page, and its form does what `confirm_password_reset` does."""
    links = endpoint.service.mailed_links

    @endpoint.page("GET", PASSWORD_PAGE)
    async def ask_for_password(asked: Asked) -> Answer:
        return _password_page(request.args.get("reset_id", ""), request.args.get("secret_code", ""))

    @endpoint.page("POST", PASSWORD_PAGE)
    async def take_password(asked: Asked) -> Answer:
        form: Any = await request.form
        reset_id, secret_code = form.get("reset_id", ""), form.get("secret_code", "")
        try:
            await links.confirm_password_reset(
                asked.client,
                reset_id=reset_id,
                secret_code=secret_code,
                password=form.get("password", ""),
            )
        except InvalidArgument as error:
            return _password_page(reset_id, secret_code, error.message, 400)
        except NotFound:
            return page("This link is not valid", "It was used before, or is older than 15 minutes.", 404)
        return page("Thank you", "Your password is changed. You may log in with it now.", 200)


def _password_page(reset_id: str, secret_code: str, problem: str = "", status: int = 200) -> Answer:
    text = problem or "It ends every session of yours."
    return page("Choose a new password", text, status, form=password_form(reset_id, secret_code))


def add_sessions(endpoint: Endpoints) -> None:
    """Login, renewal, logout; the caller's sessions."""
    sessions = endpoint.service.sessions

    @endpoint("POST", "/v1/users/login", Operation.LOGIN_USER, takes=schemas.LoginUser, gives=schemas.LoginBody)
    async def login(asked: Asked, body: schemas.LoginUser) -> schemas.LoginBody:
        made = await sessions.login(asked.client, username=body.username, password=body.password)
        return schemas.LoginBody.of(made)

    @endpoint(
        "POST",
        "/v1/tokens/renew_access",
        Operation.RENEW_ACCESS,
        takes=schemas.RenewAccess,
        gives=schemas.LoginBody,
    )
    async def renew_access(asked: Asked, body: schemas.RenewAccess) -> schemas.LoginBody:
        return schemas.LoginBody.of(await sessions.renew(asked.client, refresh_token=body.refresh_token))

    @endpoint(
        "POST",
        "/v1/users/logout",
        Operation.LOGOUT_USER,
        takes=schemas.Logout,
        body_required=False,
        status=HTTPStatus.NO_CONTENT,
    )
    async def logout(asked: Asked, body: schemas.Logout) -> None:
        await sessions.logout(asked.principal, asked.client, everywhere=body.everywhere)

    @endpoint("GET", "/v1/sessions", Operation.LIST_SESSIONS, gives=schemas.SessionList)
    async def list_sessions(asked: Asked) -> schemas.SessionList:
        principal = asked.principal
        found = await sessions.list_active(principal)
        return schemas.SessionList([schemas.SessionBody.of(each, principal.session_id) for each in found])

    @endpoint("DELETE", "/v1/sessions/<session_id>", Operation.REVOKE_SESSION, status=HTTPStatus.NO_CONTENT)
    async def revoke_session(asked: Asked, session_id: str) -> None:
        await sessions.end(asked.principal, asked.client, session_id)


def add_security_events(endpoint: Endpoints) -> None:
    """What happened to users' identities."""
    security = endpoint.service.security

    @endpoint(
        "GET",
        "/v1/security_events",
        Operation.LIST_SECURITY_EVENTS,
        gives=schemas.SecurityEventPage,
        query=("username", "limit", "cursor"),
    )
    async def list_security_events(asked: Asked) -> schemas.SecurityEventPage:
        limit, before_id = page_of(SEQ_BEYOND_ALL)
        username = request.args.get("username")
        items = await security.list_events(
            asked.principal, username=username, before_id=before_id, limit=limit + 1
        )
        kept, cursor = cut(items, limit, lambda event: event.id)
        return schemas.SecurityEventPage([schemas.SecurityEventBody.of(item) for item in kept], cursor)


def _given(value: str | msgspec.UnsetType) -> str | None:
    return None if value is msgspec.UNSET else value
