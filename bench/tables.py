"""Tables of results. Computes nothing but ratios."""

from rich.table import Table

from bench.aborts import AbortResults, Marks
from bench.faults import Recovery
from bench.idle import Idle
from bench.limited import Limited
from bench.machine import processors
from bench.measure import Result
from bench.relisting import Relisting
from bench.starting import StartAndEnd
from bench.throughput import Speed

TRIGGERS = {"webhook": "webhook on abort", "webhook-once": "webhook on abortedAt"}


def line(result: Result) -> str:
    """Return what was measured, for a line that is printed at once: a slow peer may end a run."""
    ready = "" if result.ready_seconds is None else f"ready after {result.ready_seconds:.1f} s, "
    return (
        f"  {result.name}: {ready}{result.resident_mib:.0f} MiB, change to PATCH p50"
        f" {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms, {result.calls_per_change:.2f} calls and"
        f" {result.writes_per_change:.2f} writes per change"
    )


def abort_table(results: AbortResults) -> Table:
    """Show aborts one by one."""
    table = Table(title="abort visible in the API -> PATCH received (ratios to Argo's webhook on abortedAt)")
    for heading in ("", "p50", "p99", "aborts", "calls per abort", "marked twice", "never marked"):
        table.add_column(heading, justify="left" if not heading else "right")
    once = results.one_by_one[-1]
    for marks in results.one_by_one:
        table.add_row(
            TRIGGERS.get(marks.name, results.name),
            _beside(marks.percentile(50), once.percentile(50), "ms"),
            _beside(marks.percentile(99), once.percentile(99), "ms"),
            str(len(marks.seen)),
            f"{marks.sent / max(1, len(marks.seen)):.2f}",
            str(marks.again),
            str(marks.unmarked),
        )
    return table


def operator_table(results: AbortResults, crowd: int) -> Table:
    """Show what no webhook can be compared with."""
    release, at_once = results.release, results.at_once
    table = Table(title=f"{results.name}: many aborts at once, and a normal release", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row(f"{len(at_once.seen)} of {crowd} abort at once: last abort to last mark", _s(at_once))
    table.add_row("of these marked twice / never marked", f"{at_once.again} / {at_once.unmarked}")
    table.add_row("lists of ReplicaSets per revision, deploy to promotion", f"{release.lists_per_revision:.2f}")
    table.add_row("other reads / writes per Rollout", f"{release.other_reads:.2f} / {release.writes:.2f}")
    table.add_row(f"busy share of {processors()} processors before the run", f"{results.busy_before:.0%}")
    table.add_row("busy share while aborting one by one", f"{results.busy_one_by_one:.0%}")
    return table


def speed_table(speeds: list[Speed], due: int, latency: float) -> Table:
    """Show a backlog."""
    table = Table(title=f"{due} due at once, Datadog answers after {latency * 1000:.0f} ms (ratios to the bare loop's)")
    for heading in ("", "PATCHes/s", "CPU seconds per 1,000", "Kubernetes writes per object"):
        table.add_column(heading, justify="left" if not heading else "right")
    bare = speeds[0]
    for speed in speeds:
        table.add_row(
            speed.name,
            _beside(speed.per_second, bare.per_second, ""),
            _beside(speed.cpu_seconds_per_1000, bare.cpu_seconds_per_1000, "s"),
            "" if speed.writes_per_object is None else f"{speed.writes_per_object:.2f}",
        )
    return table


def _s(marks: Marks) -> str:
    return f"{marks.last_after_seconds:.2f} s"


def settled_table(results: list[Result], count: int, changes: int) -> Table:
    """Show many settled objects."""
    title = f"{count} settled objects, {changes} changes one by one (ratios to the operator's)"
    table = Table(title=title)
    headings = ("", "start to ready", "RSS then", "change to PATCH p50", "p99", "calls and writes per change")
    for heading in headings:
        table.add_column(heading, justify="left" if not heading else "right")
    own = results[0]
    for result in results:
        table.add_row(
            result.name,
            "-" if result.ready_seconds is None else _beside(result.ready_seconds, own.ready_seconds, "s"),
            _beside(result.resident_mib, own.resident_mib, "MiB"),
            _beside(result.p50_ms, own.p50_ms, "ms"),
            _beside(result.p99_ms, own.p99_ms, "ms"),
            f"{result.calls_per_change:.2f}, {result.writes_per_change:.2f}",
        )
    return table


def _beside(value: float, own: float | None, unit: str, digits: int = 1) -> str:
    ratio = f"{value / own:.2f}" if own else "-"
    return f"{value:.{digits}f} {unit} ({ratio})"


def start_line(found: StartAndEnd) -> str:
    """Return what was measured, for a line that is printed at once."""
    return (
        f"  {found.name}: first PATCH after {found.median_first_patch:.2f} s, at worst {max(found.first_patch):.2f} s;"
        f" end {found.median_end:.2f} s after SIGTERM"
    )


def starts_table(found: dict[int, list[StartAndEnd]]) -> Table:
    """Show how soon a process works, and how soon it ends."""
    title = (
        "process start -> first PATCH of a change made before, and SIGTERM -> exit when idle (ratios to the operator's)"
    )
    table = Table(title=title)
    for heading in ("settled objects", "", "first PATCH", "worst", "SIGTERM -> exit", "worst"):
        table.add_column(heading, justify="left" if not heading else "right")
    for count, candidates in found.items():
        own = candidates[0]
        for each in candidates:
            table.add_row(
                str(count),
                each.name,
                _beside(each.median_first_patch, own.median_first_patch, "s", digits=2),
                f"{max(each.first_patch):.2f} s",
                _beside(each.median_end, own.median_end, "s", digits=2),
                f"{max(each.end):.2f} s",
            )
    return table


def faults_table(found: dict[str, list[Recovery]]) -> Table:
    """Show faults, one column for each candidate."""
    table = Table(title="fault -> PATCH of a change that was made 0.2 s after it, in seconds")
    table.add_column("")
    for heading in (*found, "prototype"):
        table.add_column(heading, justify="right")
    for rows in zip(*found.values(), strict=True):
        seconds = [f"{row.seconds:.2f}" for row in rows]
        table.add_row(rows[0].fault, *seconds, f"{rows[0].prototype_seconds:.2f}")
    return table


def long_table(relisting: Relisting, idle: Idle, count: int) -> Table:
    """Show the operator alone, with many settled objects."""
    table = Table(title=f"dora-operator with {count} settled objects", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    during = f"{relisting.changes} changes during {relisting.lists} whole lists"
    table.add_row(f"change to PATCH, {during}: p50", f"{relisting.p50_ms:.1f} ms")
    table.add_row("p99", f"{relisting.p99_ms:.1f} ms")
    table.add_row("restart: writes / calls to Datadog", f"{idle.restart_writes} / {idle.restart_calls}")
    table.add_row(f"idle for {idle.minutes:g} minutes: writes / calls to Datadog", f"{idle.writes} / {idle.calls}")
    table.add_row("CPU, of one processor", f"{idle.cpu_share:.2%}")
    table.add_row("RSS then", f"{idle.resident_mib:.0f} MiB")
    return table


def limited_line(found: Limited) -> str:
    """Return how long a backlog took under a rate limit."""
    return (
        f"{found.count} PATCHes at {found.limit} per {found.period} s: {found.seconds:.1f} s, ideal"
        f" {found.ideal_seconds:.1f} s ({found.seconds / found.ideal_seconds:.2f}), refused with 429: {found.refused}"
    )
