"""The environment: which values are accepted, and that no message repeats a value."""

import base64
import re
from pathlib import Path

import pytest

from app.settings import Settings, load
from tests.support.environment import COMPLETE, SECRET, URL, complete_environment, problems


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which .env is read."""
    complete_environment(monkeypatch, tmp_path)
    return tmp_path


def whsec(length: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * length).decode()


def test_three_variables_are_required() -> None:
    """All others have a default."""
    settings = load(Settings)

    assert settings.database_url.get_secret_value() == URL
    assert [secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret] == [
        b"canary-signing-secret-0001"
    ]
    assert (settings.port, settings.backboard_api_url) == (8000, "https://app.backboard.io/api")
    assert (settings.assistant_name_prefix, settings.service_tokens) == ("clerk:", [])
    assert (settings.provisioning_concurrency, settings.web_concurrency) == (5, 1)
    assert (settings.log_level, settings.log_format) == ("info", "logfmt")


@pytest.mark.parametrize("value", [None, "", "   "], ids=["unset", "empty", "blank"])
def test_all_missing_variables_are_named_at_once(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, empty and blank are the same mistake."""
    for name in COMPLETE:
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)

    assert sorted(problem.split()[0] for problem in problems()) == sorted(COMPLETE)


BAD_VALUES = {
    "DATABASE_URL": "mysql://canary:canary@canary.example/canary",
    "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_canary",
    "BACKBOARD_API_KEY": "canary key",
    "BACKBOARD_API_URL": "ftp://canary.example/",
    "SERVICE_TOKENS": "canary",
    "ASSISTANT_NAME_PREFIX": "canary canary",
    "CLERK_INSTANCE_ID": "canary",
    "CLERK_SECRET_KEY": "canary",
    "CLERK_API_URL": "http://canary.example/v1",
    "CLERK_ISSUER": "http://canary.example",
    "CLERK_AUTHORIZED_PARTIES": "https://canary.example/",
    "CLERK_JWT_KEY": "-----BEGIN PUBLIC KEY-----\\ncanary\\n-----END PUBLIC KEY-----",
    "PROVISIONING_CONCURRENCY": "canary",
    "PORT": "canary",
    "WEB_CONCURRENCY": "canary",
    "LOG_LEVEL": "canary",
    "LOG_FORMAT": "canary",
}


def test_all_malformed_variables_are_named_at_once_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values may be secrets, so even harmless ones are left out."""
    for name, value in BAD_VALUES.items():
        monkeypatch.setenv(name, value)

    sentences = problems()

    assert sorted(problem.split()[0] for problem in sentences) == sorted(BAD_VALUES)
    assert "canary" not in "\n".join(sentences).lower()


def test_settings_never_show_a_secret() -> None:
    """In a log line or in a debugger."""
    assert "canary" not in repr(load(Settings)) + str(load(Settings))


AROUND = ["{}\n", " {}", "{}\r\n", "\t{} ", "\ufeff{}", "\u200b{}\u00a0"]


@pytest.mark.parametrize("around", AROUND, ids=ascii)
@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_what_copying_leaves_at_the_ends_of_a_value_is_taken_off(
    name: str, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line end of `cat file`, a blank of a form, what a browser puts round a text."""
    expected = load(Settings)
    monkeypatch.setenv(name, around.format(COMPLETE[name]))

    assert load(Settings) == expected


