"""What came with a request to the embedded EcoTaxa: path, query and body, read or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from aiohttp import web

from jobkit_async.fakes.server import Refusal

__all__ = ["Invalid", "for_admin", "job_number", "read_account", "read_reply"]

_TRUTHS = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}


class Invalid(Refusal):
    """422: each fault says where in the request it is, what it is, and its type."""

    def __init__(self, *faults: tuple[Sequence[str | int], str, str]) -> None:
        super().__init__(422, faults[0][1])
        self.detail = [{"loc": loc, "msg": msg, "type": type_} for loc, msg, type_ in faults]


def job_number(request: web.Request) -> int:
    """The job id of the path."""
    try:
        return int(request.match_info["job_id"])
    except ValueError:
        message = "value is not a valid integer"
        raise Invalid((["path", "job_id"], message, "type_error.integer")) from None


def for_admin(request: web.Request) -> bool:
    """Whether a listing is to show the jobs of everybody."""
    given = request.query.getall("for_admin", ["false"])[-1]
    everybody = _TRUTHS.get(given.lower())
    if everybody is None:
        message = "value could not be parsed to a boolean"
        raise Invalid((["query", "for_admin"], message, "type_error.bool"))
    return everybody


async def read_account(request: web.Request) -> tuple[Any, Any]:
    """User name and password of a log-in."""
    document = await _json(request)
    if document is None:
        raise Invalid((["body"], "field required", "value_error.missing"))
    given = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if missing := [name for name in ("username", "password") if name not in given]:
        raise Invalid(
            *((["body", name], "field required", "value_error.missing") for name in missing)
        )
    return given["username"], given["password"]


async def read_reply(request: web.Request) -> dict[str, Any]:
    """The answer to a question, which may be missing."""
    document = await _json(request)
    if not isinstance(document, dict | None):
        raise Invalid((["body"], "value is not a valid dict", "type_error.dict"))
    return cast("dict[str, Any]", document or {})


async def _json(request: web.Request) -> Any:
    """The body: None where there is none, and text that is not said to be JSON as it is."""
    text = await request.text()
    if not text:
        return None
    if request.content_type != "application/json":
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Invalid((["body", error.pos], str(error), "value_error.jsondecode")) from None
