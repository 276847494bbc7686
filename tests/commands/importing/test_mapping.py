"""Which tables and columns of another program are taken for what, and what is refused until it is decided."""

import pytest

from app.commands.importing.mapping import Choices, TableMapping, UnclearMapping, map_tables, map_values, plain

USER = ("id", "clerkId", "backboardAssistantId", "email")
SESSION = ("id", "userId", "threadId", "createdAt")
MESSAGE = ("id", "sessionId", "role", "content", "createdAt")


def tables(**columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {name: {one: type_of(one) for one in names} for name, names in columns.items()}


def type_of(column: str) -> str:
    """As Prisma has it."""
    times = ("createdat", "updatedat")
    return "jsonb" if column == "metadata" else "timestamp without time zone" if plain(column) in times else "text"


def mapped(found: dict[str, dict[str, str]], *texts: str) -> dict[str, TableMapping]:
    return map_tables(found, Choices(texts))


def problems(found: dict[str, dict[str, str]], *texts: str) -> str:
    with pytest.raises(UnclearMapping) as caught:
        mapped(found, *texts)
    return str(caught.value)


@pytest.mark.parametrize(
    ("user", "session", "message"),
    [
        (USER, SESSION, MESSAGE),
        (
            ("id", "clerk_id", "assistant_id", "first_name", "last_name"),
            ("id", "user_id", "backboard_thread_id", "title", "created_at", "updated_at"),
            ("id", "conversation_id", "role", "content", "created_at"),
        ),
        (("id", "clerkUserId", "assistantId"), ("id", "clerkUserId", "createdAt"), (*MESSAGE, "metadata", "position")),
        (("ID", "CLERK_ID", "ASSISTANT_ID"), SESSION, MESSAGE),
    ],
    ids=["camel case", "snake case", "clerk user ids", "upper case"],
)
def test_columns_are_found_by_their_names(
    user: tuple[str, ...], session: tuple[str, ...], message: tuple[str, ...]
) -> None:
    """In any case, with underscores or without; none is left over."""
    found = mapped(tables(User=user, Session=session, Message=message))

    assert {"id", "clerk_id", "assistant_id"} <= found["user"].columns.keys()
    assert {"id", "user", "created_at"} <= found["session"].columns.keys()
    assert {"id", "session", "role", "content", "created_at"} <= found["message"].columns.keys()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("user", name) for name in ("User", "users", "app_users")),
        *(("session", name) for name in ("Conversation", "chats", "chat_session", "SESSION")),
        *(("message", name) for name in ("Message", "ChatMessages")),
    ],
)
def test_tables_are_found_by_their_names(kind: str, name: str) -> None:
    names = {"user": "User", "session": "Session", "message": "Message"} | {kind: name}
    found = mapped(tables(**{names["user"]: USER, names["session"]: SESSION, names["message"]: MESSAGE}))

    assert {kind: table.name for kind, table in found.items()} == names


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (tables(User=(*USER, "stripeId")), "User.stripeId has no place here: --map User.stripeId=skip"),
        (
            tables(User=USER, Session=SESSION, Message=(*MESSAGE, "tokens")),
            "Message.tokens has no place here: --map Message.tokens=skip, or =metadata.tokens",
        ),
        (tables(User=USER, Session=SESSION, Conversation=SESSION), "may both be the table of session"),
        (tables(User=USER, Session=("id", "sessionToken")), "Session lacks what a table of session needs"),
        (tables(User=USER, Message=MESSAGE), "there are messages and no table of sessions"),
        (tables(Person=USER), "there is no table of users"),
        ({}, "there is no table of users"),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped_is_named_with_what_decides_it(found: dict[str, dict[str, str]], words: str) -> None:
    assert words in problems(found)


