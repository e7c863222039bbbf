"""`make truth`: how far Datadog's DORA numbers are from what really happened, by the source of the marks.

A simulated year of many services has a known truth. Six sources of marks report it to one stand-in model of Datadog.

**What is true here, in plain words.**

- A *deployment* is a version that was brought to production for the first time, whether or not its rollout was
  finished, or one that was deployed again: an older version after a newer one, or the same one with another
  configuration. Trying an aborted version again, and returning to the version that never left, are no deployments.
- A deployment *failed* if people had to get rid of it: its rollout was aborted for good, it was undone while it was
  rolled out, it was promoted and a rollback of it began, or a newer version had to correct it. A rollback that was
  aborted failed, too. An aborted version that was tried again and then promoted, unchanged, did not fail. Of two
  versions that one rollback removes, the older one failed, as Datadog's rule has it.
- A failure is *hidden* if only a newer version corrected it, after its promotion or in flight. It appears as two
  releases: the cluster shows nothing. Hidden failures are left out, except where Datadog's default rules find them.
- *Recovery time*: as Datadog defines it, from the finish of the failed deployment until service was restored.

**What is counted, by row**: service, version and start of the deployment, never the version alone.

- *Missed*: a visible failure of which no row is marked.
- *False marks*: marked rows of deployments that did not fail; also what detection marks because of an event that the
  operator posted. *By detection*: what Datadog's own detection marks falsely besides.
- *Second marks*: a further marked row of a failure that has one.
- *Own events*: rows that the operator posted; *too many*: beside the real row, or of what did not fail.
- A median is over what the dashboard shows, with the number of failures that have a recovery time at all.

**What is assumed**: how often each of these things happens, and how long it takes (`stories`). **What Datadog does not
document** has a usual value, and is varied one at a time (`cells`). In half of the services traffic is routed: the
stable version keeps its replicas, and a return takes seconds. In half, revisionHistoryLimit is 2. Not simulated: kopf,
the watches, the Lease; clearing of what detection marks falsely, which the operator does not do; redeployments of the
same version that fail, which nothing says apart.

Modules, each using only those before it: `stories`, `world`, `argo`, `cluster`, `datadog`, `operator`, `sources`,
`cells`, `score`, `markers`, `run`, `report`, `picture`.
"""
