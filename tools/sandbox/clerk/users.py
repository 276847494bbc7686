"""Clerk's User object: a new one, what a create or an update makes of it, and which filters of a listing it passes.

Every field that the OpenAPI file bapi/2026-05-12.yml requires is there: Clerk's Python client refuses a page with one
missing.
"""

from itertools import product
from typing import Any

from tools.sandbox.clerk.errors import HttpError

User = dict[str, Any]

# What a create and an update may set directly.
FIELDS = (
    *("external_id", "first_name", "last_name", "username", "locale", "public_metadata", "private_metadata"),
    *("unsafe_metadata", "delete_self_enabled", "create_organization_enabled", "create_organizations_limit"),
)
METADATA = ("public_metadata", "private_metadata", "unsafe_metadata")
# The parameter of a listing, with the list in a User and the member of its items that it compares.
IDENTIFIERS = {
    "email_address": ("email_addresses", "email_address"),
    "phone_number": ("phone_numbers", "phone_number"),
    "web3_wallet": ("web3_wallets", "web3_wallet"),
}
PLAIN = {"user_id": "id", "external_id": "external_id", "username": "username"}
MOST_VALUES = 100
MOMENTS = ("created_at", "last_active_at", "last_sign_in_at")


def new_user(clerk_id: str, moment: int) -> User:
    """A User with an e-mail address and a name; `moment` in milliseconds."""
    image = f"https://img.example.com/{clerk_id}"
    return {
        "object": "user",
        "id": clerk_id,
        "external_id": None,
        "primary_email_address_id": "idn_primary",
        "primary_phone_number_id": None,
        "primary_web3_wallet_id": None,
        "username": None,
        "first_name": "Example",
        "last_name": "User",
        "profile_image_url": image,
        "image_url": image,
        "has_image": False,
        "email_addresses": [_address("idn_primary", f"{clerk_id}@example.com", moment)],
        "phone_numbers": [],
        "web3_wallets": [],
        "passkeys": [],
        "external_accounts": [],
        "saml_accounts": [],
        "enterprise_accounts": [],
        "public_metadata": {},
        "private_metadata": None,
        "unsafe_metadata": {},
        "password_enabled": False,
        "two_factor_enabled": False,
        "totp_enabled": False,
        "backup_code_enabled": False,
        "mfa_enabled_at": None,
        "mfa_disabled_at": None,
        "banned": False,
        "locked": False,
        "lockout_expires_in_seconds": None,
        "verification_attempts_remaining": 100,
        "delete_self_enabled": True,
        "create_organization_enabled": True,
        "create_organizations_limit": None,
        "legal_accepted_at": None,
        "locale": None,
        "timezone": None,
        "created_at": moment,
        "updated_at": moment,
        "last_sign_in_at": None,
        "last_active_at": None,
    }


def created_user(clerk_id: str, moment: int, sent: dict[str, Any]) -> User:
    """The User that POST /v1/users makes: only what was sent, the first address being the primary one."""
    user = new_user(clerk_id, moment) | {"first_name": None, "last_name": None}
    emails = [_address(f"idn_{clerk_id}_{n}", text, moment) for n, text in enumerate(_texts(sent, "email_address"))]
    numbers = [
        {"object": "phone_number", "id": f"idn_phone_{clerk_id}_{n}", "phone_number": text} | _identification(moment)
        for n, text in enumerate(_texts(sent, "phone_number"))
    ]
    if not emails and not numbers and not sent.get("username"):
        raise HttpError(422, "form_data_missing")
    user |= {"email_addresses": emails, "primary_email_address_id": emails[0]["id"] if emails else None}
    user |= {"phone_numbers": numbers, "primary_phone_number_id": numbers[0]["id"] if numbers else None}
    return changed_user(user, moment, sent) | {"password_enabled": "password" in sent}


def changed_user(user: User, moment: int, sent: dict[str, Any]) -> User:
    """The User that PATCH /v1/users/{id} leaves: fields that were not sent stay."""
    return user | {name: sent[name] for name in FIELDS if name in sent} | {"updated_at": moment}


def with_metadata(user: User, moment: int, sent: dict[str, Any]) -> User:
    """The User after PATCH /v1/users/{id}/metadata, which merges; a null takes a key out."""
    merged = {name: _merged(user[name] or {}, sent[name]) for name in METADATA if sent.get(name) is not None}
    return user | merged | {"updated_at": moment}


def check_filters(query: dict[str, list[str]]) -> None:
    """HttpError (422) for a filter that Clerk refuses; one that it does not know is ignored."""
    if any(len(query.get(parameter, [])) > MOST_VALUES for parameter in (*PLAIN, *IDENTIFIERS)):
        raise HttpError(422, "form_param_exceeds_allowed_size")
    moments = [query.get(f"{member}_{side}", ["0"])[0] for member, side in product(MOMENTS, ("after", "before"))]
    if not all(moment.isdigit() for moment in moments):
        raise HttpError(422, "form_param_format_invalid")


def matches(user: User, query: dict[str, list[str]]) -> bool:
    """Whether a listing with these parameters holds the user; values of one parameter are alternatives."""
    for parameter, member in PLAIN.items():
        if parameter in query and user.get(member) not in query[parameter]:
            return False
    for parameter, (member, key) in IDENTIFIERS.items():
        wanted = {value.lower() for value in query.get(parameter, [])}
        if parameter in query and wanted.isdisjoint(_values(user, member, key)):
            return False
    return _fits_text(user, query) and _fits_moments(user, query)


def _values(user: User, member: str, key: str) -> list[str]:
    return [str(item.get(key, "")).lower() for item in user.get(member) or []]


def _fits_text(user: User, query: dict[str, list[str]]) -> bool:
    """`query` looks for a part of an id, an identifier or a name."""
    if "query" not in query:
        return True
    texts = [str(user.get(member) or "") for member in ("id", "external_id", "username", "first_name", "last_name")]
    texts += [value for member, key in IDENTIFIERS.values() for value in _values(user, member, key)]
    return any(query["query"][0].lower() in text.lower() for text in texts)


def _fits_moments(user: User, query: dict[str, list[str]]) -> bool:
    for member in MOMENTS:
        moment = user.get(member) or 0
        if f"{member}_after" in query and moment <= int(query[f"{member}_after"][0]):
            return False
        if f"{member}_before" in query and moment >= int(query[f"{member}_before"][0]):
            return False
    return True


def _texts(sent: dict[str, Any], name: str) -> list[str]:
    texts = sent.get(name) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise HttpError(422, "form_param_format_invalid")
    return texts


def _address(address_id: str, text: str, moment: int) -> dict[str, Any]:
    return {"object": "email_address", "id": address_id, "email_address": text} | _identification(moment)


def _identification(moment: int) -> dict[str, Any]:
    return {"reserved": False, "verification": None, "linked_to": [], "created_at": moment, "updated_at": moment}


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (old | new).items() if value is not None}
