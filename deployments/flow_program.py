"""The program of one flow run: Prefect's own engine, sooner at work and without heartbeats.

Which flow run it is, the environment tells (PREFECT__FLOW_RUN_ID).
"""

import runpy
from importlib import import_module

from deployments.garbage import importing


def main() -> None:
    """Run the flow; ends the process as Prefect's engine does."""
    with importing():
        import_module("prefect.flows")
        heartbeats = import_module("deployments.heartbeats")
    with heartbeats.without_heartbeats():
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
