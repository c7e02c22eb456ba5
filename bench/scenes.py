"""What is measured: one function a scene, each with the source it needs and its contenders. Here
the copies, and the table of all scenes."""
import re
from datetime import datetime

import following
from growth import growth
from measure import Figure, seconds
from memory import memory, peak

PGBENCH_TABLES = ("pgbench_history", "pgbench_tellers", "pgbench_branches")


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


SCENES = {"copy": one_table, "database": whole_database, "memory": memory, "peak": peak,
          "catchup-simple": following.catch_up_simple,
          "catchup-standard": following.catch_up_standard, "inserts": following.inserts,
          "updates": following.updates, "deletes": following.deletes, "delay": following.delay,
          "growth": growth}
