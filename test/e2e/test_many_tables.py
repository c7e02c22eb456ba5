"""Thousands of small tables: how long until the first row is copied, the whole, memory, verify."""
import re
import time

import pytest

from harness.slices import LONG
from harness.wait import wait_until

START_SECONDS = 5  # to the first COPY, without the client programs; on an idle machine
WHOLE_SECONDS = 180
MEMORY_KIB = 128 * 1024
MAKE = """
DO $$ BEGIN FOR i IN {first}..{last} LOOP
  IF i % 50 = 0 THEN
    EXECUTE format('CREATE TABLE s%s.t%s (id int, k int, v text, PRIMARY KEY (id, k))'
                   ' PARTITION BY RANGE (k)', i % 10, i);
    EXECUTE format('CREATE TABLE s%s.t%s_a PARTITION OF s%1$s.t%2$s FOR VALUES FROM (0) TO (10)',
                   i % 10, i);
    EXECUTE format('CREATE TABLE s%s.t%s_b PARTITION OF s%1$s.t%2$s DEFAULT', i % 10, i);
  ELSE
    EXECUTE format('CREATE TABLE s%s.t%s (id int PRIMARY KEY, k int, v text)', i % 10, i);
  END IF;
  EXECUTE format('INSERT INTO s%s.t%s SELECT g, g * 5, ''v'' || g FROM generate_series(1, 4) g',
                 i % 10, i);
END LOOP; END $$"""


def make(source, count):
    for number in range(10):
        source.sql(f"CREATE SCHEMA s{number}")
    for first in range(0, count, 100):  # not more locks at once than a server has
        source.sql(MAKE.format(first=first, last=min(first + 99, count - 1)))


class Watch:
    """Looks at the engine and its sessions until the first COPY; then at its memory."""

    def __init__(self, pipe, engine):
        self.pipe, self.engine = pipe, engine
        self.start = time.monotonic()
        self.tools = 0.0  # seconds in which pg_dump or pg_restore had a session
        self.last = self.start

    def has_copied(self):
        query = ("SELECT count(*) FILTER (WHERE application_name ~ ':pg_(dump|restore)$') > 0"
                 " FROM pg_stat_activity WHERE datname = %s")
        now = time.monotonic()
        if any(side.admin_one(query, side.name) for side in (self.pipe.source, self.pipe.target)):
            self.tools += now - self.last
        self.last = now
        return self.engine.runs() and self.pipe.phase() == "tables"

    def peak(self):
        try:
            with open(f"/proc/{self.engine.pid}/status", encoding="utf-8") as status:
                return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
        except (OSError, TypeError):
            return 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=LONG)])
def test_many_small_tables(pipe, count):
    """On servers with the default number of locks, which are fewer than 5,000 tables take."""
    make(pipe.source, count)
    peaks = []
    engine = pipe.start(until="now")
    watch = Watch(pipe, engine)
    wait_until(watch.has_copied, "the rows are copied", WHOLE_SECONDS)
    own = time.monotonic() - watch.start - watch.tools
    wait_until(lambda: peaks.append(watch.peak()) or engine.code is not None, "the end",
               WHOLE_SECONDS)
    whole = time.monotonic() - watch.start
    engine.ends(0)
    print(f"{count} tables: {own:.1f} s to the first COPY, and {watch.tools:.1f} s in pg_dump and"
          f" pg_restore; {whole:.1f} s the whole; {max(peaks) // 1024} MiB")
    # A machine that is busy with other things is slow in both.
    assert own < max(START_SECONDS, 2 * watch.tools)
    assert whole < WHOLE_SECONDS
    assert 0 < max(peaks) < MEMORY_KIB
    engine = pipe.follow(timeout=WHOLE_SECONDS)
    pipe.source.sql("UPDATE s1.t1 SET v = 'new'; UPDATE s0.t0 SET k = 100; DELETE FROM s9.t99")
    pipe.catch_up(engine)
    engine.stop()
    start = time.monotonic()
    assert pipe.verify(timeout=WHOLE_SECONDS).code == 0
    print(f"verify: {time.monotonic() - start:.1f} s")
    pipe.is_equal()
