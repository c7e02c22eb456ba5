"""Commands: help, settings and their origins, verify, tear-down, secrets."""
import pathlib
import re
import threading

import psycopg
import pytest

from harness.cluster import free_port
from harness.data import make_mill
from harness.program import CONFIGURATION, ENDED, FAILED, NOT_FINISHED, json_output
from harness.wait import wait_until

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, NULL)"
COMMANDS = ("run", "tear-down", "verify", "demo", "config", "help")


def test_help_and_version(pipe):
    assert re.fullmatch(r"trunkline \d+\.\d+\.\d+\n", pipe.command("--version").stdout)
    for arguments in (["help"], ["--help"]):
        shown = pipe.command(*arguments)
        assert shown.code == ENDED
        for command in COMMANDS:
            assert command in shown.stdout
    for command in COMMANDS:
        shown = pipe.command("help", command)
        assert shown.code == ENDED and f"trunkline {command}" in shown.stdout
    assert "--part-size" in pipe.command("run", "--help").stdout
    assert pipe.process().wait() == CONFIGURATION


@pytest.mark.parametrize("arguments, words", [
    (["rnu"], ["rnu"]), (["run", "--soruce", "x"], ["soruce", "--source"]),
    (["run"], ["source", "target"]), (["run", "--copiers", "many"], ["copiers"]),
    (["run", "--copiers", "0"], ["copiers", "1"]), (["run", "--part-size", "3 apples"], ["part"]),
    (["run", "--until", "later"], ["until"]), (["verify", "--json"], ["source"]),
    (["config"], ["print"]), (["run", "stray"], ["unexpected argument"]),
    (["help", "nosuch"], ["nosuch"])])
def test_mistakes_in_the_command_line_are_named(pipe, arguments, words):
    ended = pipe.command(*arguments)
    assert ended.code == CONFIGURATION and ended.stdout == ""
    for word in words:
        assert word in ended.stderr


def test_config_print_names_the_origin_of_each_value(pipe):
    (pipe.directory / "my.env").write_text("TRUNKLINE_COPIERS=3\nTRUNKLINE_SLOT=from_file\n")
    environment = {"TRUNKLINE_SLOT": "from_env", "TRUNKLINE_PART_SIZE": "1MB"}
    printed = pipe.command("config", "print", "--json", "--config", "my.env", "--part-size", "64kB",
                           environment=environment)
    assert printed.code == ENDED, printed.stderr
    document = json_output(printed)
    assert document["version"] == 1
    settings = document["settings"]
    assert settings["copiers"]["value"] == 3 and "my.env:1" in settings["copiers"]["origin"]
    assert settings["slot"]["value"] == "from_env"
    assert "TRUNKLINE_SLOT" in settings["slot"]["origin"]
    assert "--part-size" in settings["part_size"]["origin"]
    assert "default" in settings["idle_position_interval"]["origin"]
    text = pipe.command("config", "print", environment=environment)
    assert text.code == ENDED and "from_env" in text.stdout


def test_settings_may_come_from_the_environment_alone(pipe):
    pipe.source.sql(TABLE)
    environment = {"TRUNKLINE_SOURCE": pipe.source.url(), "TRUNKLINE_TARGET": pipe.target.url(),
                   "TRUNKLINE_SLOT": pipe.slot, "TRUNKLINE_UNTIL": "now"}
    ran = pipe.command("run", environment=environment)
    assert ran.code == ENDED, ran.stderr
    pipe.is_equal()


def test_the_slot_is_named_after_the_database(pipe):
    pipe.source.sql(TABLE)
    pipe.start(slot=None, until="now").ends(ENDED)
    name = f"trunkline_{pipe.source.name}_slot"
    assert pipe.source.sql("SELECT slot_name FROM pg_replication_slots WHERE database = %s",
                           pipe.source.name) == [(name,)]
    assert pipe.source.sql("SELECT pubname FROM pg_publication ORDER BY 1") == [
        (name,), (f"{name}_inserts",)]
    assert pipe.tear_down(slot=None).code == ENDED
    assert pipe.source.sql("SELECT pubname FROM pg_publication") == []


