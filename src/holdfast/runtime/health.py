"""What is told about services: frozen figures from memory, each derived from what really runs."""

from collections.abc import Sequence

import msgspec

from holdfast.domain.event import ServiceState


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """A service's own word on whether it can do its work."""

    is_healthy: bool
    reason: str = ""


HEALTHY = Health(is_healthy=True)


def unhealthy(reason: str) -> Health:
    """It cannot, and why."""
    return Health(is_healthy=False, reason=reason)


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One service as it is now.

    `running`: a life of it goes on and makes progress. `ready`: it says that it can do its work,
    and is healthy. `reason` is why it is not ready, `last_error` what last went wrong. `tasks` and
    `threads` name those that run. `heartbeat_age_ms` is `None` before the first heartbeat.
    """

    name: str
    group: str
    needs: tuple[str, ...]
    critical: bool
    state: ServiceState
    running: bool
    ready: bool
    reason: str
    restarts: int
    errors: int
    heartbeat_age_ms: int | None
    last_error: str
    tasks: tuple[str, ...]
    threads: tuple[str, ...]


def first_not_ready(statuses: Sequence[ServiceStatus]) -> ServiceStatus | None:
    """The first critical service that is not ready, in the order of starting; `None` when all are."""
    return next((one for one in statuses if one.critical and not one.ready), None)
