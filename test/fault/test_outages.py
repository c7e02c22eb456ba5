"""Servers that restart, and networks that swallow everything, while a copy runs."""
import pathlib
import re
import signal
import time

import pytest

from harness.copies import finished, is_in_the_middle, records
from harness.data import make_mill, mill_step
from harness.load import load
from harness.program import ENDED
from harness.slices import LONG
from harness.wait import wait_until

# Slow enough to be caught in the middle.
SLOW = {"part_size": "64kB", "copiers": 2, "max_rate": "500kB"}
SOON = {"tcp_user_timeout": "1s", "connect_timeout": "1s"}


def make_data(database):
    make_mill(database, rows=2000)
    database.sql("CREATE TABLE bulk (id int PRIMARY KEY, v text);"
                 "INSERT INTO bulk SELECT g, repeat('v', 500) FROM generate_series(1, 3000) g;"
                 "ALTER TABLE event ADD FOREIGN KEY (id) REFERENCES event")


def wait_for_the_middle(pipe, engine):
    """Until some tables are finished and others are not; the records of the finished ones."""
    wait_until(lambda: engine.runs() and is_in_the_middle(pipe),
               "some tables are copied", 60)
    names = finished(pipe)
    return names, records(pipe, names)


def goes_on(pipe, engine, before, timeout=90):
    """The copy ends; what was finished then was not copied again; both sides are equal."""
    names, parts = before
    pipe.catch_up(engine, timeout)
    assert records(pipe, names) == parts
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("side, how", [
    ("source", signal.SIGQUIT), pytest.param("target", signal.SIGINT, marks=LONG),
    pytest.param("source", signal.SIGINT, marks=LONG),
    pytest.param("target", signal.SIGQUIT, marks=LONG)])
def test_a_server_restarts_in_mid_copy(rough, side, how):
    """pg_ctl restart, fast and immediate."""
    pipe = rough
    make_data(pipe.source)
    with load(pipe.source, mill_step, survives=True) as running:
        engine = pipe.start(**SLOW)
        before = wait_for_the_middle(pipe, engine)
        cluster = getattr(pipe, side).cluster
        cluster.stop(how)
        running.wait_steps(20 if side == "target" else 0)
        cluster.start()
        running.wait_steps(20)
    goes_on(pipe, engine, before)


@pytest.mark.long
@pytest.mark.parametrize("side", ["source", "target"])
def test_eight_copiers_lose_their_sessions_at_once(pipe, side):
    make_data(pipe.source)
    with load(pipe.source, mill_step):
        engine = pipe.start(**{**SLOW, "copiers": 8})
        copiers = (" FROM pg_stat_activity WHERE datname = current_database()"
                   f" AND application_name = 'trunkline:{pipe.slot}:copier'")
        server = getattr(pipe, side)
        wait_until(lambda: server.admin_one(f"SELECT count(*) {copiers}") == 8
                   and pipe.phase() == "tables"
                   and pipe.target.admin_one("SELECT count(*) FROM trunkline.parts") > 2,
                   "eight copiers are at work")
        names = finished(pipe)
        before = names, records(pipe, names)
        assert server.admin(f"SELECT pg_terminate_backend(pid) {copiers}")
        pipe.catch_up(engine, 90)
        peak = int(re.search(r"VmHWM:\s+(\d+) kB",
                             pathlib.Path(f"/proc/{engine.pid}/status").read_text())[1])
    assert peak < 64 * 1024, f"{peak} kB"
    goes_on(pipe, engine, before)


def lose_network(pipe, network, engine, side, seconds=0):
    """Cuts the wire until the program has noticed and tried in vain, at least for so long."""
    tries = engine.stderr.count("trying again")
    moment = pipe.source.one("SELECT clock_timestamp()")
    network.wires[side].cut()
    end = time.monotonic() + seconds
    wait_until(lambda: engine.runs() and engine.stderr.count("trying again") >= tries + 3
               and time.monotonic() >= end, "it tries again and again", seconds + 180)
    network.wires[side].mend()
    return moment


@pytest.mark.wide
@pytest.mark.timeout(300)
@pytest.mark.parametrize("side", ["source", pytest.param("target", marks=pytest.mark.long)])
def test_a_network_is_lost_in_mid_copy(wired, network, side):
    pipe = wired
    make_data(pipe.source)
    with load(pipe.source, mill_step) as running:
        engine = network.start(pipe, **SLOW, **SOON)
        before = wait_for_the_middle(pipe, engine)
        moment = lose_network(pipe, network, engine, side)
        running.wait_steps(20)
        pipe.catch_up(engine, 90)
        server = getattr(pipe, side)
        wait_until(lambda: not server.admin_one(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_start < %s"
            " AND application_name LIKE 'trunkline:%%'", moment),
            "the server has noticed that its clients were gone", 20)
    goes_on(pipe, engine, before)


@pytest.mark.long
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_snapshot_outlives_a_lost_network(wired, network, side):
    """It has no stream to go on by: all starts again."""
    pipe = wired
    make_data(pipe.source)
    engine = network.start(pipe, "snapshot", **SLOW, **SOON)
    keeper = "SELECT count(*) FROM trunkline_snapshot.parts"
    there = "SELECT to_regclass('trunkline_snapshot.parts')"
    wait_until(lambda: pipe.target.admin_one(there) and pipe.target.admin_one(keeper) > 5,
               "it copies")
    lose_network(pipe, network, engine, side)
    engine.ends(ENDED, 90)
    assert pipe.is_equal()
    assert not pipe.target.admin("SELECT nspname FROM pg_namespace WHERE nspname ~ 'trunkline'")


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_network_is_lost_for_ten_minutes(wired, network, side):
    """With the default timeouts."""
    pipe = wired
    make_data(pipe.source)
    with load(pipe.source, mill_step) as running:
        engine = network.start(pipe, **SLOW)
        before = wait_for_the_middle(pipe, engine)
        lose_network(pipe, network, engine, side, 600)
        running.wait_steps(20)
        pipe.catch_up(engine, 120)
    goes_on(pipe, engine, before)
