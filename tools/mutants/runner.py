"""Runs in the workspace: collects the tests once, finds out which tests reach which function, and forks per mutant."""

import gc
import io
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest

from tools.mutants.trampoline import Switch, reached

UNIT = (
    "allowed", "crd", "events", "fields", "force_sync", "outcome", "plan",
    "plan_results", "rate_limits", "read_back", "read_schedule", "read_values", "request_bodies", "resource_parsing",
    "retry", "same_target", "status", "status_conditions", "status_fields", "store", "stored", "summary", "targets",
)  # fmt: skip
FLOW = (
    "adoption", "allowed", "coalesced", "deletion", "events", "force_sync", "fuzz", "late", "metrics", "on_missing",
    "rate_limits", "read_back", "read_back_faults", "read_back_links", "reconcile", "rollouts",
)  # fmt: skip
PATHS = (
    *(f"tests/unit/test_{name}.py" for name in UNIT),
    "tests/unit/history",
    "tests/unit/kubectl/test_explain_agrees.py",
    "tests/unit/kubectl/test_marks.py",
    "tests/unit/kubectl/test_backfill.py",
    *(f"tests/flow/test_{name}.py" for name in FLOW),
)
"""The tests of decisions: alone, and in whole reconciles with stand-ins for the API server and Datadog."""
OPTIONS = ("--import-mode=importlib", "--assert=plain", "--tb=native", "-p", "no:cacheprovider")
KILLED, SURVIVED, TIMEOUT, UNREACHED = "killed", "survived", "timeout", "no test"
EXTRA_CPU_SECONDS, TIMES_SLOWER = 5, 5
"""A mutant may take so much longer than the tests took without it; one that takes more loops, and is found."""


@dataclass(eq=False)
class Runner:
    """A plugin of pytest that takes the place of its loop."""

    mutants: Sequence[str]
    seconds: dict[str, float] = field(default_factory=dict)
    reached_by: dict[str, list[pytest.Item]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which tests fail."""
        if report.failed:
            self.failed.append(f"{report.nodeid}\n{report.longreprtext}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note which files cannot be imported."""
        if report.failed:
            self.failed.append(f"{report.nodeid}\n{report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all tests without a mutant, then those of each mutant."""
        self._measure(session.items)
        if not self.failed:
            self._run_mutants()
        return True

    def _measure(self, items: Sequence[pytest.Item]) -> None:
        for item, following in _with_next(items):
            reached.clear()
            began = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self.seconds[item.nodeid] = time.process_time() - began
            for function in reached:
                self.reached_by[function].append(item)
        for reached_by in self.reached_by.values():
            reached_by.sort(key=lambda item: self.seconds[item.nodeid])

    def _run_mutants(self) -> None:
        gc.collect()
        gc.freeze()  # else a collection in a fork copies all memory
        running: dict[int, str] = {}
        for number, mutant in enumerate(self.mutants):
            items = self.reached_by.get(mutant.rpartition("_")[0])
            if not items:
                self.outcomes[mutant] = UNREACHED
                continue
            running[self._fork(mutant, items)] = mutant
            if len(running) >= (os.cpu_count() or 1):
                self._wait(running)
            if number % 100 == 0:
                sys.stderr.write(f"{number} of {len(self.mutants)}\n")
        while running:
            self._wait(running)

    def _wait(self, running: dict[int, str]) -> None:
        process, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        self.outcomes[running.pop(process)] = TIMEOUT if code == -signal.SIGXCPU else KILLED if code else SURVIVED

    def _fork(self, mutant: str, items: Sequence[pytest.Item]) -> int:
        process = os.fork()
        if process == 0:
            try:
                self._run(mutant, items)
            finally:
                os._exit(1)  # a mutant that breaks pytest itself is found, too
        return process

    def _run(self, mutant: str, items: Sequence[pytest.Item]) -> None:
        seconds = sum(self.seconds[item.nodeid] for item in items)
        limit = int(seconds * TIMES_SLOWER) + EXTRA_CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        Switch.on(mutant)
        for item, following in _with_next(items):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                os._exit(1)
        os._exit(0)


def _with_next(items: Sequence[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    return zip(items, [*items[1:], None], strict=True)


def main() -> int:
    """Read mutants from standard input, write what became of each to the given file."""
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=50,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],  # one that fails needs no smallest example
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    runner = Runner([line.strip() for line in sys.stdin])
    with redirect_stdout(io.StringIO()) as output:
        code = pytest.main([*OPTIONS, *PATHS], plugins=[runner])
    if code is not pytest.ExitCode.OK or runner.failed:
        sys.stderr.write("\n".join([output.getvalue(), *runner.failed, "All tests have to pass without a mutant.\n"]))
        return 1
    Path(sys.argv[1]).write_text(json.dumps(runner.outcomes), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
