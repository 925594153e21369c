"""The rules of the embedded Leia's conditional jobs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from jobkit_async.fakes.server import Refusal

__all__ = ["Rule", "read_rules"]

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$in": lambda value, given: value in given,
    "$nin": lambda value, given: value not in given,
}


@attrs.frozen
class Rule:
    """A rule of a conditional job: where all conditions hold, its parts are run."""

    id: str
    conditions: list[tuple[str, Any]]
    parts: list[Mapping[str, Any]]

    def fits(self, fields: Mapping[str, Any]) -> bool:
        """Whether all its conditions hold for the fields of a result."""
        return all(
            name in fields and _holds(fields[name], wanted) for name, wanted in self.conditions
        )


def read_rules(given: Any) -> list[Rule]:
    """The rules of a request, which may be missing."""
    if not isinstance(given or {}, dict):
        raise Refusal(400, "rules are an object")
    return [Rule(rule_id, *_rule(rule)) for rule_id, rule in (given or {}).items()]


def _rule(rule: Any) -> tuple[list[tuple[str, Any]], list[Mapping[str, Any]]]:
    """Conditions and jobs of a rule: an object with both, or a list of jobs with conditions."""
    carriers = [rule] if isinstance(rule, dict) else rule
    parts = rule.get("jobs", []) if isinstance(rule, dict) else rule
    if not isinstance(parts, list) or not all(isinstance(x, dict) for x in [*carriers, *parts]):
        raise Refusal(400, "a rule is an object, or a list of objects")
    return [pair for one in carriers for pair in one.get("conditions", {}).items()], parts


def _holds(value: Any, condition: Any) -> bool:
    if isinstance(condition, list):
        return all(_holds(value, one) for one in condition)
    if not isinstance(condition, dict) or not condition.keys() <= _OPERATORS.keys():
        return bool(value == condition)
    try:
        return all(_OPERATORS[name](value, given) for name, given in condition.items())
    except TypeError:  # values that cannot be compared
        return False
