"""Transfers between accounts: no reader of the target ever sees half of one."""
from harness.data import check_bank, make_bank, transfer
from harness.load import load


def test_the_sum_is_right_at_every_moment(pipe):
    make_bank(pipe.source)
    with load(pipe.source, transfer, sessions=3) as writers:
        writers.wait_steps(50)
        engine = pipe.follow(part_size="64kB", copiers=2)
        with load(pipe.target, check_bank, sessions=2) as readers:
            writers.wait_steps(600)
            readers.wait_steps(50)
            pipe.catch_up(engine)
    pipe.catch_up(engine)
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
