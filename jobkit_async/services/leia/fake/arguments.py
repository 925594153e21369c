"""What came with a request to the embedded Leia: query and body, read or refused."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import attrs
from aiohttp import web

from jobkit_async.fakes.server import Refusal
from jobkit_async.model import aware

__all__ = [
    "MODEL_QUERY",
    "check_word",
    "date_from",
    "flag_from",
    "model_attributes",
    "number_from",
    "read_arguments",
    "read_object",
]

_MODEL_TEXTS: Final = ("name", "short_name", "description")
MODEL_QUERY: Final = frozenset(
    {*_MODEL_TEXTS, "ttl", "tags", "allowed_application_ids", "allow_all_applications"}
)
"""The query parameters that say something of a model."""


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a body; an empty one where there is none."""
    if not request.body_exists:
        return {}
    if request.content_type != "application/json":
        raise Refusal(415, "application/json expected")
    try:
        document = await request.json()
    except ValueError:
        raise Refusal(400, "the body is no JSON") from None
    if document is not None and not isinstance(document, dict):
        raise Refusal(400, "the body is no JSON object")
    return document or {}


async def read_arguments(
    request: web.Request, model: type, more: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What body and query say. Which of them wins is not documented; here the query does.

    A query parameter that is no own one of the operation is a member of ``model_params``:
    that is how the service's OpenAPI document writes an object in a query.
    """
    said = await read_object(request)
    own = more.union(field.name for field in attrs.fields(model))
    loose = {name: text for name, text in request.query.items() if name not in own}
    model_params = {**(said.get("model_params") or {}), **loose}
    return {**said, **request.query, "model_params": model_params}


def model_attributes(request: web.Request) -> dict[str, Any]:
    """What a query says of a model, by attribute; tags not among them."""
    query = request.query
    attributes: dict[str, Any] = {name: query[name] for name in _MODEL_TEXTS if name in query}
    if "ttl" in query:
        attributes["ttl"] = number_from(query["ttl"])
    if "allow_all_applications" in query:
        attributes["allow_all_applications"] = flag_from(query["allow_all_applications"])
    # An empty list clears; a repeated parameter can say so by one empty value only.
    if "allowed_application_ids" in query:
        ids = query.getall("allowed_application_ids")
        attributes["allowed_application_ids"] = [text for text in ids if text]
    return attributes


def date_from(text: str | None) -> datetime | None:
    """A date that was given, as UTC where it has no zone."""
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(400, f"{text!r} is no date") from None
    return aware(date)


def flag_from(given: object) -> bool:
    """A boolean that was given, as text or as JSON."""
    text = str(given).lower()
    if text not in ("true", "false"):
        raise Refusal(400, f"{given!r} is no boolean")
    return text == "true"


def number_from(text: str, least: float = -math.inf) -> int:
    """An integer that was given."""
    try:
        number = int(text)
    except ValueError:
        raise Refusal(400, f"{text!r} is no integer") from None
    if number < least:
        raise Refusal(400, f"{number} is less than {least}")
    return number


def check_word(given: str | None, words: type[StrEnum]) -> None:
    """Refuse a word that is given and not one of these."""
    if given is not None and given not in list(words):
        raise Refusal(400, f"{given!r} is not one of {[str(word) for word in words]}")
