"""Which page of a list is asked for; and the few pages that people see in a browser."""

from __future__ import annotations

from html import escape

from quart import request

from application.ledger import PAGE_DEFAULT
from transport.answer import Answer
from transport.paging import check_limit, position


def page_of(first: int) -> tuple[int, int]:
    """The page's size and the number it starts from; `first` where no cursor was sent."""
    text = request.args.get("limit", str(PAGE_DEFAULT))
    limit = int(text[:9]) if text.isascii() and text.isdigit() else 0
    return check_limit(limit), position(request.args.get("cursor"), first)


PAGE_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;color-scheme:light dark;margin:0}"
    "main{max-width:34rem;margin:18vh auto;padding:0 1.5rem}"
    "label{display:block;margin:1rem 0 .3rem}input,button{font:inherit;padding:.4rem .7rem}"
    "input{width:100%;box-sizing:border-box}button{margin-top:1rem}"
)


def wants_html() -> bool:
    """Whether a browser asks."""
    return "text/html" in request.headers.get("Accept", "")


def page(title: str, text: str, status: int, *, form: str = "") -> Answer:
    """A page for people. `form` is HTML of ours, with whatever came from outside escaped."""
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{PAGE_STYLE}</style>'
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p>{form}</main></body></html>"
    )
    return Answer(status, [(b"content-type", b"text/html; charset=utf-8")], html.encode())


def password_form(reset_id: str, secret_code: str) -> str:
    """Asks for a new password; posts what the link carried with it."""
    return (
        '<form method="post">'
        f'<input type="hidden" name="reset_id" value="{escape(reset_id)}">'
        f'<input type="hidden" name="secret_code" value="{escape(secret_code)}">'
        '<label for="password">New password</label>'
        '<input id="password" name="password" type="password" autocomplete="new-password" required '
        'minlength="8" maxlength="128"><button>Change password</button></form>'
    )
