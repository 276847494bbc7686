"""Whether an address of http:// or https:// can be used at all; nothing is connected."""

from urllib.parse import urlsplit


def is_web_address(text: str) -> bool:
    """Whether httpx and a socket can use the address: its host, its port and no blank or control character."""
    import httpx  # noqa: PLC0415  # Only an environment that sets an address pays for it; migrate and psql do not.

    try:
        # Both decode the host and the port only when they are read; urlsplit refuses some brackets and ports that
        # httpx accepts at first.
        port, host = urlsplit(text).port, httpx.URL(text).host
        # As a socket does it with a name: an empty label and one of more than 63 letters raise UnicodeError.
        return text.isprintable() and " " not in text and port != 0 and bool(host.encode("idna"))
    except (ValueError, httpx.InvalidURL):
        return False
