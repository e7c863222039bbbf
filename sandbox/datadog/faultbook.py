"""Reads fault rules from JSON, and says which of those in force applies to a request.

Knows no connection; `delivery` does to it what a rule says.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from sandbox.datadog.exchange import Received
from sandbox.datadog.faults import KINDS, Rule

_RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Rule])


class WrongRuleError(ValueError):
    """Rules that cannot be used; each message names the field and the fix."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


def read_rules(document: bytes) -> list[Rule]:
    """Read a JSON list of rules."""
    try:
        return _RULES.validate_json(document)
    except ValidationError as error:
        raise WrongRuleError([_explained(dict(problem)) for problem in error.errors(include_url=False)]) from None


def _explained(problem: dict[str, Any]) -> str:
    if not problem["loc"]:
        return f"the body must be a JSON list of rules: {problem['msg']}"
    number, *path = problem["loc"]
    place = ".".join(str(part) for part in path if part not in KINDS)
    return f"rule {number}{place and f', {place}'}: {problem['msg']}"


class _Counted:
    """A rule with its counts."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.matched, self.used = rule, 0, 0

    def takes(self, request: Received) -> bool:
        if (self.rule.times is not None and self.used >= self.rule.times) or not self.rule.match.fits(request):
            return False
        self.matched += 1
        if self.matched <= self.rule.skip:
            return False
        self.used += 1
        return True


class FaultBook:
    """The rules in force; the first that fits and is not used up applies to a request."""

    def __init__(self) -> None:
        self._rules: list[_Counted] = []

    def replace(self, rules: list[Rule]) -> None:
        """Put these rules in force instead of all others."""
        self._rules = [_Counted(rule) for rule in rules]

    def add(self, rules: list[Rule]) -> None:
        """Put these rules in force after the others."""
        self._rules.extend(_Counted(rule) for rule in rules)

    def choose(self, request: Received) -> Rule | None:
        """Return the rule that applies to a request, and count it."""
        return next((counted.rule for counted in self._rules if counted.takes(request)), None)

    def as_json(self) -> list[dict[str, Any]]:
        """Return what `GET /_faults` shows."""
        return [
            counted.rule.model_dump(mode="json") | {"matched": counted.matched, "used": counted.used}
            for counted in self._rules
        ]
