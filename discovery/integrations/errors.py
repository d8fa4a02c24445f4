"""Our errors in the hands of an HTTP library: what leaves a request is of a kind that the library's callers catch."""

from collections.abc import Mapping

from ..errors import DiscoveryError

Kinds = Mapping[type[DiscoveryError], type[DiscoveryError]]
"""From our errors to those of an integration, which are the library's as well."""


def translated(error: DiscoveryError, kinds: Kinds) -> DiscoveryError:
    """A copy that is one of `kinds`, with the same message, fields and cause; the error itself if none is meant."""
    kind = next((kinds[base] for base in type(error).__mro__ if base in kinds), None)
    if kind is None or isinstance(error, kind):
        return error
    made = kind.__new__(kind)
    made.args = error.args
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    return made
