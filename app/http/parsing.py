"""uvicorn's HTTP/1.1 protocol, with requests read as RFC 9110 has them.

uvicorn 0.54 runs the body of a request with `Upgrade: h2c` as the next request (its issue 2722), and takes a trailer
for a header. `StrictProtocol` mends that. An Upgrade is ignored, as RFC 9110 7.8 allows, and CONNECT is refused.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class StrictProtocol(HttpToolsProtocol):
    """One connection; `parse` takes what was received and raises HttpParserError for what is no HTTP/1.1."""

    # A head has begun and is not complete. After one that asks for an Upgrade this stays so until it is parsed again.
    _in_head = False

    def parse(self, data: bytes) -> None:
        """Feed the parser. It stops after a head that asks for an Upgrade, and would go on as if no body followed."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # One read can bring thousands of them, so none is copied.
            rest: memoryview | None = memoryview(data)[upgrade.args[0] :]
            while rest is not None:
                rest = self._parse_without_upgrade(rest)

    def _parse_without_upgrade(self, rest: memoryview) -> memoryview | None:
        """Parse the last head again and what follows it; return what follows the next Upgrade."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn's: bytes after a request that says "close" do no harm to its response.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        try:
            self.parser.feed_data(rest)
        except httptools.HttpParserUpgrade as upgrade:
            return rest[upgrade.args[0] :]
        return None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("not a proxy")
            return
        super().on_headers_complete()
        self._in_head = False
        # From here on it takes the trailer, which may say nothing that counts (RFC 9110 6.5.1).
        self.headers = []

    def on_message_complete(self) -> None:
        if self._in_head:
            return
        super().on_message_complete()
        if self.headers and not self.parser.should_keep_alive():
            # The trailer says "close", so the parser drops all that comes after it.
            self.cycle.keep_alive = False
