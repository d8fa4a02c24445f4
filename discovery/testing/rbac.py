"""Who may do what at the simulated API server: RBAC's rules, without its bindings. Pure."""

from collections.abc import Iterable

from .objects import Json, Kind


def allowed(roles: Iterable[Json], kind: Kind, verb: str, namespace: str | None, name: str) -> bool:
    """Whether a rule allows a request. A Role counts in its own namespace, a ClusterRole everywhere.

    Args:
        roles: Role and ClusterRole bodies; other objects among them are passed over.
        kind: what is asked for.
        verb: as RBAC calls it.
        namespace: None where it is asked for in all.
        name: of the one object meant; of a list or watch that of its field selector; "" is all.
    """
    return any(_holds(rule, kind, verb, name) for role in roles for rule in _rules(role, namespace))


def _rules(role: Json, namespace: str | None) -> list[Json]:
    here = role["kind"] == "ClusterRole" or (role["kind"] == "Role" and role["metadata"]["namespace"] == namespace)
    return (role.get("rules") or []) if here else []


def _holds(rule: Json, kind: Kind, verb: str, name: str) -> bool:
    wanted = {"apiGroups": kind.group, "resources": kind.resource, "verbs": verb}
    if not all({value, "*"} & set(rule.get(field) or ()) for field, value in wanted.items()):
        return False
    return not rule.get("resourceNames") or name in rule["resourceNames"]
