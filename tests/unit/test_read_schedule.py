"""When the state that Datadog has accepted is read back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dora_operator.domain.read_back import Read, evaluate
from dora_operator.domain.read_schedule import MAX_READS, next_read, reads_due
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus, ReadBack
from dora_operator.domain.stored import ReadProblem, Stored
from dora_operator.settings import Settings
from tests.support.builders import NOW, TARGET, UNAVAILABLE, after, read_status, stored

SCHEDULE = (30.0, 120.0, 600.0, 3600.0, 86400.0)
FOREVER = timedelta(days=400)


def dues(status: DoraDeploymentStatus, **known: Any) -> list[float]:
    """Return when one process reads a status that stays as it is, in seconds after the acceptance."""
    times: list[datetime] = []
    while len(times) < 50:
        last = times[-1] if times else None
        due = next_read(status, SCHEDULE, **({"led_until": NOW, "last_read": last} | known))
        if due is None:
            break
        times.append(due)
    return [(each - NOW).total_seconds() for each in times]


CREATE_AFTER = 900.0
MISSING = [*SCHEDULE, 172_800.0]


@pytest.mark.parametrize(
    ("reason", "create_after", "expected"),
    [
        pytest.param(None, None, [*SCHEDULE], id="not read yet"),
        pytest.param(Reason.NOT_APPLIED, None, MISSING, id="not applied: what is sent again is read, too"),
        pytest.param(Reason.NOT_EVALUATED, None, [*SCHEDULE], id="not evaluated"),
        pytest.param(Reason.AMBIGUOUS, CREATE_AFTER, [*SCHEDULE], id="ambiguous"),
        pytest.param(Reason.READ_UNAVAILABLE, None, [*SCHEDULE], id="unavailable"),
        pytest.param(Reason.READ_BACK, CREATE_AFTER, [86_400.0], id="equal: the last one alone"),
        pytest.param(Reason.CHANGED_IN_DATADOG, None, [86_400.0], id="changed: the last one alone"),
        pytest.param(Reason.RECOVERY_NEGATIVE, None, [86_400.0], id="negative: the last one alone"),
        pytest.param(Reason.DEPLOYMENT_MISSING, None, MISSING, id="missing: once more, a day later"),
        pytest.param(
            Reason.DEPLOYMENT_MISSING,
            CREATE_AFTER,
            [30.0, 120.0, 600.0, 900.0, 3600.0, 86_400.0, 172_800.0],
            id="missing with Create: when its event may be posted, too",
        ),
    ],
)
def test_the_schedule(reason: Reason | None, create_after: float | None, expected: list[float]) -> None:
    """30 s, 2 min, 10 min, 1 h and 24 h after the 202, then none, for ever."""
    assert dues(read_status(reason), create_after=create_after) == expected


def test_the_schedule_is_the_settings_default() -> None:
    """The tests here and the operator mean the same times."""
    assert Settings().read_back_schedule == SCHEDULE


@pytest.mark.parametrize("fields", [{"accepted": None}, {"accepted_time": None}], ids=["no state", "no time"])
def test_nothing_is_read_of_what_was_not_accepted(fields: dict[str, Any]) -> None:
    """There is nothing to compare with."""
    assert next_read(read_status(**fields), SCHEDULE, led_until=NOW) is None


@pytest.mark.parametrize(
    ("reason", "led_until", "expected"),
    [
        pytest.param(None, 4000.0, 30.0, id="nothing was ever read"),
        pytest.param(Reason.READ_FORBIDDEN, 400_000.0, 30.0, id="it could not be read, for lack of a permission"),
        pytest.param(Reason.READ_UNAVAILABLE, 90_000.0, None, id="all reads were made, without success"),
        pytest.param(Reason.READ_BACK, 80_000.0, 86_400.0, id="the last read is to come"),
        pytest.param(Reason.READ_BACK, 86_459.0, 86_400.0, id="the last read was due shortly before the end"),
        pytest.param(Reason.READ_BACK, 86_461.0, None, id="the last read was made"),
        pytest.param(Reason.DEPLOYMENT_MISSING, 4000.0, 86_400.0, id="four reads of a missing one were made"),
        pytest.param(Reason.NOT_APPLIED, 44.0, 30.0, id="the first read was due less than 15 s before the end"),
        pytest.param(Reason.NOT_APPLIED, 45.0, 120.0, id="the first read was due 15 s before the end: half its wait"),
        pytest.param(Reason.NOT_APPLIED, 164.0, 120.0, id="the second was due less than 45 s before the end"),
        pytest.param(Reason.NOT_APPLIED, 165.0, 600.0, id="the second was due 45 s before the end: half its wait"),
    ],
)
def test_what_an_earlier_process_has_read(reason: Reason | None, led_until: float, expected: float | None) -> None:
    """A read that shows no change is not written: what was due while the earlier process led counts as made."""
    due = next_read(read_status(reason), SCHEDULE, led_until=after(led_until))
    assert ((due - NOW).total_seconds() if due is not None else None) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(31, 120.0, id="after the first was due"),
        pytest.param(120, 600.0, id="when the second was due"),
        pytest.param(-1, 30.0, id="before the acceptance: of an earlier state"),
    ],
)
def test_a_read_in_status_counts_as_made(seconds: float, expected: float) -> None:
    """Its time shows that a read was made after a time was due, whatever process made it."""
    found = read_status(Reason.NOT_APPLIED, read_back=ReadBack(time=after(seconds), id="deployment-one"))
    assert next_read(found, SCHEDULE, led_until=NOW) == after(expected)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, 0), (29, 0), (30, 1), (125, 2), (3600, 4), (86_399, 4), (86_400, 5), (900_000, 5)]
)
def test_the_number_of_a_read_is_how_many_were_due(seconds: float, expected: int) -> None:
    """A read that is late stands for those before it: a mark found not applied then is sent again."""
    assert reads_due(read_status(), SCHEDULE, after(seconds)) == expected


@dataclass
class Lives:
    """Processes one after the other that read one accepted state; each writes what is new, and nothing else."""

    answer: Callable[[datetime], Stored | ReadProblem]
    create_after: float | None = None

    def run(self, ends: list[tuple[float, float]]) -> list[float]:
        """Return when it was read, in seconds; `ends` are when each process ends, and how long none runs after it."""
        status, target, reads, begins, led_until = read_status(), TARGET, [], NOW, NOW
        for alive, down in [*ends, (FOREVER.total_seconds(), 0.0)]:
            ends_at, last, now = begins + timedelta(seconds=alive), None, begins
            while True:
                due = next_read(status, SCHEDULE, led_until=led_until, last_read=last, create_after=self.create_after)
                if due is None or max(due, now) >= ends_at:
                    break
                last = now = max(due, now)
                reads.append((now - NOW).total_seconds())
                read = Read(reads_due(status, SCHEDULE, now), now, created=NOW)
                finding = evaluate(self.answer(now), target, status, read)
                target = finding.target
                status = read_status(finding.verification.reason, read_back=finding.read_back)
            begins, led_until = ends_at + timedelta(seconds=down), ends_at
        return reads


ANSWERS: dict[str, Callable[[datetime], Stored | ReadProblem]] = {
    "equal": lambda _: (stored(),),
    "missing": lambda _: (),
    "not applied": lambda _: (stored(change_failure=False),),
    "null": lambda _: (stored(change_failure=None),),
    "ambiguous": lambda _: (stored(), stored("two")),
    "an outage": lambda _: UNAVAILABLE,
    "an outage of ten minutes": lambda now: UNAVAILABLE if now < after(600) else (stored(),),
    "missing for an hour": lambda now: () if now < after(3600) else (stored(change_failure=False),),
}
CALM = {
    "equal": [30.0, 86_400.0],
    "missing": MISSING,
    "not applied": MISSING,
    "missing for an hour": MISSING,
    "an outage of ten minutes": [30.0, 120.0, 600.0, 86_400.0],
}
DUE = {*MISSING, CREATE_AFTER}


@pytest.mark.parametrize("name", ANSWERS)
def test_one_process_reads_by_the_schedule(name: str) -> None:
    """At most seven reads of an accepted state, one of them what the last of the schedule has sent again."""
    assert Lives(ANSWERS[name]).run([]) == CALM.get(name, [*SCHEDULE])


@given(
    name=st.sampled_from(sorted(ANSWERS)),
    create_after=st.sampled_from([None, CREATE_AFTER]),
    ends=st.lists(st.tuples(st.integers(1, 400_000), st.integers(0, 100_000)), max_size=8),
)
@example("equal", None, [(86_300, 600)])
@example("an outage", None, [(700_000, 1)] * 8)
@example("missing", None, [(3500, 500)])
def test_a_restart_neither_forgets_a_read_nor_adds_one(
    name: str, create_after: float | None, ends: list[tuple[float, float]]
) -> None:
    """Each due time is served once: at the time, or when a process runs again; several that passed, by one read.

    The exception is a process that ends within a minute after a read was due: whether it was made is not known.
    """
    alive_until, is_clear = 0.0, True
    down: list[tuple[float, float]] = []
    for alive, pause in ends:
        alive_until += alive
        is_clear &= not any(0 <= alive_until - each <= 60 for each in DUE)
        down.append((alive_until, alive_until + pause))
        alive_until += pause
    reads = Lives(ANSWERS[name], create_after).run(ends)
    assert len(set(reads)) == len(reads)
    if not is_clear:
        return
    assert len(reads) <= MAX_READS
    calm = Lives(ANSWERS[name], create_after).run([])
    expected = {next((end for start, end in down if start <= each < end), each) for each in calm}
    if name in {"equal", "missing", "not applied", "null", "ambiguous", "an outage"}:  # else news come later
        assert reads == sorted(expected)
