r"""The part of Datadog's event search syntax that clients of the DORA list use.

Pure. Understood: `name:value`, `"quoted values"`, `\` before a special character, `*` and `?` as wildcards outside of
quotes, `name:(a OR b)`, `AND` (also by a space), `OR`, `NOT` and `-`, parentheses, `*` alone for everything. Refused,
as the documentation wants them escaped: `<`, `>`, `=`, `~`, `/` and `:` in a value without quotes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from sandbox.datadog.values import Deployment

_TOKEN = re.compile(r'\s*(?:([():])|"((?:[^"\\]|\\.)*)"|((?:[^\s()":\\]|\\.)+))', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r"(?<!\\)(?:\\\\)*[<>=~/]")
_DEEPEST = 30

Predicate = Callable[[Deployment], bool]


class QueryError(ValueError):
    """The query is not one that the stand-in understands."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was read; where it needs one service and env, they narrow the search."""

    matches: Predicate | None
    """Absent: service and env are all that it asks for."""
    service: str | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`(`, `)`, `:`, `quoted` or `word`."""
    text: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a query; `exact` are attributes that must equal a value, and all that it asks for if `complete`."""

    matches: Predicate
    exact: tuple[tuple[str, str], ...] = ()
    complete: bool = False


def _everything(_: Deployment) -> bool:
    return True


@lru_cache(maxsize=4096)
def parse_query(text: str) -> Query:
    """Return the query of a text."""
    tokens = _tokens(text)
    if not tokens:
        return Query(None)
    reader = _Reader(tokens)
    part = reader.either(None)
    if reader.next is not None:
        raise QueryError(f"unexpected {reader.next.text!r}")
    exact = dict(part.exact)
    stream_alone = part.complete and len(part.exact) == len(exact) and exact.keys() == {"service", "env"}
    return Query(None if stream_alone else part.matches, exact.get("service"), exact.get("env"))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise QueryError(f"cannot read {text[position : position + 40]!r}")
        sign, quoted, word = found.groups()
        tokens.append(_Token(sign, sign) if sign else _Token("word", word) if word else _Token("quoted", quoted))
        position = found.end()
    return tokens


class _Reader:
    """Reads tokens by recursive descent; `field` is the attribute whose values are read, inside of `name:( )`."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def either(self, field: str | None) -> _Part:
        """Read alternatives joined by OR."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError("too many parentheses")
        parts = [self._all(field)]
        while self._takes("word", "OR"):
            parts.append(self._all(field))
        self._depth -= 1
        return parts[0] if len(parts) == 1 else _Part(_any_of([part.matches for part in parts]))

    def _all(self, field: str | None) -> _Part:
        parts = [self._one(field)]
        while self.next is not None and self.next.kind != ")" and self.next != _Token("word", "OR"):
            self._takes("word", "AND")
            parts.append(self._one(field))
        if len(parts) == 1:
            return parts[0]
        exact = tuple(pair for part in parts for pair in part.exact)
        return _Part(_all_of([part.matches for part in parts]), exact, all(part.complete for part in parts))

    def _one(self, field: str | None) -> _Part:
        negations = 0
        while self._takes("word", "NOT") or self._drops_minus():
            negations += 1
        part = self._group(field) if self._takes("(") else self._leaf(field)
        if not negations:
            return part
        return _Part(_not(part.matches)) if negations % 2 else _Part(part.matches)

    def _group(self, field: str | None) -> _Part:
        part = self.either(field)
        if not self._takes(")"):
            raise QueryError('a ")" is missing')
        return part

    def _leaf(self, field: str | None) -> _Part:
        token = self._taken()
        if field is not None:
            return _value(field, token)
        if token == _Token("word", "*") and (self.next is None or self.next.kind != ":"):
            return _Part(_everything)
        if token.kind != "word" or not self._takes(":"):
            raise QueryError(f"only name:value terms are understood, not {token.text!r}")
        name = _ESCAPED.sub(r"\1", token.text).removeprefix("@")
        return self._group(name) if self._takes("(") else _value(name, self._taken())

    def _taken(self) -> _Token:
        if self.next is None:
            raise QueryError("the query ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, kind: str, text: str | None = None) -> bool:
        found = self.next is not None and self.next.kind == kind and text in (None, self.next.text)
        self._at += found
        return found

    def _drops_minus(self) -> bool:
        token = self.next
        if token is None or token.kind != "word" or not token.text.startswith("-"):
            return False
        rest = token.text[1:]
        if rest:
            self._tokens[self._at] = _Token("word", rest)
        else:
            self._at += 1
        return True


def _value(name: str, token: _Token) -> _Part:
    """Return one attribute compared with one value."""
    if token.kind not in {"word", "quoted"}:
        raise QueryError(f"a value is missing after {name!r}")
    plain = _ESCAPED.sub(r"\1", token.text)
    if token.kind == "quoted":
        return _Part(_equals(name, plain), ((name, plain),), complete=True)
    if _SPECIAL.search(token.text):
        raise QueryError(f"escape the special characters of {token.text!r}, or write it in quotes")
    pattern = _pattern(token.text)
    if pattern is None:
        return _Part(_equals(name, plain), ((name, plain),), complete=True)
    return _Part(_fits(name, pattern))


def _pattern(text: str) -> re.Pattern[str] | None:
    """Return what a value with wildcards means, or nothing where it has none."""
    pieces, has_wildcard = [], False
    for piece in re.findall(r"\\.|.", text, re.DOTALL):
        wildcard = {"*": ".*", "?": "."}.get(piece)
        has_wildcard = has_wildcard or wildcard is not None
        pieces.append(wildcard or re.escape(piece[-1]))
    return re.compile("".join(pieces), re.DOTALL) if has_wildcard else None


def _equals(name: str, value: str) -> Predicate:
    return lambda deployment: value in _values(deployment, name)


def _fits(name: str, pattern: re.Pattern[str]) -> Predicate:
    return lambda deployment: any(pattern.fullmatch(value) for value in _values(deployment, name))


def _not(predicate: Predicate) -> Predicate:
    return lambda deployment: not predicate(deployment)


def _all_of(predicates: list[Predicate]) -> Predicate:
    return lambda deployment: all(predicate(deployment) for predicate in predicates)


def _any_of(predicates: list[Predicate]) -> Predicate:
    return lambda deployment: any(predicate(deployment) for predicate in predicates)


def _values(deployment: Deployment, name: str) -> tuple[str, ...]:
    """Return the values of an attribute; every other name is one of the event's own tags."""
    read = _ATTRIBUTES.get(name)
    if read is None:
        start = f"{name}:"
        return tuple(tag[len(start) :] for tag in deployment.event.custom_tags if tag.startswith(start))
    value = read(deployment)
    return () if value is None else (value,)


def _failure(deployment: Deployment) -> str | None:
    return None if deployment.shown_failure is None else str(deployment.shown_failure).lower()


_ATTRIBUTES: dict[str, Callable[[Deployment], str | None]] = {
    "id": lambda deployment: deployment.id,
    "service": lambda deployment: deployment.event.service,
    "env": lambda deployment: deployment.event.env,
    "version": lambda deployment: deployment.event.version,
    "team": lambda deployment: deployment.event.team,
    "source": lambda deployment: deployment.source,
    "change_failure": _failure,
}
