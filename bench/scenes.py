"""What is measured: one function a scene, each with the source it needs and its contenders."""
import os
import random
import re
import signal
import statistics
import time
from datetime import datetime

from growth import growth
from harness.wait import wait_until
from place import PROGRAM, Failed, PeakSampler

MIB = 1024 * 1024
PGBENCH_TABLES = ("pgbench_history", "pgbench_tellers", "pgbench_branches")


class Figure:
    """One line of the result: what trunkline took, what the other took, what must be reached."""

    def __init__(self, what, unit, ours, other_name=None, others=(), must=None):
        self.what = what
        self.unit = unit
        self.ours = ours
        self.other_name = other_name
        self.others = list(others)
        self.must = must
        self.cpu = None  # processor seconds: ours, the other's

    @property
    def value(self):
        """The ratio of the medians, or the greatest figure where there is nobody to compare."""
        if self.others:
            return statistics.median(self.ours) / statistics.median(self.others)
        return max(self.ours)

    @classmethod
    def of_runs(cls, what, ours, other_name, others, must=None):
        """Times and processor times of runs."""
        figure = cls(what, "s", seconds(ours), other_name, seconds(others), must)
        figure.cpu = [round(statistics.median(run.cpu_seconds for run in runs), 2)
                      for runs in (ours, others)]
        return figure

    @property
    def is_met(self):
        return None if self.must is None else self.value <= self.must


class Bench:
    """The settings of one run of the bench, and what it says while it works."""

    def __init__(self, place, rounds, quick):
        self.place = place
        self.rounds = rounds
        self.quick = quick
        self.scale = 2 if quick else 50

    def say(self, text):
        print(text, flush=True)

    def must(self, figure):
        """What is to be reached; small scales, where starting is most of it, reach nothing."""
        return None if self.quick else figure

    def say_run(self, number, name, run):
        self.say(f"  round {number + 1}: {name:<34} {run.seconds:7.2f} s,"
                 f" processors {run.cpu_seconds:6.2f} s")

    def alternate(self, contenders, warm_up):
        """Each contender once a round, in turn the first; returns the runs by name. The
        contender named warm_up goes ahead once, uncounted, so that the first is not the one
        that finds cold caches and no kept WAL files."""
        runs = {name: [] for name in contenders}
        contenders[warm_up]()
        for number in range(self.rounds):
            names = list(contenders)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                runs[name].append(contenders[name]())
                self.say_run(number, name, runs[name][-1])
        return runs

    def pgbench_source(self, name):
        """A fresh source database filled by pgbench, without its keys."""
        source = self.place.source
        source.drop_database(name)
        database = source.create_database(name)
        self.place.run(["pgbench", "-i", "-q", "-I", "dtgv", "-s", self.scale, database.url()])
        return database

    def trunkline(self, source, target, *options):
        """Copies source to target to the end; what it leaves on the source goes untimed."""
        urls = ["--source", source.url(), "--target", target.url()]
        try:
            return self.place.run([PROGRAM, "run", *urls, "--until", "now", *options])
        finally:
            self.place.run([PROGRAM, "tear-down", *urls])
            source.close()
            target.close()

    def check(self, source, target):
        """A contender that is fast and wrong has not won anything."""
        self.place.run([PROGRAM, "verify", "--source", source.url(), "--target", target.url()])
        source.close()
        target.close()


def seconds(runs):
    return [round(run.seconds, 3) for run in runs]


# --- one table, one copier ---

def row_seconds(output):
    """From the log: from the plan to the last table's end."""
    times = {}
    for stamp, message in re.findall(r'^time=(\S+) .*?msg="?(copying \d+ tables|copied )', output,
                                     re.M):
        times[message[:6]] = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return round((times["copied"] - times["copyin"]).total_seconds(), 3)


