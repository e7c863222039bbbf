"""Shell completion: which candidates a line gets, and that it never fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_dora import complete
from kubectl_dora.complete import FILES, NO_FILES
from kubectl_dora.main import app
from tests.support.small_cluster import DORA, ROLLOUTS, SmallCluster, listed, serving

COMMANDS = sorted(name for name, command in app.commands.items() if not command.hidden)
ITEM = {"metadata": {"name": "checkout", "uid": "a", "namespace": "shop"}}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["ex"], ["explain", NO_FILES], id="a command"),
        pytest.param([""], [*COMMANDS, NO_FILES], id="nothing yet"),
        pytest.param([], [*COMMANDS, NO_FILES], id="no word at all"),
        pytest.param(["doctor", "--lo"], ["--local", NO_FILES], id="a flag"),
        pytest.param(["doctor", "--req"], ["--request-timeout", NO_FILES], id="a flag of every command"),
        pytest.param(["--kubec"], ["--kubeconfig", NO_FILES], id="a flag before the command"),
        pytest.param(["explain", "-o", "j"], ["json", NO_FILES], id="a value after its flag"),
        pytest.param(["mark", "--dry-run", ""], ["none", "client", "server", NO_FILES], id="a choice"),
        pytest.param(["doctor", "--kubeconfig", ""], [FILES], id="a file"),
        pytest.param(["report", "x"], [NO_FILES], id="no argument"),
    ],
)
def test_what_is_known_is_completed_at_once(words: list[str], expected: list[str]) -> None:
    """Without a cluster, from the definitions of the commands."""
    assert complete.candidates(words) == expected


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCluster]:
    """Return a cluster with one Rollout and one DoraDeployment."""
    with serving(tmp_path) as serving_cluster:
        monkeypatch.setenv("KUBECONFIG", str(serving_cluster.kubeconfig))
        found = listed(ITEM)
        serving_cluster.answers |= {ROLLOUTS: found, DORA: found, "/api/v1/namespaces": found}
        yield serving_cluster


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["explain", ""], ["rollout/checkout", "checkout"], id="an object"),
        pytest.param(["explain", "c"], ["checkout"], id="the beginning of a name"),
        pytest.param(["-n", "shop", "mark", ""], ["rollout/checkout"], id="a Rollout"),
        pytest.param(["report", "-n", ""], ["checkout"], id="a namespace"),
        pytest.param(["report", "--context", ""], ["home", "away"], id="a context"),
        pytest.param(["--context", "away", "explain", ""], [], id="of a cluster that does not answer"),
    ],
)
def test_the_rest_is_asked_of_the_cluster(cluster: SmallCluster, words: list[str], expected: list[str]) -> None:
    """Of the one that the flags before the word name."""
    assert complete.candidates(words) == [*expected, NO_FILES]


def test_no_cluster_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error."""
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    assert complete.candidates(["explain", ""]) == [NO_FILES]
    assert complete.candidates(["explain", "--context", ""]) == [NO_FILES]
