"""The program under test as a process, and a pipeline of two databases that it serves."""
import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.request

from harness.cluster import DEBIANS, MAJORS, die_with_parent, programs
from harness.compare import differences
from harness.wait import wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / os.environ.get("TRUNKLINE_BUILD", "build-test") / "src" / "trunkline"
STOP_SECONDS = 5
ENDED, FAILED, CONFIGURATION, NOT_FINISHED = 0, 1, 2, 3


def clean_environment(**more):
    """Ours without what would steer the program or libpq; with the client programs of the versions
    under test, where it would not find them by itself."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("TRUNKLINE_", "PG"))}
    if MAJORS["source"] != DEBIANS:
        kept["PATH"] = f"{programs(MAJORS['source'])}:{kept['PATH']}"
    return {**kept, **more}


def flags(settings):
    """{"part_size": "64kB", "json": True} as command line arguments."""
    result = []
    for name, value in settings.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            result.append(option)
        elif value is not None:
            result += [option, str(value)]
    return result


class Process:
    """One run of the program; its output is kept in files."""

    count = 0

    def __init__(self, directory, *arguments, environment=None, cwd=None, within=()):
        Process.count += 1
        self.arguments = [str(argument) for argument in arguments]
        self.out_path = pathlib.Path(directory) / f"out.{Process.count}"
        self.err_path = pathlib.Path(directory) / f"err.{Process.count}"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(
                [*within, PROGRAM, *self.arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=clean_environment(**(environment or {})), cwd=cwd or directory,
                preexec_fn=die_with_parent(signal.SIGKILL))

    @property
    def pid(self):
        return self.popen.pid

    @property
    def code(self):
        """The exit code, negative for a signal; None while it runs."""
        return self.popen.poll()

    @property
    def stdout(self):
        return self.out_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.err_path.read_text(errors="replace")

    def wait(self, timeout=60):
        """Waits for the end and returns the exit code."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} runs for more than {timeout} s") from None

    def ends(self, code, timeout=60):
        """Waits for the end and claims the exit code."""
        got = self.wait(timeout)
        assert got == code, f"{self} ended with {got}, not {code}"
        return self

    def stop(self, code=ENDED, how=signal.SIGTERM):
        """Asks it to end, which it does within five seconds."""
        assert self.code is None, f"{self} has ended by itself with {self.code}"
        self.popen.send_signal(how)
        return self.ends(code, STOP_SECONDS)

    def kill(self):
        """kill -9."""
        self.popen.kill()
        self.popen.wait(10)

    def runs(self):
        """Claims that it has not ended."""
        assert self.code is None, f"{self} has ended with {self.code}"
        return True

    def report(self):
        print(f"== {self}: exit {self.code}")
        print(self.stdout[-4000:], self.stderr[-8000:], sep="\n")

    def __str__(self):
        return "trunkline " + " ".join(self.arguments)


class Pipeline:
    """A source and a target database, the slot between them, and the programs run for them."""

    def __init__(self, source, target, slot, directory):
        self.source = source
        self.target = target
        self.slot = slot
        self.directory = pathlib.Path(directory)
        self.processes = []

    def process(self, *arguments, **options):
        started = Process(self.directory, *arguments, **options)
        self.processes.append(started)
        return started

    def urls(self, user=None):
        """With the roles of the manual, who have no more than they need, if no user is named."""
        return {"source": self.source.url(user), "target": self.target.url(user)}

    def able(self):
        """The target as a role that may have everything there: on 14 only a superuser copies foreign
        keys, triggers and rules and follows beside them."""
        return {"target": self.target.url("postgres" if self.target.cluster.major == 14 else None)}

    def start(self, fault=None, environment=None, **settings):
        """trunkline run, in the background. Settings of None are left out."""
        chosen = {**self.urls(), "slot": self.slot, "idle_position_interval": "100ms", **settings}
        environment = dict(environment or {})
        if fault:
            environment["TRUNKLINE_FAULT"] = fault
        return self.process("run", *flags(chosen), environment=environment)

    def run(self, timeout=60, **settings):
        """trunkline run to its end."""
        started = self.start(**settings)
        started.wait(timeout)
        return started

    def copy(self, timeout=60, **settings):
        """Copies and catches up with what has been committed; claims success."""
        return self.start(until="now", **settings).ends(ENDED, timeout)

    def follow(self, timeout=60, **settings):
        """Starts the engine and waits until it follows."""
        engine = self.start(**settings)
        self.catch_up(engine, timeout)
        return engine

    def command(self, name, *more, timeout=60, environment=None, **settings):
        """Another command for the same pipeline, to its end."""
        ended = self.process(name, *flags(settings), *more, environment=environment)
        ended.wait(timeout)
        return ended

    def verify(self, timeout=60, **settings):
        return self.command("verify", timeout=timeout, **{**self.urls(), **settings})

    def tear_down(self, **settings):
        return self.command("tear-down", **{**self.urls(), "slot": self.slot, **settings})

    def confirmed(self):
        """How far the source has been told that the target is durable; None without a slot."""
        rows = self.source.sql("SELECT confirmed_flush_lsn FROM pg_replication_slots"
                               " WHERE slot_name = %s", self.slot)
        return lsn(rows[0][0]) if rows and rows[0][0] else None

    def phase(self):
        """What the keeper says the copy has reached; None without a keeper."""
        if self.target.admin_one("SELECT to_regclass('trunkline.pipeline')") is None:
            return None
        rows = self.target.admin("SELECT phase FROM trunkline.pipeline")
        return rows[0][0] if rows else None

    def mark(self):
        """A position behind all that is committed now: inside a transaction of ours that no
        publication carries."""
        return lsn(self.source.one("SELECT pg_logical_emit_message(true, 'test', '')::text"))

    def is_past(self, mark):
        """Whether it follows and has told the source a position beyond the mark."""
        rows = self.source.sql("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE"
                               " slot_name = %s AND active AND confirmed_flush_lsn IS NOT NULL",
                               self.slot)
        return rows and lsn(rows[0][0]) > mark and self.phase() == "following"

    def catch_up(self, engine=None, timeout=60):
        """Waits until the target holds all that is committed now."""
        mark = self.mark()
        wait_until(lambda: (engine is None or engine.runs()) and self.is_past(mark),
                   f"the source is told a position beyond {mark >> 32:X}/{mark & 0xFFFFFFFF:X}",
                   timeout)

    def is_equal(self, **options):
        """Claims that both databases hold the same rows."""
        found = differences(self.source, self.target, **options)
        assert not found, "\n".join(found)
        return True

    def is_verified(self, **settings):
        """Claims the same by our own comparison and by the program's."""
        self.is_equal()
        verified = self.verify(**settings)
        assert verified.code == 0, verified.stdout + verified.stderr
        return True

    def end(self):
        """Kills what still runs and shows what all of them said (seen when the test failed)."""
        for process in self.processes:
            process.kill()
            process.report()

    def drop(self):
        for database in (self.source, self.target):
            database.close()
            if database.cluster.is_running:
                database.cluster.drop_database(database.name)


def lsn(text):
    """'16/B374D848' as a number."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def metrics(port):
    """The endpoint's values by name with labels, the pipeline's label left out."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            labels = re.findall(r'(\w+)="([^"]*)"', name)
            rest = ",".join(f"{k}={v}" for k, v in labels if k != "pipeline")
            values[name.split("{")[0] + (f"{{{rest}}}" if rest else "")] = float(value)
    return values


def json_output(process):
    """What a command wrote to stdout: one JSON document."""
    return json.loads(process.stdout)
