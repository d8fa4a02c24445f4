"""The policies of `discovery.balancing` in a fleet of many clients and backends, in virtual time.

`python -m bench.simulation` runs every experiment of docs/explanation/simulation.md, and writes its tables and plots.
What is simulated is the world: arrivals and queues. How a backend is picked is the library's own code.
"""
