"""Waiting for conditions; no test sleeps for a time that it hopes will be enough."""
import time

POLL_SECONDS = 0.02


def wait_until(condition, what, timeout=30):
    """Calls condition() until it is true and returns its value; fails with `what` otherwise."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain: {what}")
        time.sleep(POLL_SECONDS)
