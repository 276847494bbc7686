"""Signatures and events, without I/O: which deliveries are accepted, and how bodies are read."""

import base64
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from svix.webhooks import Webhook, WebhookVerificationError

from app.clerk.events import IgnoredEvent, UserDeletedEvent, UserUpsertedEvent, parse
from app.clerk.signatures import SignatureVerifier, VerifiedDelivery, sign
from app.clerk.users import Profile
from app.errors import BadSignature, InvalidRequest
from tests.support.factories import OTHER_SECRET, SECRET, Person, event, user_created, user_data

NOW = 1_795_000_000
BODY = b'{"test": 1}'
MOMENT = datetime(2026, 11, 25, tzinfo=UTC)

Headers = list[tuple[bytes, bytes]]


def mac(body: bytes = BODY, *, secret: bytes = SECRET, svix_id: str = "msg_1", timestamp: str = str(NOW)) -> str:
    """A v1 entry, computed without the library."""
    signed = f"{svix_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def headers(family: str = "svix", *, more: Headers | None = None, **changed: str | None) -> Headers:
    """The three headers; None removes one."""
    values = {"id": "msg_1", "timestamp": str(NOW), "signature": mac()} | changed
    three = [(f"{family}-{name}".encode(), value.encode()) for name, value in values.items() if value is not None]
    return three + (more or [])


def verify(given_headers: Headers, body: bytes = BODY, *, secrets: tuple[bytes, ...] = (SECRET,)) -> VerifiedDelivery:
    return SignatureVerifier(secrets).verify(given_headers, body, NOW + 0.5)


