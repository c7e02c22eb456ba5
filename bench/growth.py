"""How time and memory grow: one thing at a time is made larger, trunkline beside pg_dump | psql."""
import statistics

from plot import draw_growth

MIB = 1024 * 1024
OURS, OTHER = "trunkline", "pg_dump | psql"


class Sweep:
    """One thing made larger: its values, and the runs of each contender at each of them."""

    def __init__(self, name, title, axis, note):
        self.name = name
        self.title = title
        self.axis = axis
        self.note = note
        self.values = []
        self.runs = {}  # contender: a list of runs for each value

    def add(self, value, runs):
        self.values.append(value)
        for contender, done in runs.items():
            self.runs.setdefault(contender, []).append(done)

    def seconds(self, contender):
        return [statistics.median(run.seconds for run in runs) for runs in self.runs[contender]]

    def mebibytes(self):
        """Our process's peak: the engine's, without pg_dump and the servers."""
        return [max(run.peak_bytes for run in runs) / MIB for runs in self.runs[OURS]]

    def facts(self):
        return {
            "axis": self.axis,
            "values": self.values,
            "seconds": {name: [[round(run.seconds, 3) for run in runs] for runs in points]
                        for name, points in self.runs.items()},
            "peak_mib": [round(peak, 1) for peak in self.mebibytes()],
        }

    def draw(self, facts):
        return draw_growth(self, facts)

    def rows(self):
        """For the printed table: value, our seconds, the other's, ratio, our peak."""
        ours = self.seconds(OURS)
        others = self.seconds(OTHER) if OTHER in self.runs else [None] * len(ours)
        for value, mine, other, peak in zip(self.values, ours, others, self.mebibytes()):
            ratio = f"{mine / other:.2f}" if other else ""
            yield (f"{value:,}", f"{mine:.2f} s", f"{other:.2f} s" if other else "", ratio,
                   f"{peak:.1f} MiB")


def measure(bench, sweep, value, make, with_other=True, options=()):
    """make(database) fills a fresh source; then each contender copies it, in turn the first."""
    place = bench.place
    place.source.drop_database("growth")
    source = place.source.create_database("growth")
    make(source)
    source.sql("ANALYZE")
    source.close()

    def ours():
        return bench.trunkline(source, place.fresh_target("growth"), *options)

    def other():
        target = place.fresh_target("growth")
        return place.pipe(["pg_dump", source.url()],
                          ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", target.url()])

    contenders = {OURS: ours, **({OTHER: other} if with_other else {})}
    runs = {name: [] for name in contenders}
    for number in range(bench.rounds):
        for name in sorted(contenders, reverse=number % 2 == 1):
            runs[name].append(contenders[name]())
    ours()
    bench.check(source, place.target.database("growth"))
    sweep.add(value, runs)
    bench.say(f"  {sweep.title}, " + ", ".join(list(sweep.rows())[-1]))


def rows(bench):
    sweep = Sweep("rows", "rows of one table", "rows", "key, number and 40 bytes of text each")
    for value in (10**4, 10**5) if bench.quick else (10**4, 10**5, 10**6, 10**7):
        measure(bench, sweep, value, lambda source, count=value: source.sql(
            "CREATE TABLE t (id bigint PRIMARY KEY, number int, words text);"
            "INSERT INTO t SELECT i, i % 97, repeat(md5(i::text), 2)::varchar(40)"
            f" FROM generate_series(1, {count}) i"))
    return sweep


def tables(bench):
    sweep = Sweep("tables", "tables of ten rows", "tables", "each with a primary key")

    def make(source, count):
        with source.connect() as session:
            for first in range(0, count, 250):
                session.execute("".join(
                    f"CREATE TABLE t{i} (id int PRIMARY KEY, words text);"
                    f"INSERT INTO t{i} SELECT j, 'row ' || j FROM generate_series(1, 10) j;"
                    for i in range(first, min(first + 250, count))))

    for value in (10, 100) if bench.quick else (10, 100, 1_000, 5_000):
        measure(bench, sweep, value, lambda source, count=value: make(source, count))
    return sweep


def width(bench):
    """The same bytes in ever fewer rows."""
    total = 10 * MIB if bench.quick else 200 * MIB
    sweep = Sweep("width", f"{total // MIB} MiB in rows of one width", "bytes of a row",
                  "narrow rows: at most two million of them; random bytes, EXTERNAL storage")
    for value in (10, 10**4, 10**6) if bench.quick else (10, 100, 10**3, 10**4, 10**5, 10**6, 10**7):
        count = max(2, min(total // value, 2_000_000))
        # Of random bytes there is a pool of 1 MiB; each row takes its piece of it, over and over.
        measure(bench, sweep, value, lambda source, count=count, width=value: source.sql(
            "CREATE TABLE t (id bigint PRIMARY KEY, bytes bytea);"
            "ALTER TABLE t ALTER bytes SET STORAGE EXTERNAL;"
            "INSERT INTO t SELECT i, substr(decode(repeat((SELECT string_agg(md5(j::text), '')"
            f" FROM generate_series(1, least({width} / 16 + 1, 65536)) j), {width} / {MIB} + 1),"
            f" 'hex'), 1, {width}) FROM generate_series(1, {count}) i"))
    return sweep


def copiers(bench):
    """What more copiers bring: on few processors, nothing beyond their number."""
    sweep = Sweep("copiers", "copiers, on pgbench's tables with keys", "copiers",
                  "the source's and the target's backends share the same processors")
    for value in (1, 2) if bench.quick else (1, 2, 3, 4, 6, 8):
        measure(bench, sweep, value, lambda source: bench.place.run(
            ["pgbench", "-i", "-q", "-I", "dtgvp", "-s", bench.scale, source.url()]) and source.sql(
                "ALTER TABLE pgbench_history REPLICA IDENTITY FULL"),
            with_other=False, options=("--copiers", value))
    return sweep


def growth(bench):
    """time and memory as rows, tables, row width and copiers grow"""
    return [sweep(bench) for sweep in (rows, tables, width, copiers)]
