"""A supervisor in a process of its own, for test_supervisor.py: its programs and reports come from a JSON file."""

import json
import os
import sys
from pathlib import Path

from deployments.supervisor import Program, Supervisor


def main(plan_path: str) -> None:
    plan = json.loads(Path(plan_path).read_text())
    directory = Path(plan_path).parent

    def report(line: str) -> None:
        with (directory / "reports").open("a") as file:
            file.write(line + "\n")

    with Supervisor(report, directory, grace_s=plan["grace_s"], first_delay_s=0.05) as supervisor:
        for name, code in plan["programs"].items():
            command = (sys.executable, "-c", code)
            supervisor.start(Program(name, command, dict(os.environ), directory / f"{name}.log"))
        supervisor.run()


if __name__ == "__main__":
    main(sys.argv[1])
