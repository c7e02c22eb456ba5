"""What a comparison costs: time beside reading both tables once, and memory."""
import statistics
import subprocess
import sys
import threading
import time

import pytest

from harness.program import ENDED, FAILED, PROGRAM, clean_environment
from harness.slices import LONG

# The row as text, which is what tells every bit of every type.
READ = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM account t"
MOST_KILOBYTES = 64 * 1024
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(params=[120_000, pytest.param(10_000_000, marks=LONG)])
def accounts(request, pipe):
    """A table like pgbench's on both sides, one bit of one row flipped on the target."""
    threads = [threading.Thread(target=database.sql, args=(f"""
        CREATE TABLE account (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
        INSERT INTO account SELECT g, g / 100000, g % 9973, '' FROM generate_series(1, {request.param}) g;
        ANALYZE account""",)) for database in (pipe.source, pipe.target)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.row = request.param * 3 // 4
    pipe.target.sql("UPDATE account SET abalance = abalance # 1 WHERE aid = %s", pipe.row)
    return pipe


def both(pipe):
    """Seconds that reading both tables once takes, on both servers at the same time."""
    threads = [threading.Thread(target=database.sql, args=(READ,))
               for database in (pipe.source, pipe.target)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started


# The peak that the kernel reports of a child begins with the memory of the process that made it:
# a test run that has grown large would be measured. So a small process makes it.
WATCHED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)"""


def measured(pipe):
    """One verify: its exit code, output, seconds, kilobytes."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-SEc", WATCHED, PROGRAM, "verify", "--source", pipe.source.url(),
                           "--target", pipe.target.url()], capture_output=True, text=True,
                          env=clean_environment(), check=False)
    seconds = time.monotonic() - started
    return done.returncode, done.stdout, seconds, int(done.stderr.split()[-1])


def test_one_flipped_bit_costs_little(accounts):
    reading, comparing = [], []
    is_large = accounts.row > 1_000_000
    for _ in range(3 if is_large else 1):
        reading.append(both(accounts))
        code, said, seconds, kilobytes = measured(accounts)
        comparing.append(seconds)
        assert code == FAILED and f"(aid={accounts.row}) in abalance" in said
        assert said.count("(aid=") == 1
        assert kilobytes < MOST_KILOBYTES
    ratio = statistics.median(comparing) / statistics.median(reading)
    print(f"reading {reading}, comparing {comparing}: {ratio:.2f}")
    assert ratio < 1.5 or not is_large, (reading, comparing)


def test_memory_stays_bounded_when_every_row_differs(accounts):
    accounts.target.sql("UPDATE account SET filler = 'x'")
    code, said, _, kilobytes = measured(accounts)
    assert code == FAILED and "(aid=1) in filler" in said and "and more, not shown" in said
    assert kilobytes < MOST_KILOBYTES
    accounts.target.sql("TRUNCATE account")
    code, said, _, kilobytes = measured(accounts)
    assert code == FAILED and "missing on target  (aid=1)" in said
    assert kilobytes < MOST_KILOBYTES
    accounts.source.sql("TRUNCATE account")
    assert measured(accounts)[0] == ENDED