def one_table(bench):
    """5 million rows without an index: what the engine adds to PostgreSQL's own COPY."""
    place = bench.place
    source = bench.pgbench_source("one_table")
    source.sql(f"DROP TABLE {', '.join(PGBENCH_TABLES)}")
    source.sql("ALTER TABLE pgbench_accounts REPLICA IDENTITY FULL")
    source.close()
    table = "pgbench_accounts"
    read = ["psql", "-Xqc", f"COPY {table} TO STDOUT (FORMAT binary)", source.url()]

    def copy_pipe(target):
        return place.pipe(read, ["psql", "-Xqc", f"COPY {table} FROM STDIN (FORMAT binary)",
                                 target.url()])

    def schema_pipe(target):
        return place.pipe(["pg_dump", "--schema-only", source.url()],
                          ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", target.url()])

    def pipe_alone():
        target = place.fresh_target("one_table")
        schema_pipe(target)
        return copy_pipe(target)

    def pipe_and_schema():
        target = place.fresh_target("one_table")
        return (schema_pipe(target) + copy_pipe(target) +
                place.run(["psql", "-Xqc", f"ANALYZE {table}", target.url()]))

    def engine():
        target = place.fresh_target("one_table")
        return bench.trunkline(source, target, "--copiers", 1)

    runs = bench.alternate({"psql COPY | psql COPY": pipe_alone,
                            "the same with schema and ANALYZE": pipe_and_schema,
                            "trunkline --copiers 1": engine}, "psql COPY | psql COPY")
    ours = runs["trunkline --copiers 1"]
    rows = [row_seconds(run.output) for run in ours]
    alone = runs["psql COPY | psql COPY"]
    whole = runs["the same with schema and ANALYZE"]
    bench.check(source, place.target.database("one_table"))
    place.source.drop_database("one_table")
    return [
        Figure("one table, the rows", "s", rows, "psql COPY | psql COPY", seconds(alone),
               bench.must(1.10)),
        Figure.of_runs("one table, whole command", ours,
                       "pg_dump -s, psql COPY | psql COPY, ANALYZE", whole, bench.must(1.10)),
        Figure.of_runs("one table, whole command against the bare pipe", ours,
                       "psql COPY | psql COPY", alone),
    ]


# --- a whole database ---

def whole_database(bench):
    """pgbench with its keys, against the two usual ways to move a database."""
    place = bench.place
    source = bench.pgbench_source("whole")
    place.run(["pgbench", "-i", "-q", "-I", "p", "-s", bench.scale, source.url()])
    source.sql("ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
    source.close()

    def dump_and_restore():
        target = place.fresh_target("whole")
        dump = place.scratch / "dump"
        return place.run(["pg_dump", "-Fd", "-Z0", "-j2", "-f", dump, source.url()],
                         ["pg_restore", "-j2", "-d", target.url(), dump])

    def pgcopydb():
        target = place.fresh_target("whole")
        return place.run(["pgcopydb", "clone", "--source", source.url(), "--target", target.url(),
                          "--table-jobs", 2, "--index-jobs", 2, "--dir", place.scratch / "work"])

    def engine(*options):
        return bench.trunkline(source, place.fresh_target("whole"), *options)

    runs = bench.alternate({"pg_dump, pg_restore -j2": dump_and_restore,
                            "trunkline": engine,
                            "pgcopydb clone, 2 jobs": pgcopydb,
                            "trunkline --copiers 2": lambda: engine("--copiers", 2)},
                           "pg_dump, pg_restore -j2")
    engine()
    bench.check(source, place.target.database("whole"))
    place.source.drop_database("whole")
    dumped = runs["pg_dump, pg_restore -j2"]
    return [
        Figure.of_runs("database with keys, default copiers", runs["trunkline"],
                       "pg_dump -Z0 -j2, pg_restore -j2", dumped, bench.must(0.75)),
        Figure.of_runs("database with keys, 2 copiers", runs["trunkline --copiers 2"],
                       "pg_dump -Z0 -j2, pg_restore -j2", dumped),
        Figure.of_runs("database with keys, 2 copiers", runs["trunkline --copiers 2"],
                       "pgcopydb clone, 2 + 2 jobs", runs["pgcopydb clone, 2 jobs"],
                       bench.must(1.0)),
    ]


# --- memory ---

LIMIT_MIB = 64


def large_row(number, generator):
    """A row of 0 to 1 MB, in which text and bytea share; nothing in it compresses well."""
    size = generator.randrange(MIB)
    text = generator.randrange(size + 1)
    return number, os.urandom(text // 2).hex(), os.urandom(size - text)


def large_rows_source(bench, count):
    source = bench.place.source
    source.drop_database("memory")
    database = source.create_database("memory")
    database.sql("CREATE TABLE large (id bigint PRIMARY KEY, words text, bytes bytea)")
    database.sql("CREATE TABLE small (id bigint PRIMARY KEY, number int, words text)")
    generator = random.Random(1)
    with database.connect() as session, session.cursor() as cursor:
        with cursor.copy("COPY large FROM STDIN") as copy:
            for number in range(count):
                copy.write_row(large_row(number, generator))
    return database


def change_large_rows(source, count, first):
    """Half inserts from the key `first` on, half updates, a transaction each."""
    generator = random.Random(first)
    with source.connect() as session:
        for number in range(count // 2):
            row = large_row(first + number, generator)
            session.execute("INSERT INTO large VALUES (%s, %s, %s)", row)
            _, words, content = large_row(0, generator)
            session.execute("UPDATE large SET words = %s, bytes = %s WHERE id = %s",
                            (words, content, number))


def insert_small_rows(source, count):
    source.sql("INSERT INTO small SELECT i, i %% 97, 'row ' || i FROM generate_series(1, %s) i",
               count)


def while_locked(target, change):
    """change(), of which nothing can be applied until it is over."""
    with target.connect(autocommit=False) as session:
        session.execute("LOCK TABLE large, small")
        change()


def follow(bench, source, target, change):
    """The peak of an engine that follows while change() runs, until all of it has arrived."""
    urls = ["--source", source.url(), "--target", target.url()]
    with open(bench.place.scratch / "follow.log", "w+b") as output:
        process = bench.place.start([PROGRAM, "run", *urls], output, stdout=output)
        sampler = PeakSampler(process.pid)
        change()
        end = source.one("SELECT pg_current_wal_lsn()")
        wait_until(lambda: process.poll() is not None or target.one(
            "SELECT max(lsn) >= %s::pg_lsn FROM trunkline.position", end),
            "the target has it all", 600)
        process.send_signal(signal.SIGTERM)
        if process.wait(30) != 0:
            output.seek(0)
            raise Failed(f"trunkline run ended early:\n{output.read().decode()}")
    sampler.join()
    source.close()
    target.close()
    return sampler.peak_bytes


def memory(bench):
    """The engine's peak, whatever the size of rows and transactions."""
    place = bench.place
    rows, changes, small = (100, 100, 20_000) if bench.quick else (2_000, 2_000, 300_000)
    source = large_rows_source(bench, rows)
    target = place.fresh_target("memory")
    urls = ["--source", source.url(), "--target", target.url()]
    copied = place.run([PROGRAM, "run", *urls, "--until", "now"]).peak_bytes
    large = follow(bench, source, target, lambda: change_large_rows(source, changes, 1_000_000))
    locked = follow(bench, source, target, lambda: while_locked(
        target, lambda: change_large_rows(source, changes // 4, 2_000_000)))
    one = follow(bench, source, target, lambda: insert_small_rows(source, small))
    bench.check(source, target)
    place.run([PROGRAM, "tear-down", *urls])
    place.source.drop_database("memory")
    place.target.drop_database("memory")
    figures = [(f"peak memory: copy of {rows:,} rows up to 1 MB", copied),
               (f"peak memory: {changes:,} changes of such rows", large),
               (f"peak memory: {changes // 4:,} of them, the target locked", locked),
               (f"peak memory: one transaction of {small:,} rows", one)]
    for what, peak in figures:
        bench.say(f"  {what:<48} {peak / MIB:7.1f} MiB")
    return [Figure(what, "MiB", [round(peak / MIB, 1)], must=bench.must(LIMIT_MIB))
            for what, peak in figures]


# --- catching up ---

def create_subscription(source, target):
    source.sql("CREATE PUBLICATION native FOR ALL TABLES")
    source.sql("SELECT pg_create_logical_replication_slot('native', 'pgoutput')")
    target.sql(f"CREATE SUBSCRIPTION native CONNECTION '{source.url()}' PUBLICATION native WITH"
               " (create_slot = false, slot_name = 'native', copy_data = false, enabled = false,"
               " binary = true)")


def drop_subscription(source, target):
    target.sql("ALTER SUBSCRIPTION native DISABLE")
    target.sql("ALTER SUBSCRIPTION native SET (slot_name = NONE)")
    target.sql("DROP SUBSCRIPTION native")
    wait_until(lambda: not source.one("SELECT active FROM pg_replication_slots"
                                      " WHERE slot_name = 'native'"), "the slot is free")
    source.sql("SELECT pg_drop_replication_slot('native')")
    source.sql("DROP PUBLICATION native")


def enable_subscription(place, source, target):
    """Runs the subscription until it has applied what its slot holds."""
    end = source.one("SELECT pg_current_wal_lsn()")
    watch = place.stopwatch()
    target.sql("ALTER SUBSCRIPTION native ENABLE")
    wait_until(lambda: source.one("SELECT confirmed_flush_lsn >= %s::pg_lsn"
                                  " FROM pg_replication_slots WHERE slot_name = 'native'", end),
               "the subscription has caught up", 900)
    run = watch.stop("")
    target.sql("ALTER SUBSCRIPTION native DISABLE")
    return run


def catch_up(bench):
    """What has piled up while nobody followed: the same load, applied by both."""
    place = bench.place
    source = bench.pgbench_source("catch_up")
    place.run(["pgbench", "-i", "-q", "-I", "p", "-s", bench.scale, source.url()])
    source.sql("ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
    ours = place.fresh_target("catch_up")
    urls = ["--source", source.url(), "--target", ours.url()]
    command = [PROGRAM, "run", *urls, "--until", "now"]
    place.run(command)
    native = place.target.create_database("native", "TEMPLATE catch_up")
    native.sql("DROP SCHEMA trunkline CASCADE")
    create_subscription(source, native)
    seconds_of_load = 5 if bench.quick else 30
    contenders = {"trunkline": lambda: place.run(command),
                  "subscription": lambda: enable_subscription(place, source, native)}
    runs = {name: [] for name in contenders}
    for number in range(bench.rounds):
        load = place.run(["pgbench", "-n", "-N", "-c", 4, "-T", seconds_of_load, source.url()])
        count = re.search(r"actually processed: (\d+)", load.output)[1]
        for name in sorted(contenders, reverse=number % 2 == 0):
            place.settle()
            runs[name].append(contenders[name]())
            bench.say_run(number, f"{name}, {count} transactions", runs[name][-1])
    drop_subscription(source, native)
    bench.check(source, native)
    bench.check(source, ours)
    place.run([PROGRAM, "tear-down", *urls])
    for name, cluster in (("native", place.target), ("catch_up", place.target),
                          ("catch_up", place.source)):
        cluster.drop_database(name)
    return [Figure.of_runs(f"catching up: {seconds_of_load} s of pgbench -N -c 4",
                           runs["trunkline"], "subscription (binary)", runs["subscription"])]


SCENES = {"copy": one_table, "database": whole_database, "memory": memory, "catchup": catch_up,
          "growth": growth}
