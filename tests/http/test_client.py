"""The HTTP client of Clerk and Backboard in other people's networks: proxies, private certificate authorities."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.backboard.calls import build_backboard_client
from app.backboard.client import Backboard
from app.deadline import Deadline
from app.errors import CertificateRejected, NotSent
from app.http.client import build_client, certificate_problem, check_proxy, tls_context
from app.settings import ConfigurationError
from tests.backboard.test_certificate import self_signed

pytestmark = pytest.mark.anyio

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
HTTPS = "https://backboard.example/api"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """None of the variables is set, and what a test sets is read again."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    tls_context.cache_clear()
    yield monkeypatch
    tls_context.cache_clear()


@asynccontextmanager
async def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives one answer to everything; its port, and the first line of each request."""
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], lines


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


async def get(url: str) -> httpx.Response:
    async with build_client(url, headers={}, timeout=httpx.Timeout(5), limits=httpx.Limits()) as client:
        return await client.get("/x")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_https_goes_through_the_proxy(name: str, environment: pytest.MonkeyPatch) -> None:
    async with answering(REFUSED) as (port, lines):
        environment.setenv(name, f"http://127.0.0.1:{port}")
        with pytest.raises(httpx.ProxyError):
            await get(HTTPS)

    assert lines == [b"CONNECT backboard.example:443 HTTP/1.1"]


@pytest.mark.parametrize("hosts", ["localhost", "*", "example.com, localhost"])
async def test_host_that_no_proxy_names_is_reached_directly(
    hosts: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with answering(REFUSED) as (proxy, lines), answering(OK, self_signed(tmp_path)) as (port, _):
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        environment.setenv("NO_PROXY", hosts)
        environment.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))

        assert (await get(f"https://localhost:{port}")).status_code == 200
    assert lines == []


async def test_stand_in_on_this_machine_is_reached_without_a_proxy(environment: pytest.MonkeyPatch) -> None:
    """Only it has a plain address."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment.setenv(name, "socks5://127.0.0.1:9")
    async with answering(OK) as (port, _):
        assert (await get(f"http://localhost:{port}")).status_code == 200


async def test_request_that_the_proxy_refuses_has_not_reached_backboard(environment: pytest.MonkeyPatch) -> None:
    """So there is no doubt about what Backboard has done."""
    async with answering(REFUSED) as (port, _):
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        client = build_backboard_client(url=HTTPS, api_key="canary", connections=1)
        async with client:
            with pytest.raises(NotSent):
                await Backboard(client, name_prefix="clerk:", system_prompt=None).check_key(Deadline())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "socks5://canary:1080"),
        ("HTTPS_PROXY", "ftp://canary"),
        ("HTTPS_PROXY", "http://"),
        ("HTTPS_PROXY", "http://canary:port"),
        ("ALL_PROXY", "socks5h://canary"),
        ("HTTP_PROXY", "canary://canary"),
    ],
)
def test_proxy_that_cannot_be_used_is_named(name: str, value: str, environment: pytest.MonkeyPatch) -> None:
    """Without its value, which may hold a password; httpx would fail with a traceback."""
    environment.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"^{name} must be the address of an HTTP proxy") as caught:
        check_proxy(None, HTTPS)

    assert "canary" not in str(caught.value)
    assert not check_proxy("http://127.0.0.1:1/api", None)


@pytest.mark.parametrize(
    "value", ["http://proxy.example:3128", "https://user:pass@proxy.example", "proxy.example:3128"]
)
def test_proxy_is_used_for_https_only(value: str, environment: pytest.MonkeyPatch) -> None:
    assert not check_proxy(HTTPS)

    environment.setenv("HTTPS_PROXY", value)

    assert check_proxy(HTTPS)
    assert not check_proxy("http://127.0.0.1:1/api")


async def test_private_authority_is_trusted_by_ssl_cert_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with answering(OK, self_signed(tmp_path)) as (port, _):
        environment.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))

        assert (await get(f"https://localhost:{port}")).status_code == 200


@pytest.mark.parametrize("file", ["missing.pem", "", "server.key"])
async def test_certificate_stays_untrusted_where_the_file_does_not_help(
    file: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "server.key").write_text("no certificate")
    async with answering(OK, self_signed(tmp_path)) as (port, lines):
        environment.setenv("SSL_CERT_FILE", str(tmp_path / file))
        client = build_backboard_client(url=f"https://localhost:{port}", api_key="canary", connections=1)
        async with client:
            with pytest.raises(CertificateRejected) as caught:
                await Backboard(client, name_prefix="clerk:", system_prompt=None).check_key(Deadline())

    assert lines == []
    assert certificate_problem(caught.value) == "no authority that is trusted here has issued it"


@pytest.mark.parametrize(
    ("host", "days", "problem"),
    [
        ("localhost", (-2, -1), "it has expired"),
        ("localhost", (1, 2), "it is not valid yet"),
        ("127.0.0.1", (-1, 1), "it is another host's"),
    ],
)
async def test_problem_of_a_certificate_is_named(
    host: str, days: tuple[int, int], problem: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls = self_signed(tmp_path, days=days)
    environment.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    async with answering(OK, tls) as (port, _):
        with pytest.raises(httpx.ConnectError) as caught:
            await get(f"https://{host}:{port}")

    assert certificate_problem(caught.value) == problem
