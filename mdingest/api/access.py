"""Who may ask: those who bring one of the configured tokens, or everyone where there is none."""

import hmac
from collections.abc import Sequence

from aiohttp import web


class Access:
    """Compares in a time that tells nothing about the tokens."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = [token.encode() for token in tokens]

    def allows(self, request: web.Request) -> bool:
        """Whether the request's ``Authorization`` header is enough."""
        if not self._tokens:
            return True
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.knows(given.strip())

    def knows(self, token: str) -> bool:
        """Whether it is one of them. Every token is compared."""
        given = token.encode(errors="replace")
        return sum(hmac.compare_digest(given, known) for known in self._tokens) > 0
