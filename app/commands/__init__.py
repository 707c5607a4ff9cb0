"""One module per sub-command, each with `add_arguments(parser)` and `run(args) -> int`; app.cli imports them lazily."""
