"""Following: catching up with what has piled up, and the delay while nothing piles up. Beside
trunkline, from the same backlog on the same servers: PostgreSQL's own subscription (binary = true,
streaming as the server has it by default), and the decoding alone (pg_recvlogical, binary)."""
import re
import signal
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor

from harness.wait import wait_until
from measure import Figure, turns
from place import PROGRAM, Failed, PeakSampler, process_cpu_seconds, read_all

WAIT_SECONDS = 1800
OURS, NATIVE, DECODING = "trunkline", "subscription (binary)", "decoding alone"
PUBLICATION = SLOT = "native"


class Engine:
    """trunkline: it copies the database when it is made, and follows from start() to stop()."""

    def __init__(self, place, source):
        self.place = place
        self.source = source
        self.slot = f"trunkline_{source.name}_slot"
        self.target = place.fresh_target("followed")
        self.urls = ["--source", source.url(), "--target", self.target.url()]
        self.place.run([PROGRAM, "run", *self.urls, "--until", "now"])

    def start(self):
        self.output = tempfile.TemporaryFile()
        self.process = self.place.start(
            [PROGRAM, "run", *self.urls, "--idle-position-interval", "1s"], self.output,
            stdout=self.output)
        self.sampler = PeakSampler(self.process.pid)

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"trunkline run ended early:\n{read_all(self.output)}")

    def cpu_seconds(self):
        """Its own; the servers' are counted there."""
        return process_cpu_seconds(self.process.pid)

    def stop(self):
        self.check()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            raise Failed(f"trunkline run did not end well:\n{read_all(self.output)}")
        self.sampler.join()
        self.output.close()

    def remove(self):
        self.place.run([PROGRAM, "tear-down", *self.urls])


