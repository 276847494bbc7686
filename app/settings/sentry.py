"""SENTRY_DSN, as Sentry's project settings show it: https://KEY@HOST/PROJECT."""

from importlib.util import find_spec
from urllib.parse import urlsplit

from app.settings.database_address import is_local


def read_dsn(text: str) -> str:
    """The address as it is; ValueError with a sentence where Sentry could get nothing by it."""
    if find_spec("sentry_sdk") is None:
        raise ValueError("needs a package that is not installed: pip install 'sentry-sdk>=2'")
    url = urlsplit(text)
    host, project = url.hostname or "", url.path.rpartition("/")[2]
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_local(host))
    if not (host and url.username and project.isdigit() and is_safe):
        raise ValueError("must be https://KEY@HOST/PROJECT, as Sentry's project settings show it under Client Keys")
    return text