TEST_KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_KEY = "plJ3nmyCDGBKInavdOK15jsl"
P5 = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTORS = [
    (TEST_KEY, P5, 1614265330, b'{"test": 2432232314}', "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    (
        OTHER_KEY,
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        "rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
    (TEST_KEY, P5, 1614265330, b"a" * 1_048_576, "txpEUxqWZJ5nteTnymUVa+7C4NHpBeXJ6CsBAW0c3/A="),
    (TEST_KEY, P5, 1614265330, b"a" * 262_144, "Mw4Pe2WgApuT7NSqnSq0PQPV9gbLdggCl9B865x5Xh0="),
    (TEST_KEY, P5, 1614265330, b"a" * 262_143, "NTItnqyWMoFhk2Bbe5V/BMdcFRWgcSQaTgqLHX7FC7c="),
]


@pytest.mark.parametrize("family", ["svix", "webhook"])
@pytest.mark.parametrize(("key", "svix_id", "timestamp", "body", "code"), VECTORS, ids=["1", "2", "3", "4", "5"])
def test_the_public_vectors_are_accepted(
    family: str, key: str, svix_id: str, timestamp: int, body: bytes, code: str
) -> None:
    """The public test secrets of the Svix and Standard Webhooks suites."""
    given_headers = headers(family, id=svix_id, timestamp=str(timestamp), signature=f"v1,{code}")

    delivery = SignatureVerifier([base64.b64decode(key)]).verify(given_headers, body, timestamp)

    assert delivery == VerifiedDelivery(svix_id, 0)


@pytest.mark.parametrize(
    "signature",
    [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
        "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
        "v1,dawfeoifkpqwoekfpqoekf",
        "BAD_SIG_NATURE",
    ],
)
def test_the_invalid_public_vectors_are_refused(signature: str) -> None:
    key, svix_id, timestamp, body, _ = VECTORS[0]

    with pytest.raises(BadSignature):
        SignatureVerifier([base64.b64decode(key)]).verify(
            headers(id=svix_id, timestamp=str(timestamp), signature=signature), body, timestamp
        )


RIGHT = mac()
WRONG = mac(b"other")
ACCEPTED = {
    "the right one": RIGHT,
    "first of several": f"{RIGHT} {WRONG}",
    "in the middle": f"{WRONG} {RIGHT} {WRONG}",
    "last": f"{WRONG} {RIGHT}",
    "beside another version": f"v1a,{RIGHT[3:]} v2,x {RIGHT}",
    "behind garbage": f"garbage {RIGHT}",
    "behind a cut one": f"v1,abc {RIGHT}",
    "behind an empty one": f" {RIGHT}",
    "the eleven of a long rotation": " ".join([RIGHT] + [WRONG] * 10),
    "the oldest key of eleven": " ".join([WRONG] * 10 + [RIGHT]),
    "as many as a head holds": " ".join([WRONG] * 600 + [RIGHT]),
    "behind an entry of 4 KB": "x" * 4096 + " " + RIGHT,
}


@pytest.mark.parametrize("signature", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_one_valid_entry_is_enough(signature: str) -> None:
    """Malformed and unknown entries are skipped; Svix sends two during a rotation."""
    assert verify(headers(signature=signature)).secret == 0


REFUSED = {
    "none right": f"{WRONG} {WRONG}",
    "v1 and nothing": "v1,",
    "no comma": "v1",
    "a comma": ",",
    "two commas": ",,",
    "garbage": "garbage",
    "a third part": f"{RIGHT},x",
    "another version": "v2," + RIGHT[3:],
    "no version": RIGHT[3:],
    "capital": "V1," + RIGHT[3:],
    "eleven wrong ones": " ".join([WRONG] * 11),
    "junk in the base64": RIGHT[:10] + "!" + RIGHT[10:],
    "more padding": RIGHT + "==",
    "no padding": RIGHT.rstrip("="),
    "loose bits": RIGHT[:-2] + chr(ord(RIGHT[-2]) + 1) + "=",
    "hex": "v1," + "ab" * 32,
    "8 bytes": "v1," + base64.b64encode(base64.b64decode(RIGHT[3:])[:8]).decode(),
    "31 bytes": "v1," + base64.b64encode(base64.b64decode(RIGHT[3:])[:31]).decode(),
    "33 bytes": "v1," + base64.b64encode(base64.b64decode(RIGHT[3:]) + b"x").decode(),
    "tab between": f"{WRONG}\t{RIGHT}",
    "empty": "",
}


@pytest.mark.parametrize("signature", REFUSED.values(), ids=REFUSED.keys())
def test_a_header_without_a_valid_entry_is_a_bad_signature(signature: str) -> None:
    """Malformed entries are not repaired, and raise no other error."""
    with pytest.raises(BadSignature):
        verify(headers(signature=signature))


def signed_as(timestamp: str, over: str | None = None) -> Headers:
    return headers(timestamp=timestamp, signature=mac(timestamp=timestamp if over is None else over))


@pytest.mark.parametrize(
    "timestamp",
    ["", "hello", "-1", f"+{NOW}", f" {NOW}", f"{NOW} ", f"{NOW}.0", f"{NOW}.9", f"0{NOW}", f"{NOW}000",
     "1_795_000_000", "１７９５", "1" * 13, "1e9", "0x6AFD", "NaN"],
)  # fmt: skip
@pytest.mark.parametrize("over_number", [False, True], ids=["over the text", "over the number"])
def test_a_timestamp_is_digits_and_nothing_else(timestamp: str, over_number: bool) -> None:  # noqa: FBT001  # A case.
    """The library signs the parsed number and not the text of the header."""
    with pytest.raises(BadSignature):
        verify(signed_as(timestamp, over=str(NOW) if over_number else None))


@pytest.mark.parametrize("off", [-299, 0, 299, 300])
def test_a_timestamp_may_be_five_minutes_off(off: int) -> None:
    """In both directions; the clock that it is compared with is half a second after the full one."""
    assert verify(signed_as(str(NOW + off)))


@pytest.mark.parametrize("now", [NOW + 300, NOW + 300.0, NOW + 300.001, NOW - 300.001])
def test_a_timestamp_of_exactly_five_minutes_ago_is_stale(now: float) -> None:
    """As in every Svix library, since their clocks have fractions of a second."""
    with pytest.raises(BadSignature, match="stale"):
        SignatureVerifier([SECRET]).verify(headers(), BODY, now)


@pytest.mark.parametrize("off", [-301, -300, 301, -(10**6)])
def test_a_timestamp_further_off_is_stale(off: int) -> None:
    """It has a reason of its own, since our own clock may be wrong."""
    with pytest.raises(BadSignature, match="stale"):
        verify(signed_as(str(NOW + off)))


COPY = (b"svix-id", b"msg_1")
HEADER_CASES = {
    "no id": headers(id=None),
    "no timestamp": headers(timestamp=None),
    "no signature": headers(signature=None),
    "none": [],
    "empty id": headers(id="", signature=mac(svix_id="")),
    "empty timestamp": headers(timestamp=""),
    "empty signature": headers(signature=""),
    "id twice": headers(more=[COPY]),
    "timestamp twice": headers(more=[(b"svix-timestamp", str(NOW).encode())]),
    "signature twice": headers(more=[(b"svix-signature", RIGHT.encode())]),
    "mixed families": [*headers("webhook", id=None), COPY],
    "svix wrong, webhook right": headers(signature=WRONG) + headers("webhook"),
    "id of another shape": headers(id="msg 1", signature=mac(svix_id="msg 1")),
    "id with a dot": headers(id="msg.1", signature=mac(svix_id="msg.1")),
    "long id": headers(id="m" * 129, signature=mac(svix_id="m" * 129)),
    "another id": headers(id="msg_2"),
    "moved by a second": headers(timestamp=str(NOW + 1)),
    "another secret": headers(signature=mac(secret=OTHER_SECRET)),
    "another body": headers(signature=mac(b'{"test":  1}')),
}


@pytest.mark.parametrize("given_headers", HEADER_CASES.values(), ids=HEADER_CASES.keys())
def test_malformed_headers_and_signatures_of_other_messages_are_refused(given_headers: Headers) -> None:
    """One header of each kind and one family, in its grammar, over this very message."""
    with pytest.raises(BadSignature):
        verify(given_headers)


@pytest.mark.parametrize(("secret", "index"), [(SECRET, 0), (OTHER_SECRET, 1)])
def test_during_a_rotation_both_secrets_are_accepted(secret: bytes, index: int) -> None:
    """The delivery has the index of the one that matched."""
    given_headers = headers(signature=mac(secret=secret))

    assert verify(given_headers, secrets=(SECRET, OTHER_SECRET)).secret == index


def test_a_body_that_is_not_text_can_have_a_valid_signature() -> None:
    """It is Clerk's, and is refused later because it is not JSON."""
    body = b"\xff\xfe{}"

    assert verify(headers(signature=mac(body)), body)


header_text = st.one_of(
    st.text(alphabet=st.characters(max_codepoint=255), max_size=40),
    st.sampled_from([RIGHT, WRONG, str(NOW), "msg_1", "v1,", ","]),
).map(lambda text: text.encode("latin-1"))
header_names = st.sampled_from(
    [f"{family}-{name}".encode() for family in ("svix", "webhook") for name in ("id", "timestamp", "signature")]
)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(header_names, header_text), max_size=8), st.binary(max_size=60))
def test_random_headers_raise_nothing_but_bad_signature(given_headers: Headers, body: bytes) -> None:
    try:
        delivery = verify(given_headers, body)
    except BadSignature:
        return
    assert body == BODY
    assert delivery.svix_id == "msg_1"


