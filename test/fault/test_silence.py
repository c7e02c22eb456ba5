"""A network that swallows everything while a pipeline follows: each end learns of it only by
asking. The copy's cases are in test_outages.py."""
import time

import pytest

from harness.data import make_mill, mill_step
from harness.load import load
from harness.slices import LONG
from harness.wait import wait_until

TIMEOUT_S = 2
NOTICED_S = 15  # on a machine that is busy; without the timeouts it is 15 minutes and more
SOON = {"tcp_user_timeout": f"{TIMEOUT_S}s", "connect_timeout": "2s"}
OURS = ("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'trunkline:%'"
        " AND application_name NOT LIKE '%:control'")  # which gives up sooner


def cut_until_noticed(pipe, network, engine, side):
    """Cuts the wire until the engine has found that nobody answers."""
    server = getattr(pipe, side)
    old = {pid for pid, in server.admin(OURS)}
    began = time.monotonic()
    network.wires[side].cut()
    wait_until(lambda: engine.runs() and "trying again" in engine.stderr, "it has noticed", 60)
    took = time.monotonic() - began
    assert took < NOTICED_S, f"{took} s"
    return old


def goes_on(pipe, engine, side, old):
    pipe.catch_up(engine)
    server = getattr(pipe, side)
    wait_until(lambda: not old & {pid for pid, in server.admin(OURS)},
               "the server has noticed that its clients had gone", 60)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("side", ["source", pytest.param("target", marks=LONG)])
def test_silence_while_idle(wired, network, side):
    pipe = wired
    make_mill(pipe.source)
    engine = network.start(pipe, **SOON)
    pipe.catch_up(engine)
    old = cut_until_noticed(pipe, network, engine, side)
    with load(pipe.source, mill_step) as running:
        running.wait_steps(20)
    network.wires[side].mend()
    goes_on(pipe, engine, side, old)


@pytest.mark.parametrize("side", ["target", pytest.param("source", marks=LONG)])
def test_silence_while_busy(wired, network, side):
    pipe = wired
    make_mill(pipe.source)
    engine = network.start(pipe, **SOON)
    with load(pipe.source, mill_step, sessions=2) as running:
        pipe.catch_up(engine)
        running.wait_steps(20)
        old = cut_until_noticed(pipe, network, engine, side)
        running.wait_steps(20)
    network.wires[side].mend()
    goes_on(pipe, engine, side, old)


@pytest.mark.long
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_silence_that_is_short_is_no_event(wired, network, side):
    """Packets are lost for less than the timeout: nothing is connected anew."""
    pipe = wired
    make_mill(pipe.source)
    engine = network.start(pipe, tcp_user_timeout="30s")
    pipe.catch_up(engine)
    server = getattr(pipe, side)
    old = server.admin(OURS)
    network.wires[side].cut()
    with load(pipe.source, mill_step) as running:
        running.wait_steps(50)
    network.wires[side].mend()
    pipe.catch_up(engine)
    assert set(old) <= set(server.admin(OURS))
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.wide
def test_a_signal_ends_it_while_a_server_is_silent(wired, network):
    pipe = wired
    make_mill(pipe.source)
    engine = network.start(pipe, tcp_user_timeout="60s")
    pipe.catch_up(engine)
    network.wires["target"].cut()
    pipe.source.sql("UPDATE item SET n = n + 1")
    wait_until(lambda: pipe.source.admin_one("SELECT sent_lsn >= pg_current_wal_flush_lsn()"
                                             " FROM pg_stat_replication"), "the change was sent")
    engine.stop()
    network.wires["target"].mend()
    goes_on(pipe, network.start(pipe, **SOON), "target", set())
