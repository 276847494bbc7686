"""The keys that Clerk's dashboard shows, as text in a variable: the signing secret and the public key. No I/O."""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretBytes

PREFIX = "whsec_"
# Standard Webhooks 1.0.0 asks for 24 to 64 bytes, and no library for Svix's signatures checks it. Svix's documentation
# shows a secret of 18 bytes. What can be guessed is refused: 128 bits are the least that is recommended for HMAC.
SHORTEST_KEY_BYTES = 24
REFUSED_KEY_BYTES = 16
# RFC 7518, section 3.3.
SHORTEST_KEY_BITS = 2048

_PEM = re.compile(r"(-----BEGIN [A-Z ]+-----)(.*)(-----END [A-Z ]+-----)", re.DOTALL)
# A line end, written out by a shell or by JSON, perhaps by both.
_LINE_END = re.compile(r"\\+[nr]|\s")


def read_signing_key(secret: str) -> SecretBytes:
    """The key of a secret, with `whsec_` or without, as every library for Svix's signatures takes it.

    Raises ValueError with a sentence that goes on from the variable's name. Svix's Python library would take almost
    any text, and every genuine event would then be refused.
    """
    if secret.startswith(("sk_", "pk_")):
        raise ValueError(
            "is an API key of Clerk's: the signing secret (whsec_...) stands under Webhooks, at its endpoint"
        )
    if secret == "v1":  # noqa: S105  # The name of a version.
        raise ValueError("has v1, in front: take it out, so that it begins with whsec_")
    text = secret.removeprefix(PREFIX)
    if re.search(r"[^A-Za-z0-9+/=]", text):
        raise ValueError("has a character that no base64 has: copy the secret from Clerk's dashboard once more")
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(
            "is cut off, or lacks the = at its end (whsec_ and base64): copy the whole secret from Clerk's dashboard"
        ) from None
    if len(key) < REFUSED_KEY_BYTES:
        raise ValueError(f"holds {len(key)} bytes, which can be guessed: copy the whole secret from Clerk's dashboard")
    return SecretBytes(key)


def read_public_key(text: str) -> str:
    r"""A PEM public key, on several lines or on one, with \n, \r\n, a blank or nothing for each line end.

    Raises ValueError with a sentence that goes on from the variable's name.
    """
    found = _PEM.search(text)
    pem = "\n".join([found[1], *re.findall(".{1,64}", _LINE_END.sub("", found[2])), found[3]]) if found else ""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be the PEM public key that Clerk's dashboard shows under API keys") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY_BITS:
        raise ValueError(f"must be an RSA key of {SHORTEST_KEY_BITS} bits or more")
    return pem
