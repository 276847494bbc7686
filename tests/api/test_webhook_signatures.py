"""Forged and damaged deliveries at the webhook: one answer for all of them, before anything is parsed."""

import base64
import hmac
import json
import time
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from tests.support import asgi
from tests.support.asgi import Headers, Log, ask
from tests.support.factories import OTHER_SECRET, SECRET, event

BODY = event("x.y", {"canary": 1})


def code(svix_id: str, timestamp: str, body: bytes = BODY, secret: bytes = SECRET) -> bytes:
    """The HMAC of a delivery, computed without the library."""
    return hmac.digest(secret, f"{svix_id}.{timestamp}.".encode() + body, "sha256")


def entry(mac: bytes) -> str:
    return "v1," + base64.b64encode(mac).decode()


def three(
    signature: Callable[[bytes], str] = entry,
    *,
    family: str = "svix",
    svix_id: str = "msg_1",
    timestamp: str | None = None,
    over: str | None = None,
    body: bytes = BODY,
    secret: bytes = SECRET,
) -> Headers:
    """The three headers; `signature` turns the right HMAC into the header, `over` is another timestamp to sign."""
    sent = str(int(time.time())) if timestamp is None else timestamp
    mac = code(svix_id, sent if over is None else over, body, secret)
    values = {"id": svix_id, "timestamp": sent, "signature": signature(mac)}
    return [(f"{family}-{name}".encode(), value.encode()) for name, value in values.items()]


def without(name: str, headers: Headers) -> Headers:
    return [header for header in headers if header[0] != name.encode()]


def emptied(name: str) -> Headers:
    return [(key, b"" if key == name.encode() else value) for key, value in three()]


def moved(seconds: int) -> str:
    return str(int(time.time()) + seconds)


def mixed(*families: str) -> Headers:
    """The three headers, each of the family that is given for it."""
    kinds = zip(("id", "timestamp", "signature"), families, strict=True)
    return [header for kind, family in kinds for header in three(family=family) if header[0].endswith(kind.encode())]


HEADERS: dict[str, Callable[[], Headers]] = {
    "no id": lambda: without("svix-id", three()),
    "no timestamp": lambda: without("svix-timestamp", three()),
    "no signature": lambda: without("svix-signature", three()),
    "none of them": list,
    "empty id": lambda: emptied("svix-id"),
    "empty timestamp": lambda: emptied("svix-timestamp"),
    "empty signature": lambda: emptied("svix-signature"),
    "empty id, signed as such": lambda: three(svix_id=""),
    "id twice": lambda: [*three(), (b"svix-id", b"msg_2")],
    "the same id twice": lambda: [*three(), (b"svix-id", b"msg_1")],
    "timestamp twice": lambda: [*three(), (b"svix-timestamp", moved(0).encode())],
    "signature twice": lambda: [*three(), three()[2]],
    "id of svix": lambda: mixed("svix", "webhook", "webhook"),
    "timestamp of svix": lambda: mixed("webhook", "svix", "webhook"),
    "signature of svix": lambda: mixed("webhook", "webhook", "svix"),
    "id of webhook": lambda: mixed("webhook", "svix", "svix"),
    "timestamp of webhook": lambda: mixed("svix", "webhook", "svix"),
    "signature of webhook": lambda: mixed("svix", "svix", "webhook"),
    "an empty svix-id beside webhook": lambda: [(b"svix-id", b""), *three(family="webhook")],
    "id of 10 KB": lambda: three(svix_id="m" * 10_240),
    "id of 129 characters": lambda: three(svix_id="m" * 129),
    "id with a dot": lambda: three(svix_id="msg.1"),
    "id in full-width letters": lambda: three(svix_id="ｍsg_1"),
    "id with a line end": lambda: three(svix_id="msg_1\n"),
    "fraction": lambda: three(timestamp=moved(0) + ".9"),
    "fraction over the number": lambda: three(timestamp=moved(0) + ".9", over=moved(0)),
    "sign": lambda: three(timestamp="+" + moved(0)),
    "sign over the number": lambda: three(timestamp="+" + moved(0), over=moved(0)),
    "blank before": lambda: three(timestamp=" " + moved(0), over=moved(0)),
    "line end behind": lambda: three(timestamp=moved(0) + "\n", over=moved(0)),
    "zero before": lambda: three(timestamp="0" + moved(0), over=moved(0)),
    "underscore": lambda: three(timestamp=moved(0)[:4] + "_" + moved(0)[4:], over=moved(0)),
    "digits of another script": lambda: three(timestamp="".join(chr(0x660 + int(d)) for d in moved(0))),
    "hello": lambda: three(timestamp="hello"),
    "minus one": lambda: three(timestamp="-1"),
    "milliseconds": lambda: three(timestamp=moved(0) + "000"),
}

STALE: dict[str, Callable[[], Headers]] = {
    "310 s old": lambda: three(timestamp=moved(-310)),
    "310 s ahead": lambda: three(timestamp=moved(310)),
    "of 1970": lambda: three(timestamp="1"),
    "of the year 33658": lambda: three(timestamp="9" * 12),
}

