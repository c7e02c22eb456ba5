"""Transfers between accounts: no reader of the target ever sees half of one."""
import time

from harness.apply import stall
from harness.cluster import free_port
from harness.data import check_bank, make_bank, payday, transfer
from harness.load import load
from harness.program import metrics

SECONDS, LONG_SECONDS = 8, 60


def test_the_sum_is_right_at_every_moment(pipe, request):
    """Small groups and large ones, while two sessions read all the time."""
    seconds = LONG_SECONDS if request.config.getoption("--long") else SECONDS
    make_bank(pipe.source)
    port = free_port()
    with load(pipe.source, transfer, transfer, transfer, payday) as writers:
        writers.wait_steps(50)
        engine = pipe.follow(part_size="64kB", copiers=2, listen=f"127.0.0.1:{port}")
        with load(pipe.target, check_bank, sessions=2) as readers:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                stall(engine, writers, 150)
                readers.wait_steps(10)
            readers.wait_steps(50)
            pipe.catch_up(engine)
    pipe.catch_up(engine)
    assert metrics(port)["trunkline_set_rows_total"] > 1000
    engine.stop()
    pipe.is_verified()


def test_the_sum_stays_right_when_the_engine_is_killed(pipe):
    make_bank(pipe.source)
    with load(pipe.source, transfer, sessions=3) as writers:
        engine = pipe.follow()
        with load(pipe.target, check_bank) as readers:
            for _ in range(4):
                writers.wait_steps(150)
                engine.kill()
                writers.wait_steps(50)
                engine = pipe.start()
            readers.wait_steps(20)
            pipe.catch_up(engine)
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
