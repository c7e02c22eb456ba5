"""Which cases of a long list run each time; the others run with --long (make test-long)."""
import pytest

LONG = pytest.mark.long


def every(nth, values, first=0):
    """The values, all but every nth of them marked as long."""
    return [value if i % nth == first else pytest.param(value, marks=LONG)
            for i, value in enumerate(values)]
