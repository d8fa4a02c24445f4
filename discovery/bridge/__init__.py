"""Writes a cluster's Services into Consul, for clients outside of it, and removes nothing that it does not own.

`desired`, `plan`, `guard` and `batches` are pure: cluster state in, operations out. `bridge` drives them.
"""