SIGNATURE: dict[str, Callable[[], Headers]] = {
    "svix wrong, webhook right": lambda: three(lambda _: entry(bytes(32))) + three(family="webhook"),
    "timestamp moved by a second": lambda: three(timestamp=moved(1), over=moved(0)),
    "a byte of the body changed": lambda: three(body=BODY.replace(b"x.y", b"x.z")),
    "other blanks": lambda: three(body=BODY.replace(b": ", b":")),
    "other key order": lambda: three(body=json.dumps(dict(reversed(json.loads(BODY).items()))).encode()),
    "a line end behind": lambda: three(body=BODY + b"\n"),
    "of another message": lambda: three(lambda _: entry(code("msg_2", moved(0)))),
    "under a new id": lambda: [(b"svix-id", b"msg_2"), *three()[1:]],
    "another environment's secret": lambda: three(secret=b"canary-signing-secret-0003"),
    "an empty secret": lambda: three(secret=b""),
    "several, none right": lambda: three(lambda _: f"{entry(bytes(32))} {entry(b'x' * 32)}"),
    "v1 and a comma": lambda: three(lambda _: "v1,"),
    "v1": lambda: three(lambda _: "v1"),
    "a comma": lambda: three(lambda _: ","),
    "two commas": lambda: three(lambda _: ",,"),
    "garbage": lambda: three(lambda _: "garbage"),
    "not ASCII": lambda: three(lambda _: "v1,\xe9" * 3),
    "the code of v1 as v2": lambda: three(lambda mac: "v2" + entry(mac)[2:]),
    "the code of v1 as v1a": lambda: three(lambda mac: "v1a" + entry(mac)[2:]),
    "hexadecimal": lambda: three(lambda mac: "v1," + mac.hex()),
    "base64 for URLs": lambda: three(lambda _: "v1," + base64.urlsafe_b64encode(b"\xff" * 32).decode()),
    "more padding": lambda: three(lambda mac: entry(mac) + "=="),
    "no padding": lambda: three(lambda mac: entry(mac).rstrip("=")),
    "loose bits": lambda: three(lambda mac: entry(mac)[:-2] + chr(ord(entry(mac)[-2]) + 1) + "="),
    "junk in the base64": lambda: three(lambda mac: entry(mac)[:10] + "!" + entry(mac)[10:]),
    "a third part": lambda: three(lambda mac: entry(mac) + ",x"),
    "8 bytes": lambda: three(lambda mac: entry(mac[:8])),
    "16 bytes": lambda: three(lambda mac: entry(mac[:16])),
    "31 bytes": lambda: three(lambda mac: entry(mac[:31])),
    "33 bytes": lambda: three(lambda mac: entry(mac + b"x")),
    "the last bit flipped": lambda: three(lambda mac: entry(mac[:31] + bytes([mac[31] ^ 1]))),
}

FORGED = [
    *[pytest.param(make, "headers", id=name) for name, make in HEADERS.items()],
    *[pytest.param(make, "stale", id=name) for name, make in STALE.items()],
    *[pytest.param(make, "signature", id=name) for name, make in SIGNATURE.items()],
]


@pytest.mark.anyio
@pytest.mark.parametrize(("make", "reason"), FORGED)
async def test_a_forged_delivery_is_400(app: ASGIApp, log: Log, make: Callable[[], Headers], reason: str) -> None:
    """With one answer for all faults; only the log names the fault, and never a secret."""
    answer = await ask(app, asgi.HOST + asgi.JSON + make(), BODY)

    line = log.line()
    asgi.assert_refused(answer, line, 400, reason)
    assert "secret" not in line
    unsigned = await ask(app, asgi.HOST + asgi.JSON, BODY)
    assert answer.told() == unsigned.told()


RIGHT: dict[str, tuple[Callable[[], Headers], int]] = {
    "svix": (three, 0),
    "webhook": (lambda: three(family="webhook"), 0),
    "the second secret": (lambda: three(secret=OTHER_SECRET), 1),
    "290 s old": (lambda: three(timestamp=moved(-290)), 0),
    "290 s ahead": (lambda: three(timestamp=moved(290)), 0),
    "id of 128 characters": (lambda: three(svix_id="m" * 128), 0),
    "first": (lambda: three(lambda mac: f"{entry(mac)} {entry(bytes(32))}"), 0),
    "in the middle": (lambda: three(lambda mac: f"{entry(bytes(32))} {entry(mac)} {entry(bytes(32))}"), 0),
    "last": (lambda: three(lambda mac: f"{entry(bytes(32))} {entry(mac)}"), 0),
    "the oldest of eleven keys": (lambda: three(lambda mac: " ".join([entry(bytes(32))] * 10 + [entry(mac)])), 0),
    "beside v2": (lambda: three(lambda mac: f"v2,{'x' * 44} {entry(mac)}"), 0),
    "beside garbage": (lambda: three(lambda mac: f"garbage v1,abc ,, {entry(mac)}"), 0),
    "beside what is not ASCII": (lambda: three(lambda mac: f"v1,\xe9 {entry(mac)}"), 0),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("make", "secret"), RIGHT.values(), ids=RIGHT.keys())
async def test_a_valid_delivery_is_accepted(app: ASGIApp, log: Log, make: Callable[[], Headers], secret: int) -> None:
    """The log has the message id and the number of the secret."""
    answer = await ask(app, asgi.HOST + asgi.JSON + make(), BODY)

    line = log.line()
    assert (answer.status, json.loads(answer.body)) == (200, {"outcome": "ignored"})
    assert (line["secret"], line["svix_id"]) == (secret, make()[0][1].decode())


@pytest.mark.anyio
async def test_a_valid_signature_over_bytes_that_are_not_utf_8_is_422(app: ASGIApp, log: Log) -> None:
    """Its sender holds the secret, so it is an unusable event and no stranger's."""
    body = b'{"type": "\xff"}'

    answer = await ask(app, asgi.HOST + asgi.JSON + three(body=body), body)

    asgi.assert_refused(answer, log.line(), 422, "json")
