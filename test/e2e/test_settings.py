"""Settings as users of the two seeds write them: exit codes, what is printed and where."""
import subprocess

import pytest

from harness.program import (CONFIGURATION, ENDED, PROGRAM, Process, clean_environment,
                             json_output)
from harness.seed_files import FURTHER, REPLICATION_FILE, SNAPSHOT_FILE, WITH_SNAPSHOT

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))


@pytest.fixture
def program(tmp_path):
    """Runs the program to its end, in a directory with a file."""
    def run(*arguments, file=None, name="my.env", environment=None):
        if file is not None:
            (tmp_path / name).write_text(file)
            arguments = (*arguments, "-c", name)
        process = Process(tmp_path, *arguments, environment=environment)
        process.wait(20)
        return process
    return run


def printed(program, **options):
    """The settings that config print --json shows, and nothing on stderr."""
    ended = program("config", "print", "--json", **options)
    assert ended.code == ENDED, ended.stderr
    assert ended.stderr == ""
    return json_output(ended)["settings"]


@pytest.mark.parametrize("text, mode", [
    (SNAPSHOT_FILE, "snapshot"), (REPLICATION_FILE, "replication"),
    (REPLICATION_FILE + WITH_SNAPSHOT, "snapshot_and_replication"),
    (REPLICATION_FILE + WITH_SNAPSHOT + FURTHER, "snapshot_and_replication")],
    ids=["snapshot", "replication", "initial snapshot", "everything"])
def test_the_files_of_the_tutorials_are_read_as_they_are(program, text, mode):
    settings = printed(program, file=text)
    assert settings["mode"]["value"] == mode
    assert settings["mode"]["origin"].startswith("derived from PGSTREAM_POSTGRES_")
    assert settings["source"]["value"] == "postgres://postgres:***@localhost:5432?sslmode=disable"
    assert settings["target"]["value"] == "postgres://postgres:***@localhost:7654?sslmode=disable"
    assert settings["group_max_changes"]["value"] == 25
    assert settings["group_max_time"]["value"] == "5s"
    assert settings["keeper_schema"]["value"] == "trunkline"


def test_each_value_of_the_tutorials_has_its_origin(program):
    settings = printed(program, file=SNAPSHOT_FILE)
    assert settings["tables"] == {
        "value": ["*"], "origin": "my.env:3 PGSTREAM_POSTGRES_SNAPSHOT_TABLES"}
    assert settings["batch_page_size"]["value"] == 1000
    settings = printed(program, file=REPLICATION_FILE + WITH_SNAPSHOT + FURTHER)
    assert settings["tables"]["value"] == ["test_schema.*", "test"]
    assert settings["slot"]["value"] == "pgstream_tutorial_slot"
    assert settings["initial_snapshot"]["value"] == "true"
    assert settings["disable_triggers"]["value"] == "true"
    assert settings["on_conflict_action"]["value"] == "update"
    assert settings["schema_log_store"]["origin"].endswith("WRITER_SCHEMALOG_STORE_URL")


def test_the_environment_of_the_tutorial(program):
    settings = printed(program, environment={
        "PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME": "pgstream_tutorial_slot",
        "PGSTREAM_POSTGRES_LISTENER_URL":
            "postgres://postgres:postgres@localhost:5432?sslmode=disable"})
    assert settings["mode"]["value"] == "replication"
    assert settings["slot"]["origin"] == "environment PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME"


def test_the_link_pgstream_names_the_schema(tmp_path):
    link = tmp_path / "pgstream"
    link.symlink_to(PROGRAM)
    for program, schema in ((link, "pgstream"), (PROGRAM, "trunkline")):
        shown = subprocess.run([program, "config", "print"], capture_output=True, text=True,
                               env=clean_environment(), check=True, timeout=20)
        assert f"keeper_schema = {schema} " in shown.stdout and shown.stderr == ""
    ended = subprocess.run([link, "run"], capture_output=True, text=True, env=clean_environment(),
                           check=False, timeout=20)
    assert ended.returncode == CONFIGURATION
    assert "PGSTREAM_POSTGRES_LISTENER_URL" in ended.stderr