@pytest.mark.parametrize("quotes", ["'{}'", '"{}"', "`{}`", "\u201c{}\u201d", '"{}', "{}'", ' "{}"\n'], ids=ascii)
@pytest.mark.parametrize("name", [*sorted(COMPLETE), "CLERK_SECRET_KEY", "CLERK_ISSUER", "PORT"])
def test_quotes_round_a_value_are_named(name: str, quotes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell takes them off, the settings page of a host does not; the key would be refused much later."""
    monkeypatch.setenv(name, quotes.format(COMPLETE.get(name, "canary")))

    (problem,) = problems()
    assert problem.startswith(name)
    assert "quote" in problem
    assert "canary" not in problem


@pytest.mark.parametrize(
    "name", ["ASSISTANT_SYSTEM_PROMPT", "ASSISTANT_NAME_PREFIX", "SERVICE_TOKENS", "OPS_TOKENS", "OPS_VIEW_TOKENS"]
)
def test_a_text_of_the_operators_own_keeps_its_quotes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, '"a-text-in-quotes"')

    value = getattr(load(Settings), name.lower())
    assert (value if isinstance(value, str) else value[0].get_secret_value()) == '"a-text-in-quotes"'
    assert len(load(Settings).advice()) == name.endswith("_TOKENS")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.clerk.com", "https://api.clerk.com/v1"),
        ("https://api.clerk.com/", "https://api.clerk.com/v1"),
        ("https://api.clerk.dev", "https://api.clerk.dev/v1"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/v1"),
        ("https://api.clerk.com/v1", "https://api.clerk.com/v1"),
        ("https://api.clerk.com/v1/", "https://api.clerk.com/v1"),
        ("https://proxy.example/clerk/v1", "https://proxy.example/clerk/v1"),
    ],
)
def test_clerks_api_gets_its_version_where_the_address_has_no_path(
    url: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clerk's own SDKs take the variable without it."""
    monkeypatch.setenv("CLERK_API_URL", url)

    assert load(Settings).clerk_api_url == expected


def test_a_short_secret_is_taken_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in Svix's documentation has 18 bytes."""
    assert load(Settings).advice() == []
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", f"{SECRET},{whsec(18)}")

    (advice,) = load(Settings).advice()
    assert advice.startswith("CLERK_WEBHOOK_SIGNING_SECRET holds 18 bytes")


def test_a_parameter_that_was_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine and, where TLS is added, on another."""
    for host in ("localhost", "db.example.com"):
        monkeypatch.setenv("DATABASE_URL", f"postgresql://app@{host}/app?pgbouncer=true&supa=canary")

        assert load(Settings).advice() == [
            "what means nothing here is left out of the database's address: pgbouncer, supa"
        ]


def test_an_environment_variable_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file wins over the default; other variables in it are ignored."""
    (folder / ".env").write_text("PORT=9001\nWEB_CONCURRENCY=3\nUNKNOWN=canary\n")
    monkeypatch.setenv("PORT", "9002")

    settings = load(Settings)

    assert (settings.port, settings.web_concurrency) == (9002, 3)


@pytest.mark.parametrize("name", BAD_VALUES)
def test_the_message_about_a_blank_value_is_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It quotes no pattern and no type of a library."""
    monkeypatch.setenv(name, "   ")

    if name in {"SERVICE_TOKENS", "CLERK_AUTHORIZED_PARTIES"}:
        assert load(Settings).service_tokens == load(Settings).clerk_authorized_parties == []
        return
    (problem,) = problems()
    assert not re.search(r"[\^{}]|pattern|item", problem)


def test_a_prompt_has_at_most_20000_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backboard echoes it in responses that are read up to a limit."""
    monkeypatch.setenv("ASSISTANT_SYSTEM_PROMPT", "a" * 20_000)
    assert load(Settings).assistant_system_prompt == "a" * 20_000
    monkeypatch.setenv("ASSISTANT_SYSTEM_PROMPT", "a" * 20_001)

    assert problems() == ["ASSISTANT_SYSTEM_PROMPT must be text in UTF-8 of no more than 20000 characters"]


@pytest.mark.parametrize("name", ["BACKBOARD_API_URL", "CLERK_API_URL", "CLERK_ISSUER"])
@pytest.mark.parametrize("host", ["[canary]", "[::1]x", "999.1.1.1", "xn--a.example", "xn--.example", "a.example:x"])
def test_a_host_that_the_client_cannot_use_is_a_configuration_error(
    name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused at the start, not by the first request."""
    monkeypatch.setenv(name, f"https://{host}/api")

    (problem,) = problems()
    assert problem.startswith(f"{name} is not an address")
    assert "canary" not in problem


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks around an entry and empty entries are ignored."""
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", f" {whsec(24)} ,{whsec(32)},")
    monkeypatch.setenv("SERVICE_TOKENS", "first-token-of-16, second-token-of-17,")

    settings = load(Settings)

    assert [len(secret.get_secret_value()) for secret in settings.clerk_webhook_signing_secret] == [24, 32]
    assert [token.get_secret_value() for token in settings.service_tokens] == [
        "first-token-of-16",
        "second-token-of-17",
    ]


@pytest.mark.parametrize("url", ["https://backboard.example/api", "http://localhost:9000", "http://127.0.0.1/api/"])
def test_an_api_url_is_https_or_on_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash at the end is removed."""
    monkeypatch.setenv("BACKBOARD_API_URL", url)

    assert load(Settings).backboard_api_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("BACKBOARD_API_URL", url) for url in ("http://169.254.169.254/", "file:///etc/passwd", "ftp://localhost/")),
        *(
            ("BACKBOARD_API_URL", url)
            for url in ("https://", "localhost:9000", "http://localhost.example/", "http://[")
        ),
        *(
            ("BACKBOARD_API_URL", f"https://{rest}")
            for rest in (
                *("me:canary@a.example", "a.example/?b=c", "a.example/#b", "a.example/?", "a.example/#", "a.example?"),
                *("a.example/v1?", "a.example/v1#", "@a.example", ":@a.example", "a.example\\v1", "a.example/v1\\"),
            )
        ),
        *(("CLERK_API_URL", f"https://a.example/{rest}") for rest in ("?", "#", "v1?", "v1/?#", "\\v1", "v1\\")),
        *(("CLERK_ISSUER", f"https://{rest}") for rest in ("@a.example", "a.example/?", "a.example#", "a.example\\")),
        *(("PORT", port) for port in ("0", "-1", "65536", "99999", "abc", "80.5")),
        *(("PROVISIONING_CONCURRENCY", number) for number in ("0", "-1", "x", "101")),
        *(("WEB_CONCURRENCY", number) for number in ("0", "x", "1000")),
        *(("LOG_FORMAT", word) for word in ("xml", "LOGFMT ")),
        *(("CLERK_WEBHOOK_SIGNING_SECRET", nothing) for nothing in (",", "whsec_")),
        *(("BACKBOARD_API_KEY", key) for key in ("two words", "k\u00e9y")),
        ("LOG_LEVEL", "loud"),
        ("SERVICE_TOKENS", "first-token-of-16,short"),
        ("OPS_TOKENS", "first-token-of-16,short"),
        ("OPS_VIEW_TOKENS", "a token with blanks in it"),
        ("SERVICE_TOKENS", "a token with blanks in it"),
        ("CLERK_INSTANCE_ID", "app_2abc"),
    ],
)
def test_a_value_outside_its_range_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, by name, instead of at the first request."""
    monkeypatch.setenv(name, value)

    (problem,) = problems()
    assert problem.startswith(f"{name} ")


@pytest.mark.parametrize(
    "party", ["app.example.com", "https://", "https://app.example.com/", "https://a.example/x", "*"]
)
def test_an_authorized_party_is_an_origin(party: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As browsers write it; any other text would silently refuse every token."""
    monkeypatch.setenv("CLERK_AUTHORIZED_PARTIES", f"https://app.example.com,{party}")

    (problem,) = problems()
    assert problem.startswith("CLERK_AUTHORIZED_PARTIES ")


@pytest.mark.parametrize(
    ("name", "value", "is_refused"),
    [
        ("HEROKU_PR_NUMBER", "17", True),
        ("IS_PULL_REQUEST", "true", True),
        ("IS_PULL_REQUEST", "True", True),
        ("IS_PULL_REQUEST", "false", False),
        ("HEROKU_PR_NUMBER", "0", False),
        ("HEROKU_PR_NUMBER", "", False),
    ],
)
def test_a_preview_refuses_the_prefix_of_production(
    name: str,
    value: str,
    is_refused: bool,  # noqa: FBT001  # A row of the table.
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)

    if is_refused:
        (problem,) = problems()
        assert problem.startswith("ASSISTANT_NAME_PREFIX must be another one than clerk: in a preview")
    monkeypatch.setenv("ASSISTANT_NAME_PREFIX", "clerk:" if not is_refused else "review:")
    load(Settings)


PLACEHOLDERS = [
    *("${{Postgres.DATABASE_URL}}", "${DATABASE_URL}", "$DATABASE_URL", "{{ canary }}", "%CANARY%", "$(cat canary)"),
    *("********", "\u2022\u2022\u2022\u2022\u2022\u2022\u2022\u2022", "<your-url>", "<canary>", "[your-key]"),
    *(
        "changeme",
        "CHANGE_ME",
        "change-me-change-me",
        "replace_me",
        "your-api-key-here",
        "my-key",
        "your_secret_here",
        "your key",
        "xxxxxxxxxxxxxxxx",
        "...",
    ),
    *("undefined", "null", "None", "TODO"),
]
SECRETS = [
    *("DATABASE_URL", "CLERK_WEBHOOK_SIGNING_SECRET", "BACKBOARD_API_KEY", "BACKBOARD_API_URL", "SERVICE_TOKENS"),
    *("CLERK_SECRET_KEY", "CLERK_API_URL", "CLERK_ISSUER", "CLERK_JWT_KEY", "CLERK_INSTANCE_ID"),
]


@pytest.mark.parametrize("value", PLACEHOLDERS, ids=ascii)
def test_a_placeholder_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that the host has not replaced, a mask, the word of a documentation; in every variable at once."""
    for name in SECRETS:
        monkeypatch.setenv(name, value)

    sentences = problems()
    assert sorted(problem.split()[0] for problem in sentences) == sorted(SECRETS)
    assert all("is still a placeholder" in problem for problem in sentences)
    assert "canary" not in "".join(sentences)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLERK_SECRET_KEY", "sk_test_..."),
        ("CLERK_SECRET_KEY", "sk_live_<canary>"),
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("CLERK_WEBHOOK_SIGNING_SECRET", f"{SECRET},whsec_********"),
        ("SERVICE_TOKENS", "a-token-of-16-letters,changemechangeme"),
        ("OPS_TOKENS", "changemechangeme"),
        ("OPS_VIEW_TOKENS", "a-token-of-16-letters,changemechangeme"),
        ("CLERK_ISSUER", "https://<canary>/"),
        ("CLERK_SECRET_KEY", "sk_test_your_key"),
        ("DATABASE_URL", "postgresql://app@db-1,${PGHOST}/app"),
        ("DATABASE_URL", "postgresql://<user>:<password>@<host>/app"),
        ("DATABASE_URL", "postgresql://app:${PGPASSWORD}@localhost/app"),
        ("DATABASE_URL", "postgresql://app:********@localhost/app"),
        ("DATABASE_URL", "postgresql://app@${{Postgres.PGHOST}}:5432/app"),
        ("DATABASE_URL", "postgresql://app@localhost/<canary>?sslmode=require"),
        ("DATABASE_URL", "postgresql://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE"),
    ],
)
def test_a_placeholder_in_a_part_of_a_value_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    (problem,) = problems()
    assert problem.startswith(name)
    assert "is still a placeholder" in problem
    assert "canary" not in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://app:changeme@localhost/app"),
        ("DATABASE_URL", "postgresql://app:a<b>c$D*[e]{}@localhost/app"),
        ("DATABASE_URL", "postgresql://app@[::1]/app"),
        ("BACKBOARD_API_KEY", "xK$A{b}<c>-your-null"),
        ("SERVICE_TOKENS", "$ecret-token-of-24-letters"),
        ("CLERK_ISSUER", "https://your-voice.clerk.accounts.dev"),
        ("DATABASE_URL", "postgresql://app:$e,cret-1@db-1,my-pg-1:5433/app?options=-csearch_path%3Dmy_app,none"),
        ("DATABASE_URL", "postgresql://app:x:$ecret@localhost/app"),
        ("DATABASE_URL", "postgresql://app:a,null,b@localhost/app"),
        ("DATABASE_URL", "postgresql://my-db"),
        ("BACKBOARD_API_KEY", "my-staging-7Q"),
        ("BACKBOARD_API_URL", "https://my-proxy"),
        ("CLERK_API_URL", "https://my-clerk"),
        ("RELEASE", "my-release"),
        ("RELEASE", "none"),
        ("DYNO", "my-web-1"),
        ("ASSISTANT_SYSTEM_PROMPT", "${{name}}"),
        ("ASSISTANT_NAME_PREFIX", "<me>"),
    ],
)
def test_what_only_resembles_a_placeholder_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    load(Settings)


