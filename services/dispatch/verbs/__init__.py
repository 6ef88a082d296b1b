"""The subcommands: each a function of a desk and its arguments that returns an exit code."""
