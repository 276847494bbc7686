"""Databases for a single test, beside the one that the other tests share."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

_numbers = itertools.count(1)
# The first Postgres whose databases may have another provider of locales than libc, and one that knows only UTF8.
_FIRST_WITH_PROVIDERS = 150_000


@contextmanager
def temporary_database(url: str, encoding: str = "UTF8") -> Iterator[str]:
    """An empty database on the same server, dropped afterwards; skips if the server's user may not create one."""
    name = f"temporary_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        options = "" if encoding == "UTF8" else f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        if options and connection.info.server_version >= _FIRST_WITH_PROVIDERS:
            options += " LOCALE_PROVIDER libc"
        try:
            connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), sql.SQL(options)))
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip("the user of TEST_DATABASE_URL may not create databases")
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def limited_role(url: str) -> Iterator[str]:
    """The address with another user, who may connect and nothing else; past any pooler, which would not know it."""
    name = f"limited_{os.getpid()}_{next(_numbers)}"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        try:
            parts = urlsplit(url)
            yield parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}").geturl()
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
