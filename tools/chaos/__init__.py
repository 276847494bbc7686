"""The campaign: `./dev chaos`. Everything that may break is broken on purpose, and the books are compared at the end.

Server processes run as the Procfile runs them. Between them and Postgres, and between them and Backboard, stand proxies
that cut, stall and vanish; a nemesis kills processes and the database; a sender behaves as Clerk's does. Every
operation is recorded as ok, fail or unknown, and `checker` decides from Backboard's ledger and the database whether
the promises were kept. `broken` switches off one rule at a time, to show that the checker would notice.
"""
