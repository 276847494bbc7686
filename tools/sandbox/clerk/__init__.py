"""Stand-ins of Clerk: `Clerk` is its Backend API, and `frontend_api.ClerkIssuer` signs session tokens."""

from tools.sandbox.clerk.backend_api import LOCAL_KEY, Clerk, refuses

__all__ = ["LOCAL_KEY", "Clerk", "refuses"]
