"""A watch with a real kopf: the first list, what happens during lists, kinds and namespaces, the end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dora_operator.clients.lists import Page
from dora_operator.reconcile.changes import DeploymentEvents, WorkloadEvents
from dora_operator.store import DeploymentStore, WorkloadStore
from dora_operator.watch import kopf_run
from dora_operator.watch import watch as watch_module
from dora_operator.watch.health import WatchHealth
from dora_operator.workqueue import WorkQueue
from tests.support.watching import NOW, Cluster, FakeSink, change_is_seen, eventually, opened_cluster


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Return an API server, and the login to it."""
    async with opened_cluster(tmp_path, monkeypatch) as opened:
        yield opened


async def test_a_list_and_what_changes(cluster: Cluster) -> None:
    """The first list is the operator's own; kopf reports the rest."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    async with cluster.watching(cluster.build(sink)) as watch:
        assert sink.calls == ["listed a", "whole list"]
        cluster.server.apply("rollouts", "b")
        cluster.server.apply("rollouts", "a")
        await eventually(lambda: "reported a" in sink.calls)
        cluster.server.delete("rollouts", "a")
        await eventually(lambda: sink.names() == ["b"])
        assert cluster.restarts() == 0
        assert watch.health.problem == ""
        assert watch.health.not_ready() is None
        assert watch.health.not_alive() is None
    assert cluster.server.asked["kopf list"] == cluster.server.asked["list"] == 1


async def test_a_label_selector(cluster: Cluster) -> None:
    """The API server selects for lists and watches: an object that loses the label is reported as deleted."""
    async with cluster.watching(cluster.build(FakeSink(), selector="team=shop")):
        assert set(cluster.server.selectors) == {
            ("check", ""), *((asked, "team=shop") for asked in ("kopf list", "list", "watch"))
        }  # fmt: skip


def test_silence() -> None:
    """Neither events, nor answers, nor failures for two minutes: only a new process helps."""
    now = 0.0
    health = WatchHealth("Rollouts", lambda: now)
    now = 100
    health.failed("kopf", "no connection")
    now = 220
    assert health.not_alive() is None
    now = 221
    assert health.not_alive() == "the watch of Rollouts is silent since 121 s"
    assert health.silent_seconds == 121


def test_too_many_threads_that_hang() -> None:
    """Only a new process helps."""
    health = WatchHealth("Rollouts", lambda: 0.0, hanging=3)
    assert health.not_alive() is None
    health.hanging = 4
    assert health.not_alive() == "the watch of Rollouts has left 4 threads that do not end"


def test_a_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is met, and so is its end."""
    caplog.set_level("INFO")
    health = WatchHealth("Rollouts", lambda: 0.0)
    assert not health.works("kopf")
    for problem in ("refused", "broken", "refused"):
        health.failed("kopf", problem)
    health.failed("list", "refused")
    assert health.not_ready() == "Rollouts are not listed yet: refused; refused"
    assert [health.works(part) for part in ("kopf", "kopf", "list")] == [True, False, True]
    health.failed("kopf", "refused")
    expected = ["not watched now: refused", "not watched now: broken", "watched again", "not watched now: refused"]
    assert [record.message.removeprefix("Rollouts are ") for record in caplog.records] == expected


# Lists


async def test_what_happens_during_a_list(cluster: Cluster) -> None:
    """What was deleted does not come back, what is younger than the list stays, and what was reported is not new."""
    sink = FakeSink()
    for name in "abc":
        cluster.server.apply("rollouts", name)
    cluster.server.page_size, cluster.server.before_page = 1, asyncio.Event()
    async with cluster.watching(cluster.build(sink), ready=False):
        await eventually(lambda: cluster.server.asked["continue"] == 1 and cluster.server.watches("rollouts"))
        cluster.server.delete("rollouts", "b")
        cluster.server.apply("rollouts", "c")
        cluster.server.apply("rollouts", "young")
        cluster.server.apply("rollouts", "short")
        cluster.server.delete("rollouts", "short")
        await eventually(lambda: sink.calls[-1:] == ["deleted short"])
        cluster.server.before_page.set()
        await eventually(lambda: "whole list" in sink.calls)
        assert sink.calls == [
            "listed a", "reported c", "reported young", "reported short", "deleted short", "whole list"
        ]  # fmt: skip
        assert sink.names() == ["a", "c", "young"]


