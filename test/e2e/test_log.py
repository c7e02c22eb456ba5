"""The log: levels, forms, and SIGHUP, which reads the level again."""
import json
import re
import signal

import pytest

from harness.wait import wait_until

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'geheim1'), (2, NULL)"


def test_trace_tells_of_every_group_and_never_a_value(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow(log_level="trace", log_format="json")
    pipe.source.sql("INSERT INTO t VALUES (3, 'geheim2'); DELETE FROM t WHERE v = 'geheim1'")
    pipe.catch_up(engine)
    engine.stop()
    lines = [json.loads(line) for line in engine.stderr.splitlines()]
    traced = " ".join(line["msg"] for line in lines if line["level"] == "trace")
    assert "applied 1 inserts, 0 updates, 1 deletes" in traced
    assert "durable on the target up to" in traced and "keepalive" in traced
    assert {line["thread"] for line in lines} >= {"main", "engine", "reader", "copier", "control"}
    assert "geheim" not in engine.stderr


def test_the_console_form_is_for_people(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.copy(log_format="console")
    assert re.search(r"^\S+Z INF following thread=engine$", engine.stderr, re.M)
    assert "\033" not in engine.stderr


def test_fatal_lets_through_only_what_ends_the_program(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql(TABLE)
    refused = pipe.run(log_level="fatal")
    assert refused.code != 0 and len(refused.stderr.splitlines()) == 1
    quiet = pipe.run(log_level="panic")
    assert quiet.code == refused.code and quiet.stderr == ""


def test_sighup_reads_the_level_again_also_over_a_flag(pipe):
    pipe.source.sql(TABLE)
    file = pipe.directory / "level.env"
    file.write_text("# no level yet\n")
    engine = pipe.follow(config=file, log_level="warn")

    def hang_up(text, answer):
        file.write_text(text)
        engine.popen.send_signal(signal.SIGHUP)
        wait_until(lambda: engine.runs() and answer in engine.stderr, answer)

    hang_up("# none\n", "log level stays warn")
    hang_up("TRUNKLINE_LOG_LEVEL=lots\n", "is not one of")
    assert "applied 1 inserts" not in engine.stderr
    hang_up("TRUNKLINE_LOG_LEVEL=trace\n", "log level is trace now")
    pipe.source.sql("INSERT INTO t VALUES (3, 'c')")
    pipe.catch_up(engine)
    wait_until(lambda: "applied 1 inserts" in engine.stderr, "trace")
    engine.stop()
