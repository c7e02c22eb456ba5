"""Where the bench runs: two throwaway clusters, the processes it times, the machine's facts."""
import contextlib
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test"))

from harness.cluster import BIN, Cluster, children_of, die_with_parent  # noqa: E402

PROGRAM = ROOT / os.environ.get("TRUNKLINE_BUILD", "build-release") / "src" / "trunkline"
SAMPLE_SECONDS = 0.02
QUIET_SHARE, QUIET_SECONDS, QUIET_TRIES = 0.75, 0.5, 120

# The same for all contenders: the disk is waited for, checkpoints do not fall into a run, index
# builds get the memory that trunkline asks for by itself, kept WAL files spare the first run.
SETTINGS = {
    "fsync": "on",
    "shared_buffers": "2GB",
    "min_wal_size": "4GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
    "deadlock_timeout": "1s",
}
# A subscription is otherwise started once in 5 s only, which would count as its time.
TARGET_SETTINGS = {**SETTINGS, "wal_level": "replica", "wal_retrieve_retry_interval": "10ms"}


PARTS = ("source", "program", "target")  # who uses the processors


class Failed(Exception):
    """A contender did not do its work: there is nothing to measure."""


class Run:
    """One command that has ended: its time, the processor seconds that it and both servers used for
    it (by the names in PARTS), its output, the peak memory of its process."""

    def __init__(self, seconds, cpu, output, peak_bytes=0):
        self.seconds = seconds
        self.cpu = cpu
        self.output = output
        self.peak_bytes = peak_bytes

    @property
    def cpu_seconds(self):
        return sum(self.cpu.values())

    def __add__(self, other):
        return Run(self.seconds + other.seconds,
                   {part: self.cpu[part] + other.cpu[part] for part in PARTS},
                   self.output + other.output, max(self.peak_bytes, other.peak_bytes))


class Stopwatch:
    """Time and processor time from its making on."""

    def __init__(self, clusters):
        self.clusters = clusters
        self.cpu_before = self._cpu()
        self.began = time.monotonic()

    def _cpu(self):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        source, target = map(cluster_cpu_seconds, self.clusters)
        return dict(zip(PARTS, (source, used.ru_utime + used.ru_stime, target)))

    def stop(self, output, peak_bytes=0):
        seconds = time.monotonic() - self.began
        cpu = self._cpu()
        return Run(seconds, {part: cpu[part] - self.cpu_before[part] for part in PARTS}, output,
                   peak_bytes)


class PeakSampler(threading.Thread):
    """Reads VmHWM, the peak of one process without its children, until the process has gone."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path = pathlib.Path(f"/proc/{pid}/status")
        self.peak_bytes = 0
        self.start()

    def run(self):
        while True:
            try:
                found = re.search(r"VmHWM:\s+(\d+) kB", self.path.read_text())
            except (FileNotFoundError, ProcessLookupError):
                return
            if not found:  # a zombie has no memory
                return
            self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024)
            time.sleep(SAMPLE_SECONDS)


class Place:
    """Two clusters in a temporary directory; everything goes at the end."""

    def __init__(self, waits_for_quiet=True):
        self.waits_for_quiet = waits_for_quiet
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
        self.directory.chmod(0o755)
        self.source = Cluster(self.directory / "source", None, **SETTINGS)
        self.target = Cluster(self.directory / "target", None, **TARGET_SETTINGS)
        self.scratch = self.directory / "scratch"
        self.environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "LC_ALL": "C.UTF-8",
        }

    def __enter__(self):
        self.source.start()
        self.target.start()
        return self

    def __exit__(self, *_):
        for cluster in (self.source, self.target):
            with contextlib.suppress(Exception):
                cluster.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def fresh_target(self, name):
        """An empty database on the target, an empty scratch directory, settled servers."""
        self.target.drop_database(name)
        database = self.target.create_database(name)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.settle()
        return database

    def settle(self):
        """Writes what earlier runs have left to write, and waits for others' work to pause."""
        for cluster in (self.source, self.target):
            admin = cluster.database()
            admin.sql("CHECKPOINT")
            admin.close()
        self.wait_for_quiet()

    def wait_for_quiet(self):
        if self.waits_for_quiet:
            wait_for_quiet()

    def stopwatch(self):
        return Stopwatch((self.source, self.target))

    def start(self, command, output, **options):
        return subprocess.Popen(
            [str(part) for part in command], stdin=options.pop("stdin", subprocess.DEVNULL),
            stderr=output, env=self.environment, cwd=self.directory,
            preexec_fn=die_with_parent(signal.SIGKILL), **options)

    def run(self, *commands):
        """Runs commands one after another, as a shell's `a && b`; the time is that of all."""
        with tempfile.TemporaryFile() as output:
            peak = 0
            watch = self.stopwatch()
            for command in commands:
                process = self.start(command, output, stdout=output)
                sampler = PeakSampler(process.pid)
                code = process.wait()
                peak = max(peak, sampler.peak_bytes)
                if code != 0:
                    raise Failed(f"{pathlib.Path(command[0]).name} ended with {code}:\n"
                                 f"{read_all(output)}")
            return watch.stop(read_all(output), peak)

    def pipe(self, left, right):
        """Runs `left | right`."""
        with tempfile.TemporaryFile() as output:
            watch = self.stopwatch()
            writer = self.start(left, output, stdout=subprocess.PIPE)
            reader = self.start(right, output, stdin=writer.stdout, stdout=output)
            writer.stdout.close()
            codes = [reader.wait(), writer.wait()]
            run = watch.stop(read_all(output))
            if codes != [0, 0]:
                raise Failed(f"{left[0]} | {right[0]} ended with {codes}:\n{run.output}")
            return run


def cluster_cpu_seconds(cluster):
    """What a server's processes have used, those that have ended included. While one ends it would
    count nowhere or twice: then all are read again."""
    server = cluster.process.pid
    while True:
        pids = children_of(server)
        used = process_cpu_seconds(server) + sum(map(process_cpu_seconds, pids))
        if children_of(server) == pids:
            return used


def process_cpu_seconds(pid):
    """What a process and its children that have ended have used; nothing, when it has gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def idle_ticks():
    """Idle and all processor time since the machine started."""
    ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().split()[1:9]]
    return ticks[3], sum(ticks)


def wait_for_quiet():
    """Other people's work disturbs what is timed: waits up to a minute for it to pause."""
    for _ in range(QUIET_TRIES):
        idle, total = idle_ticks()
        time.sleep(QUIET_SECONDS)
        idle_now, total_now = idle_ticks()
        if idle_now - idle > QUIET_SHARE * (total_now - total):
            return


def read_all(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True,
                              check=False).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "?"


def field(path, pattern):
    found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    return found[1].strip() if found else "?"


def facts():
    """What the figures depend on."""
    memory_kib = int(field("/proc/meminfo", r"^MemTotal:\s+(\d+)"))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "trunkline": first_line(PROGRAM, "--version"),
        "commit": first_line("git", "-C", ROOT, "rev-parse", "--short", "HEAD"),
        "postgresql": first_line(BIN / "postgres", "--version"),
        "pgcopydb": first_line("pgcopydb", "--version"),
        "processor": field("/proc/cpuinfo", r"^model name\s*:(.*)$"),
        "processors": os.cpu_count(),
        "memory_gib": round(memory_kib / 1024 / 1024, 1),
        "kernel": platform.release(),
        "load_before": [round(load, 1) for load in os.getloadavg()],
        "settings": SETTINGS,
    }
