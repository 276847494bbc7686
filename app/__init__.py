"""Gives each Clerk user exactly one Backboard assistant and one row in Postgres.

The modules stand on floors. Imports only go down, and modules of one floor do not see each other; a test
holds the listing to the code.

9  __main__                                            the commands
8  server                                              wiring: the application, the web process
7  webhooks · ensure_user · probes · middleware        HTTP
   protocol                                            the connection below it
   trigger                                             a command
6  bodies                                              what comes in, what goes out
5  problems                                            our errors as HTTP
4  provisioning · lifecycle                            the use cases: make sure of one user, delete one
   clerk_events · clerk_api                            Clerk's side: headers and bytes to an event, and back
3  clerk_users                                         Clerk's User object, read into a profile
2  users · lookup · backboard · migrations             one table, party or mechanism each
1  queries · database · breaker · deadline
   backboard_answers                                   what Backboard's answers mean
0  errors · settings · logs · metrics
"""
