"""What a workload did, kept for good: observations in, a history out, and verdicts from the history alone.

    observation = observe(rollout, replica_sets)                    # domain.sources: raw objects -> one Observation
    after = advance(history, observation, now, policy)              # the history, with what the observation adds
    for verdict in verdicts(after, policy): ...                     # what Datadog should know, and which row it means
    for skipped in notes(history, after): ...                       # what a person should know, once

Modules, each using only those before it: `identity`, `history` (the model), `observation`, `rollback` (Datadog's own
rule), `advance`, `verdicts`. None knows a kind of workload.

One revision: it begins when an observation shows it as the current one (InFlight); a level ends it (Promoted, Aborted)
or the next revision does (Undone, Superseded). A failure is written beside it at that moment, and the promotion that
ends the failure is written into it. Nothing is read from the past but the history, so pruned ReplicaSets, restarts and
observations that came late or never change no mark. docs/decisions/0014-history.md has what the rules leave open.
"""
