"""Which cases of a long list run each time; of the others those marked as wide run with --wide (make
test SCOPE=ci), those marked as long with --long (make test-long), which runs all."""
import pytest

LONG = pytest.mark.long
WIDE = pytest.mark.wide


def every(nth, values, first=0, others=LONG):
    """The values, all but every nth of them marked."""
    return [value if i % nth == first else pytest.param(value, marks=others)
            for i, value in enumerate(values)]
