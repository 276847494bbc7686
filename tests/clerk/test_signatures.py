"""Comparisons of secrets take constant time, and the verifier agrees with plain HMAC and with Svix's library."""

import hmac
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from svix.webhooks import Webhook

from app.clerk.signatures import SignatureVerifier
from app.errors import BadSignature
from tests.api.test_webhook_signatures import BODY, code, entry, three
from tests.support import asgi, factories
from tests.support.asgi import ask
from tests.support.factories import OTHER_SECRET, SECRET

FAMILIES = ("svix", "webhook")
NOW = 1_795_000_000


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Every pair that hmac.compare_digest compares."""
    pairs: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counting(ours: bytes, theirs: bytes) -> bool:
        pairs.append((ours, theirs))
        return compare(ours, theirs)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    return pairs


@pytest.mark.parametrize("place", [None, 0, 1, 4])
def test_every_entry_is_compared_with_every_secret(place: int | None, compared: list[tuple[bytes, bytes]]) -> None:
    """The number of comparisons does not depend on which entry matches, if any."""
    timestamp = str(NOW)
    right = entry(code("msg_1", timestamp))
    entries = [right if index == place else entry(bytes([index]) * 32) for index in range(5)] + [entry(b"cut short")]
    headers = [*three(timestamp=timestamp)[:2], (b"svix-signature", " ".join(entries).encode())]

    try:
        SignatureVerifier([SECRET, OTHER_SECRET]).verify(headers, BODY, NOW)
    except BadSignature:
        assert place is None

    assert len(compared) == 10
    assert {len(value) for pair in compared for value in pair} == {32}


@pytest.mark.anyio
@pytest.mark.parametrize("token", [factories.TOKEN, factories.OTHER_TOKEN, "canary", ""])
async def test_a_bearer_token_is_compared_with_every_service_token(
    token: str, compared: list[tuple[bytes, bytes]]
) -> None:
    """The number of comparisons does not depend on which token matches, if any."""
    headers = [*asgi.HOST, *asgi.JSON, (b"authorization", b"Bearer " + token.encode())]

    await ask(asgi.stranded_app(), headers, b"{}", path="/ensure-user")

    assert [given for given, _ in compared] == [token.encode()] * 2


grammatical_ids = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    svix_id=grammatical_ids, off=st.integers(-300, 300), body=st.binary(max_size=300), family=st.sampled_from(FAMILIES)
)
def test_everything_that_plain_hmac_signs_is_accepted(svix_id: str, off: int, body: bytes, family: str) -> None:
    """With any valid id, any age within the tolerance, and any bytes."""
    headers = three(family=family, svix_id=svix_id, timestamp=str(NOW + off), body=body)

    assert SignatureVerifier([OTHER_SECRET, SECRET]).verify(headers, body, NOW + 0.999).secret == 1


def is_shaped(one: str) -> bool:
    return one.startswith("v1,") and len(one) == len(entry(bytes(32)))


mutations = st.sampled_from(["", "x", ".", "0", "=", "\t", "\xa0", "+", "_", "A", "v1,"])


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(
    body=st.text(max_size=30),
    which=st.integers(0, 2),
    place=st.integers(0, 60),
    mutation=mutations,
    removed=st.integers(0, 2),
    extra=st.sampled_from(["", " garbage", " v1,abc", " v1," + "A" * 43 + "=", " v2,x"]),
)
def test_everything_we_accept_is_valid_for_plain_hmac_and_the_library(
    body: str, which: int, place: int, mutation: str, removed: int, extra: str
) -> None:
    """With any header damaged anywhere. Only malformed entries beside a valid one are refused by the library alone."""
    now = int(time.time())
    sent = three(lambda mac: entry(mac) + extra, timestamp=str(now), body=body.encode())
    values = [value.decode() for _, value in sent]
    values[which] = values[which][:place] + mutation + values[which][place + removed :]
    names = [name for name, _ in sent]
    headers = [(name, value.encode("latin-1")) for name, value in zip(names, values, strict=True)]
    try:
        SignatureVerifier([SECRET]).verify(headers, body.encode(), now)
    except BadSignature:
        return

    shaped = [one for one in values[2].split(" ") if is_shaped(one)]
    assert entry(code(values[0], values[1], body.encode())) in shaped
    named = dict(zip([name.decode() for name in names], [*values[:2], " ".join(shaped)], strict=True))
    Webhook(SECRET).verify(body, named)
