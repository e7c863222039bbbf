"""How many requests an account may send now: a few at once, and what Datadog's headers leave of its rate limit."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.clients.datadog import Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import Target, TargetKind
from dora_operator.reconcile.rate_limits import (
    MAX_AT_ONCE,
    RESERVED_FOR_MARKS,
    Account,
    RateLimitKey,
    RateLimits,
    Wait,
    account_of,
)
from dora_operator.workqueue import Priority, Result, WorkQueue
from tests.support.builders import NOW

SITE = "datadoghq.com"
MARKS_AT_ONCE = MAX_AT_ONCE["mark"]
KEY, OTHER, THIRD = (RateLimitKey(SITE, number) for number in range(3))


def headers(remaining: object, reset: object) -> dict[str, str]:
    """Return the headers of an answer."""
    return {"x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": str(reset)}


def after(seconds: float) -> datetime:
    """Return a time."""
    return NOW + timedelta(seconds=seconds)


def answered(
    limits: RateLimits, found: dict[str, str], at: datetime = NOW, key: RateLimitKey = KEY, call: str = "mark"
) -> None:
    """Send a request that is answered at once."""
    limits.begin(key, call)
    limits.end(key, call, found, at)


def test_a_few_requests_at_once() -> None:
    """Nothing is known of the account: so many may be in flight, and the answer to one frees capacity for one."""
    limits = RateLimits()
    for left in range(MARKS_AT_ONCE, 0, -1):
        assert limits.free(KEY, "mark", NOW) == left
        limits.begin(KEY, "mark")
    assert limits.free(KEY, "mark", NOW) == 0
    assert limits.opens_at(KEY, "mark", NOW) is None
    limits.end(KEY, "mark", {}, NOW)
    assert limits.free(KEY, "mark", NOW) == 1


def test_accounts_do_not_wait_for_each_other() -> None:
    """One that is full, or blocked, leaves another as it is."""
    limits = RateLimits()
    for _ in range(MARKS_AT_ONCE):
        limits.begin(KEY, "mark")
    limits.block(THIRD, "mark", after(30))
    assert limits.free(OTHER, "mark", NOW) == MARKS_AT_ONCE


def test_what_remains_of_a_window_counts() -> None:
    """Requests in flight may use what remains up; the next window has capacity again."""
    limits = RateLimits()
    answered(limits, headers(2, 20))
    assert limits.free(KEY, "mark", NOW) == 2
    limits.begin(KEY, "mark")
    assert limits.free(KEY, "mark", NOW) == 1
    limits.end(KEY, "mark", headers(0, 20), NOW)
    assert limits.free(KEY, "mark", NOW) == 0
    assert limits.opens_at(KEY, "mark", NOW) == after(20)
    assert limits.free(KEY, "mark", after(19)) == 0
    assert limits.free(KEY, "mark", after(20)) == MARKS_AT_ONCE
    assert limits.opens_at(KEY, "mark", after(20)) is None


def test_answers_of_one_window_in_any_order() -> None:
    """The least that remains counts; the end of the window is rounded to seconds by each answer."""
    limits = RateLimits()
    for _ in range(3):
        limits.begin(KEY, "mark")
    for remaining, reset in ((3, 20), (5, 20), (4, 21)):
        limits.end(KEY, "mark", headers(remaining, reset), NOW)
    assert limits.free(KEY, "mark", NOW) == 3
    assert limits.free(KEY, "mark", after(20.5)) == 3
    answered(limits, headers(6, 60), after(20.6))
    assert limits.free(KEY, "mark", after(20.6)) == 6


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({}, id="no headers"),
        pytest.param(headers("not-a-number", 20), id="an invalid number for what remains"),
        pytest.param(headers(0, "not-a-number"), id="an invalid number for the reset"),
        pytest.param({"x-ratelimit-remaining": "0"}, id="no reset"),
    ],
)
def test_headers_that_say_nothing_hold_nothing_back(found: dict[str, str]) -> None:
    """A limit without an end would hold the account for ever."""
    limits = RateLimits()
    answered(limits, found)
    assert limits.free(KEY, "mark", NOW) == MARKS_AT_ONCE


def test_a_429_blocks_the_account() -> None:
    """Nothing before the time that it names; an earlier block does not shorten a later one."""
    limits = RateLimits()
    limits.block(KEY, "mark", after(30))
    limits.block(KEY, "mark", after(10))
    assert limits.free(KEY, "mark", after(29)) == 0
    assert limits.opens_at(KEY, "mark", after(29)) == after(30)
    assert limits.free(KEY, "mark", after(30)) == MARKS_AT_ONCE


def test_what_a_clock_in_the_future_has_noted_is_not_believed() -> None:
    """After the clock is set back by a day, the account does not wait for a day."""
    limits = RateLimits()
    answered(limits, headers(0, 60), after(86_400))
    limits.block(KEY, "mark", after(86_460))
    assert limits.free(KEY, "mark", NOW) == MARKS_AT_ONCE


def test_a_small_step_of_the_clock_is_no_reason_to_send() -> None:
    """Clocks are corrected by fractions of a second all the time."""
    limits = RateLimits()
    limits.block(KEY, "mark", after(30))
    assert limits.free(KEY, "mark", after(-1)) == 0


def test_secrets_with_the_same_key_share_a_limit() -> None:
    """Each namespace has a copy; another site is another limit."""
    limits = RateLimits()
    one, two = (Account(SITE, ObjectKey(namespace, "keys")) for namespace in ("shop", "pay"))
    keys = Keys("the-one-key", "app")
    assert limits.key_of(one, keys) == limits.key_of(two, Keys("the-one-key", "another-app"))
    assert limits.key_of(one, keys) != limits.key_of(one._replace(site="datadoghq.eu"), keys)
    assert limits.key_of(one, keys) != limits.key_of(one, Keys("another-key", "app"))


def test_a_block_that_a_status_shows_counts_before_the_keys_are_known() -> None:
    """After a restart the Secret is not read yet; the longest wait of the account's resources counts."""
    limits = RateLimits()
    account = Account(SITE, ObjectKey("shop", "keys"))
    for seconds in (10, 40, 20):
        limits.block(account, "mark", after(seconds))
    key = limits.key_of(account, Keys("api", "app"))
    assert limits.opens_at(key, "mark", NOW) == after(40)
    assert limits.free(limits.key_of(account, Keys("api", "app")), "mark", after(40)) == MARKS_AT_ONCE


