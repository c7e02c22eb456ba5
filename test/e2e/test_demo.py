"""`trunkline demo`: a whole run, what it finds, what it leaves behind (nothing)."""
import os
import pathlib
import re
import signal
import tempfile

import psycopg
import pytest

from harness.cluster import is_alive
from harness.program import CONFIGURATION, ENDED, FAILED, NOT_FINISHED, Process
from harness.slices import LONG, WIDE, every
from harness.wait import wait_until

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))

RUN_SECONDS = 180  # many times what it takes: the machine may have much else to do


@pytest.fixture
def home(base_directory):
    """Where the demo makes its directory; the servers' user must be able to pass."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="d", dir=base_directory))
    path.chmod(0o755)
    return path


@pytest.fixture
def demo(home, tmp_path):
    """Starts demos; kills what a failed test leaves."""
    started = []

    def start(*arguments, **environment):
        started.append(Process(tmp_path, "demo", *arguments,
                               environment={"TMPDIR": str(home), **environment}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.report()
    for pid in processes_of(home):
        os.kill(pid, signal.SIGKILL)


def read(path):
    """A file of /proc, empty when the process is gone."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def processes_of(home):
    """Servers, backends and engines of demos in this directory: by command line or environment."""
    mark = str(home).encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            if mark in read(entry / "cmdline") and is_alive(entry.name):
                found.append(int(entry.name))
            elif f"HOME={home}/".encode() in read(entry / "environ") and is_alive(entry.name):
                found.append(int(entry.name))
    return found


def leaves_nothing(home):
    assert list(home.iterdir()) == []
    assert processes_of(home) == []
    return True


def number(text, pattern):
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in\n{text}"
    return float(found[1].replace(",", ""))


def place(home):
    """The demo's directory, once it is there."""
    return wait_until(lambda: next(home.glob("trunkline-demo-*"), None), "a directory is made", 60)


def last_line(process):
    return process.stdout.splitlines()[-1]


@pytest.mark.timeout(RUN_SECONDS + 60)
@pytest.mark.parametrize("options", [pytest.param((), marks=LONG), pytest.param(("--kill",), marks=WIDE)])
def test_a_live_database_is_copied_and_followed_without_a_difference(demo, home, options):
    running = demo(*options).ends(ENDED, RUN_SECONDS)
    said = running.stdout
    assert last_line(running) == "source and target are identical"
    assert number(said, r"database +([\d,]+) tables") >= 12
    assert number(said, r"tables, ([\d,]+) rows") >= 1_000_000
    assert number(said, r"copy +([\d,]+) rows") >= 1_000_000
    assert number(said, r": ([\d.]+) MB/s") > 0
    commits = number(said, r"writers +([\d,]+) commits in 4 sessions")
    assert commits >= 20_000
    assert number(said, r"before the copy, ([\d,]+) during it") >= commits / 3
    assert number(said, r"; ([\d,]+) rolled back") > 0
    assert number(said, r"followed +([\d,]+) transactions") > 0
    assert number(said, r"reader +([\d,]+) checks") > 0
    if "--kill" in options:
        assert number(said, r"killed with SIGKILL ([\d]+) times") == 2
    assert leaves_nothing(home)


@pytest.mark.timeout(RUN_SECONDS + 60)
def test_one_altered_value_is_found_and_kept_clusters_can_be_looked_at(demo, home):
    running = demo("--break", "--keep").ends(FAILED, RUN_SECONDS)
    assert last_line(running) == "source and target differ"
    assert number(running.stdout, r"followed +([\d,]+) transactions") > 0
    assert "shop.accounts" in running.stdout and "4711" in running.stdout
    urls = dict(line.split("=", 1) for line in (place(home) / ".env").read_text().splitlines())
    balances = []
    for side in ("SOURCE", "TARGET"):
        with psycopg.connect(urls[f"TRUNKLINE_{side}"]) as session:
            row = session.execute("SELECT balance FROM shop.accounts WHERE id = 4711").fetchone()
            balances.append(row[0])
    assert balances[0] != balances[1]
    for pid in re.search(r"kill (\d+) (\d+);", running.stdout).groups():
        os.kill(int(pid), signal.SIGINT)
    wait_until(lambda: not processes_of(home), "the kept servers end")


def servers_run(home):
    return len(list(home.glob("*/*/postmaster.pid"))) == 2


def engine_runs(home):
    return any(home.glob("*/engine.log"))


@pytest.mark.wide
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", every(2, [signal.SIGINT, signal.SIGTERM], others=WIDE))
@pytest.mark.parametrize("moment", every(3, [place, servers_run, engine_runs], first=2))
def test_a_signal_ends_it_and_leaves_nothing(demo, home, moment, how):
    running = demo()
    wait_until(lambda: moment(home), moment.__name__, 60)
    assert running.code is None
    running.popen.send_signal(how)
    running.ends(NOT_FINISHED, 30)
    assert "identical" not in running.stdout
    # what initdb had started itself may need a moment more to notice
    wait_until(lambda: not processes_of(home), "all processes have ended", 10)
    assert leaves_nothing(home)


@pytest.mark.timeout(120)
def test_nothing_runs_on_when_the_demo_is_killed(demo, home):
    running = demo()
    wait_until(lambda: engine_runs(home), "the engine runs", 60)
    running.kill()
    wait_until(lambda: not processes_of(home), "servers and engine end", 30)


@pytest.mark.timeout(120)
def test_passwords_stand_in_no_command_line_and_no_output(demo, home):
    running = demo()
    wait_until(lambda: engine_runs(home), "the engine runs", 60)
    secret = (place(home) / "password").read_bytes()
    assert len(secret) == 32
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            assert secret not in read(entry / "cmdline")
    running.stop(NOT_FINISHED, signal.SIGINT)
    assert secret.decode() not in running.stdout + running.stderr


def test_missing_server_programs_are_named_with_their_package(demo, home):
    missing = demo("--pg-bindir", "/nowhere").ends(CONFIGURATION)
    assert "/nowhere" in missing.stderr and "apt-get install postgresql" in missing.stderr
    assert leaves_nothing(home)
