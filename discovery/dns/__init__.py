"""Looking up names: what a resolv.conf says, which names that means, and what the servers answer."""
