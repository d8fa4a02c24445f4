"""Hooks and collectors that give events and figures to what an operator has: logs (`logging`), Prometheus."""
