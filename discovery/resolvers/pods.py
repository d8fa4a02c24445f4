"""Pods by a label selector: the server selects, so a pod whose labels no longer match goes as if it were deleted."""

from collections.abc import Sequence

from ..events import Hook
from ..kube.kinds import pods_matching
from ..targets import Pods
from .derived import Derived
from .following import Following, Source, Subscribe
from .pod_set import PodSet


def pods_resolver(target: Pods, subscribe: Subscribe, emit: Hook) -> Following:
    """Follows the pods that a selector chooses, with a watch of their own.

    Args:
        target: its namespace is settled.
        subscribe: opens the watches.
        emit: takes events.
    """
    namespace = target.namespace
    assert namespace is not None

    def plan() -> tuple[Derived, Sequence[Source]]:
        found = PodSet(target)
        return found, (Source(pods_matching(target.selector), namespace, target.selector, found.put_pod),)

    return Following(str(target), plan, subscribe, emit)
