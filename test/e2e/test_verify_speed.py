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


SIZES = [120_000, pytest.param(10_000_000, marks=LONG)]


def filled(pipe, count, key):
    """A table like pgbench's on both sides, one bit of one row flipped on the target."""
    threads = [threading.Thread(target=database.sql, args=(f"""
        CREATE TABLE account (aid int {key}, bid int, abalance int, filler char(84));
        INSERT INTO account SELECT g, g / 100000, g % 9973, '' FROM generate_series(1, {count}) g;
        ANALYZE account""",)) for database in (pipe.source, pipe.target)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.row = count * 3 // 4
    pipe.target.sql("UPDATE account SET abalance = abalance # 1 WHERE aid = %s", pipe.row)
    return pipe


@pytest.fixture(params=SIZES)
def accounts(request, pipe):
    return filled(pipe, request.param, "PRIMARY KEY")


@pytest.fixture(params=SIZES)
def keyless(request, pipe):
    return filled(pipe, request.param, "")


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


def costs_little(pipe, is_named):
    reading, comparing = [], []
    is_large = pipe.row > 1_000_000
    for _ in range(3 if is_large else 1):
        reading.append(both(pipe))
        code, said, seconds, kilobytes = measured(pipe)
        comparing.append(seconds)
        assert code == FAILED and is_named(said), said
        assert kilobytes < MOST_KILOBYTES
    ratio = statistics.median(comparing) / statistics.median(reading)
    print(f"reading {reading}, comparing {comparing}: {ratio:.2f}")
    assert ratio < 1.5 or not is_large, (reading, comparing)


def test_one_flipped_bit_costs_little(accounts):
    costs_little(accounts, lambda said: f"(aid={accounts.row}) in abalance" in said
                 and said.count("(aid=") == 1)


def test_one_flipped_bit_costs_little_without_a_key(keyless):
    costs_little(keyless, lambda said: said.count("hash ") == 2
                 and "1 on source, 0 on target" in said and "0 on source, 1 on target" in said)


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
