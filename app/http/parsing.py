"""From the bytes of a connection to the heads of requests, by httptools."""

import asyncio
from urllib.parse import unquote

import httptools
from starlette.types import Scope

_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Parsing(asyncio.Protocol):
    """What a connection knows of what it reads. A head is under way from its first byte until its blank line.

    httptools calls the methods that begin with `on_`; those for a body, its end and whole heads (`on_head`) are the
    deriving class's.
    """

    def __init__(self) -> None:
        self._begin()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._upgrading = False
        self._expects_continue = False
        self._head_under_way = False
        # Whether a head or a body has begun or ended in what is being read.
        self._has_moved_on = False
        # What came since the head began, or since the last chunk, without being body: heads, sizes and trailers.
        self._bare_bytes = 0

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        # As uvicorn's: a request behind one that says "close" does no harm to the answer before it.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _parse(self, data: bytes) -> None:
        """Read on; HttpParserError for what is no HTTP.

        An Upgrade is ignored, as RFC 9110 7.8 allows. The parser would take the body behind it for the next request.
        """
        self._bare_bytes += len(data)
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                # One read may bring thousands of them, so none is copied.
                rest = memoryview(rest)[upgrade.args[0] :]
                self._parse_without_upgrade()
            else:
                return

    def _parse_without_upgrade(self) -> None:
        """Read the last head once more, as if it asked for no upgrade; what is behind it is for the new parser."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("not a proxy")
        lines = [b"%s %s HTTP/%s" % (method, self._url, self._parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self._headers if header[0] != b"upgrade"]
        self._begin()
        self._parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._expects_continue = False
        self._head_under_way = self._has_moved_on = True
        self._bare_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_under_way:
            # A trailer, which may say nothing that counts (RFC 9110 6.5.1).
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._upgrading = self._parser.should_upgrade()
        if self._upgrading:
            return
        self._head_under_way = False
        self._has_moved_on = True
        url = httptools.parse_url(self._url)
        path = url.path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": self._parser.get_http_version(),
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "root_path": "",
            "headers": self._headers,
        }
        self.on_head(scope)

    def on_head(self, scope: Scope) -> None:
        """A head is whole."""
        raise NotImplementedError

    def on_chunk_complete(self) -> None:
        self._bare_bytes = 0