def test_reads_leave_requests_to_marks() -> None:
    """Few at once, and not out of what a window keeps for marks; a read that a mark waits for may use all."""
    limits = RateLimits()
    for _ in range(2):
        assert limits.free(KEY, "list", NOW, RESERVED_FOR_MARKS)
        limits.begin(KEY, "list")
    assert not limits.free(KEY, "list", NOW, RESERVED_FOR_MARKS)
    assert limits.free(KEY, "mark", NOW) == MARKS_AT_ONCE
    for _ in range(2):
        limits.end(KEY, "list", headers(RESERVED_FOR_MARKS, 60), NOW)
    assert not limits.free(KEY, "list", NOW, RESERVED_FOR_MARKS)
    assert limits.free(KEY, "list", NOW)
    assert limits.free(KEY, "mark", NOW) == MARKS_AT_ONCE
    assert limits.free(KEY, "list", after(60), RESERVED_FOR_MARKS)


@pytest.mark.parametrize(
    ("marks", "reads", "found", "expected"),
    [
        pytest.param(0, 0, {}, True, id="nothing is known and nothing in flight"),
        pytest.param(MARKS_AT_ONCE, 0, {}, True, id="marks in flight leave their places to reads"),
        pytest.param(0, 1, {}, True, id="one read in flight"),
        pytest.param(0, 2, {}, False, id="as many reads as there may be"),
        pytest.param(0, 0, headers(RESERVED_FOR_MARKS + 1, 9), True, id="one more than is kept for marks"),
        pytest.param(0, 0, headers(RESERVED_FOR_MARKS, 9), False, id="as many as are kept for marks"),
        pytest.param(1, 0, headers(RESERVED_FOR_MARKS + 1, 9), False, id="a mark in flight uses the last one"),
        pytest.param(0, 1, headers(RESERVED_FOR_MARKS + 1, 9), False, id="a read in flight uses the last one"),
        pytest.param(0, 0, headers(0, 9), False, id="nothing remains"),
    ],
)
def test_when_a_read_may_begin(marks: int, reads: int, found: dict[str, str], *, expected: bool) -> None:
    """Only out of what marks do not need."""
    limits = RateLimits()
    answered(limits, found)
    for call in ["mark"] * marks + ["list"] * reads:
        limits.begin(KEY, call)
    assert (limits.postponed(KEY, "list", NOW, RESERVED_FOR_MARKS) is None) is expected


def test_what_cannot_begin_learns_when() -> None:
    """At the end of a request where some are in flight, else at the end of the window."""
    limits = RateLimits()
    answered(limits, headers(1, 20))
    assert limits.postponed(KEY, "mark", NOW) is None
    limits.begin(KEY, "mark")
    assert limits.postponed(KEY, "mark", NOW) == Result(waits_for=Wait(KEY, "mark"))
    assert limits.postponed(KEY, "list", NOW, 5) == Result(waits_for=Wait(KEY, "list", 5))
    limits.end(KEY, "mark", headers(0, 20), NOW)
    assert limits.postponed(KEY, "mark", NOW) == Result(after(20))


def test_the_end_of_a_request_releases_what_waits_for_it() -> None:
    """As many keys as there is capacity for; all of them where only the end of the window helps."""
    limits, queue = RateLimits(), WorkQueue[ObjectKey](lambda: 0.0)
    keys = [ObjectKey("shop", str(number)) for number in range(3)]
    answered(limits, headers(2, 20))
    limits.begin(KEY, "mark")
    limits.begin(KEY, "mark")
    for key in keys:
        queue.add(key, Priority.NORMAL)
        assert queue.try_take() == key
        queue.wait(key, Wait(KEY, "mark"), Priority.NORMAL)
        queue.done(key)
    limits.admit(queue, NOW)
    assert queue.try_take() is None
    limits.end(KEY, "mark", {}, NOW)
    limits.admit(queue, NOW)
    assert (queue.try_take(), queue.try_take()) == (keys[0], None)
    limits.end(KEY, "mark", headers(0, 20), NOW)
    limits.admit(queue, NOW)
    assert (queue.try_take(), queue.try_take(), queue.try_take()) == (keys[1], keys[2], None)