@pytest.mark.parametrize(
    ("table", "column", "type_", "words"),
    [
        ("Message", "createdAt", "bigint", "Message.createdAt is bigint and not a time"),
        ("Session", "createdAt", "text", "Session.createdAt is text and not a time"),
        ("Message", "content", "jsonb", "Message.content is jsonb and not text"),
        ("Message", "metadata", "text", "Message.metadata is text and not JSON"),
        ("User", "preferences", "ARRAY", "User.preferences is ARRAY and not JSON"),
    ],
)
def test_a_column_of_another_type_is_refused(table: str, column: str, type_: str, words: str) -> None:
    """Its values would mean something else, or end the run in the middle."""
    found = tables(User=USER, Session=SESSION, Message=MESSAGE)
    found[table][column] = type_

    assert words in problems(found)


def test_everything_that_is_unclear_is_named_at_once() -> None:
    found = tables(User=(*USER, "plan", "stripeId"), Session=(*SESSION, "mood"))

    assert len(problems(found).splitlines()) == 3


def test_a_choice_decides() -> None:
    """About a column, a member of the metadata, a table's meaning, and that a table is another's."""
    found = mapped(
        tables(
            Person=("id", "clerk", "helper", "plan"),
            Session=("id", "sessionToken", "userId"),
            Chat=SESSION,
            Note=(*MESSAGE, "tokens"),
        ),
        *("Person=user", "Person.clerk=clerk_id", "Person.helper=assistant_id", "Person.plan=skip"),
        *("Session=skip", "Note=message", "Note.tokens=metadata.tokens"),
    )

    assert dict(found["user"].columns) == {"id": "id", "clerk_id": "clerk", "assistant_id": "helper"}
    assert (found["session"].name, dict(found["message"].members)) == ("Chat", {"tokens": "tokens"})
    assert "  plan   -> left out" in list(found["user"].lines())


@pytest.mark.parametrize("text", ["User", "User.plan", "=skip", "User.plan="])
def test_a_malformed_choice_is_refused(text: str) -> None:
    with pytest.raises(UnclearMapping, match="it must be"):
        Choices((text,))


def test_a_choice_that_names_nothing_is_a_problem() -> None:
    """A typing error would otherwise decide nothing, without a word."""
    choices = Choices(("User.plam=skip",))
    map_tables(tables(User=USER), choices)

    assert choices.unused() == ["--map User.plam=skip: there is no such table, column or value"]


def test_a_choice_for_a_column_that_we_do_not_have_is_a_problem() -> None:
    assert "a user has id, clerk_id" in problems(tables(User=(*USER, "plan")), "User.plan=level")


def test_two_columns_cannot_be_one_member() -> None:
    """One of them would stay behind."""
    found = tables(User=USER, Session=SESSION, Message=(*MESSAGE, "tokens", "cost"))
    chosen = ("Message.tokens=metadata.number", "Message.cost=metadata.number")

    assert "--map Message.cost=metadata.number: tokens becomes the same member" in problems(found, *chosen)


def test_the_id_is_the_clerk_id_where_no_other_column_is() -> None:
    columns = mapped(tables(User=("id", "assistantId")))["user"].columns

    assert (columns["id"], columns["clerk_id"]) == ("id", "id")


@pytest.mark.parametrize(
    ("role", "ours"),
    [("USER", "user"), ("human", "user"), ("ASSISTANT", "assistant"), ("ai", "assistant"), ("Bot", "assistant"),
     ("model", "assistant")],
)  # fmt: skip
def test_a_role_is_known_by_its_usual_names(role: str, ours: str) -> None:
    table = mapped(tables(User=USER, Session=SESSION, Message=MESSAGE))["message"]

    assert map_values(table, "role", [role], Choices(())) == {role: ours}


@pytest.mark.parametrize("role", ["system", "TOOL", "function", "", None])
def test_a_role_that_we_do_not_have_is_refused_until_it_is_decided(role: str | None) -> None:
    table = mapped(tables(User=USER, Session=SESSION, Message=MESSAGE))["message"]

    with pytest.raises(UnclearMapping, match=f"Message.role.{role or ''} has no meaning here"):
        map_values(table, "role", [role, "user"], Choices(()))
    decided = map_values(table, "role", [role], Choices((f"Message.role.{role or ''}=skip",)))
    assert decided == {role: "skip"}
