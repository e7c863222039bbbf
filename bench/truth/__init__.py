"""`make truth`: how far Datadog's DORA numbers are from what really happened, by the source of the marks.

A simulated year of many services has a known truth. Five sources of marks report it to one stand-in model of Datadog.

**What is true here, in plain words.**

- A *deployment* is a version that was brought to production for the first time, whether or not its rollout was
  finished, or an older version that was brought back after a newer one had been promoted. Trying an aborted version
  again, and returning to the version that never left, are no deployments of their own.
- A deployment *failed* if people had to get rid of it: its rollout was aborted for good, it was undone while it was
  rolled out, it was promoted and rolled back later, or a newer version had to correct it. An aborted version that was
  tried again and then promoted, unchanged, did not fail. A version that a newer one overtook did not fail.
- A failure is *hidden* if only a newer version corrected it. It appears as two releases: the cluster shows nothing.
- *Change failure rate*: failed deployments by all deployments. Hidden failures are left out and counted apart.
- *Recovery time*: as Datadog defines it, from the finish of the failed deployment until service was restored: when
  the stable version had all its replicas again (abort, undo in flight), or when the older or the correcting version
  was promoted. The finish is the one that the source of deployments reports; where it reports none, the real one.
- *Missed*: a visible failure that no deployment in Datadog is marked for. *Falsely marked*: a deployment that is marked
  and did not fail. *Wrongly linked*: a recovery time that is more than 15 minutes from the true one.

**What is assumed**: how often each of these things happens, and how long it takes (`stories`). **What Datadog does not
document** is a parameter (`cells`): every result is the range over its values, never one number.

Modules, each using only those before it: `stories`, `world`, `argo`, `virtual`, `cluster`, `datadog`, `operator`,
`sources`, `cells`, `markers`, `score`, `run`, `report`, `picture`.
"""
