"""How other programs call what we keep: tables, columns, roles and states; a name is without case and underscores."""

from collections.abc import Mapping

# By what is kept here: how other programs call it, without case and underscores. The first that a table has is taken.
TABLE_NAMES: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "users", "appuser", "appusers"),
    "session": ("session", "sessions", "conversation", "conversations", "chat", "chats", "chatsession", "chatsessions"),
    "message": ("message", "messages", "chatmessage", "chatmessages"),
    "preferences": ("preferences", "preference", "userpreferences", "userpreference"),
}
COLUMN_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "user": {
        "id": ("id",),
        "clerk_id": ("clerkid", "clerkuserid"),
        "assistant_id": ("backboardassistantid", "assistantid"),
        "email": ("email", "emailaddress"),
        "name": ("name", "fullname", "displayname"),
        "first_name": ("firstname",),
        "last_name": ("lastname",),
        "image_url": ("imageurl", "avatarurl", "profileimageurl"),
        "preferences": ("preferences",),
        "created_at": ("createdat",),
        "last_sign_in_at": ("lastsigninat", "lastloginat"),
        "deleted_at": ("deletedat",),
    },
    "session": {
        "id": ("id",),
        "user": ("userid", "clerkid", "clerkuserid"),
        "thread_id": ("backboardthreadid", "threadid"),
        "title": ("title", "name"),
        "status": ("status",),
        "created_at": ("createdat",),
        "last_active_at": ("lastactiveat", "lastmessageat", "updatedat"),
        "ended_at": ("endedat", "completedat"),
    },
    "message": {
        "id": ("id",),
        "session": ("sessionid", "conversationid", "chatid", "chatsessionid"),
        "role": ("role", "sender"),
        "content": ("content", "text", "body"),
        "metadata": ("metadata", "meta"),
        "created_at": ("createdat", "timestamp"),
        "order": ("position", "order", "sequence"),
    },
    "preferences": {
        "user": ("userid", "clerkid", "clerkuserid"),
        "document": ("preferences", "document", "data", "settings"),
    },
}
# What is known and has no place here: a row's own dates, and keys that say a second time what another says.
SPARE = {
    "user": {"updatedat"},
    "session": {"updatedat", "assistantid"},
    "message": {"updatedat", "userid", "clerkid", "threadid"},
    "preferences": {"id", "createdat", "updatedat"},
}
NEEDED = {
    "user": {"id", "clerk_id"},
    "session": {"id", "user", "created_at"},
    "message": {"id", "session", "role", "content", "created_at"},
    "preferences": {"user"},
}

_TIME = ("a time", ("timestamp without time zone", "timestamp with time zone"))
_JSON = ("JSON", ("jsonb", "json"))
# What a column must be to be read as ours: in words, and as Postgres calls it. An id may be of any type.
TYPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("created_at", "last_sign_in_at", "last_active_at", "ended_at"), _TIME),
    **dict.fromkeys(("preferences", "document", "metadata"), _JSON),
    "content": ("text", ("text", "character varying", "character")),
}

# How other programs call the roles and the states that we have.
VALUES: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = {
    ("message", "role"): {"user": ("user", "human"), "assistant": ("assistant", "ai", "bot", "model")},
    ("session", "status"): {
        "active": ("active", "open"),
        "completed": ("completed", "complete", "ended", "closed", "done", "finished"),
        "abandoned": ("abandoned",),
        "archived": ("archived",),
    },
}
