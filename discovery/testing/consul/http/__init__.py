"""The simulated Consul server's HTTP side, in parts: each has the routes of one part of the API."""
