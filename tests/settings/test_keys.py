"""The keys that Clerk's dashboard shows: which texts are taken, and what is said about the others."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from svix.webhooks import Webhook

from app.clerk.signatures import sign
from app.settings.keys import read_public_key, read_signing_key
from tools.sandbox.clerk.frontend_api import new_key, pem_of

KEY = new_key()


def whsec(length: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * length).decode()


GOOD_SECRETS = {
    "24 bytes": whsec(24),
    "64 bytes": whsec(64),
    "Svix's documentation, 18 bytes": "whsec_plJ3nmyCDGBKInavdOK15jsl",
    "16 bytes": whsec(16),
    "65 bytes": whsec(65),
    "200 bytes": whsec(200),
    "no prefix": whsec(32).removeprefix("whsec_"),
    "with + and /": "whsec_" + base64.b64encode(b"\xfb\xef\xff" * 8).decode(),
}


@pytest.mark.parametrize("secret", GOOD_SECRETS.values(), ids=GOOD_SECRETS)
def test_a_secret_that_every_library_takes_is_the_same_key_here(secret: str) -> None:
    now = datetime.now(UTC)
    key = read_signing_key(secret).get_secret_value()

    signed = sign(key, "msg_1", int(now.timestamp()), b"{}")
    assert signed["svix-signature"] == Webhook(secret).sign("msg_1", now, "{}")


BAD_SECRETS = {
    "a version before it": ("v1", "v1"),
    "a secret key of Clerk's": ("sk_test_canarycanarycanarycanarycanarycanary", "API key"),
    "a public key of Clerk's": ("pk_test_canarycanarycanarycanarycanarycanary", "API key"),
    "not base64": ("whsec_not base64 at all, not at all!", "no base64 has"),
    "a stray character": (whsec(32).replace("a", "!a", 1), "no base64 has"),
    "URL-safe base64": ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "no base64 has"),
    "not ASCII": (whsec(24) + "\u00e4", "no base64 has"),
    "the prefix in capitals": ("WHSEC_" + base64.b64encode(b"k" * 24).decode(), "no base64 has"),
    "no padding": (whsec(26).rstrip("="), "the = at its end"),
    "half a secret": (whsec(32)[:-10], "cut off"),
    "more padding": (whsec(24) + "=", "cut off"),
    "nothing": ("whsec_", "0 bytes"),
    "15 bytes": (whsec(15), "15 bytes"),
    "a word": ("canary00", "6 bytes"),
}


@pytest.mark.parametrize(("secret", "words"), BAD_SECRETS.values(), ids=BAD_SECRETS)
def test_the_fault_of_another_secret_is_named(secret: str, words: str) -> None:
    """Svix's library for Python would accept most of them, and every genuine event would then be refused."""
    with pytest.raises(ValueError, match=words) as caught:
        read_signing_key(secret)

    assert len(secret) < 4 or secret not in str(caught.value)


PEM = pem_of(KEY)
WRITTEN = {
    "as it is": PEM,
    "Windows' line ends": PEM.replace("\n", "\r\n"),
    r"\n": PEM.replace("\n", r"\n"),
    r"\r\n": PEM.replace("\n", r"\r\n"),
    r"\\n": PEM.replace("\n", r"\\n"),
    "blanks": PEM.replace("\n", " "),
    "one line": PEM.replace("\n", ""),
    r"\n and line ends": PEM.replace("\n", "\\n\n"),
    "indented": PEM.replace("\n", "\n    "),
    "a line before": f"canary: {PEM}",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_public_key_is_the_same_however_its_line_ends_are_written(text: str) -> None:
    """Some hosts allow only one line in a variable, and tools write the ends of lines in their own ways."""
    assert read_public_key(text) == PEM.strip()


@pytest.mark.parametrize(
    "key",
    [
        pem_of(new_key(1024)),
        generate_curve_key(SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "sk_test_canary",
        PEM.replace("A", "", 1),
        PEM.partition("-----END")[0],
    ],
    ids=["short", "of another kind", "private", "none at all", "damaged", "cut off"],
)
def test_any_other_key_is_refused(key: str) -> None:
    """It has to be RSA of 2048 bits or more; a private key would be a secret in the wrong place."""
    with pytest.raises(ValueError, match="must be") as caught:
        read_public_key(key)

    assert "canary" not in str(caught.value)
