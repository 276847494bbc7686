"""A Backboard with an untrusted certificate: nothing is sent to it, and an error line tells the operator."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.application import create_app
from tests.support.asgi import Log
from tests.support.factories import Person
from tests.support.log_capture import capture_log
from tests.support.service import in_process, settings_of

pytestmark = pytest.mark.anyio


def self_signed(folder: Path, *, days: tuple[int, int] = (-2, 1)) -> ssl.SSLContext:
    """TLS of a server for localhost, with a self-signed certificate (`server.pem`) that is valid for these days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=days[0])).not_valid_after(now + timedelta(days=days[1]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


async def test_nothing_is_sent_to_a_server_with_an_untrusted_certificate(
    variables: dict[str, str], database: psycopg.Connection[dict[str, object]], tmp_path: Path
) -> None:
    """503, no row, and an error line, since it does not heal by itself; the check cannot be turned off."""
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(listen, "localhost", 0, ssl=self_signed(tmp_path))
    address = f"https://localhost:{server.sockets[0].getsockname()[1]}/api"
    with capture_log() as configure:
        log = Log(configure)
        async with server, in_process(create_app(settings_of(variables | {"BACKBOARD_API_URL": address}))) as service:
            answer = await service.ensure(Person())
        lines = {line["event"]: line for line in log.lines()}

    assert (answer.status_code, answer.json()["title"]) == (503, "Service initialization failed")
    assert lines["ensure_user"]["reason"] == "backboard_certificate"
    assert lines["backboard_certificate"]["level"] == "error"
    assert b"".join(received) == b""
    assert database.execute("SELECT FROM users").fetchall() == []
