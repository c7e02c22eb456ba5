"""make install: what goes where, the link named pgstream, no fault points; the tutorials' servers."""
import os
import signal
import subprocess

import psycopg
import pytest

from harness.cluster import BIN, die_with_parent, free_port
from harness.program import CONFIGURATION, ROOT, clean_environment
from harness.wait import wait_until

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))


def make_install(path, *arguments):
    subprocess.run(["make", "install", f"BUILD={path / 'build'}", f"DESTDIR={path / 'root'}",
                    "PREFIX=/opt/trunkline", *arguments], cwd=ROOT,
                   env=clean_environment(MAKEFLAGS="", MAKELEVEL=""), check=True,
                   stdin=subprocess.DEVNULL, capture_output=True)
    return path / "root/opt/trunkline"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def installed(prefix):
    return {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}


@pytest.mark.wide  # it compiles everything
def test_install_puts_program_manual_and_completion_in_place(tmp_path):
    prefix = make_install(tmp_path)
    program = prefix / "bin/trunkline"
    assert os.access(program, os.X_OK)
    assert output(program, "--version").startswith("trunkline ")
    assert subprocess.run([program, "faults"], capture_output=True).returncode == CONFIGURATION
    assert b"TRUNKLINE_FAULT" not in program.read_bytes()
    files = installed(prefix)
    completion = "share/bash-completion/completions/trunkline"
    assert files == {"bin/trunkline", "share/man/man1/trunkline.1", completion}

    manual = (prefix / "share/man/man1/trunkline.1").read_text()
    assert ".SH SYNOPSIS" in manual and r"\-\-part\-size" in manual

    aliased = make_install(tmp_path, "WITH_ALIASES=1")
    assert installed(aliased) - files == {
        "bin/pgstream", "share/man/man1/pgstream.1", "share/bash-completion/completions/pgstream"}
    assert os.readlink(aliased / "bin/pgstream") == "trunkline"
    assert "Usage: pgstream run" in output(aliased / "bin/pgstream", "help", "run")


@pytest.mark.parametrize("words, offered", [
    (["tear"], ["tear-down"]), (["run", "--log-l"], ["--log-level"]),
    (["run", "--log-level", "tr"], ["trace"]), (["config", "p"], ["print"]),
    (["help", "ver"], ["verify", "version"]), (["destroy", "--slo"], ["--slot"])])
def test_bash_completes_commands_options_and_values(words, offered):
    script = f"source {ROOT}/docs/trunkline.bash; _trunkline; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    setup = f"COMP_WORDS=(trunkline {' '.join(words)}); COMP_CWORD={len(words)}; "
    assert output("bash", "-c", setup + script).split() == offered


def test_pg2pg_starts_the_servers_of_the_tutorials_and_removes_them(tmp_path):
    ports = [free_port(), free_port()]
    command = [ROOT / "scripts/pg2pg", *map(str, ports)]
    environment = clean_environment(PG_BIN=str(BIN))
    with open(tmp_path / "out", "w") as out:
        servers = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=out, preexec_fn=die_with_parent(signal.SIGTERM))
    try:
        wait_until(lambda: servers.poll() is None and "Ctrl-C" in (tmp_path / "out").read_text(),
                   "both servers run")
        directory = next(line for line in output("ps", "-eo", "args").splitlines()
                         if f"-p {ports[0]} " in line and "trunkline-pg2pg" in line)
        directory = directory.split(" -D ")[1].split()[0]
        for port in ports:
            with psycopg.connect(f"postgres://postgres:postgres@localhost:{port}?sslmode=disable"
                                 ) as session:
                assert session.execute("SHOW wal_level").fetchone() == ("logical",)
                assert session.execute("SHOW listen_addresses").fetchone() == ("localhost",)
        second = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert second.returncode == 1 and f"port {ports[0]} (source) is taken" in second.stderr
    finally:
        servers.send_signal(signal.SIGINT)
        assert servers.wait(20) == 0
    assert not os.path.exists(directory)
    for port in ports:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgres://postgres:postgres@localhost:{port}")
