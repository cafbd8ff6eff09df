"""The subcommands of `adit`, by what they are about. They parse, call a service and show; rules live in services."""
