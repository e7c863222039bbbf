"""Puts the parts together, from the settings: which part is given which other, and nothing else."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dora_operator.adapters.cluster import Cluster
from dora_operator.adapters.credentials import usable
from dora_operator.adapters.metered import MeteredDatadog
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.reasons import Reason
from dora_operator.handlers.engine import Engine
from dora_operator.handlers.following import Following, WatchHealth
from dora_operator.handlers.rollouts import RolloutEngine
from dora_operator.inventory import Inventory
from dora_operator.meter import Meter
from dora_operator.ports import DatadogPort, Keys, NoKeys
from dora_operator.reconcile.accounts import KEPT_FREE, Account, Accounts
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.cases import Cases
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.known_rollouts import KnownRollouts
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.reconciler import Reconciler
from dora_operator.reconcile.recording import Recorder
from dora_operator.reconcile.records import Records
from dora_operator.reconcile.restoring import Restorer
from dora_operator.reconcile.rollouts import RolloutReconciler
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.sending import Sender
from dora_operator.reconcile.surroundings import Options
from dora_operator.reconcile.writer import StatusWriter
from dora_operator.settings import Settings
from dora_operator.workqueue import WorkQueue


@dataclass(frozen=True, slots=True)
class Parts:
    """The two engines of the operator, and the watches that they live from."""

    deployments: Engine
    rollouts: RolloutEngine
    events: EventQueue
    watches: tuple[Following, ...]


def build(settings: Settings, cluster: Cluster, api: DatadogPort, meter: Meter, clock: Callable[[], datetime]) -> Parts:
    """Put the parts together."""
    inventory, secrets, board, keys = Inventory(), SecretWatch(cluster), VerdictBoard(), own_keys(settings)
    events, datadog = EventQueue(cluster), MeteredDatadog(api, meter, keys, time.monotonic)
    accounts = Accounts(cluster, keys, most_in_all=settings.workers - settings.workers // KEPT_FREE)
    namespaces = Namespaces(cluster, clock)
    options = Options(
        settings.site, settings.dry_run, settings.retry_policy, settings.allowed, keeps_records=settings.rollouts
    )
    reconciler = Reconciler(
        inventory=inventory,
        cases=Cases(inventory, namespaces, board, options),
        sender=Sender(inventory, accounts, datadog, clock),
        secrets=secrets,
        board=board,
        writer=StatusWriter(cluster, events, inventory, settings.site, meter),
        options=options,
        clock=clock,
        random=random.random,
    )
    queue: WorkQueue[ObjectKey, Account] = WorkQueue(time.monotonic)
    deployments = Engine(inventory, queue, reconciler, secrets, cluster, clock, settings.site, meter=meter)
    rollouts = KnownRollouts()
    restorer = Restorer(
        datadog=datadog,
        accounts=accounts,
        namespaces=namespaces,
        allowed=settings.allowed,
        site=settings.site,
        own_keys=keys,
        clock=clock,
        random=random.random,
        retry_policy=settings.retry_policy,
        dry_run=settings.dry_run,
    )
    policy = settings.rollout_policy
    records = Records(inventory, cluster, settings.retention, policy.lookback, clock)
    looks = RolloutReconciler(
        rollouts=rollouts,
        cluster=cluster,
        namespaces=namespaces,
        events=events,
        recorder=Recorder(inventory, board, cluster, clock, settings.record_labels, events.tell, meter),
        restorer=restorer,
        own=records,
        policy=policy,
        clock=clock,
        meter=meter,
    )
    engine = RolloutEngine(rollouts, WorkQueue(time.monotonic), looks, deployments, cluster, clock, meter)
    deployments.wake_rollout = engine.wake
    return Parts(deployments, engine, events, tuple(watches(settings, cluster, deployments, engine, meter)))


def watches(
    settings: Settings, cluster: Cluster, deployments: Engine, rollouts: RolloutEngine, meter: Meter
) -> Iterator[Following]:
    """Put the watches together: one for each kind, and for each namespace where these are named."""
    namespaces = settings.namespaces or (None,)
    deployments.unlisted = set(namespaces)
    for namespace in namespaces:
        where = f" of namespace {namespace}" if namespace else ""
        if settings.rollouts:
            yield Following(
                WatchHealth(f"Rollouts{where}", time.monotonic, may_be_absent=True),
                partial(cluster.watch_rollouts, namespace, settings.rollout_selector),
                partial(rollouts.take_in, namespace=namespace),
                rollouts.workers.try_failed_now,
                meter,
            )
        yield Following(
            WatchHealth(f"DoraDeployments{where}", time.monotonic),
            partial(cluster.watch_deployments, namespace, settings.deployment_selector),
            partial(deployments.take_in, namespace=namespace),
            deployments.workers.try_failed_now,
            meter,
        )


def own_keys(settings: Settings) -> Keys | NoKeys:
    """Return the keys of the operator's own account."""
    if settings.api_key is None or settings.app_key is None:
        message = (
            "the operator was started without DD_API_KEY and DD_APP_KEY: set both, or name a Secret in"
            " spec.credentialsSecretRef"
        )
        return NoKeys(Reason.CREDENTIALS_NOT_FOUND, message)
    keys = Keys(settings.api_key.get_secret_value().strip(), settings.app_key.get_secret_value().strip())
    if usable(keys.api_key) and usable(keys.app_key):
        return keys
    message = "the operator's DD_API_KEY or DD_APP_KEY is unusable: 1 to 256 printable ASCII characters each"
    return NoKeys(Reason.CREDENTIALS_INVALID, message)
