"""What every test process does first."""

from hypothesis import HealthCheck, settings

from tests import scratch

scratch.use_memory()
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")  # a busy machine is no reason to fail
