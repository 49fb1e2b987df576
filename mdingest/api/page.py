"""``/``: the chart page, out of files that are installed with the package.

The page is the same for everyone and holds no data, so it is served without a token; what it
shows it asks the API for. The chart library is fetched by the build (tools/fetch_chart.py)
and may be absent: the page then says so.
"""

import gzip
import hashlib
from functools import cache
from importlib import resources

from aiohttp import web

FILES = {
    "index.html": "text/html",
    "style.css": "text/css",
    "app.js": "text/javascript",
    "chart.js": "text/javascript",
    "bands.js": "text/javascript",
    "series.js": "text/javascript",
    "live.js": "text/javascript",
    "search.js": "text/javascript",
    "health.js": "text/javascript",
    "format.js": "text/javascript",
    "vendor/lightweight-charts.js": "text/javascript",
    "vendor/LICENSE": "text/plain",
    "vendor/NOTICE": "text/plain",
}
"""What is served below ``/page/``, and as what."""
_LOGO_STYLE = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY="  # of the chart library's attribution
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' '{_LOGO_STYLE}'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for each time, sent again only if it changed
}
PREFIX = "/page/"


class PageRoutes:
    """The page and its files."""

    def routes(self) -> list[web.RouteDef]:
        """For `web.Application.add_routes`."""
        return [web.get("/", _page), web.get(PREFIX + "{name:.+}", _file)]


async def _page(request: web.Request) -> web.Response:
    return _reply(request, "index.html")


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in FILES:
        raise web.HTTPNotFound
    return _reply(request, name)


def _reply(request: web.Request, name: str) -> web.Response:
    content = _content(name)
    if content is None:
        raise web.HTTPNotFound
    plain, packed, tag = content
    headers = {**_HEADERS, "ETag": tag, "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    body = plain
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = packed
    return web.Response(body=body, headers=headers, content_type=FILES[name], charset="utf-8")


@cache
def _content(name: str) -> tuple[bytes, bytes, str] | None:
    """The file, the same compressed, and its tag; None if the build did not bring it."""
    try:
        plain = resources.files("mdingest.api").joinpath("web", name).read_bytes()
    except FileNotFoundError:
        return None
    return plain, gzip.compress(plain, mtime=0), f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
