"""The transport for httpx."""
