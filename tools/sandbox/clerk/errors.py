"""Errors in Clerk's shape."""

from dataclasses import replace

from tools.sandbox.http import Response, json_response


class HttpError(Exception):
    def __init__(self, status: int, code: str, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.response = error_response(status, code, *headers)


def error_response(status: int, code: str, *headers: tuple[str, str]) -> Response:
    """An error in Clerk's shape."""
    error = {"message": code, "long_message": f"Made up by the stand-in: {code}", "code": code}
    response = json_response(status, {"errors": [error], "clerk_trace_id": "trace_of_the_stand_in"})
    return replace(response, headers=(*response.headers, *headers))
