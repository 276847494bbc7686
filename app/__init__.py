"""Gives each Clerk user exactly one Backboard assistant and one row in Postgres.

The modules stand on floors. Imports only go down, and modules of one floor do not see each other; a test
holds the listing to the code.

9  __main__                                            the commands
8  development                                         the commands for a database to develop on
   server                                              wiring: the application
   web                                                 the process that serves it
7  webhooks · ensure_user · probes · middleware        HTTP
   chat_sessions · chat_messages · chat_users          the chat's memory over HTTP
   openapi                                             its document
   protocol · serving                                  the connection below it, the process around it
   trigger · reconcile · backfill                      commands
   doctor · seed · psql                                commands that no user of the service waits for
6  parts                                               what lives as long as a process
   bodies · paging                                     what comes in, what goes out
   callers · on_demand                                 who calls, and for whom
   terminal                                            how commands begin and end
   database_findings                                   what doctor says of the database
   survey · mending                                    reconcile's two halves: it only looks, it only mends
5  problems                                            our errors as HTTP
   parsing · cycle · headers                           a request from the connection, and its answer back
   sources                                             what reconcile reads from, beside Clerk
   clerk_listing                                       all users of Clerk
   erasure                                             everything of one user goes
   chat_openapi                                        the chat's part of the document
4  chat_bodies                                         the bodies of the chat's memory
   operations                                          what operations have in common in the document
   provisioning · lifecycle                            the use cases: make sure of one user, delete one
   opening · closing · memory                          open a session, delete one, and everything in between
   clerk_events · clerk_api                            Clerk's side: headers and bytes to an event, and back
   session_tokens                                      who is signed in, by a token of Clerk's
3  lookup                                              many callers, one statement
   backboard                                           the partner who keeps the assistants
   clerk_users                                         Clerk's User object, read into a profile
   clerk_keys                                          the public keys of Clerk's session tokens
   messages                                            the bodies of our own API
   drift                                               what reconcile finds, and what it does not believe
2  users · sessions · history                          one table or mechanism each
   migrations · budget · reader
   backboard_answers                                   what Backboard's answers mean
1  queries · database · breaker · deadline · patience · last_event · logs
   exchange                                            HTTP towards a partner
0  errors · connect_errors · settings · log_lines · metrics · due · roundtrip
"""
