"""Errors as RFC 9457 problem documents that say what would be right."""

from collections.abc import Sequence

import orjson
from aiohttp import web

_TITLES = {
    400: "Bad request",
    401: "Token needed",
    403: "Not from there",
    404: "Not found",
    405: "Method not allowed",
    413: "Request too large",
    426: "Upgrade required",
    500: "A mistake of ours",
    503: "Not now",
}


class Problem(Exception):
    """Ends a request with a problem document. ``detail`` is for the person who asked."""

    def __init__(self, status: int, detail: str, nearest: Sequence[str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.nearest = nearest


def problem_response(
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    nearest: Sequence[str] | None = None,
) -> web.Response:
    """The document; ``nearest`` are names that may have been meant."""
    title = _TITLES.get(status, "Error")
    document: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if nearest is not None:
        document["nearest"] = nearest
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        headers=headers,
        content_type="application/problem+json",
    )
