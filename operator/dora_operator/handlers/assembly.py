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


@dataclass(frozen=True, slots=True)
class _Base:
    """What both engines stand on."""

    settings: Settings
    cluster: Cluster
    datadog: DatadogPort
    keys: Keys | NoKeys
    meter: Meter
    clock: Callable[[], datetime]
    inventory: Inventory
    board: VerdictBoard
    events: EventQueue
    accounts: Accounts
    namespaces: Namespaces


def build(settings: Settings, cluster: Cluster, api: DatadogPort, meter: Meter, clock: Callable[[], datetime]) -> Parts:
    """Put the parts together."""
    keys = own_keys(settings)
    base = _Base(
        settings=settings,
        cluster=cluster,
        datadog=MeteredDatadog(api, meter, keys, time.monotonic),
        keys=keys,
        meter=meter,
        clock=clock,
        inventory=Inventory(),
        board=VerdictBoard(),
        events=EventQueue(cluster),
        accounts=Accounts(cluster, keys, most_in_all=settings.workers - settings.workers // KEPT_FREE),
        namespaces=Namespaces(cluster, clock),
    )
    deployments = _deployments(base)
    rollouts = _rollouts(base, deployments)
    deployments.wake_rollout = rollouts.wake
    return Parts(deployments, rollouts, base.events, tuple(watches(settings, cluster, deployments, rollouts, meter)))


def _deployments(base: _Base) -> Engine:
    settings, inventory, cluster, clock = base.settings, base.inventory, base.cluster, base.clock
    secrets = SecretWatch(cluster)
    options = Options(
        settings.site, settings.dry_run, settings.retry_policy, settings.allowed, keeps_records=settings.rollouts
    )
    reconciler = Reconciler(
        inventory=inventory,
        cases=Cases(inventory, base.namespaces, base.board, options),
        sender=Sender(inventory, base.accounts, base.datadog, clock),
        secrets=secrets,
        board=base.board,
        writer=StatusWriter(cluster, base.events, inventory, settings.site, base.meter),
        options=options,
        clock=clock,
        random=random.random,
    )
    queue: WorkQueue[ObjectKey, Account] = WorkQueue(time.monotonic)
    return Engine(inventory, queue, reconciler, secrets, cluster, clock, settings.site, meter=base.meter)


def _rollouts(base: _Base, deployments: Engine) -> RolloutEngine:
    settings, inventory, cluster, clock, events = base.settings, base.inventory, base.cluster, base.clock, base.events
    policy, known = settings.rollout_policy, KnownRollouts()
    looks = RolloutReconciler(
        rollouts=known,
        cluster=cluster,
        namespaces=base.namespaces,
        events=events,
        recorder=Recorder(inventory, base.board, cluster, clock, settings.record_labels, events.tell, base.meter),
        restorer=_restorer(base),
        own=Records(inventory, cluster, settings.retention, policy.lookback, clock),
        policy=policy,
        clock=clock,
        meter=base.meter,
    )
    return RolloutEngine(known, WorkQueue(time.monotonic), looks, deployments, cluster, clock, base.meter)


def _restorer(base: _Base) -> Restorer:
    return Restorer(
        datadog=base.datadog,
        accounts=base.accounts,
        namespaces=base.namespaces,
        allowed=base.settings.allowed,
        site=base.settings.site,
        own_keys=base.keys,
        clock=base.clock,
        random=random.random,
        retry_policy=base.settings.retry_policy,
        dry_run=base.settings.dry_run,
    )


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
