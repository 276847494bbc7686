"""Why a request is refused, or cannot be read: what its caller can change, or has to wait for."""

from collections.abc import Mapping

from app.reasons.reason import Reason

_KEYS = "If it lasts, compare CLERK_ISSUER with Clerk's dashboard; tokens signed by a known key are still accepted."
_SCANNER = "Nothing; many of them are a scanner or a client with a bug."
_SLOW = "Nothing; many of them are slow clients, or an attack."
_CALLER = "Correct the caller; /openapi.json describes what the route takes."
_EVENT = "For a webhook, look at the event in Clerk's dashboard; else correct the caller."

REFUSALS: Mapping[str, Reason] = {
    # Signatures.
    "headers": Reason("400", "The signature headers are missing, doubled or malformed.", _SCANNER),
    "signature": Reason(
        "400",
        "No signature matches a signing secret.",
        "If Clerk sent it, compare CLERK_WEBHOOK_SIGNING_SECRET with the endpoint in Clerk's dashboard.",
    ),
    "stale": Reason(
        "400",
        "The signature is five minutes old or older, or more than that ahead.",
        "If Clerk sent it, set this machine's clock right.",
    ),
    # HTTP.
    "http": Reason("400", "The bytes are not HTTP/1.1.", _SCANNER),
    "host": Reason("400", "The Host header is missing or doubled.", _SCANNER),
    "path": Reason("404", "There is no such path.", _SCANNER),
    "method": Reason("405", "The path takes another method.", _CALLER),
    "head_timeout": Reason("408", "The head of the request was not complete after 10 s.", _SLOW),
    "body_timeout": Reason("408", "The body of the request was not complete 5 s after its head.", _SLOW),
    "too_large": Reason("413", "The body is too large.", "Send less at a time, for instance several batches."),
    "document_too_large": Reason(
        "422",
        "The metadata or preferences in the body are over 16 KiB, as Postgres writes them.",
        _CALLER,
        "Keep less in it; several smaller requests do not help.",
    ),
    "document_full": Reason(
        "422",
        "The metadata or preferences would be over 16 KiB with the members in the body; nothing was changed.",
        _CALLER,
        "Take members out first: of metadata with null, of preferences by a PUT of fewer.",
    ),
    "too_many_values": Reason(
        "422",
        "The body has more than 50,000 values; an object or a list counts twice.",
        "Send less at a time, for instance several batches.",
        "Send less at a time, for instance several batches.",
    ),
    "too_deep": Reason("422", "The metadata or preferences in the body are nested more than 100 deep.", _CALLER),
    "too_many_digits": Reason("422", "In metadata and preferences an integer may have at most 309 digits.", _CALLER),
    "large_bodies": Reason(
        "503",
        "Too many large bodies are under way at the same time.",
        "Nothing, if it passes; many of them are slow clients, or an attack.",
    ),
    "large_answers": Reason(
        "503",
        "Too many large answers wait for their clients to read them.",
        "Nothing, if it passes; many of them are slow clients, or an attack.",
    ),
    "content_type": Reason("415", "The body is not application/json, or it has a content encoding.", _CALLER),
    "head_too_large": Reason(
        "431", "The head of the request is over 32 KB or has over 100 headers.", "Look for cookies that grow."
    ),
    "client_disconnect": Reason(
        "499",
        "The client disconnected before its answer; a search or a count ends, and other work goes on.",
        "Nothing; if there are many, give the client a timeout of 15 s or more.",
    ),
    # Callers.
    "token": Reason(
        "401",
        "There is no bearer token that is accepted here.",
        "Compare SERVICE_TOKENS with the caller's; of a session token, `fault` says what is wrong.",
    ),
    "rate_limited": Reason(
        "429",
        "This signed-in user has asked too often for now.",
        "Nothing, if it passes; the settings that begin with USER_ are the limits.",
    ),
    "other_user": Reason("403, 404", "A session token asked for another user.", caller="Ask for the token's own user."),
    "service_token": Reason(
        "403",
        "A session token asked for what takes a service token.",
        _CALLER,
        "Let the chat backend do it.",
    ),
    "clerk_keys_unreachable": Reason("503", "Clerk's keys for session tokens could not be fetched.", _KEYS),
    "clerk_keys_unreadable": Reason("503", "The answer at CLERK_ISSUER is not a set of keys.", _KEYS),
    # Requests and events.
    "json": Reason("422", "The body is not one JSON object in UTF-8 with unique keys and finite numbers.", _EVENT),
    "type": Reason("422", "The event has no type.", _EVENT),
    "data": Reason("422", "The event's data, or the user in it, is not an object.", _EVENT),
    "clerk_id": Reason("422", "The Clerk id is not user_ and 1 to 64 letters and digits.", _EVENT),
    "shape": Reason("422", "The body is not what this path takes.", _CALLER),
    "unstorable_text": Reason("422", "A text holds what Postgres cannot store, such as NUL.", _EVENT),
    "query": Reason("422", "The query string is not percent-encoded UTF-8, or has more than 20 parameters.", _CALLER),
    "limit": Reason("422", "`limit` is not a number in its range.", _CALLER),
    "q": Reason("422", "`q` is longer than 200 characters or stands more than once.", _CALLER),
    "cursor": Reason("422", "The cursor is malformed.", "Hand a cursor back as it came.", "Begin again without one."),
    "status": Reason("422", "`status` names what is no status of a session, or stands more than once.", _CALLER),
    "include_inactive": Reason("422", "`include_inactive` is neither true nor false.", _CALLER),
    "slug": Reason("422", "The slug is not made of lower-case letters, digits and single hyphens.", _CALLER),
    "scenario": Reason(
        "422",
        "There is no active scenario of this slug.",
        "GET /scenarios lists them; PUT /scenarios/{slug} makes one, or one active again.",
        "Choose one of GET /scenarios, or none.",
    ),
    "scenario_missing": Reason(
        "404", "There is no scenario of this slug.", caller="Choose one of GET /scenarios; after a DELETE, done."
    ),
    "scenario_in_use": Reason(
        "409", "Sessions name this scenario; a PUT with `is_active` false retires it.", caller="Retire it by a PUT."
    ),
    "before": Reason("422", "`before` stands more than once.", _CALLER),
    "idempotency_key": Reason(
        "422",
        "The Idempotency-Key is not 1 to 255 printable ASCII characters, or stands more than once.",
        _CALLER,
    ),
    "idempotency_key_reused": Reason(
        "422",
        "The Idempotency-Key was used for another request before.",
        "Use a new key for each session.",
        "Use a new key for each session; the session of this one stands.",
    ),
    "missing": Reason(
        "404", "There is no such session, or it is another user's.", caller="Open a new session; after a DELETE, done."
    ),
    "message_missing": Reason(
        "404", "The session has no such message.", caller="Read the history again; after a DELETE, done."
    ),
    "message_id_conflict": Reason(
        "409",
        "The id of a message belongs to a message with another session, role, content or metadata; nothing was stored.",
        "Correct the caller: a new message gets a new id, and a repetition is sent as the first time.",
        "Give a new message a new id; send a repetition as the first time.",
    ),
    "unknown_user": Reason(
        "404",
        "There is no such user, and nothing was made.",
        "For a user who exists at Clerk, call /ensure-user first.",
        "Call /ensure-user first.",
    ),
    "unknown_at_clerk": Reason(
        "404",
        "Clerk knows no such user, and nothing was made.",
        "Nothing; many of them are a caller with ids of another Clerk instance: compare CLERK_SECRET_KEY.",
        "Compare the id with Clerk's dashboard; asking again does not help.",
    ),
    "deleted": Reason("410", "The user was deleted."),
    # The operations page.
    "ops_plain_http": Reason(
        "403",
        "The operations page is open over https only, or on this machine itself.",
        "Use the https address; a proxy in front has to set X-Forwarded-Proto.",
    ),
    "ops_password": Reason(
        "401",
        "The password is none of the operations page's.",
        "Any user name, and one of OPS_TOKENS or OPS_VIEW_TOKENS as the password.",
    ),
    "ops_viewer": Reason("403", "This password may look and not act.", "Sign in with one of OPS_TOKENS."),
    "ops_origin": Reason(
        "403",
        "The button was not pressed on the operations page itself.",
        "Press it there; a program sends Sec-Fetch-Site: same-origin.",
    ),
    "ops_form": Reason("415", "The body is not a form.", "Send application/x-www-form-urlencoded."),
    "ops_filter": Reason("422", "A filter in the address means nothing.", "Choose one on the page of deliveries."),
    "ops_confirm": Reason("422", "The id that was typed is not the user's.", "Type it as it stands above the field."),
}
