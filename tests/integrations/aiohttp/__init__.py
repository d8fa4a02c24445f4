"""The aiohttp client middleware."""
