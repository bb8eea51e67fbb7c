"""Pages for people: Swagger UI over the API's description, and the diagram of the database.

Whatever they load is a file of ours or of Swagger UI's, and is read when it is asked for. A browser keeps it, and
asks whether it has changed before it uses it again.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from quart import Blueprint, Response
from quart.helpers import send_file

from domain.errors import NotFound
from transport.http.hygiene import style_source

HERE = Path(__file__).parent
OURS = ("docs.css", "favicon.svg", "schema.js", "swagger.js")
SWAGGER_UI = ("swagger-ui.css", "swagger-ui.css.map", "swagger-ui-bundle.js")
CONTENT_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".map": "application/json",
    ".svg": "image/svg+xml",
}


def blueprint() -> Blueprint:
    """The pages, and what they load."""
    docs = Blueprint("docs", __name__)
    assets = {name: HERE / name for name in OURS} | {name: _swagger_ui() / name for name in SWAGGER_UI}
    diagram = (HERE / "schema.svg").read_text()
    schema_page = (HERE / "schema.html").read_text().replace("{{diagram}}", diagram)
    policy = content_security_policy(diagram)

    @docs.get("/docs", strict_slashes=False)
    async def swagger() -> Response:
        return await _file(HERE / "swagger.html")

    @docs.get("/docs/schema", strict_slashes=False)
    async def schema() -> Response:
        return Response(schema_page, content_type="text/html; charset=utf-8")

    @docs.get("/docs/assets/<name>")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise NotFound("asset")
        return await _file(assets[name])

    @docs.get("/favicon.ico")
    async def favicon() -> Response:
        return await _file(assets["favicon.svg"])

    @docs.after_request
    async def name_sources(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        return response

    return docs


def content_security_policy(diagram: str) -> str:
    """Nothing but our own origin's, and of styles in a page only those that the diagram brings."""
    found = re.findall(r"<style>(.*?)</style>", diagram, re.DOTALL)
    styles = " ".join(["'self'", *(style_source(style) for style in found)])
    return (
        f"default-src 'none'; script-src 'self'; style-src {styles}; "
        "img-src 'self' data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )


async def _file(path: Path) -> Response:
    return await send_file(path, CONTENT_TYPES[path.suffix], cache_timeout=0, conditional=True)


def _swagger_ui() -> Path:
    # Only the package's files are of use here; its code is for Django, and is not imported.
    package = find_spec("drf_spectacular_sidecar")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "static/drf_spectacular_sidecar/swagger-ui-dist"
