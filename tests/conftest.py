"""What every test process does first."""

from tests import scratch

scratch.use_memory()
