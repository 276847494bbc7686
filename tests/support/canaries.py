"""What may stand in no line of the log, in no answer and in no exception: every secret, and whatever is personal.

All of it holds the word "canary", or is one of the numbers here, which cannot. The conftest looks through everything
that the suite logs; whoever gets an answer for a test looks at the answer.
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

# Reserved for documentation (RFC 5737) and for fiction, so neither can be there by chance.
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
    """The lines that hold what they must not."""
    return [line for line in text.splitlines() if FORBIDDEN.search(line)]


def assert_discreet(status: int, headers: object, body: bytes) -> None:
    """An answer names nothing of this, but for the e-mail and the name in the row that was asked for."""
    if status in {200, 201} and body.startswith(b'{"id":'):
        row = json.loads(body)
        body = json.dumps(row | {"email": None, "name": None}).encode()
    assert not FORBIDDEN.search(body), body[:300]
    assert not FORBIDDEN.search(str(headers).encode()), headers
