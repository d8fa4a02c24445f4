"""Client-side service discovery and load balancing for asyncio on Kubernetes."""

__version__ = "0.1.0"
