"""The health checks for Argo CD and Flux over every state that the operator can write. No cluster needed."""

import re
from pathlib import Path

import pytest
import yaml

from dora_operator.domain.read_schedule import APPLIED
from dora_operator.domain.reasons import Reason
from dora_operator.domain.status import Phase
from tests.support.gitops import GITOPS, HEALTH_KEY, argo_health, flux_checks, flux_health, kstatus
from tests.support.health import WRITTEN, State, states

DOCS = Path(__file__).parents[2] / "docs"
PHASES = {"Ready, Accepted": Phase.READY, "": Phase.HELD, "Reconciling": Phase.WORKING, "Stalled": Phase.STALLED}
"""The reference's column *Condition that is true*, as a phase."""
STATES = [pytest.param(state, id=state.name) for state in states()]


@pytest.mark.parametrize("state", STATES)
def test_argo_cd_shows_the_right_health(state: State) -> None:
    """By the Lua that users add to argocd-cm."""
    assert argo_health(state.body)[0] == state.argo


@pytest.mark.parametrize("state", STATES)
def test_flux_sees_the_right_status(state: State) -> None:
    """By the CEL expressions of the example."""
    assert flux_health(state.body) == state.flux


@pytest.mark.parametrize("state", STATES)
def test_kstatus_sees_the_right_status(state: State) -> None:
    """By its generic rules, for tools without a check of their own."""
    assert kstatus(state.body) == state.kstatus


def test_argo_cd_shows_the_reason_and_its_message() -> None:
    """People see in the user interface what to do."""
    body = next(state.body for state in states() if state.name.startswith("Forbidden"))
    assert argo_health(body)[1] == "Forbidden: in words: Forbidden"


def test_an_object_without_status_is_progressing() -> None:
    """A CRD without defaults, as in a preview of Argo CD's."""
    body = {name: value for name, value in states()[0].body.items() if name != "status"}
    assert argo_health(body)[0] == "Progressing"


OF_OVERRIDDEN = {Reason.SPEC_WINS, Reason.FOLLOWS_ROLLOUT}
UNREAD = {Reason.PENDING, Reason.DISABLED, Reason.READ_FORBIDDEN, Reason.READ_UNAVAILABLE}
OF_OTHER_CONDITIONS = OF_OVERRIDDEN | UNREAD | APPLIED | {Reason.NOT_EVALUATED, Reason.FIELDS_NOT_RETURNED}


def test_every_reason_of_ready_has_a_health() -> None:
    """A new reason needs a decision: what do Argo CD and Flux show?"""
    assert {reason for reason, _ in WRITTEN} == set(Reason) - OF_OTHER_CONDITIONS


@pytest.mark.parametrize("reason", sorted({reason.value for reason, _ in WRITTEN}))
def test_reasons_have_the_phases_of_the_reference(reason: str) -> None:
    """The table of states and docs/reference/reasons.md agree on which condition is true."""
    text = (DOCS / "reference" / "reasons.md").read_text(encoding="utf-8")
    found = re.search(rf"(?m)^\| `{reason}` \|([^|]*)\|", text)
    assert found is not None
    said = {PHASES[part.split(" after ")[0].strip()] for part in found[1].split(";")}
    assert said == {phase for known, phase in WRITTEN if known.value == reason}


def test_the_config_map_has_the_lua_of_the_file() -> None:
    """Users patch argocd-cm with one, people and tests read the other."""
    patch = yaml.safe_load((GITOPS / "argo-cd" / "argocd-cm.yaml").read_text(encoding="utf-8"))
    assert patch["data"] == {HEALTH_KEY: (GITOPS / "argo-cd" / "health.lua").read_text(encoding="utf-8")}


def test_the_page_on_flux_has_the_expressions_of_the_file() -> None:
    """They are copied from the page, and tested from the file."""
    text = (DOCS / "how-to" / "flux.md").read_text(encoding="utf-8")
    blocks = [found for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", text) for found in yaml.safe_load_all(block)]
    (page,) = [found["spec"]["healthCheckExprs"] for found in blocks if "healthCheckExprs" in found["spec"]]
    assert page == [flux_checks()]
