"""A door for websockets that lets plain HTTP calls in as well.

The library behind it reads requests without a body only, since a websocket begins with a GET.
A form that is posted is handed to it as the query of a GET, and the header `METHOD` says what
it was.
"""

from urllib.parse import quote

from websockets.asyncio.server import ServerConnection

METHOD = "X-HTTP-Method-Override"
_MOST_BYTES = 8_192
_LINE, _HEAD = b"\r\n", b"\r\n\r\n"
_LENGTH = b"content-length:"
_GET = b"GET"


class Door(ServerConnection):
    """One connection: its first request may have another method than GET, and a form as its body."""

    _waiting: bytes | None = b""  # what came of the first request; None: it is through

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. Who sends more than a form is cut off."""
        if self._waiting is None:
            super().data_received(data)
            return
        self._waiting += data
        if len(self._waiting) > _MOST_BYTES:
            self.transport.abort()
        elif (request := _whole(self._waiting)) is not None:
            self._waiting = None
            super().data_received(request)


def _whole(data: bytes) -> bytes | None:
    """The request as the library can read it; None while some of it is still to come."""
    method, blank, rest = data.partition(b" ")
    if _GET.startswith(method[: len(_GET)]) or not method.isalpha():
        return data  # a GET, or nothing we know: the library's own
    head, end, body = data.partition(_HEAD)
    if not (blank and end):
        return None
    line, *headers = rest[: len(head) - len(method) - 1].split(_LINE)
    length = 0
    for header in headers:
        if header.lower().startswith(_LENGTH):
            given = header[len(_LENGTH) :].strip()
            length = int(given) if given.isdigit() else 0
    if len(body) < length:
        return None
    path, _, protocol = line.partition(b" ")
    if length:  # quoted: what is no form must not become a line of its own
        path += (b"&" if b"?" in path else b"?") + quote(body[:length], safe="%&=+").encode()
    kept = [one for one in headers if not one.lower().startswith((_LENGTH, METHOD.lower().encode()))]
    told = f"{METHOD}: ".encode() + method
    return _LINE.join([_GET + b" " + path + b" " + protocol, *kept, told, b"", b""])
