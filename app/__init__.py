"""Gives each Clerk user exactly one Backboard assistant and one row in Postgres.

The modules stand on floors. Imports only go down, and modules of one floor do not see each other; a test
holds the listing to the code.

6  __main__ · server                                    wiring: the commands, the web process
5  webhooks · ensure_user · probes · middleware         HTTP
   trigger                                              a command
4  problems · bodies                                    what every endpoint needs of HTTP
3  provisioning                                         the use case: make sure of one user
2  users · lookup · backboard · clerk_events            one table, party or mechanism each
1  queries · database · migrations · breaker
0  errors · settings · logs · deadline
"""
