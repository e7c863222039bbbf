"""Several states of one Rollout, shown since the last decision: none is forgotten for a newer one.

A queue keeps the newest version of a Rollout alone; an abort or a whole revision may have come and gone in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from dora_operator.domain.rollout.decide import decide, marks_first, of_this_rollout
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.verdict import Decision, Kind, Memory, Notice, Policy, Verdict


def decide_in_order(
    observations: Sequence[Observation], records: Iterable[Verdict], policy: Policy, now: datetime, memory: Memory
) -> Decision:
    """Decide about the last of these, as if each before it had been looked at in its time."""
    recorded = list(records)
    known = recorded
    notices: tuple[Notice, ...] = ()
    for passed in observations[:-1]:
        seen = decide(passed, known, policy, now, memory)
        memory = seen.memory
        if not seen.wants_events:  # else it is too early to say: the last one is asked about
            known, notices = [*known, *seen.changes], (*notices, *seen.notices)
    last = decide(observations[-1], known, policy, now, memory)
    before = of_this_rollout(observations[-1], recorded)
    # What failed and recovered since the last decision was never told, and needs no withdrawal.
    verdicts = [each for each in last.verdicts if each.kind is not Kind.RECOVERED or each.identity.key in before]
    changed = [verdict for verdict in verdicts if before.get(verdict.identity.key) != verdict]
    told = tuple(dict.fromkeys((*notices, *last.notices)))
    return replace(last, verdicts=tuple(verdicts), changes=tuple(sorted(changed, key=marks_first)), notices=told)
