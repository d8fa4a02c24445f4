"""What the benchmarks of traffic share: backends that misbehave on demand, load in closed and open loops, HAProxy.

It measures and promises nothing itself: each figure is in a module of its own beside this package.
"""
