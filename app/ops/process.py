"""How a process names itself in its row in processes, and in the labels of its metrics."""

import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

from app.log_format import clean
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class ThisProcess:
    """`id` is drawn at the start, so that no two processes have the same; `host` is the dyno or the machine."""

    id: str
    host: str
    release: str
    started_at: datetime


def identify(settings: Settings) -> ThisProcess:
    """Name this process by what its platform says of itself."""
    host = str(clean(settings.dyno or socket.gethostname()))
    return ThisProcess(secrets.token_hex(6), host, str(clean(settings.release)), datetime.now(UTC))
