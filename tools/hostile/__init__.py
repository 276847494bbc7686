"""Hostile requests to the service, directly and through proxies, while other clients share its connections.

`./dev hostile` sends the corpus of tests/http and tells whether a client got a byte of another's answer, and whether a
connection went deaf.
"""
