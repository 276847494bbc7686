"""A client of clerk-backboard-sync: its users, sessions and messages, with repetitions that store nothing twice."""

from .asynchronous import AsyncClient
from .problems import Failure, NoAnswer, Problem
from .retries import Retries
from .synchronous import Client

__all__ = ["AsyncClient", "Client", "Failure", "NoAnswer", "Problem", "Retries"]
