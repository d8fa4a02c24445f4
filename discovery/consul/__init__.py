"""The Consul side: a small typed client of its HTTP API, on aiohttp. What is made of it is decided elsewhere."""
