"""What may appear in no log line, no response and no exception: every secret, and all personal data.

All of it holds the word "canary", or is one of the numbers here, which cannot. The conftest searches everything that
the suite logs; the clients of the tests search every response.
"""

import base64
import json
import re

SECRET = b"canary-signing-secret-0001"
OTHER_SECRET = b"canary-signing-secret-0002"
TOKEN = "canary-service-token-0001"
OTHER_TOKEN = "canary-service-token-0002"
API_KEY = "espr_canary"
DATABASE_PASSWORD = "canary-database-password"

# Reserved for documentation (RFC 5737) and for fiction, so neither appears by chance.
CLIENT_ADDRESS = "203.0.113.77"
PEER_ADDRESS = "192.0.2.1"
PHONE_NUMBER = "+12025550177"

FORBIDDEN = re.compile(
    b"|".join(
        [
            b"canary",
            *(re.escape(base64.b64encode(secret)[:-2]) for secret in (SECRET, OTHER_SECRET)),
            *(re.escape(number.encode()) for number in (CLIENT_ADDRESS, PEER_ADDRESS, PHONE_NUMBER[1:])),
        ]
    ),
    re.IGNORECASE,
)


def found_in(text: bytes) -> list[bytes]:
    """The lines with a canary in them."""
    return [line for line in text.splitlines() if FORBIDDEN.search(line)]


def assert_discreet(status: int, headers: object, body: bytes) -> None:
    """A response holds no canary, except for what is the user's own in the row that it is about."""
    if status in {200, 201} and body.startswith(b'{"id":'):
        row = json.loads(body)
        body = json.dumps(row | {"email": None, "name": None, "image_url": None}).encode()
    assert not FORBIDDEN.search(body), body[:300]
    assert not FORBIDDEN.search(str(headers).encode()), headers
