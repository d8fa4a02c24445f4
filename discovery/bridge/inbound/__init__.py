"""Consul services as headless Services of Kubernetes: the way back in, off unless names are asked for.

options    what is imported, under whose name, and how careful to be
instances  what Consul says of a service, as endpoints           pure
absences   when a name that Consul no longer lists is gone       pure
objects    our objects in Kubernetes: made, read, recognised     pure
placement  endpoints in slices, so that a change rewrites one    pure
plan       the difference, and what of it is held back           pure
sources    follows Consul
apply      writes the difference
importer   all of it together
"""

from .importer import ConsulImport
from .options import ImportOptions
from .plan import ImportPlan

__all__ = ["ConsulImport", "ImportOptions", "ImportPlan"]
