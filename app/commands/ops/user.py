"""`user`: what happened to one user, and whether they can chat."""

import sys
from collections.abc import Iterator

import click

from app import log
from app.commands.ops.reading import print_json, read
from app.ops.reads import OpsReads
from app.ops.user_models import UserPage


@click.command()
@click.argument("word", metavar="ID|EMAIL")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def user(*, word: str, as_json: bool) -> None:
    """Say in words whether a user can chat, and what happened to them.

    ID is the user's Clerk id, or that of an assistant, a session, a message, a thread, a delivery or a request. Exits
    with 1 if nothing is known.
    """
    log.configure("logfmt", "error", stream=sys.stderr)
    pages = read(lambda reads: _find(reads, word))
    if as_json:
        print_json(pages)
    for page in [] if as_json else pages:
        for line in _lines(page):
            click.echo(line)
    if not pages:
        raise click.ClickException("Nothing is known of that here.")


async def _find(reads: OpsReads, word: str) -> list[UserPage]:
    """The pages of all users that it may mean: an e-mail address may be that of several."""
    found = [subject.clerk_id for subject in await reads.find(word)]
    pages = [await reads.user_page(clerk_id) for clerk_id in dict.fromkeys(found) if clerk_id is not None]
    return [page for page in pages if page is not None]


def _lines(page: UserPage) -> Iterator[str]:
    yield f"{page.clerk_id} {page.verdict}."
    if page.user is not None:
        yield f"{'assistant':14}{page.user.assistant_id}"
        yield f"{'e-mail':14}{page.user.email or 'none'}"
        yield f"{'name':14}{page.user.name or 'none'}"
    yield f"{'sessions':14}{page.facts.sessions}, with {page.facts.messages} messages"
    for entry in page.timeline:
        yield f"{entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.kind:9} {entry.text}" + (f"  {entry.id}" if entry.id else "")
    yield ""