def test_a_yaml_file_with_a_variable(program):
    file = ("source:\n  postgres:\n    url: postgres://u:${DB_PASSWORD}@h/a\n    mode: replication\n"
            "target: {postgres: {url: postgres://u@h/b, batch: {timeout: 1500}}}\n")
    settings = printed(program, file=file, name="my.yaml",
                       environment={"DB_PASSWORD": "hunter2"})
    assert settings["source"]["value"] == "postgres://u:***@h/a"
    assert settings["source"]["origin"] == "my.yaml:3 source.postgres.url"
    assert settings["group_max_time"]["value"] == "1500ms"
    ended = program("config", "print", file=file, name="my.yaml")
    assert ended.code == CONFIGURATION and ended.stdout == ""
    assert "my.yaml:3:10: source.postgres.url: ${DB_PASSWORD} is not set" in ended.stderr


def test_every_mistake_is_a_line_of_its_own_on_stderr(program):
    ended = program("run", file=REPLICATION_FILE + "PGSTREAM_POSTGRES_WRITER_BATCH_SIZ=3\n"
                    "PGSTREAM_KAFKA_SERVERS=a\nPGSTREAM_WEBHOOK_NOTIFIER_WORKER_COUNT=3\n"
                    "TRUNKLINE_SOURCE=postgres://postgres:hunter2@localhost:5432/other\n")
    assert ended.code == CONFIGURATION and ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    assert "my.env:10:1: unknown setting PGSTREAM_POSTGRES_WRITER_BATCH_SIZ; did you mean " \
           "PGSTREAM_POSTGRES_WRITER_BATCH_SIZE?" in lines[0]
    assert "my.env:11:1" in lines[1] and "PGSTREAM_KAFKA_SERVERS (line 11), " \
           "PGSTREAM_WEBHOOK_NOTIFIER_WORKER_COUNT (line 12)" in lines[1]
    assert "TRUNKLINE_SOURCE and my.env:2 PGSTREAM_POSTGRES_LISTENER_URL set source" in lines[2]
    assert "hunter2" not in ended.stderr and "postgres:postgres" not in ended.stderr


@pytest.mark.parametrize("store, is_taken", [
    ("postgres://postgres:postgres@localhost:5432?sslmode=disable", True),
    ("postgres://postgres:other@localhost/postgres", True),
    ("host=localhost user=someone password=x dbname=postgres", True),
    ("postgres://postgres:hunter2@localhost:5432/other", False),
    ("postgres://postgres:hunter2@localhost:7654/postgres", False),
    ("postgres://postgres:hunter2@elsewhere:5432/postgres", False)])
def test_the_snapshot_store_is_the_source_or_refused(program, store, is_taken):
    ended = program("config", "print", file=REPLICATION_FILE +
                    f"PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_STORE_URL='{store}'\n")
    assert ended.code == (ENDED if is_taken else CONFIGURATION), ended.stderr
    if not is_taken:
        assert ended.stdout == "" and "hunter2" not in ended.stderr
        assert "PGSTREAM_POSTGRES_INITIAL_SNAPSHOT_STORE_URL" in ended.stderr
        assert "PGSTREAM_POSTGRES_LISTENER_URL" in ended.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--pgurl", "postgres://u:hunter2@h/a", "--source", "postgres://u:hunter2@h/b"],
     ["--pgurl", "--source"]),
    (["--replication-slott", "x"], ["--replication-slot?"])])
def test_second_flags_in_mistakes(program, arguments, words):
    ended = program("config", "print", *arguments)
    assert ended.code == CONFIGURATION and ended.stdout == ""
    assert all(word in ended.stderr for word in words) and "hunter2" not in ended.stderr