# Not a blank: it would split the entry, and malformed entries are skipped here on purpose.
mutations = st.sampled_from(["", "x", ",", "=", "v1,", "\t", "A"])


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.text(max_size=30), st.integers(0, 50), mutations, st.sampled_from([0, -301, 299]))
def test_what_we_accept_the_library_accepts(body: str, place: int, mutation: str, off: int) -> None:
    """A valid signature with something inserted, of any age: we are never more lenient than Svix's own verify."""
    now = int(datetime.now(UTC).timestamp()) + off
    three = sign(SECRET, "msg_1", now, body.encode())
    three["svix-signature"] = three["svix-signature"][:place] + mutation + three["svix-signature"][place:]
    raw = [(name.encode(), value.encode()) for name, value in three.items()]
    try:
        SignatureVerifier([SECRET]).verify(raw, body.encode(), datetime.now(UTC).timestamp())
    except BadSignature:
        return
    try:
        Webhook(SECRET).verify(body, three)
    except (WebhookVerificationError, ValueError):
        pytest.fail("accepted what the library refuses")


UNREADABLE = {
    "empty": b"",
    "null": b"null",
    "array": b"[]",
    "string": b'"x"',
    "number": b"1",
    "not json": b"{",
    "text behind": b'{"type": "x"} x',
    "UTF-16": '{"type": "x"}'.encode("utf-16"),
    "UTF-32": '{"type": "x"}'.encode("utf-32"),
    "BOM": b'\xef\xbb\xbf{"type": "x"}',
    "not UTF-8": b'{"type": "\xff"}',
    "deep": b'{"type": "x", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NaN": b'{"type": "x", "data": NaN}',
    "Infinity": b'{"type": "x", "data": -Infinity}',
    "a key twice": b'{"type": "x", "type": "y"}',
    "deep, with a type": b'{"type": "user.created", "data": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
    "brackets that do not match": b'{"type": "x", "data": ' + b"[" * 2000 + b"]" * 1999 + b"}}",
    "data twice": b'{"type": "user.deleted", "data": {"id": "user_a"}, "data": {"id": "user_b"}}',
    "an id twice": b'{"type": "user.deleted", "data": {"id": "user_a", "id": "user_b"}}',
    "a user twice": b'{"type": "session.created", "data": {"user": {"id": "user_a"}, "user": 7}, "data": 8}',
    "no type": b"{}",
    "empty type": b'{"type": ""}',
    "type of a number": b'{"type": 1}',
    "type null": b'{"type": null}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_body_that_parsers_could_read_differently_is_invalid(body: bytes) -> None:
    """Valid is an object in UTF-8, in which whatever identifies the user stands once."""
    with pytest.raises(InvalidRequest):
        parse(body, MOMENT)


DECORATIONS = {
    "a number beyond floats": b'{"x": 1e400}',
    "a number below floats": b"[-1e400, 1e-400]",
    "a number of 5,000 digits": b"9" * 5000,
    "a negative one": b"-" + b"9" * 5000,
    "1,000 objects in each other": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "4,000 arrays in each other": b"[" * 4000 + b"]" * 4000,
    "brackets in texts in depths": b"[" * 1500 + rb'"]]}\\\"]"' + b"]" * 1500,
    "a key twice": b'{"x": 1, "x": 2}',
    "an id twice": b'{"id": "user_a", "id": "user_b", "type": 1, "type": 2}',
    "half a surrogate pair": rb'{"\ud800": "\udfff"}',
    "NUL": rb'"\u0000"',
    "20,000 keys": b"{" + b",".join(b'"%d": 0' % number for number in range(20_000)) + b"}",
}


@pytest.mark.parametrize("member", ["unsafe_metadata", "public_metadata", "a_member_of_tomorrow", "phone_numbers"])
@pytest.mark.parametrize("decoration", DECORATIONS.values(), ids=DECORATIONS.keys())
def test_what_is_not_read_never_costs_the_user_the_row(decoration: bytes, member: str) -> None:
    """A user's own browser writes unsafe_metadata. Before and behind it, all that is read is read."""
    body = user_created(Person(7), **{member: "HERE"}).replace(b'"HERE"', decoration)
    plain = parse(user_created(Person(7)), MOMENT)

    decorated = parse(body, MOMENT)

    assert isinstance(plain, UserUpsertedEvent)
    assert isinstance(decorated, UserUpsertedEvent)
    assert decorated.profile._replace(event_at=None) == plain.profile._replace(event_at=None)


@pytest.mark.parametrize(
    "changed",
    [b'"first_name": 1e400', b'"first_name": ' + b"[" * 2000 + b"]" * 2000, b'"username": ' + b"1" * 5000],
    ids=["a huge number", "an abyss", "too many digits"],
)
def test_an_unusable_name_costs_the_name_alone(changed: bytes) -> None:
    name = changed.partition(b":")[0].strip(b'" ').decode()
    body = user_created(Person(7), **{name: "HERE"}).replace(b'"%s": "HERE"' % name.encode(), changed)

    parsed = parse(body, MOMENT)

    assert isinstance(parsed, UserUpsertedEvent)
    assert parsed.profile.email == Person(7).email


@pytest.mark.parametrize(
    ("timestamp", "event_at"),
    [
        (1_700_000_000_123, datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (9_999_999_999_999, None),
        (-1, None),
        ("1700000000123", None),
        (1.5, None),
        (True, None),
        (None, None),
        ([], None),
    ],
    ids=str,
)
def test_an_event_has_clerks_own_time(timestamp: Any, event_at: datetime | None) -> None:
    """Clerk's documents show milliseconds and seconds; one of tomorrow or of another type counts as absent."""
    parsed = parse(event("user.created", user_data(Person(7)), timestamp=timestamp), MOMENT)

    assert isinstance(parsed, UserUpsertedEvent)
    assert parsed.profile.event_at == event_at


BAD_IDS: list[Any] = [
    None, "", 1, True, [], {}, "org_1", "user_", "user_a b", "user_<b>", "user_../../x", "user_" + "x" * 65,
    "user_a\n", "user_é", "user_\ud800", "user_\0", "USER_a", " user_a", "user_１",
]  # fmt: skip


@pytest.mark.parametrize("event_type", ["user.created", "user.updated", "user.deleted"])
@pytest.mark.parametrize("clerk_id", BAD_IDS, ids=ascii)
def test_an_id_that_is_not_exactly_a_clerk_id_is_invalid(event_type: str, clerk_id: Any) -> None:
    """The id becomes a query, an assistant's name and a lock key."""
    with pytest.raises(InvalidRequest):
        parse(event(event_type, user_data(Person()) | {"id": clerk_id}), MOMENT)


@pytest.mark.parametrize(
    "event_type", ["organization.created", "user.invented", "email.created", "session.ended", "x" * 999]
)
@pytest.mark.parametrize("data", [None, [], 7, {"id": 7}], ids=str)
def test_an_event_of_another_type_is_ignored_whatever_its_data(event_type: str, data: Any) -> None:
    """Clerk adds types, and an endpoint may subscribe to all of them."""
    assert isinstance(parse(event(event_type, data), MOMENT), IgnoredEvent)


def read_profile(body: bytes) -> Profile:
    upserted = parse(body, MOMENT)
    assert isinstance(upserted, UserUpsertedEvent)
    return upserted.profile


def profile_with(**changed: Any) -> Profile:
    return read_profile(event("user.created", user_data(Person(), **changed)))


def test_a_deletion_carries_the_clerk_id() -> None:
    person = Person()

    deleted = parse(event("user.deleted", {"id": person.clerk_id, "deleted": True}), MOMENT)

    assert isinstance(deleted, UserDeletedEvent)
    assert (deleted.type, deleted.clerk_id) == ("user.deleted", person.clerk_id)


def test_a_session_event_carries_its_user() -> None:
    """`data.id` is the session's own id."""
    person = Person()

    assert read_profile(event("session.created", {"id": "sess_1", "user": user_data(person)})).clerk_id == (
        person.clerk_id
    )


@pytest.mark.parametrize("data", [{"id": "sess_1"}, {"id": "sess_1", "user": None}], ids=["absent", "null"])
def test_a_session_event_without_a_user_is_ignored(data: Any) -> None:
    """Older deliveries carry none."""
    assert isinstance(parse(event("session.created", data), MOMENT), IgnoredEvent)


ADDRESS = {"id": "idn_primary", "email_address": "canary@example.com"}


@pytest.mark.parametrize(
    ("changed", "email"),
    [
        ({"email_addresses": [ADDRESS]}, "canary@example.com"),
        ({"email_addresses": None}, None),
        ({"email_addresses": []}, None),
        ({"email_addresses": {}}, None),
        ({"email_addresses": [None, 7, "x", ADDRESS]}, "canary@example.com"),
        ({"primary_email_address_id": None}, None),
        ({"primary_email_address_id": "idn_nobody"}, None),
        ({"primary_email_address_id": 7}, None),
        ({"email_addresses": [ADDRESS, ADDRESS | {"email_address": "second@example.com"}]}, "canary@example.com"),
        ({"email_addresses": [ADDRESS | {"email_address": 7}]}, None),
        ({"email_addresses": [ADDRESS | {"email_address": "a\0b@example.com"}]}, "ab@example.com"),
        ({"email_addresses": [ADDRESS | {"email_address": "x" * 321}]}, None),
    ],
    ids=str,
)
def test_the_email_is_the_primary_one_or_none(changed: dict[str, Any], email: str | None) -> None:
    """Never the first of the list instead; an unusable one counts as absent."""
    assert profile_with(**changed).email == email


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"first_name": "A", "last_name": "B"}, "A B"),
        ({"first_name": " A ", "last_name": None}, "A"),
        ({"first_name": None, "last_name": "B"}, "B"),
        ({"first_name": None, "last_name": None, "username": "nick"}, "nick"),
        ({"first_name": "", "last_name": " ", "username": None}, None),
        ({"first_name": 7, "last_name": [], "username": {}}, None),
        ({"first_name": "a\ud800", "last_name": "\0b"}, "a\ufffd b"),
        ({"first_name": "\ud83d\ude00", "last_name": None}, "\U0001f600"),
        ({"first_name": "'; DROP TABLE users;-- %s {0}", "last_name": None}, "'; DROP TABLE users;-- %s {0}"),
        ({"first_name": "x" * 1001, "last_name": None, "username": "nick"}, "nick"),
    ],
    ids=ascii,
)
def test_the_name_is_first_and_last_name_or_the_username(changed: dict[str, Any], name: str | None) -> None:
    """NUL is removed and half a surrogate pair replaced."""
    assert profile_with(**changed).name == name