def test_a_blocked_account_is_not_read() -> None:
    """A 429 holds reads back as it does marks, of this account alone, while no name distinguishes them."""
    limits = RateLimits()
    limits.block(KEY, "mark", after(30))
    assert limits.postponed(KEY, "list", after(29)) == Result(after(30))
    assert limits.postponed(KEY, "list", after(30)) is None
    assert limits.postponed(OTHER, "list", NOW) is None


def test_a_bucket_of_reads_that_is_used_up_holds_no_mark_back() -> None:
    """Datadog limits by name; which name a kind of request has, its first answer shows."""
    limits = RateLimits()
    answered(limits, headers(0, 3500) | {"x-ratelimit-name": "dora_read"}, call="list")
    assert limits.free(KEY, "mark", NOW) == MARKS_AT_ONCE
    answered(limits, headers(599, 60) | {"x-ratelimit-name": "dora_write"})
    limits.block(KEY, "list", after(3500))
    assert limits.free(KEY, "mark", NOW) == MARKS_AT_ONCE
    assert limits.postponed(KEY, "list", NOW) == Result(after(3500))
    answered(limits, headers(0, 60) | {"x-ratelimit-name": "dora_write"})
    assert limits.postponed(KEY, "mark", NOW) == Result(after(60))


def test_the_account_of_a_target() -> None:
    """A Secret is always one of the resource's own namespace."""
    target = Target(by=TargetKind.ID, id="43vkaZNgiso", site=SITE)
    assert account_of("shop", target) == Account(SITE, None)
    with_secret = Target(by=TargetKind.ID, id="43vkaZNgiso", site=SITE, credentials_secret="keys")
    assert account_of("shop", with_secret) == Account(SITE, ObjectKey("shop", "keys"))


def test_what_remains_is_shown_until_the_window_ends() -> None:
    """For metrics: of each site, the least that an account has left."""
    limits = RateLimits()
    own = Keys("own-api", "own-app")
    key = limits.key_of(Account(SITE, None), own)
    answered(limits, headers(5, 20), key=key)
    answered(limits, headers(3, 20), key=OTHER)
    answered(limits, {}, key=THIRD)
    assert limits.remaining(after(5)) == {SITE: 3}
    assert limits.remaining(after(20)) == {}


PERIOD = 60
WINDOW = 10
"""Requests that Datadog accepts in each window."""


@dataclass
class Server:
    """Datadog's side of one account: counts each request of a window when it arrives, answers in any order."""

    limits: RateLimits = field(default_factory=RateLimits)
    now: datetime = NOW
    used: dict[int, int] = field(default_factory=dict)
    in_flight: list[dict[str, str]] = field(default_factory=list)
    refused: int = 0

    def send(self) -> None:
        """Send a request if the limit has capacity."""
        if self.limits.free(KEY, "mark", self.now) == 0:
            return
        self.limits.begin(KEY, "mark")
        seconds = self.now.timestamp()
        window = int(seconds // PERIOD)
        used = self.used[window] = self.used.get(window, 0) + 1
        self.refused += used > WINDOW
        self.in_flight.append(headers(max(0, WINDOW - used), (window + 1) * PERIOD - seconds))
        assert len(self.in_flight) <= MARKS_AT_ONCE

    def answer(self, number: int) -> None:
        """Let one of the requests in flight be answered."""
        if self.in_flight:
            self.limits.end(KEY, "mark", self.in_flight.pop(number % len(self.in_flight)), self.now)


@given(st.lists(st.one_of(st.just("send"), st.integers(0, 7)), max_size=60))
def test_never_more_than_the_window_allows(steps: list[str | int]) -> None:
    """Within one window no request is refused, however the answers come in; and a free account can always send."""
    server = Server()
    server.send()
    server.answer(0)  # the first answer has the limit
    for step in steps:
        if step == "send":
            server.send()
        else:
            server.answer(int(step))
        opens_at = server.limits.opens_at(KEY, "mark", server.now)
        assert server.limits.free(KEY, "mark", server.now) or opens_at is not None or server.in_flight, (
            "waits for nothing"
        )
    assert server.refused == 0
    server.now += timedelta(seconds=PERIOD)
    while server.in_flight:
        server.answer(0)
    assert server.limits.free(KEY, "mark", server.now + timedelta(seconds=PERIOD)) > 0


def test_answers_of_an_old_window_do_not_use_up_the_new_one() -> None:
    """A slow answer is about a window that has ended."""
    limits = RateLimits()
    limits.begin(KEY, "mark")
    answered(limits, headers(9, 60), after(60))
    limits.end(KEY, "mark", headers(0, 0), after(61))
    assert limits.free(KEY, "mark", after(61)) > 0