@pytest.mark.parametrize("password", ["$ecret", "${PGPASSWORD}", "$PGPASSWORD", "$(cat canary)"])
def test_a_password_that_looks_like_a_variable_is_told_how_it_is_written(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be one all the same."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{password}@localhost/app".replace(" ", ""))
    (problem,) = problems()
    assert "is still a placeholder in its password" in problem
    assert "%24" in problem

    monkeypatch.setenv("DATABASE_URL", "postgresql://app:%24ecret@localhost/app")
    load(Settings)


@pytest.mark.parametrize("name", ["BACKBOARD_API_URL", "CLERK_API_URL", "CLERK_ISSUER"])
@pytest.mark.parametrize("host", ["api..example.com", "..", ".example.com", "a" * 64, f"{'a' * 300}.example.com"])
def test_a_host_that_no_socket_takes_is_refused(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"https://{host}/v1")

    (problem,) = problems()
    assert problem.startswith(f"{name} is not an address")


@pytest.mark.parametrize(
    "dsn",
    ["canary", "https://sentry.example.com/1", "http://key@sentry.example.com/1", "https://key@sentry.example.com/",
     "https://key@/1", "https://key@sentry.example.com/canary"],
)  # fmt: skip
def test_a_dsn_that_is_none_is_refused_without_its_key(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", dsn)

    assert problems() == [
        "SENTRY_DSN must be https://KEY@HOST/PROJECT, as Sentry's project settings show it under Client Keys"
    ]


def test_a_dsn_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.sentry.find_spec", lambda _: None)
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry.example.com/1")

    (problem,) = problems()
    assert problem == "SENTRY_DSN needs a package that is not installed: pip install 'sentry-sdk>=2'"
