"""A machine that vanishes from the network keeps nobody's lock for long, and notices itself that it is cut off."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.db.engine import Database, Lock, hold
from tests.databases import MASTER_KEY, Cluster, need_postgresql
from tests.machines import REPOSITORY, Machine, network

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def a_machine(tmp_path: Path) -> Iterator[Machine]:
    with network(tmp_path) as made:
        yield made.machine("far")


@pytest.fixture
def a_cluster(a_machine: Machine) -> Iterator[Cluster]:
    need_postgresql()
    started = Cluster(a_machine.centre_address, 55432)
    yield started
    started.stop()


def test_a_cut_line_frees_the_locks_of_the_lost_machine_and_tells_it_so(a_machine: Machine, a_cluster: Cluster) -> None:
    url = f"postgresql+psycopg://adit@{a_machine.centre_address}:55432/postgres"
    program = f"""
        import time
        from models.db.engine import Database, Lock, hold
        from models.domain.errors import Unreachable
        try:
            with Database({url!r}, {MASTER_KEY!r}).transaction() as session:
                hold(session.connection(), Lock.SLOTS)
                print("held", flush=True)
                time.sleep(1)
                while True:
                    hold(session.connection(), Lock.QUOTAS)
                    time.sleep(0.1)
        except Unreachable:
            print("told", flush=True)
    """
    inside = ["ip", "netns", "exec", a_machine.namespace]
    command = [*inside, sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as far:
        try:
            assert far.stdout is not None
            assert far.stdout.readline() == "held\n"
            a_machine.cut_link()
            here = Database(url, MASTER_KEY)
            with here.transaction() as session:
                hold(session.connection(), Lock.SLOTS)
            here.close()
            assert far.stdout.readline() == "told\n"
        finally:
            far.kill()
