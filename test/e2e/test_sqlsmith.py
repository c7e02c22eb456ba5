"""sqlsmith's statements against the shop database while it is followed.

sqlsmith rolls back all that it runs itself: here it only makes the texts. They run as a role with
rights on the shop's tables and nothing else, for it calls every function that it finds."""
import random
import re
import subprocess
import threading
import time

import psycopg
import pytest

from harness.cluster import die_with_parent
from harness.program import ROOT
from harness.slices import LONG
from harness.wait import wait_until

WRITERS = 3
SECONDS, LONG_SECONDS = 10, 120
CHANGED_AT_LEAST = 100  # rows, in the shorter time
SESSION = 200  # statements: some change the session's settings
MANY = 100  # rows: most statements that change more are rolled back, or soon all tables are empty
WRITES = re.compile(r"\s*(insert|update|delete|merge|with)\b", re.I)
ROLE = """
DO $$ BEGIN
  CREATE ROLE smith LOGIN; EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
ALTER ROLE smith SET statement_timeout = '500ms'; ALTER ROLE smith SET lock_timeout = '200ms'
"""
RIGHTS = """
GRANT USAGE ON SCHEMA shop TO smith;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO smith;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA shop TO smith
"""


def make_shop(database):
    """A hundredth of the demo's smallest shop."""
    text = (ROOT / "demo" / "shop.sql").read_text()
    text, count = re.subn(r"RETURN n \* current_setting\('shop.scale'\)::int;",
                          "RETURN greatest(n / 100, 1);", text)
    assert count == 1
    database.sql(text)


class Smith(threading.Thread):
    """Runs what one sqlsmith writes."""

    def __init__(self, database, seed):
        super().__init__(daemon=True)
        self.database = database
        self.random = random.Random(seed)
        target = f"host=127.0.0.1 port={database.cluster.port} user=smith dbname={database.name}"
        self.maker = subprocess.Popen(
            ["sqlsmith", "--dry-run", "--exclude-catalog", f"--seed={seed}", f"--target={target}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            errors="replace", preexec_fn=die_with_parent(9))
        self.is_stopping = False
        self.changed = 0
        self.start()

    def statements(self):
        lines = []
        for line in self.maker.stdout:
            lines.append(line)
            if line.rstrip().endswith(";"):
                yield "".join(lines)
                lines = []

    def run(self):
        session = None
        for number, text in enumerate(filter(WRITES.match, self.statements())):
            if self.is_stopping:
                break
            if session is None or session.closed or number % SESSION == 0:
                session = self.database.connect("smith", autocommit=False)
            try:
                self.execute(session, text)
            except psycopg.Error:
                if not session.closed:
                    session.rollback()

    def execute(self, session, text):
        count = max(0, session.execute(text).rowcount)
        if count > MANY and self.random.random() < 0.8:
            session.rollback()
        else:
            session.commit()
            self.changed += count if not text.startswith("WITH") else 0

    def stop(self):
        self.is_stopping = True
        self.join(30)
        self.maker.kill()
        self.maker.wait(10)
        assert not self.is_alive()


@pytest.mark.wide
@pytest.mark.versions(source=(15, 15))
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [SECONDS, pytest.param(LONG_SECONDS, marks=LONG)])
def test_sqlsmith(pipe, seconds):
    make_shop(pipe.source)
    pipe.source.admin(ROLE)
    pipe.source.sql(RIGHTS)
    engine = pipe.follow(tables_without_identity="insert_only")
    smiths = [Smith(pipe.source, seed) for seed in range(1, WRITERS + 1)]
    end = time.monotonic() + seconds
    try:
        wait_until(lambda: engine.runs() and time.monotonic() > end, "the time is over", seconds + 5)
    finally:
        for smith in smiths:
            smith.stop()
    changed = sum(smith.changed for smith in smiths)
    print(f"{changed} rows changed in {seconds} s")
    assert changed >= CHANGED_AT_LEAST * seconds / SECONDS
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