async def test_versions_older_than_the_list(cluster: Cluster) -> None:
    """The watch of kopf starts before the list, and repeats what the list already shows: that is not new."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    with cluster.server.refusing(500, "watch"):
        with cluster.server.refusing(500, "list"):
            running = cluster.watching(cluster.build(sink), ready=False)
            watch = await running.__aenter__()
            await eventually(lambda: cluster.server.asked["kopf list"] == 1 and watch.health.problem)
            assert "answered 500" in str(watch.health.not_ready())
            cluster.server.apply("rollouts", "a")
            cluster.server.apply("rollouts", "a")
            cluster.server.apply("rollouts", "short")
            cluster.server.delete("rollouts", "short")
        await eventually(lambda: "whole list" in sink.calls)
    await change_is_seen(cluster, sink)
    await eventually(lambda: sink.names() == ["a", "more", "news"])
    assert [one for one in sink.calls if one.endswith(" a")] == ["listed a"]
    await running.__aexit__(None, None, None)


async def test_a_list_of_what_is_stored(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bodies are not parsed: ten thousand would stop the event loop. A page with a change is."""
    sink = FakeSink()
    parsed: list[int] = []
    items = Page.items.fget
    assert items is not None
    for name in "abcd":
        cluster.server.apply("rollouts", name)
    cluster.server.page_size = 2
    async with cluster.watching(cluster.build(sink)) as watch:
        monkeypatch.setattr(Page, "items", property(lambda page: parsed.append(len(page.versions)) or items(page)))
        await watch.refresh()
        assert parsed == []
        cluster.server.withholds = True
        cluster.server.apply("rollouts", "c")
        await watch.refresh()
        assert parsed == [2]
        assert sink.calls[-2:] == ["listed c", "whole list"]


async def test_a_list_that_expires(cluster: Cluster) -> None:
    """A further page is answered with 410: the list begins again."""
    sink = FakeSink()
    for name in "abc":
        cluster.server.apply("rollouts", name)
    cluster.server.page_size = 1
    with cluster.server.refusing(410, "continue", times=1):
        async with cluster.watching(cluster.build(sink)):
            assert sink.calls == ["listed a", "listed b", "listed c", "whole list", "recovered"]


async def test_kopf_lists_again_during_a_list(cluster: Cluster) -> None:
    """The list of the next run of kopf finds what happened before it."""
    sink = FakeSink()
    for name in "ab":
        cluster.server.apply("rollouts", name)
    cluster.server.page_size, cluster.server.before_page = 1, asyncio.Event()
    async with cluster.watching(cluster.build(sink), ready=False):
        await eventually(lambda: cluster.server.asked["continue"] and cluster.server.watches("rollouts"))
        cluster.server.withholds = True
        cluster.server.delete("rollouts", "a")
        cluster.server.withholds = False
        cluster.server.compact()
        cluster.server.send_error(410)
        await eventually(lambda: cluster.server.asked["kopf list"] > 1)
        cluster.server.oldest = 0
        cluster.server.before_page.set()
        await eventually(lambda: sink.calls.count("whole list") == 2)
        assert sink.names() == ["b"]
        assert cluster.restarts() == 0


