"""Whether and when to try again: pure decisions, time and chance are parameters."""
