"""How many requests an account may begin: windows that are learnt, 429, requests in flight; time is a value."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.budget import Budget, Reading, read
from dora_operator.domain.ratelimit import remaining_requests
from tests.support.builders import NOW

FRESH = Budget(most_at_once=8)


def after(seconds: float) -> datetime:
    """Return a time."""
    return NOW + timedelta(seconds=seconds)


def busy(count: int, budget: Budget = FRESH) -> Budget:
    """Return a budget with so many requests in flight."""
    for _ in range(count):
        budget = budget.begun()
    return budget


def left(remaining: int, ends: float = 60) -> Budget:
    """Return a budget after one answer."""
    return FRESH.begun().ended(Reading(remaining, after(ends)), NOW)


@pytest.mark.parametrize(
    ("budget", "now", "admitted", "opens"),
    [
        pytest.param(FRESH, 0, 8, None, id="nothing is known: as many as are allowed at once"),
        pytest.param(busy(3), 0, 5, None, id="three are in flight"),
        pytest.param(busy(8), 0, 0, None, id="all are in flight: the next answer tells"),
        pytest.param(left(100), 0, 8, None, id="much remains"),
        pytest.param(left(2), 0, 2, None, id="two remain"),
        pytest.param(busy(2, left(2)), 0, 0, None, id="two remain and two are in flight"),
        pytest.param(left(0), 0, 0, 60, id="nothing remains: when the window ends"),
        pytest.param(left(0), 59.9, 0, 60, id="nothing remains until the end of the window"),
        pytest.param(left(0), 60, 1, None, id="a new window begins with one"),
        pytest.param(busy(1, left(0)), 60, 0, None, id="and waits for its answer"),
        pytest.param(left(100), 60, 8, None, id="a new window after one that was never used up"),
        pytest.param(FRESH.closed(after(30), NOW), 29, 0, 30, id="after a 429, nothing before the reset"),
        pytest.param(FRESH.closed(after(30), NOW), 30, 8, None, id="and all of it then"),
        pytest.param(
            FRESH.closed(after(30), NOW), -3600, 8, None, id="a clock that was set back opens a closed account"
        ),
        pytest.param(left(0), -3600, 8, None, id="and forgets a window that was used up"),
        pytest.param(FRESH.closed(after(30), NOW), -1, 0, 30, id="a clock that is only led back a little does not"),
        pytest.param(FRESH.closed(after(30), NOW).closed(after(10), NOW), 20, 0, 30, id="the later reset counts"),
    ],
)
def test_what_may_begin(budget: Budget, now: float, admitted: int, opens: float | None) -> None:
    """As many as remain, less what is in flight; else when."""
    assert budget.admits(after(now)) == admitted
    assert budget.opens_at(after(now)) == (None if opens is None else after(opens))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([(5, 60), (4, 60)], Reading(4, after(60)), id="in order"),
        pytest.param([(4, 60), (5, 60)], Reading(4, after(60)), id="out of order: the least counts"),
        pytest.param([(4, 60), (3, 59)], Reading(3, after(60)), id="whole seconds: the latest end counts"),
        pytest.param([(2, 6), (2, 10)], Reading(2, after(10)), id="another end is another window"),
        pytest.param([(0, 60), (99, 120)], Reading(99, after(120)), id="a new window of which more remains"),
        pytest.param([(5, 60), None], Reading(5, after(60)), id="an answer without headers changes nothing"),
    ],
)
def test_what_is_learnt(readings: list[tuple[int, float] | None], expected: Reading) -> None:
    """Answers of one window may come in any order."""
    budget = busy(len(readings))
    for each in readings:
        budget = budget.ended(Reading(each[0], after(each[1])) if each else None, NOW)
    assert (budget.window, budget.in_flight) == (expected, 0)


def test_headers_that_stay_away_free_the_account() -> None:
    """When a window that was used up is over, an answer without headers ends the caution."""
    budget = left(0).begun().ended(None, after(61))
    assert budget.admits(after(61)) == 8


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7), ("7, 5", 7), (" 0 ", 0), ("-3", 0), ("many", None), ("", None), (None, None)],
)
def test_the_header_of_what_remains(header: str | None, expected: int | None) -> None:
    """The first number; rubbish says nothing."""
    assert remaining_requests(header) == expected


def test_both_headers_are_needed() -> None:
    """What remains without an end, or an end without what remains, says nothing."""
    assert read({"x-ratelimit-remaining": "3"}, NOW) is None
    assert read({"x-ratelimit-reset": "3"}, NOW) is None
    assert read({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "9"}, NOW) == Reading(3, after(9))


@dataclass
class Server:
    """A rate limit with windows aligned with the calendar, and resets in whole seconds."""

    limit: int
    period: int
    used: dict[int, int] = field(default_factory=dict)

    def answer(self, now: float) -> tuple[bool, int, int]:
        """Count a request; tell whether it is let through, what remains, and the seconds to the reset."""
        window = int(now // self.period)
        self.used[window] = self.used.get(window, 0) + 1
        remaining = max(0, self.limit - self.used[window])
        reset = ceil((window + 1) * self.period - now)
        return self.used[window] <= self.limit, remaining, reset


@given(
    limit=st.integers(1, 60),
    period=st.integers(1, 60),
    at_once=st.integers(1, 8),
    round_trip=st.floats(0.005, 0.3),
    begin=st.floats(0, 60),
    wanted=st.integers(1, 300),
)
def test_no_limit_is_run_into_and_little_time_is_lost(
    limit: int, period: int, at_once: int, round_trip: float, begin: float, wanted: int
) -> None:
    """Alone on an account whose headers it has seen once: no 429, and all done about as soon as the windows let."""
    server, now = Server(limit, period), begin
    budget, flying, sent, refused = Budget(at_once), [], 0, 0
    first_end: float | None = None
    while sent < wanted or flying:
        while sent < wanted and budget.admits(after(now)) and (first_end is not None or not flying):
            let_through, remaining, reset = server.answer(now + round_trip / 2)
            refused += not let_through
            flying.append((now + round_trip, remaining, reset))
            budget, sent = budget.begun(), sent + 1
        if flying:
            now, remaining, reset = flying.pop(0)
            budget = budget.ended(Reading(remaining, after(now + reset)), after(now))
            first_end = first_end or now
        else:
            opens = budget.opens_at(after(now))
            assert opens is not None
            now = max(now, (opens - NOW).total_seconds())
    assert refused == 0
    windows = ceil(wanted / limit)
    by_speed = wanted / at_once * round_trip
    assert now - begin <= (windows + 1) * (period + 1 + 2 * round_trip) + 2 * by_speed + 1
