"""The part of PromQL that the alerts use, evaluated over two scrapes: enough to see an alert fire and fall silent.

The parser is Prometheus' grammar (promql-parser). What is not implemented here is an error, never a guess.
"""

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import promql_parser as pq
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
NAME = "__name__"

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    ">=": operator.ge,
}
AGGREGATIONS: Mapping[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min}


def scrape(text: str, **target: str) -> Vector:
    """Return the samples of a scrape with the labels that Prometheus adds to a target."""
    return {
        frozenset({NAME: sample.name, **sample.labels, **target}.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(frozen=True)
class Moment:
    """What Prometheus knows: the newest scrape, and the one from which ranges begin."""

    before: Vector
    now: Vector

    def evaluate(self, expression: str) -> Vector:
        """Return what an instant query returns."""
        return self._value(pq.parse(expression))

    def _value(self, node: pq.Expr) -> Vector:
        match node:
            case pq.ParenExpr(expr=inner):
                return self._value(inner)
            case pq.VectorSelector():
                return selected(node, self.now)
            case pq.BinaryExpr():
                return self._binary(node)
            case pq.AggregateExpr():
                return self._aggregate(node)
            case pq.Call(func=function, args=arguments):
                return self._call(function.name, arguments)
        raise NotImplementedError(type(node).__name__)

    def _binary(self, node: pq.BinaryExpr) -> Vector:
        sign = str(node.op)
        left = self._value(node.lhs)
        if sign in COMPARISONS and isinstance(node.rhs, pq.NumberLiteral):
            return {labels: value for labels, value in left.items() if COMPARISONS[sign](value, node.rhs.val)}
        right = self._value(node.rhs)
        common = matching(node)
        if sign == "and":
            there = {common(labels) for labels in right}
            return {labels: value for labels, value in left.items() if common(labels) in there}
        if sign == "or":
            there = {common(labels) for labels in left}
            return left | {labels: value for labels, value in right.items() if common(labels) not in there}
        raise NotImplementedError(sign)

    def _aggregate(self, node: pq.AggregateExpr) -> Vector:
        groups: dict[Labels, list[float]] = defaultdict(list)
        named = set(node.modifier.labels) if node.modifier else set()
        without = node.modifier is not None and node.modifier.type == pq.AggModifierType.Without
        for labels, value in self._value(node.expr).items():
            groups[frozenset(one for one in labels if one[0] != NAME and (one[0] in named) is not without)].append(
                value
            )
        return {labels: AGGREGATIONS[str(node.op)](values) for labels, values in groups.items()}

    def _call(self, name: str, arguments: list[pq.Expr]) -> Vector:
        if name == "absent":
            return {} if self._value(arguments[0]) else {frozenset(): 1.0}
        if name == "increase" and isinstance(arguments[0], pq.MatrixSelector):
            selector = arguments[0].vector_selector
            first, last = selected(selector, self.before), selected(selector, self.now)
            # As in Prometheus, a series that has just appeared has no increase.
            return {without_name(labels): last[labels] - first[labels] for labels in last.keys() & first.keys()}
        raise NotImplementedError(name)


def selected(selector: pq.VectorSelector, samples: Vector) -> Vector:
    """Return the samples that a selector means."""
    return {labels: value for labels, value in samples.items() if _fits(selector, dict(labels))}


def _fits(selector: pq.VectorSelector, labels: dict[str, str]) -> bool:
    return labels[NAME] == selector.name and all(
        _matches(matcher, labels.get(matcher.name, "")) for matcher in selector.matchers.matchers
    )


def _matches(matcher: pq.Matcher, value: str) -> bool:
    if matcher.op == pq.MatchOp.Equal:
        return value == matcher.value
    if matcher.op == pq.MatchOp.NotEqual:
        return value != matcher.value
    return bool(re.fullmatch(matcher.value, value)) is (matcher.op == pq.MatchOp.Re)


def matching(node: pq.BinaryExpr) -> Callable[[Labels], Labels]:
    """Return what the labels of both sides of a set operator have to have in common."""
    on = node.modifier.matching if node.modifier else None
    if on is None:
        return without_name
    if on.type != pq.LabelModifierType.Include:
        raise NotImplementedError("ignoring")
    return lambda labels: frozenset(one for one in labels if one[0] in on.labels)


def without_name(labels: Labels) -> Labels:
    """Drop the name of the metric."""
    return frozenset(one for one in labels if one[0] != NAME)


def selectors(expression: str) -> Iterator[pq.VectorSelector]:
    """Iterate over everything that an expression reads."""
    found: list[pq.VectorSelector] = []

    def inspect(node: pq.Expr) -> bool:
        if isinstance(node, pq.VectorSelector):
            found.append(node)
        return True

    pq.walk(pq.parse(expression), inspect)
    yield from found


def named_labels(expression: str) -> set[str]:
    """Return every label that an expression names outside of selectors."""
    found: set[str] = set()

    def inspect(node: pq.Expr) -> bool:
        if isinstance(node, pq.AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)
        if isinstance(node, pq.BinaryExpr) and node.modifier and node.modifier.matching:
            found.update(node.modifier.matching.labels)
        return True

    pq.walk(pq.parse(expression), inspect)
    return found
