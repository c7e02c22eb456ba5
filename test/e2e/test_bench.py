"""The bench: every scene runs, at sizes that measure nothing. That all who took part have the source's
rows in the end is checked there: it fails otherwise."""
import json
import os
import signal
import subprocess
import sys

import pytest

from harness.cluster import die_with_parent
from harness.program import PROGRAM, ROOT
from harness.slices import LONG

pytestmark = pytest.mark.timeout(600)


@pytest.mark.wide
@pytest.mark.parametrize("scenes", [
    "updates,delay,peak",
    pytest.param("catchup-simple,catchup-standard,inserts,deletes,copy,memory", marks=LONG)])
def test_scenes_run(scenes, base_directory, tmp_path):
    environment = dict(os.environ, TMPDIR=str(base_directory),
                       TRUNKLINE_BUILD=str(PROGRAM.parent.parent))
    done = subprocess.run(
        [sys.executable, ROOT / "bench/run", "--quick", "--seconds", "1", "--scale", "0.001",
         "--only", scenes, "--out", tmp_path], env=environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        preexec_fn=die_with_parent(signal.SIGTERM))
    assert done.returncode == 0, done.stdout
    figures = json.loads((tmp_path / "results.json").read_text())["figures"]
    assert {figure["scene"] for figure in figures} == set(scenes.split(","))
    for figure in figures:
        assert figure["value"] > 0 and len(figure["trunkline"]) == 1, figure
        assert not figure["other"] or len(figure["other_took"]) == 1, figure
        assert figure["must_reach"] is None, "sizes like these reach nothing"
    assert (tmp_path / "results.svg").read_text().count("<circle") == len(figures)
