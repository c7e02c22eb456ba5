"""Following a tutorial: its two servers on free ports, its files and commands in a shell."""
import os
import signal
import subprocess

import psycopg
import pytest

from harness.cluster import BIN, die_with_parent, free_port
from harness.program import PROGRAM, ROOT, clean_environment
from harness.wait import wait_until


class Tutorial:
    """The servers of the tutorials on other ports, and a shell in which both names are programs."""

    def __init__(self, directory, ports, program):
        self.directory = directory
        self.ports = ports
        self.program = program
        self.running = []
        (directory / "bin").mkdir()
        for name in ("pgstream", "trunkline"):
            (directory / "bin" / name).symlink_to(PROGRAM)
        path = f"{directory / 'bin'}:{BIN}:{os.environ['PATH']}"
        self.environment = clean_environment(PATH=path)

    def text(self, text):
        """With the test's ports and, for our own name, our own names."""
        for port, real in zip(("5432", "7654"), self.ports):
            text = text.replace(f"localhost:{port}", f"localhost:{real}")
        if self.program == "trunkline":
            text = text.replace("pgstream", "trunkline").replace("PGSTREAM", "TRUNKLINE")
        return text

    def file(self, name, *texts):
        (self.directory / name).write_text(self.text("".join(texts)))

    def try_shell(self, command):
        """Runs a command of the tutorial to its end, whatever that is."""
        return subprocess.run(["bash", "-c", self.text(command)], cwd=self.directory,
                              env=self.environment, stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True)

    def shell(self, command):
        """The same; it succeeds. Returns its standard output."""
        ended = self.try_shell(command)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def start(self, command):
        """Starts a command of the tutorial that goes on until Ctrl-C."""
        with open(self.directory / "err", "w") as err:
            self.running.append(subprocess.Popen(
                ["bash", "-c", "exec " + self.text(command)], cwd=self.directory, stderr=err,
                stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=self.environment,
                preexec_fn=die_with_parent(signal.SIGKILL)))

    def runs(self):
        for process in self.running:
            assert process.poll() is None, (self.directory / "err").read_text()
        return True

    def interrupt(self):
        for process in self.running:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0, (self.directory / "err").read_text()
        self.running = []

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running = []

    def sql(self, port, text):
        with psycopg.connect(self.text(f"postgresql://postgres:postgres@localhost:{port}/postgres"),
                             autocommit=True) as session:
            cursor = session.execute(text)
            return cursor.fetchall() if cursor.description else []

    def describe(self, table="test"):
        """psql's \\d+ of the target's table."""
        url = "postgresql://postgres:postgres@localhost:7654/postgres"
        return self.shell(f"psql {url} -c '\\d+ {table}'")

    def target_has(self, rows, table="test"):
        return self.runs() and self.sql(7654, f"SELECT * FROM {table} ORDER BY id") == rows

    def state(self):
        """Everything beside tables that a program may have left, on both sides."""
        return [self.sql(port, query) for port in (5432, 7654) for query in (
            "SELECT slot_name FROM pg_replication_slots", "SELECT pubname FROM pg_publication",
            "SELECT nspname FROM pg_namespace WHERE nspname IN ('pgstream', 'trunkline')",
            "SELECT evtname FROM pg_event_trigger")]

    def clear(self):
        """Drops the tutorials' tables, and everything that a program or a test made beside."""
        self.sql(5432, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                       " WHERE active")
        wait_until(lambda: not self.sql(5432, "SELECT 1 FROM pg_replication_slots WHERE active"),
                   "no slot is active")
        self.sql(5432, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        for port in (5432, 7654):
            for name, in self.sql(port, "SELECT pubname FROM pg_publication"):
                self.sql(port, f'DROP PUBLICATION "{name}"')
            for schema in ("test_schema", "pgstream", "trunkline"):
                self.sql(port, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            self.sql(port, "DROP TABLE IF EXISTS test CASCADE")
            for role, in self.sql(port, "SELECT rolname FROM pg_roles WHERE rolname IN"
                                        " ('reader', 'writer')"):
                self.sql(port, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """make pg2pg, on free ports."""
    ports = [free_port(), free_port()]
    out = tmp_path_factory.mktemp("servers") / "out"
    with open(out, "w") as stream:
        process = subprocess.Popen(
            [ROOT / "scripts/pg2pg", *map(str, ports)], env=clean_environment(PG_BIN=str(BIN)),
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            preexec_fn=die_with_parent(signal.SIGTERM))
    wait_until(lambda: process.poll() is None and "Ctrl-C" in out.read_text(), "the servers run")
    yield ports
    process.send_signal(signal.SIGINT)
    process.wait(20)


@pytest.fixture(params=["pgstream", "trunkline"])
def tutorial(request, servers, tmp_path):
    """Follows a tutorial under one of the two names, and clears away what it made."""
    followed = Tutorial(tmp_path, servers, request.param)
    yield followed
    followed.end()
    followed.clear()


@pytest.fixture
def steps(servers, tmp_path):
    """The same by our own name only."""
    followed = Tutorial(tmp_path, servers, "trunkline")
    yield followed
    followed.end()
    followed.clear()