HTTPS = "https://img.clerk.com/"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (HTTPS + "eyJ0eXBlIjoiZGVmYXVsdCJ9", True),
        ("https://img.clerk.com", True),
        ("https://img.clerk.com:8443/a%20b?width=64&x=(1)#top", True),
        ("HTTPS://IMG.CLERK.COM/A", True),
        ("https://img.clerk.com?x=1", True),
        (HTTPS + "x" * (2048 - len(HTTPS)), True),
        (HTTPS + "x" * (2049 - len(HTTPS)), False),
        ("http://img.clerk.com/a", False),
        ("//img.clerk.com/a", False),
        ("javascript:alert(1)", False),
        ("data:image/svg+xml,<svg onload=alert(1)>", False),
        ("https:///a", False),
        ("https://someone:secret@img.clerk.com/a", False),
        ("https://img.clerk.com\\@example.com/a", False),
        (HTTPS + 'a" onerror="alert(1)', False),
        (HTTPS + "<b>", False),
        (HTTPS + "a b", False),
        (HTTPS + "a\nb", False),
        (HTTPS + "a\u202eb", False),
        (HTTPS + "\ud800", False),
        ("", False),
        (None, False),
        (7, False),
        ({"url": HTTPS}, False),
        ([HTTPS], False),
    ],
    ids=ascii,
)
def test_the_picture_is_an_address_of_https_or_none(url: Any, kept: bool) -> None:  # noqa: FBT001  # A column of the table.
    """A page hands it to the browser; an unusable one counts as absent, and costs nothing else of the profile."""
    profile = profile_with(image_url=url, profile_image_url=HTTPS + "before")

    assert (profile.image_url, profile.email is None) == (url if kept else None, False)


@pytest.mark.parametrize("updated_at", [None, "1700000000000", -1, True, 1.5, 2**80, 9_999_999_999_999, []], ids=str)
def test_an_unusable_updated_at_is_the_oldest_version(updated_at: Any) -> None:
    """One from the far future would make every later event look old."""
    assert profile_with(updated_at=updated_at).updated_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_updated_at_is_exact_to_the_millisecond() -> None:
    """Two changes in one second have different versions."""
    assert profile_with(updated_at=1_700_000_000_001).updated_at == datetime(2023, 11, 14, 22, 13, 20, 1000, tzinfo=UTC)


def test_an_event_with_thousands_of_addresses_and_keys_is_read() -> None:
    addresses = [{"id": f"idn_{number}", "email_address": f"{number}@example.com"} for number in range(2000)]
    data = user_data(Person(), email_addresses=[*addresses, ADDRESS]) | {f"k{number}": 1 for number in range(2000)}

    assert read_profile(json.dumps({"type": "user.created", "data": data}).encode()).email == "canary@example.com"