@pytest.mark.parametrize("how", ["the seam is gone", "the server ignores the selector"])
async def test_kopf_lists_everything(cluster: Cluster, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the emptied first list the result is the same. What kopf lists counts as listed, not as a change."""
    sink = FakeSink()
    for number in range(30):
        cluster.server.apply("rollouts", f"r{number}")
    if how == "the seam is gone":
        monkeypatch.setattr(kopf_run, "NO_OBJECTS", {})
    cluster.server.ignores_fields = how == "the server ignores the selector"
    async with cluster.watching(cluster.build(sink)):
        await eventually(lambda: len(sink.names()) == 30)
        assert not [one for one in sink.calls if one.startswith("reported")]
        cluster.server.withholds = True
        cluster.server.delete("rollouts", "r7")
        cluster.server.compact()
        cluster.server.withholds = False
        cluster.server.send_error(410)
        await change_is_seen(cluster, sink)
        await eventually(lambda: len(sink.names()) == 31 and "r7" not in sink.names())


# Kinds and namespaces


async def test_rollouts_that_are_installed_later(cluster: Cluster) -> None:
    """Absent Rollouts are as good as none: the operator is ready."""
    sink = FakeSink()
    cluster.server["rollouts"].installed = False
    async with cluster.watching(cluster.build(sink), ready=False) as watch:
        await eventually(lambda: sink.calls == ["not installed"])
        assert watch.health.absent
        assert watch.health.not_ready() is None
        watch.health.answered_at -= 1000
        await eventually(lambda: watch.health.not_alive() is None)
        cluster.server["rollouts"].installed = True
        cluster.server.apply("rollouts", "a")
        await eventually(lambda: "whole list" in sink.calls and cluster.server.watches("rollouts"))
        assert not watch.health.absent
        await change_is_seen(cluster, sink)
        assert cluster.restarts() == 0


async def test_doradeployments_that_are_installed_later(cluster: Cluster) -> None:
    """Without its own kind the operator is not ready."""
    sink = FakeSink()
    cluster.server["doradeployments"].installed = False
    async with cluster.watching(cluster.build(sink, "doradeployments"), ready=False) as watch:
        await eventually(lambda: "not installed" in sink.calls)
        assert watch.health.not_ready() == "DoraDeployments are not listed yet: their CRD is not installed"
        cluster.server["doradeployments"].installed = True
        await eventually(lambda: watch.health.not_ready() is None and cluster.server.watches("doradeployments"))
        await change_is_seen(cluster, sink, plural="doradeployments")


async def test_a_kind_that_is_removed_and_installed_again(cluster: Cluster) -> None:
    """Its objects are dropped, even if the watch did not report that they were deleted."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    async with cluster.watching(cluster.build(sink)) as watch:
        cluster.server.withholds = True
        cluster.server.remove("rollouts")
        cluster.server.withholds = False
        await eventually(lambda: sink.calls[-2:] == ["deleted a", "not installed"])
        assert watch.health.absent
        cluster.server["rollouts"].installed = True
        cluster.server.apply("rollouts", "a")
        await eventually(lambda: sink.names() == ["a"] and cluster.server.watches("rollouts"))
        await change_is_seen(cluster, sink)


async def test_a_kind_that_is_installed_again_at_once(cluster: Cluster) -> None:
    """Before it counts as removed. No kopf is started meanwhile: it would not find the kind, and wait for ever."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "old")
    async with cluster.watching(cluster.build(sink)):
        cluster.server.withholds = True
        cluster.server.remove("rollouts")
        asked = cluster.server.asked["check"]
        await eventually(lambda: cluster.server.asked["check"] > asked)
        cluster.server.withholds = False
        cluster.server["rollouts"].installed = True
        cluster.server.compact()
        await change_is_seen(cluster, sink)
        await eventually(lambda: sink.names() == ["more", "news"])


async def test_two_namespaces(cluster: Cluster) -> None:
    """One watch each; neither drops nor reports what belongs to the other."""
    sinks = {name: FakeSink() for name in ("shop", "bank")}
    for name in sinks:
        cluster.server.apply("rollouts", "a", name)
    cluster.server.apply("rollouts", "a", "elsewhere")
    shop, bank = (cluster.build(sink, namespace=name) for name, sink in sinks.items())
    async with cluster.watching(shop), cluster.watching(bank):
        cluster.server.send_error(500)
        for name in (*sinks, "elsewhere"):
            cluster.server.apply("rollouts", f"of-{name}", name)
        await eventually(lambda: all(f"of-{name}" in sink.names() for name, sink in sinks.items()))
        await eventually(lambda: cluster.server.watches("rollouts") == 2)
        for name in ("elsewhere", *sinks):
            cluster.server.apply("rollouts", f"of-{name}", name)
        await eventually(lambda: all(f"reported of-{name}" in sink.calls for name, sink in sinks.items()))
        assert [sink.names() for sink in sinks.values()] == [["a", "of-shop"], ["a", "of-bank"]]
        assert shop.health.what == "Rollouts in shop"


@pytest.mark.parametrize("status", [403, 404])
async def test_a_namespace_that_cannot_be_listed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """After some time the others do not wait for it. It is tried again, and listed when that is possible."""
    monkeypatch.setattr(watch_module, "SKIP_SECONDS", 0.3)
    monkeypatch.setattr(watch_module, "MISS_SECONDS", 0.1)
    sink = FakeSink()
    cluster.server.apply("doradeployments", "a")
    with cluster.server.refusing(status, "check") as refusal:
        async with cluster.watching(cluster.build(sink, "doradeployments", "shop"), ready=False) as watch:
            await eventually(lambda: cluster.server.asked["check"] >= 2)
            assert watch.health.not_ready() is not None
            await eventually(lambda: "without shop" in sink.calls)
            assert (watch.health.not_ready() is None) == (status == 403)
            assert cluster.skipped() == 1
            refusal.times = 0
            await eventually(lambda: sink.names() == ["a"])
            await change_is_seen(cluster, sink, "doradeployments")
            assert cluster.skipped() == 0
            assert sink.calls.count("without shop") == 1


def test_work_begins_without_a_namespace_that_cannot_be_listed() -> None:
    """But not without any list: the older of two rivals is not known then."""
    changes = build_changes("shop", "bank")
    changes.skipped("bank")
    assert not changes.all_listed.is_set()
    changes.listed("shop", served=True)
    assert changes.all_listed.is_set()
    other = build_changes("shop", "bank")
    other.skipped("bank")
    other.skipped("shop")
    assert not other.all_listed.is_set()
    other.listed("bank", served=True)
    assert other.all_listed.is_set()


def build_changes(*namespaces: str) -> DeploymentEvents:
    """Return what receives the DoraDeployments of some namespaces."""
    workloads = WorkloadEvents(WorkloadStore(), WorkQueue(lambda: 0.0), lambda: NOW)
    store = DeploymentStore(lambda _: [])
    return DeploymentEvents(store, WorkQueue(lambda: 0.0), workloads, lambda: NOW, set(namespaces))


async def test_the_whole_cluster_is_never_skipped(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any list there is nothing to go on with."""
    monkeypatch.setattr(watch_module, "SKIP_SECONDS", 0.0)
    sink = FakeSink()
    with cluster.server.refusing(403, "check"):
        async with cluster.watching(cluster.build(sink), ready=False):
            await eventually(lambda: cluster.server.asked["check"] > 3)
    assert sink.calls == []


async def test_an_api_server_that_does_not_know_its_kinds_yet(cluster: Cluster) -> None:
    """One 404 after a break drops nothing."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    async with cluster.watching(cluster.build(sink)):
        with cluster.server.refusing(404, "check", times=1):
            cluster.server.send_error(500)
            await eventually(lambda: cluster.server.asked["check"] == 2)
            await change_is_seen(cluster, sink)
        assert "deleted a" not in sink.calls
        assert "not installed" not in sink.calls


async def test_kopf_does_not_find_the_kind(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery may know a kind later than the list does. kopf would wait for ever, and is replaced."""
    monkeypatch.setattr(kopf_run, "UNSERVED_SECONDS", 0.1)
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    with cluster.server.refusing(404, "discovery", times=2):
        async with cluster.watching(cluster.build(sink), ready=False):
            await change_is_seen(cluster, sink)
    assert cluster.restarts() >= 1


async def test_a_refresh(cluster: Cluster) -> None:
    """It lists now, and ends when what the watch does not report is stored; a failure only takes longer."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)) as watch:
        cluster.server.withholds = True
        cluster.server.apply("rollouts", "missed")
        with cluster.server.refusing(500, "list", times=2):
            await watch.refresh()
        assert sink.names() == ["missed"]
        assert cluster.restarts() == 0


async def test_a_refresh_has_a_limit(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new leader begins even if nothing can be listed."""
    monkeypatch.setattr(watch_module, "REFRESH_SECONDS", 0.2)
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)) as watch:
        for status in (500, 403, 404):
            with cluster.server.refusing(status, "list"):
                await watch.refresh()
        await change_is_seen(cluster, sink)


