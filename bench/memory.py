"""What the engine needs of memory, whatever the size of rows, transactions and stalls."""
import os
import random
import signal

from harness.wait import wait_until
from measure import MIB, Figure
from place import PROGRAM, Failed, PeakSampler

LIMIT_MIB, PEAK_LIMIT_MIB = 64, 128
WAIT_SECONDS = 1800


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


def while_locked(target, tables, change):
    """change(), of which nothing can be applied until it is over."""
    with target.connect(autocommit=False) as session:
        session.execute(f"LOCK TABLE {', '.join(tables)}")
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
            "the target has it all", WAIT_SECONDS)
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
        target, ("large", "small"), lambda: change_large_rows(source, changes // 4, 2_000_000)))
    one = follow(bench, source, target, lambda: insert_small_rows(source, small))
    bench.check(source, target)
    place.run([PROGRAM, "tear-down", *urls])
    place.source.drop_database("memory")
    place.target.drop_database("memory")
    figures = [(f"peak memory: copy of {rows:,} rows up to 1 MB", copied),
               (f"peak memory: {changes:,} changes of such rows", large),
               (f"peak memory: {changes // 4:,} of them, the target locked", locked),
               (f"peak memory: one transaction of {small:,} rows", one)]
    return as_figures(bench, figures, LIMIT_MIB)


def peak(bench):
    """The engine's peak over one huge transaction, and while the target takes nothing."""
    place = bench.place
    rows, locked_seconds = bench.count(5_000_000), 2 * bench.load_seconds
    source = bench.pgbench_source("peak")
    place.run(["pgbench", "-i", "-q", "-I", "p", "-s", bench.scale, source.url()])
    source.sql("ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
    source.sql("CREATE TABLE small (id bigint PRIMARY KEY, number int, words text)")
    target = place.fresh_target("peak")
    urls = ["--source", source.url(), "--target", target.url()]
    place.run([PROGRAM, "run", *urls, "--until", "now"])
    one = follow(bench, source, target, lambda: insert_small_rows(source, rows))
    locked = follow(bench, source, target, lambda: while_locked(
        target, ("pgbench_accounts", "pgbench_history"), lambda: place.run(
            ["pgbench", "-n", "-N", "-c", 4, "-T", locked_seconds, source.url()])))
    bench.check(source, target)
    place.run([PROGRAM, "tear-down", *urls])
    place.source.drop_database("peak")
    place.target.drop_database("peak")
    return as_figures(bench, [
        (f"peak memory: one transaction of {rows:,} rows", one),
        (f"peak memory: pgbench -N -c 4, the target locked for {locked_seconds} s", locked),
    ], PEAK_LIMIT_MIB)


def as_figures(bench, peaks, limit_mib):
    for what, peak_bytes in peaks:
        bench.say(f"  {what:<64} {peak_bytes / MIB:7.1f} MiB")
    return [Figure(what, "MiB", [round(peak_bytes / MIB, 1)], must=bench.must(limit_mib))
            for what, peak_bytes in peaks]
