"""Who may send next for an account: so many at once, a short line behind them, and nobody forgotten in it."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import Keys
from dora_operator.reconcile.accounts import LINE, Account, Accounts
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster

ACCOUNT = Account("datadoghq.com", None)
OTHER = Account("datadoghq.com", ObjectKey("shop", "keys"))
AT_ONCE = 2


def accounts() -> Accounts:
    """Return accounts with little room."""
    return Accounts(FakeCluster(), Keys("a", "b"), AT_ONCE)


def clock() -> datetime:
    """Return a time that stands still."""
    return NOW


async def entering(made: Accounts, account: Account = ACCOUNT) -> asyncio.Task[bool]:
    """Ask for room, and come as far as that goes at once."""
    task = asyncio.create_task(made.enter(account, clock))
    await asyncio.sleep(0)
    return task


async def test_the_line_is_served_in_its_order() -> None:
    """Two send, others stand ready, one more is sent away; an answer lets the first in line begin."""
    made = accounts()
    sending = [await entering(made) for _ in range(AT_ONCE)]
    line = [await entering(made) for _ in range(LINE)]
    assert all(task.done() and task.result() for task in sending)
    assert not any(task.done() for task in line)
    assert made.admission(ACCOUNT, NOW).count == 0
    assert await (await entering(made)) is False
    made.end(ACCOUNT, {}, NOW)
    await asyncio.sleep(0)
    assert [task.done() for task in line] == [True, *[False] * (LINE - 1)]
    assert made.admission(ACCOUNT, NOW).count == 1
    for _ in range(AT_ONCE + LINE):
        made.end(ACCOUNT, {}, NOW)
        await asyncio.sleep(0)
    assert all(task.result() for task in line)


async def test_a_429_sends_the_line_away() -> None:
    """Who stood ready, even who was just let in by that very answer, sends nothing before the account opens."""
    made = accounts()
    for _ in range(AT_ONCE):
        await entering(made)
    line = [await entering(made) for _ in range(LINE)]
    made.end(ACCOUNT, {}, NOW)  # the 429's own end
    made.close(ACCOUNT, NOW + timedelta(seconds=30), NOW)
    assert [await task for task in line] == [False] * LINE
    made.end(ACCOUNT, {}, NOW)
    assert await made.enter(ACCOUNT, clock) is False
    assert await made.enter(ACCOUNT, lambda: NOW + timedelta(seconds=31)) is True


async def test_the_line_is_no_longer_than_what_remains() -> None:
    """One request remains in the window: one more begins, and nobody stands ready for what is not there."""
    made = accounts()
    headers = {"x-ratelimit-remaining": "2", "x-ratelimit-reset": "20"}
    await entering(made)
    made.end(ACCOUNT, headers, NOW)
    assert [(await entering(made)).done() for _ in range(3)] == [True, True, True]
    assert await (await entering(made)) is False


async def test_who_is_stopped_in_the_line_keeps_no_place() -> None:
    """A cancelled reconcile neither blocks the line nor uses a request up."""
    made = accounts()
    for _ in range(AT_ONCE):
        await entering(made)
    gone, next_one = await entering(made), await entering(made)
    gone.cancel()
    await asyncio.sleep(0)
    made.end(ACCOUNT, {}, NOW)
    assert await next_one is True


async def test_accounts_do_not_wait_for_each_other() -> None:
    """One that is full leaves another as it is."""
    made = accounts()
    for _ in range(AT_ONCE + LINE):
        await entering(made)
    assert await made.enter(OTHER, clock) is True


async def test_however_many_accounts_hang_one_more_goes_on() -> None:
    """When the accounts under way have taken what they may, each other one still gets one request; room comes back."""
    made = Accounts(FakeCluster(), Keys("a", "b"), AT_ONCE, most_in_all=5)
    hanging = [Account("datadoghq.com", ObjectKey("shop", name)) for name in ("one", "two", "three")]
    entered = {account: [await entering(made, account) for _ in range(AT_ONCE + LINE)] for account in hanging}
    assert [sum(not task.done() or task.result() for task in entered[account]) for account in hanging] == [5, 1, 1]
    assert made.admission(hanging[1], NOW).count == 0
    assert made.admission(OTHER, NOW).count == 1
    assert await (await entering(made, OTHER))
    assert made.admission(OTHER, NOW).count == 0
    for account, count in zip(hanging, (5, 1, 1), strict=True):
        for _ in range(count):
            made.end(account, {}, NOW)
            await asyncio.sleep(0)
    assert made.admission(OTHER, NOW).count == AT_ONCE + LINE - 1


async def test_who_is_stopped_when_let_in_gives_the_place_back() -> None:
    """Cancelled between the word and the first step: the account does not lose a place for ever."""
    made = accounts()
    for _ in range(AT_ONCE):
        await entering(made)
    gone, next_one = await entering(made), await entering(made)
    made.end(ACCOUNT, {}, NOW)
    gone.cancel()
    assert await next_one is True


@dataclass
class Crowd:
    """Many who want to send for one account."""

    accounts: Accounts = field(default_factory=accounts)
    waiting: list[asyncio.Task[bool]] = field(default_factory=list)
    in_flight: int = 0

    async def do(self, step: str) -> None:
        """Let one thing happen."""
        if step == "enter":
            self.waiting.append(await entering(self.accounts))
        elif step == "close":
            self.accounts.close(ACCOUNT, NOW + timedelta(seconds=1), NOW)
        elif step == "cancel" and self.waiting:
            self.waiting.pop().cancel()
        elif step in ANSWERS and self.in_flight:
            self.in_flight -= 1
            self.accounts.end(ACCOUNT, ANSWERS[step], NOW)
        for _ in range(4):
            await asyncio.sleep(0)
        self.in_flight += sum(task.result() for task in self.waiting if task.done())
        self.waiting = [task for task in self.waiting if not task.done()]


ANSWERS = {"end": {}, "end with one left": {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "20"}}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["enter", "close", "cancel", *ANSWERS]), max_size=40))
async def test_never_too_many_and_nobody_forgotten(steps: list[str]) -> None:
    """Whatever happens in whatever order: no more than two at once, and in the end everybody has an answer."""
    crowd = Crowd()
    for step in steps:
        await crowd.do(step)
        assert crowd.in_flight <= AT_ONCE
    while crowd.in_flight:
        await crowd.do("end")
    assert crowd.waiting == []