@pytest.mark.parametrize("refused", ["check", "list", "kopf list"])
async def test_a_missing_permission_at_the_start(cluster: Cluster, refused: str) -> None:
    """Readiness shows it, and it is tried again."""
    sink = FakeSink()
    cluster.server.apply("rollouts", "a")
    with cluster.server.refusing(403, refused) as refusal:
        async with cluster.watching(cluster.build(sink), ready=False) as watch:
            await eventually(lambda: "answered 403" in watch.health.problem)
            if refused != "kopf list":
                assert "Rollouts are not listed yet" in str(watch.health.not_ready())
            else:
                await eventually(lambda: sink.names() == ["a"])
            cluster.server.apply("rollouts", "b")
            refusal.times = 0
            await eventually(lambda: sink.names() == ["a", "b"] and watch.health.problem == "")
            await change_is_seen(cluster, sink)


# The end


async def test_the_end_of_a_watch(cluster: Cluster) -> None:
    """The thread of kopf is over, and nothing reaches the sink any more."""
    sink = FakeSink()
    async with cluster.watching(cluster.build(sink)) as watch:
        (run,) = watch._runs
        await eventually(lambda: cluster.server.watches("rollouts"))
    assert not run.thread.is_alive()
    calls = list(sink.calls)
    run._in_main(run.receive, "ADDED", cluster.server.apply("rollouts", "late"))
    await asyncio.sleep(0)
    assert sink.calls == calls
    assert cluster.restarts() == 0
