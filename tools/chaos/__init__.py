"""`./dev chaos`: break everything that may break, and decide at the end whether every promise was kept.

Server processes run as the Procfile runs them. Proxies between them and Postgres, and between them and Backboard, cut,
stall and vanish; a nemesis kills processes and the database; a sender retries as Clerk's does. Every operation is
recorded as ok, fail or unknown, and `checker` decides from Backboard's ledger and the database. `broken` switches off
one rule of the service at a time, to show that the checker notices. The words are Jepsen's.
"""
