"""Sessions that write, or read and check, in threads; their failures become the test's."""
import contextlib
import itertools
import random
import threading

import psycopg

from harness.wait import wait_until

PAUSE_SECONDS = 0.005  # between two steps: sessions that never rest leave no processor to the rest


class Worker(threading.Thread):
    """Calls step(connection, random) again and again until it is told to stop. With `survives`,
    a lost connection is made again: what had been committed then is the source's affair."""

    def __init__(self, database, step, seed, survives, pause):
        super().__init__(daemon=True)
        self.database = database
        self.step = step
        self.random = random.Random(seed)
        self.survives = survives
        self.pause = pause
        self.stopping = threading.Event()
        self.steps = 0
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self._session()
        except BaseException as failure:  # handed to the test by check()
            self.failure = failure

    def _session(self):
        try:
            with self.database.connect() as connection:
                while not self.stopping.is_set():
                    self.step(connection, self.random)
                    self.steps += 1
                    self.stopping.wait(self.pause)
        except (psycopg.OperationalError, psycopg.InterfaceError,
                psycopg.Rollback):  # a rollback that met a dead server comes out as itself
            if not self.survives:
                raise
            self.stopping.wait(0.05)


class Load:
    """A set of workers."""

    def __init__(self, database, *steps, sessions=1, seed=0, survives=False, pause=PAUSE_SECONDS):
        numbers = itertools.count(seed)
        self.workers = [Worker(database, step, next(numbers), survives, pause)
                        for step in steps for _ in range(sessions)]
        for worker in self.workers:
            worker.start()

    @property
    def steps(self):
        return sum(worker.steps for worker in self.workers)

    def check(self):
        """Raises what a worker failed with."""
        for worker in self.workers:
            if worker.failure is not None:
                raise worker.failure
        return True

    def wait_steps(self, count, timeout=60):
        """Waits for that many more steps."""
        goal = self.steps + count
        wait_until(lambda: self.check() and self.steps >= goal, f"{count} more steps", timeout)

    def end(self):
        for worker in self.workers:
            worker.stopping.set()
        for worker in self.workers:
            worker.join(30)

    def stop(self):
        """Ends all sessions; raises what one of them failed with."""
        self.end()
        assert not any(worker.is_alive() for worker in self.workers), "a session does not end"
        self.check()


@contextlib.contextmanager
def load(database, *steps, **options):
    """Load for the length of a block; what failed is raised at its end."""
    running = Load(database, *steps, **options)
    try:
        yield running
    except BaseException:
        running.end()
        raise
    running.stop()
