"""Gives each Clerk user exactly one Backboard assistant and one row in Postgres.

The modules stand on floors. Imports only go down, and modules of one floor do not see each other; a test
holds the listing to the code.

9  __main__                                             the commands
8  server                                               wiring: the application, the web process
7  protocol                                             the connection below HTTP
6  webhooks · ensure_user · probes · middleware         HTTP
   trigger                                              a command
5  bodies                                               what comes in, what goes out
4  problems                                             our errors as HTTP
3  provisioning                                         the use case: make sure of one user
   clerk_events                                         Clerk's side of it
2  users · lookup · backboard · migrations              one table, party or mechanism each
1  queries · database · breaker · deadline
0  errors · settings · logs
"""