def test_sessions_carry_their_name(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    for database in (pipe.source, pipe.target):
        names = database.sql("SELECT application_name FROM pg_stat_activity WHERE datname = %s"
                             " AND pid <> pg_backend_pid()", database.name)
        assert names and all(re.fullmatch(rf"trunkline:{pipe.slot}:[a-z-]+\d*", name)
                             for name, in names if name)
    engine.stop()


def test_verify_tells_equal_from_different(pipe):
    make_mill(pipe.source)
    pipe.copy()
    for change, undoing in (
            ("UPDATE item SET n = n + 1 WHERE id = 1777", "UPDATE item SET n = n - 1 WHERE id = 1777"),
            ("DELETE FROM event WHERE id = 42",
             "INSERT INTO event OVERRIDING SYSTEM VALUE VALUES (42, 'event 42')"),
            ("INSERT INTO code VALUES (999, 'extra', 1)", "DELETE FROM code WHERE a = 999"),
            ("INSERT INTO trace VALUES (0, 'b0')",
             "DELETE FROM trace WHERE ctid = (SELECT max(ctid) FROM trace)"),
            ("UPDATE item SET small = '' WHERE id = 3 AND small IS NOT NULL",
             "UPDATE item SET small = 'small' WHERE id = 3"),
            ("UPDATE split_high SET v = 'w' WHERE id = 15", "UPDATE split_high SET v = 'v' WHERE id = 15"),
            ("DROP TABLE scratch", "CREATE TABLE scratch (id int PRIMARY KEY)"),
            ("ALTER TABLE event DROP COLUMN what", None)):
        equal = pipe.verify(json=True)
        assert equal.code == ENDED, f"before {change}: {equal.stdout}{equal.stderr}"
        assert json_output(equal)["version"] == 1
        pipe.target.sql(change)
        table = re.search(r"(?:UPDATE|FROM|INTO|TABLE) (\w+)", change).group(1)
        different = pipe.verify(json=True)
        assert different.code == FAILED, f"{change}: {different.stdout}{different.stderr}"
        assert table in different.stdout, change
        json_output(different)
        text = pipe.verify()
        assert text.code == FAILED and table in text.stdout
        if undoing:
            pipe.target.sql(undoing)


def test_verify_names_the_first_keys_that_differ(pipe):
    make_mill(pipe.source)
    pipe.copy()
    pipe.target.sql("UPDATE item SET n = -1 WHERE id = 1234; DELETE FROM item WHERE id = 77")
    different = pipe.verify()
    assert different.code == FAILED
    assert "1234" in different.stdout and "77" in different.stdout


def test_verify_looks_at_the_chosen_tables_only(pipe):
    make_mill(pipe.source)
    pipe.copy()
    pipe.target.sql("DELETE FROM item WHERE id = 77")
    assert pipe.verify(tables="event,split*").code == ENDED
    assert pipe.verify(tables="event,item").code == FAILED
    assert pipe.verify(tables="nosuch").code == CONFIGURATION


def test_verify_that_cannot_finish_says_so(pipe):
    make_mill(pipe.source)
    pipe.copy()
    with pipe.target.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE item")
        running = pipe.process("verify", "--source", pipe.source.url(), "--target",
                               pipe.target.url())
        wait_until(lambda: pipe.target.admin("SELECT 1 FROM pg_stat_activity WHERE datname = %s"
                                             " AND wait_event_type = 'Lock'", pipe.target.name),
                   "verify waits for the table")
        running.stop(code=NOT_FINISHED)
    unreachable = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    assert pipe.verify(target=unreachable).code in (FAILED, NOT_FINISHED)


def test_tear_down_removes_what_run_made_and_nothing_else(pipe):
    pipe.source.sql(TABLE + "; CREATE PUBLICATION theirs FOR TABLE t")
    pipe.copy()
    pipe.target.sql("CREATE SCHEMA ours; CREATE TABLE ours.t (id int)")
    done = pipe.tear_down()
    assert done.code == ENDED
    assert pipe.slot in done.stdout + done.stderr
    assert pipe.source.sql("SELECT pubname FROM pg_publication") == [("theirs",)]
    assert pipe.confirmed() is None
    assert pipe.target.sql("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"
                           " AND nspname NOT IN ('public', 'information_schema')") == [("ours",)]
    assert pipe.target.one("SELECT count(*) FROM t") == 2
    assert pipe.tear_down().code == ENDED


def test_tear_down_of_the_source_alone(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    assert pipe.tear_down(target=None).code == ENDED
    assert pipe.confirmed() is None
    assert pipe.source.sql("SELECT pubname FROM pg_publication") == []
    assert pipe.target.one("SELECT count(*) FROM pg_namespace WHERE nspname = 'trunkline'") == 1


def test_tear_down_never_drops_a_schema_that_is_not_ours(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("CREATE SCHEMA trunkline; CREATE TABLE trunkline.theirs (id int)")
    pipe.tear_down()
    assert pipe.target.one("SELECT count(*) FROM trunkline.theirs") == 0


def test_tear_down_leaves_a_pipeline_that_runs(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    assert pipe.tear_down().code in (FAILED, CONFIGURATION)
    pipe.source.sql("INSERT INTO t VALUES (3, 'c')")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_a_pipeline_can_be_made_again_after_tear_down(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    assert pipe.tear_down().code == ENDED
    pipe.target.sql("DROP TABLE t")
    pipe.copy()
    pipe.is_verified()


def command_lines():
    """Those of all processes of the machine."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_password_appears_nowhere(pipe, tmp_path):
    password = "Xk93_hush_7q"
    make_mill(pipe.source)
    urls = {}
    for side in ("source", "target"):
        database = getattr(pipe, side)
        role = f"secret_{database.name}"
        database.admin(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'"
                       " IN ROLE with_password")
        urls[side] = database.url(role, password)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(urls["source"].replace(password, "wrong"))
    seen, ended = [], threading.Event()

    def watch():
        while not ended.is_set():
            seen.extend(line for line in command_lines() if password.encode() in line)

    gate = tmp_path / "gate"
    engine = pipe.start(log_level="debug", fault=f"start.checked=wait:{gate}", **urls)
    wait_until(gate.with_name("gate.reached").exists, "the engine has read its arguments")
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        gate.touch()
        pipe.catch_up(engine)
        engine.stop()
    finally:
        ended.set()
        watcher.join()
    assert seen == []
    spoken = [process.stdout + process.stderr for process in (
        engine, pipe.command("config", "print", **urls),
        pipe.command("config", "print", json=True, **urls), pipe.verify(**urls),
        pipe.run(**{**urls, "source": urls["source"] + "_nowhere"}), pipe.tear_down(target=None))]
    keeper = pipe.target.admin("SELECT table_name FROM information_schema.tables"
                               " WHERE table_schema = 'trunkline'")
    assert keeper
    for name, in keeper:
        spoken += [row for row, in pipe.target.admin(f"SELECT t::text FROM trunkline.{name} t")]
    assert not [text for text in spoken if password in text]


def test_fault_points_are_listed(pipe):
    lines = pipe.command("faults").stdout.splitlines()
    assert all(re.fullmatch(r"[a-z_.]+\t\S.*", line) for line in lines) and len(lines) > 20
