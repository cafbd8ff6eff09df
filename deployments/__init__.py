"""How it runs: the `adit` command, the supervisor of one machine, the built-in archive and the demonstration."""