class Subscription:
    """PostgreSQL's own, into a copy of the engine's target: all its settings are the server's."""

    slot = SLOT

    def __init__(self, place, source, copied):
        self.source = source
        copied.close()
        self.target = place.target.create_database("native", f"TEMPLATE {copied.name}")
        self.target.sql("DROP SCHEMA trunkline CASCADE")
        source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES")
        source.sql(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")
        self.target.sql(f"CREATE SUBSCRIPTION native CONNECTION '{source.url()}' PUBLICATION"
                        f" {PUBLICATION} WITH (create_slot = false, slot_name = '{SLOT}',"
                        " copy_data = false, enabled = false, binary = true)")

    def start(self):
        self.target.sql("ALTER SUBSCRIPTION native ENABLE")

    def check(self):
        """A worker that has failed is started again by the server: the wait for it would show."""

    def cpu_seconds(self):
        """It works within the servers."""
        return 0

    def stop(self):
        self.target.sql("ALTER SUBSCRIPTION native DISABLE")
        wait_until(lambda: not self.source.one("SELECT active FROM pg_replication_slots"
                                               f" WHERE slot_name = '{SLOT}'"), "the slot is free")

    def remove(self):
        self.target.sql("ALTER SUBSCRIPTION native SET (slot_name = NONE)")
        self.target.sql("DROP SUBSCRIPTION native")
        self.source.sql(f"SELECT pg_drop_replication_slot('{SLOT}')")
        self.source.sql(f"DROP PUBLICATION {PUBLICATION}")


class Race:
    """A source and who follows it. All of them are behind, and stand still, between the rounds."""

    def __init__(self, bench, name, fill):
        """fill(database) makes what the source holds before anybody follows it."""
        self.bench = bench
        self.place = bench.place
        self.source = self.place.source.create_database(name)
        self.marks = 0
        fill(self.source)
        self.source.sql("CREATE TABLE marker (number int PRIMARY KEY)")
        engine = Engine(self.place, self.source)
        self.rivals = {OURS: engine, NATIVE: Subscription(self.place, self.source, engine.target)}
        self.warm_buffers()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Whoever is fast and wrong has not won anything."""
        if kind:
            return
        self.mark()
        for rival in self.rivals.values():
            self.catch_up(rival)
            rival.remove()
        for rival in self.rivals.values():
            self.bench.check(self.source, rival.target)
            self.place.target.drop_database(rival.target.name)
        self.place.source.drop_database(self.source.name)

    def databases(self):
        return [self.source, *(rival.target for rival in self.rivals.values())]

    def warm_buffers(self):
        """Who follows for long has in memory what is changed often."""
        for database in self.databases():
            with database.connect() as session:
                session.execute("CREATE SCHEMA warm; CREATE EXTENSION pg_prewarm SCHEMA warm")
                session.execute("SELECT warm.pg_prewarm(oid) FROM pg_class WHERE relkind IN ('r', 'i')"
                                " AND relnamespace = 'public'::regnamespace")
                session.execute("DROP SCHEMA warm CASCADE")

    def mark(self):
        """A last row behind all that was written: who shows it has applied everything."""
        self.marks += 1
        self.source.sql("INSERT INTO marker VALUES (%s)", self.marks)

    def shows_mark(self, rival):
        rival.check()
        return rival.target.sql("SELECT 1 FROM marker WHERE number = %s", self.marks)

    def wait_for_mark(self, rival):
        wait_until(lambda: self.shows_mark(rival), "all changes are visible on the target",
                   WAIT_SECONDS)

    def catch_up(self, rival):
        """From the command to start until the last change is visible on the target."""
        watch = self.place.stopwatch()
        rival.start()
        self.wait_for_mark(rival)
        run = watch.stop("")
        run.cpu["program"] += rival.cpu_seconds()
        rival.stop()
        return run

    def decode(self):
        """The source's part of the work alone: what it sends is thrown away."""
        end = self.source.one("SELECT pg_current_wal_lsn()")
        return self.place.run(
            ["pg_recvlogical", "-d", self.source.url(), "--slot", "decoding", "--start",
             "--no-loop", "--endpos", end, "-f", "/dev/null", "-o", "proto_version=1",
             "-o", "binary=true", "-o", f"publication_names={PUBLICATION}"])

    def warm_up(self):
        """Nothing but a mark to catch up with: what starting takes, which is part of every time."""
        self.mark()
        for name, rival in self.rivals.items():
            self.bench.say_run(None, f"{name}, nothing to catch up with", self.catch_up(rival))

    def vacuum(self):
        """No round finds the dead rows of those before it."""
        for database in self.databases():
            database.sql("VACUUM")

    def advance_slots(self):
        """No round reads the WAL of those before it. Where a slot restarts follows what is confirmed
        with each snapshot of running transactions that the source logs, 15 s behind a change."""
        end = self.source.one("SELECT pg_current_wal_lsn()")
        self.mark()
        for rival in self.rivals.values():
            rival.start()
        for rival in self.rivals.values():
            wait_until(lambda: self.source.one(
                "SELECT restart_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
                end, rival.slot), "the slot restarts behind what has been applied", 120)
            rival.stop()

    def run(self, work):
        """The runs of each by name. work(round) writes and says what it has written. A round ahead
        is not counted: a follower's pages are in memory, and most of them have been written whole to
        the WAL since the last checkpoint."""
        contenders = {OURS: lambda: self.catch_up(self.rivals[OURS]),
                      NATIVE: lambda: self.catch_up(self.rivals[NATIVE]),
                      DECODING: self.decode}
        runs = {name: [] for name in contenders}
        self.warm_up()
        for number in range(-1, self.bench.rounds):
            self.vacuum()
            self.advance_slots()
            self.source.sql("SELECT pg_create_logical_replication_slot('decoding', 'pgoutput')")
            written = work(number + 1)
            self.mark()
            for name in turns(contenders, number):
                self.place.wait_for_quiet()
                run = contenders[name]()
                self.bench.say_run(number if number >= 0 else None, f"{name}, {written}", run)
                if number >= 0:
                    runs[name].append(run)
            self.source.sql("SELECT pg_drop_replication_slot('decoding')")
        return runs


def race(bench, name, what, fill, work, must, aim=None, decoding_aim=None):
    """The figures of one kind of work: beside the subscription, beside the decoding."""
    with Race(bench, name, fill) as runners:
        runs = runners.run(lambda number: work(runners.source, number))
    return [Figure.of_runs(what, runs[OURS], NATIVE, runs[NATIVE], bench.must(must), aim),
            Figure.of_runs(what, runs[OURS], DECODING, runs[DECODING], aim=decoding_aim)]


# --- what has piled up in many transactions ---

def pgbench_race(bench, options, must, decoding_aim=None):
    place = bench.place

    def fill(source):
        place.run(["pgbench", "-i", "-q", "-I", "dtgvp", "-s", bench.scale, source.url()])
        source.sql("ALTER TABLE pgbench_history REPLICA IDENTITY FULL")

    def work(source, _):
        load = place.run(["pgbench", "-n", *options, "-c", 4, "-T", bench.load_seconds,
                          source.url()])
        done = re.search(r"actually processed: (\d+)", load.output)[1]
        return f"{int(done):,} transactions"

    command = " ".join(["pgbench", *options, "-c 4"])
    return race(bench, "catch_up", f"catching up: {bench.load_seconds} s of {command}", fill, work,
                must, decoding_aim=decoding_aim)


def catch_up_simple(bench):
    """what pgbench -N -c 4 has written meanwhile: an update and an insert a transaction"""
    return pgbench_race(bench, ["-N"], 0.5, 1.3)


def catch_up_standard(bench):
    """what pgbench -c 4 has written meanwhile: the same few branches and tellers all the time"""
    return pgbench_race(bench, [], 0.35)


# --- one huge transaction ---

MANY = """
CREATE TABLE many (id bigint PRIMARY KEY, number int, words text);
INSERT INTO many SELECT i, i % 97, repeat(md5(i::text), 2)::varchar(40)
  FROM generate_series(1, {}) i;
"""


def huge(bench, verb, whole, rows_before, statement, must, aim=None):
    """One transaction of so many rows; the statement is told the first and the last of a round."""
    rows = bench.count(whole)

    def work(source, number):
        source.sql(statement, number * rows + 1, (number + 1) * rows)
        return f"{rows:,} {verb}"

    return race(bench, "huge", f"one transaction of {rows:,} {verb}",
                lambda source: source.sql(MANY.format(rows_before(rows))), work, must, aim)


def inserts(bench):
    """one transaction of 1,000,000 inserts"""
    return huge(bench, "inserts", 1_000_000, lambda rows: 0,
                "INSERT INTO many SELECT i, i %% 97, repeat(md5(i::text), 2)::varchar(40)"
                " FROM generate_series(%s::bigint, %s) i", 0.6)


def updates(bench):
    """one transaction of 500,000 updates"""
    return huge(bench, "updates", 500_000, lambda rows: rows * (bench.rounds + 1),
                "UPDATE many SET number = number + 1 WHERE id BETWEEN %s AND %s", 0.85, 0.6)


def deletes(bench):
    """one transaction of 500,000 deletes"""
    return huge(bench, "deletes", 500_000, lambda rows: rows * (bench.rounds + 2),
                "DELETE FROM many WHERE id BETWEEN %s AND %s", 1.0, 0.6)


# --- the delay ---

WRITERS, RATE = 4, 500  # transactions a second, of all writers together

TICKS = """
CREATE TABLE account (id int PRIMARY KEY, balance int, filler char(84));
INSERT INTO account SELECT i, 0, '' FROM generate_series(1, 100000) i;
CREATE TABLE tick (writer int, number int, PRIMARY KEY (writer, number));
"""

# On the source, each writer a session: commits at a steady pace, and notes when each was done. What
# is late is made up for at once.
WRITE = """
DO $$
DECLARE
    began timestamptz := clock_timestamp() + {writer} * interval '{pause_ms} ms' / {writers};
BEGIN
    FOR i IN 1 .. {count} LOOP
        PERFORM pg_sleep(greatest(0, extract(epoch FROM
            began + i * interval '{pause_ms} ms' - clock_timestamp())));
        UPDATE account SET balance = balance + 1 WHERE id = 1 + (i * 7919 + {writer}) % 100000;
        INSERT INTO tick VALUES ({writer}, {first} + i);
        COMMIT;
        INSERT INTO noted VALUES ({writer}, {first} + i, clock_timestamp());
    END LOOP;
END $$"""

# On the target: looks once a millisecond, and notes when it has seen each for the first time.
OBSERVE = """
DO $$
DECLARE
    known int[] := array_fill({first}, ARRAY[{writers}]);
    finished int[] := array_fill({first} + {count}, ARRAY[{writers}]);
    newest int;
    seen timestamptz;
    deadline timestamptz := clock_timestamp() + interval '{deadline} s';
BEGIN
    WHILE known <> finished LOOP
        FOR w IN 1 .. {writers} LOOP
            SELECT max(number) INTO newest FROM tick WHERE writer = w;
            IF newest > known[w] THEN
                seen := clock_timestamp();
                INSERT INTO noted SELECT w, i, seen FROM generate_series(known[w] + 1, newest) i;
                known[w] := newest;
            END IF;
        END LOOP;
        COMMIT;
        IF clock_timestamp() > deadline THEN
            RAISE 'not all has arrived: % of %', known, finished;
        END IF;
        PERFORM pg_sleep(0.0005);
    END LOOP;
END $$"""


def noted(database, block):
    """Runs a block in a session of its own: the times that it has noted, by writer and number."""
    with database.connect() as session:
        session.execute("CREATE TEMP TABLE noted (writer int, number int, at timestamptz)")
        session.execute(block)
        return {(writer, number): at for writer, number, at in session.execute(
            "SELECT writer, number, extract(epoch FROM at)::float8 FROM noted")}


def delays_ms(runners, rival, first, seconds):
    """Of each transaction: from its commit on the source to its being visible on the target; and how
    many there were a second."""
    values = {"writers": WRITERS, "first": first, "count": seconds * RATE // WRITERS,
              "pause_ms": 1000 * WRITERS // RATE, "deadline": seconds * 2 + 120}
    rival.start()
    runners.mark()
    runners.wait_for_mark(rival)
    with ThreadPoolExecutor(WRITERS + 1) as threads:
        observer = threads.submit(noted, rival.target, OBSERVE.format(**values))
        writers = [threads.submit(noted, runners.source, WRITE.format(writer=writer, **values))
                   for writer in range(1, WRITERS + 1)]
        committed = {}
        for writer in writers:
            committed.update(writer.result())
        seen = observer.result()
    rival.stop()
    assert seen.keys() == committed.keys(), "the observer saw other rows than were written"
    rate = (len(committed) - 1) / (max(committed.values()) - min(committed.values()))
    return [1000 * (seen[key] - at) for key, at in committed.items()], rate


def delay(bench):
    """from commit to visible on the target, at 500 transactions/s"""
    medians, highs = {OURS: [], NATIVE: []}, {OURS: [], NATIVE: []}
    first = 0
    with Race(bench, "delay", lambda source: source.sql(TICKS)) as runners:
        for number in range(-1, bench.rounds): # one ahead, uncounted
            for name in turns(runners.rivals, number):
                bench.place.wait_for_quiet()
                delays, rate = delays_ms(runners, runners.rivals[name], first,
                                         bench.load_seconds)
                first += len(delays)
                median = round(statistics.median(delays), 3)
                high = round(statistics.quantiles(delays, n=100)[98], 3)
                bench.say(f"  {'before ' if number < 0 else f'round {number + 1}'}: {name:<34}"
                          f" {rate:5.0f} transactions/s, median {median:.2f} ms,"
                          f" 99th percentile {high:.2f} ms")
                if number >= 0:
                    medians[name].append(median)
                    highs[name].append(high)
    what = f"delay at {RATE} transactions/s"
    return [Figure(f"{what}, median", "ms", medians[OURS], NATIVE, medians[NATIVE],
                   bench.must(1.0)),
            Figure(f"{what}, 99th percentile", "ms", highs[OURS], NATIVE, highs[NATIVE],
                   bench.must(1.0))]
