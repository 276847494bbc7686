"""Databases that live for one test, beside the one that the others share."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

_numbers = itertools.count(1)


@contextmanager
def scratch_database(url: str) -> Iterator[str]:
    """An empty database on the same server, and gone afterwards; skips where the server's user may not make one."""
    name = f"scratch_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip("the user of TEST_DATABASE_URL may not create databases")
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
