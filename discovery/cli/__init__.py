"""The `discovery` command: one file a subcommand."""
