"""Writes a cluster's Services into Consul, for clients outside of it, and removes nothing that it does not own.

From left to right: `kubernetes` (what the cluster says, and how sure that is), `wanted` (what Consul should hold),
`plan` (what to do about it, and what may be done), `registry` (what Consul holds, and the writing), `leading` (who may
write). `running` and `syncing` drive them, `bridge` is what a program uses. `inbound` is the way back.
"""
