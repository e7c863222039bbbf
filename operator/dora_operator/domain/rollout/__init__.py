"""What an Argo Rollout means for Datadog: levels and records in, verdicts out.

    rollout = parse_rollout(body)                          # raw objects -> frozen values; never raises
    observation = observe(rollout, parse_replica_sets(rollout.uid, replica_sets))
    decision = decide(observation, records, policy, now, memory)
    manifests = [record_manifest(namespace, verdict) for verdict in decision.changes]
    records = [read_record(annotation) for annotation in annotations]

Modules, each using only those before it: `raw`, `identity`, `observation`, `verdict`, `timeline`, `evidence`, `rules`,
`decide`; beside them `posted_events` and `retention`.

What the rules say beyond the table in docs/rollouts.md:

- Deployments are distinguished as Datadog does, by id or by service + env + version. Two pod hashes of one version are
  one deployment: going from one to the other is neither a rollback nor an undo, the promotion of one clears the mark of
  the other, and an abort of one while the other is stable is skipped (`SameVersionAsStable`).
- The first deployment after a rollback target is the first promoted one: those aborted, undone or superseded in flight
  are passed over.
- A rollback that is aborted marks its target, as any abort does, and leaves the replaced version marked; when the
  rollback is called off and the replaced version is back, the mark is cleared as after a retry (`retrySuccess`). When a
  newer version is promoted instead, that is the remediation.
- An id annotation names one deployment event; a revision that runs it again is not marked when aborted.
- A failure with a remediation is closed. The same version failing again under a later revision is a new failure.

What levels cannot show, and what follows (nothing is ever marked on a guess):

- Whether a revision was promoted, when it was replaced before this process started.
  A return to an older version then marks the newer one only where both readings would (`Reverted`, never linked), and
  a rollback over several such revisions marks nothing (`RollbackUnclear`).
- An abort, a retry or an undo that began and ended while no watch showed it.
- That a version existed before, once all its ReplicaSets have been deleted: deployed again, it is new.
- A retry that was promoted and replaced by a newer version between two decisions: its mark stays, and is linked to the
  newer version, as if it had never been retried.
"""
