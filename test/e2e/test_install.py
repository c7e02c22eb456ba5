"""make install: where the program goes, and that it carries no fault points."""
import os
import subprocess

from harness.program import CONFIGURATION, ROOT, clean_environment


def test_the_installed_program_has_no_fault_points(tmp_path):
    environment = clean_environment(MAKEFLAGS="", MAKELEVEL="")
    subprocess.run(["make", "install", f"BUILD={tmp_path / 'build'}", f"DESTDIR={tmp_path / 'root'}",
                    "PREFIX=/opt/trunkline"], cwd=ROOT, env=environment, check=True,
                   stdin=subprocess.DEVNULL, capture_output=True)
    program = tmp_path / "root/opt/trunkline/bin/trunkline"
    assert os.access(program, os.X_OK)
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("trunkline ")
    assert subprocess.run([program, "faults"], capture_output=True).returncode == CONFIGURATION
    assert b"TRUNKLINE_FAULT" not in program.read_bytes()
