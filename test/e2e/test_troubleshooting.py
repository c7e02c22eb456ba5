"""Every message that docs/troubleshooting.md quotes comes from the program, word for word."""
import json
import re

import pytest

from harness.program import CONFIGURATION, FAILED, ROOT
from harness.tutorial import servers, steps  # noqa: F401, fixtures

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))

DOCUMENT = (ROOT / "docs/troubleshooting.md").read_text()
ENTRIES = ["Connection refused", "Replication slot not found",
           "Target database does not contain replicated data", "Permission denied",
           "Invalid configuration", "Snapshot failed"]
QUOTED = re.compile(r"^```text\n(.*?)^```", re.M | re.S)

TABLE = "CREATE TABLE test(id SERIAL PRIMARY KEY, name TEXT)"
SOURCE = "postgres://postgres:postgres@localhost:5432/postgres?sslmode=disable"
TARGET = "postgres://postgres:postgres@localhost:7654/postgres?sslmode=disable"
RUN = "trunkline run -c pg2pg_tutorial.env"
INIT = "trunkline init -c pg2pg_tutorial.env"


def entry(name):
    """What the document says under one of its headings."""
    number = ENTRIES.index(name)
    text = DOCUMENT.split(f"## {number + 1}. {name}\n")[1]
    return text.split("\n## ")[0]


def quoted(text):
    """The lines in its blocks of output."""
    return {line for block in QUOTED.findall(text) for line in block.splitlines()}


def write_file(steps, source=SOURCE, target=TARGET, more=""):
    steps.file("pg2pg_tutorial.env", f"""\
TRUNKLINE_POSTGRES_LISTENER_URL="{source}"
TRUNKLINE_POSTGRES_REPLICATION_SLOT_NAME=trunkline_tutorial_slot
TRUNKLINE_POSTGRES_WRITER_TARGET_URL="{target}"
""", more)


def as_documented(steps, text):
    """With the ports of the tutorials, and one address and one position for all."""
    for port, real in zip(("5432", "7654"), steps.ports):
        text = text.replace(f"port {real}", f"port {port}")
    text = text.replace("(::1)", "(127.0.0.1)")
    return re.sub(r"\b[0-9A-F]+/[0-9A-F]{5,}\b", "0/1565548", text)


def errors(steps, command, code=CONFIGURATION):
    """Claims the exit code; returns the errors of the log."""
    ended = steps.try_shell(f"{command} --log-format json")
    assert ended.returncode == code, ended.stderr
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    said = {as_documented(steps, line["msg"]) for line in lines if line["level"] == "error"}
    return {text for text in said if not re.match(r"\d+ more reason", text)}  # a count of the others


def test_connection_refused(steps):
    said = set()
    steps.ports, real = [1, steps.ports[1]], steps.ports  # nobody listens there
    write_file(steps)
    said |= errors(steps, INIT, FAILED) | errors(steps, RUN, FAILED)
    steps.ports = [real[0], 1]
    write_file(steps)
    said |= errors(steps, RUN, FAILED)
    steps.ports = real
    assert said == quoted(entry("Connection refused"))


def test_replication_slot_not_found(steps):
    write_file(steps)
    for port in (5432, 7654):
        steps.sql(port, TABLE)
    said = errors(steps, RUN)
    steps.sql(5432, "SELECT pg_create_logical_replication_slot('trunkline_tutorial_slot',"
                    " 'pgoutput')")
    said |= errors(steps, RUN)
    steps.sql(5432, "SELECT pg_drop_replication_slot('trunkline_tutorial_slot')")
    steps.shell(INIT)
    steps.shell(f"{RUN} --until now")
    steps.sql(5432, "SELECT pg_drop_replication_slot('trunkline_tutorial_slot')")
    said |= errors(steps, RUN)
    assert said == quoted(entry("Replication slot not found"))


def test_target_database_does_not_contain_replicated_data(steps):
    write_file(steps)
    steps.sql(5432, TABLE)
    steps.shell(INIT)
    said = errors(steps, RUN)
    steps.sql(7654, TABLE)
    steps.sql(5432, "INSERT INTO test(name) VALUES('alice')")
    differing = steps.try_shell(f'trunkline verify --source "{SOURCE}" --target "{TARGET}"')
    assert differing.returncode == FAILED
    said |= set(differing.stdout.splitlines())
    write_file(steps, target=TARGET.replace("/postgres?", "/nowhere?"))
    said |= errors(steps, RUN)
    assert said == quoted(entry("Target database does not contain replicated data"))


def test_permission_denied(steps):
    for port, role in ((5432, "reader"), (7654, "writer")):
        steps.sql(port, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        steps.sql(port, TABLE)
    write_file(steps, source=SOURCE.replace("postgres:postgres", "postgres:wrong"))
    said = errors(steps, INIT)
    write_file(steps, source=SOURCE.replace("postgres:postgres", "reader:x"))
    said |= errors(steps, INIT)
    steps.sql(5432, "ALTER ROLE reader REPLICATION")
    said |= errors(steps, INIT)
    steps.sql(5432, "GRANT CREATE ON DATABASE postgres TO reader")
    said |= errors(steps, f"{RUN} --mode snapshot_and_replication")
    write_file(steps, target=TARGET.replace("postgres:postgres", "writer:x"))
    steps.shell(INIT)
    said |= errors(steps, RUN)
    assert said == quoted(entry("Permission denied"))


def test_invalid_configuration(steps):
    steps.file("pg2pg_tutorial.env", """\
TRUNKLINE_POSTGRES_LISTENER_ULR="postgres://postgres:postgres@localhost:5432?sslmode=disable"
TRUNKLINE_POSTGRES_WRITER_BATCH_TIMEOUT=5 apples
PGSTREAM_KAFKA_TOPIC_NAME=test
""")
    said = errors(steps, RUN)
    said |= errors(steps, RUN.replace("pg2pg_tutorial.env", "tutorial.env"))
    write_file(steps, more=f'TRUNKLINE_TARGET="{SOURCE}"\n')
    said |= errors(steps, RUN)
    assert said == quoted(entry("Invalid configuration"))


def test_snapshot_failed(steps):
    write_file(steps, more="TRUNKLINE_POSTGRES_LISTENER_INITIAL_SNAPSHOT_ENABLED=true\n")
    for port in (5432, 7654):
        steps.sql(port, TABLE)
    steps.sql(7654, "INSERT INTO test(name) VALUES('left over')")
    said = errors(steps, RUN)
    steps.sql(7654, "DROP TABLE test")
    said |= errors(steps, f"{RUN} --pg-bindir /nowhere")
    steps.sql(5432, "ALTER TABLE test DROP CONSTRAINT test_pkey")
    said |= errors(steps, RUN)
    assert said == quoted(entry("Snapshot failed"))
