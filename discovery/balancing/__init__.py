"""Which backend next: one file a policy; no I/O, no clock."""
