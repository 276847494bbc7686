"""A stand-in of Backboard: `Sandbox` is the server, `tools.sandbox.backboard.faults` what can be made to go wrong."""

from tools.sandbox.backboard.server import LOCAL_KEY, Sandbox

__all__ = ["LOCAL_KEY", "Sandbox"]
