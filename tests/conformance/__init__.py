"""One suite of what an API server does, for the simulated and the real one: a new behaviour begins here."""
