"""The user that a command is about: named by the Clerk id, or by an e-mail address, which several users may have."""

import click

from app.clerk.users import CLERK_ID
from app.components import Components
from app.deadline import Deadline
from app.postgres.text import storable_text


def check_person(word: str) -> None:
    """UsageError for what is neither a Clerk id nor an address."""
    if not CLERK_ID.fullmatch(word) and "@" not in word:
        raise click.UsageError("Name the user by an id, user_ and 1 to 64 letters and digits, or by an e-mail address.")


async def find_person(components: Components, word: str) -> str:
    """The Clerk id. The user that an address leads to is shown; UsageError if it leads to several."""
    if CLERK_ID.fullmatch(word):
        return word
    query = (components.queries.find_users_by_email, {"email": storable_text(word)})
    (rows,) = await components.query_pool.execute(query, deadline=Deadline())
    if not rows:
        raise click.ClickException("No user has that address here; one that was deleted has only the id left.")
    for clerk_id, name, created_at in rows:
        click.echo(f"{clerk_id}  {name or 'without a name'}, here since {created_at:%Y-%m-%d}", err=True)
    if len(rows) > 1:
        raise click.UsageError(f"{len(rows)} users have that address: name the one that you mean by the id.")
    return str(rows[0][0])
