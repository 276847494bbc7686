"""Gives each Clerk user exactly one Backboard assistant and one row in Postgres.

From the top; a package imports only from those below it (tests/test_architecture.py):

__main__, commands/  `python -m app COMMAND`
application          create_app(settings): the web process
components           what the web process and the commands share, built from the settings
api/                 the routes, one module for each family
ops/                 the history of deliveries, and what operators read
chat/                sessions and messages
users/               one row and one assistant for each user: provisioning, deletion
clerk/               signatures, events, the User object, the Backend API, session tokens
backboard/           assistants and threads
postgres/            pools, pipelines, migrations, errors
http/                the server side and the client side of HTTP
deadline, errors, log, log_format, metrics, reasons, settings
"""

VERSION = "0.2.0"
