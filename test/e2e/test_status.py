"""`trunkline status`: what it says of a pipeline, and its exit codes."""
import signal
import time

import pytest

from harness.cluster import free_port
from harness.program import ENDED, FAILED, flags, json_output, lsn
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"
LARGE = ("CREATE TABLE t (id int PRIMARY KEY, v text);"
         " INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 2000) g")


def look(pipe, code=None, **settings):
    """What `status --json` says; claims its exit code."""
    ended = pipe.command("status", json=True, **{**pipe.urls(), "slot": pipe.slot, **settings})
    said = json_output(ended)
    assert said["version"] == 1
    assert said["ok"] == (not said["problems"]) == (ended.code == ENDED), ended.stderr
    assert code in (None, ended.code), said["problems"]
    return said


def states(said):
    return {table["name"]: table["state"] for table in said["tables"]}


def wait_for(pipe, condition, what, **settings):
    """Looks until the condition holds of what status says."""
    found = []

    def check():
        found[:] = [look(pipe, **settings)]
        return condition(found[0])

    wait_until(check, what)
    return found[0]


def test_nothing_is_there_yet(pipe):
    pipe.source.sql(TABLE)
    said = look(pipe, FAILED)
    assert said["phase"] == "none"
    assert said["slot"]["exists"] is False
    assert said["engine"] == {"running": False, "target_pid": None, "client": None, "since": None}
    assert any("no slot" in problem for problem in said["problems"])
    assert pipe.source.sql("SELECT 1 FROM pg_publication") == []


@pytest.mark.matrix
def test_a_pipeline_that_follows(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    said = wait_for(pipe, lambda s: s["lag"]["bytes"] == 0, "nothing is outstanding", running=True)
    assert said["lag"]["seconds"] == 0
    assert said["phase"] == "following" and said["ok"]
    assert said["engine"]["running"] and said["slot"]["active"]
    assert said["slot"]["plugin"] == "pgoutput" and not said["slot"]["lost"]
    assert said["slot"]["held_bytes"] >= 0 and said["slot"]["max_held_bytes"] is None
    assert lsn(said["lag"]["position"]) >= lsn(said["slot"]["confirmed_lsn"])
    assert said["snapshot"] is None and said["waits"] == [] and said["waits_for"] is None
    table, = said["tables"]
    assert (table["schema"], table["name"], table["state"]) == ("public", "t", "following")
    assert (table["parts"], table["parts_done"], table["rows_copied"]) == (1, 1, 1)
    engine.stop()


def test_the_target_is_consistent_once_the_stream_has_passed_the_copy(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    said = look(pipe, ENDED)
    assert said["consistent"] is True
    assert lsn(said["consistent_from"]) <= lsn(said["lag"]["position"])
    engine.stop()


def test_a_stopped_engine_lags(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    wait_for(pipe, lambda s: s["lag"]["seconds"] == 0, "nothing is outstanding")
    fresh = "SELECT fresh_at IS NOT NULL FROM trunkline.pipeline"
    wait_until(lambda: pipe.target.admin_one(fresh), "the keeper knows how fresh the target is")
    engine.stop()
    pipe.source.sql("INSERT INTO t SELECT g FROM generate_series(2, 2000) g")
    first = look(pipe, ENDED)["lag"]
    assert first["bytes"] > 10000 and 0 < first["seconds"] < 60
    wait_for(pipe, lambda s: s["lag"]["seconds"] >= first["seconds"] + 0.5, "the lag grows")
    said = look(pipe, FAILED, running=True)
    assert said["problems"] == ["no engine runs this pipeline"]


def test_a_lag_in_seconds_while_the_target_is_locked(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    wait_until(lambda: pipe.target.admin_one("SELECT fresh_at IS NOT NULL FROM trunkline.pipeline"),
               "the keeper knows how fresh the target is")
    with pipe.target.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        pipe.source.sql("INSERT INTO t VALUES (2, 'b')")
        said = wait_for(pipe, lambda s: s["waits"] and s["lag"]["seconds"] > 1.5, "it lags")
        wait, = said["waits"]
        assert (wait["server"], wait["object"]) == ("target", "public.t")
        assert wait["blocker"]["pid"] == holder.info.backend_pid
        holder.rollback()
    wait_for(pipe, lambda s: s["lag"]["seconds"] < 1.5 and not s["waits"], "it has caught up")
    engine.stop()


def test_slot_and_publication_without_an_engine_yet(pipe):
    pipe.source.sql(TABLE)
    pipe.source.admin(f"CREATE PUBLICATION {pipe.slot} FOR TABLE t")
    pipe.source.admin("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    said = look(pipe, ENDED)
    assert said["phase"] == "initialised" and states(said) == {"t": "planned"}
    assert said["lag"]["seconds"] is None and said["lag"]["position"] is None


# --- exit code 1 ---


@pytest.mark.parametrize("side, other", [("source", "target"), ("target", "source")])
def test_one_server_cannot_be_reached(pipe, side, other):
    pipe.source.sql(TABLE)
    pipe.copy()
    said = look(pipe, FAILED, **{side: f"postgresql://nobody@127.0.0.1:{free_port()}/none"})
    assert said[side]["reachable"] is False and said[other]["reachable"] is True
    assert [problem for problem in said["problems"] if side in problem]
    if side == "source":
        assert said["phase"] == "following" and states(said) == {"t": "following"}
        assert said["slot"] is None and said["lag"]["bytes"] is None
    else:
        assert said["slot"]["exists"] and said["lag"]["bytes"] is not None
        assert said["phase"] == "unknown" and said["engine"] is None
        assert states(said) == {"t": "published"}


def test_without_a_target_the_slot_is_shown(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    said = look(pipe, ENDED, target=None)
    assert said["target"] is None and said["slot"]["exists"] and said["lag"]["bytes"] >= 0
    assert said["warnings"]
    assert look(pipe, FAILED, target=None, running=True)["problems"]


def test_settings_that_are_wrong(pipe, tmp_path):
    ended = pipe.command("status", source="postgresql://x@127.0.0.1/y", slot="Not a slot")
    assert ended.code == FAILED and "slot name" in ended.stderr and ended.stdout == ""
    config = tmp_path / "wrong.env"
    config.write_text("TRUNKLINE_SLOTT=x\n")
    ended = pipe.command("status", "-c", config)
    assert ended.code == FAILED and "TRUNKLINE_SLOTT" in ended.stderr


def test_settings_from_a_file(pipe, tmp_path):
    pipe.source.sql(TABLE)
    pipe.copy()
    config = tmp_path / "pipe.env"
    urls = pipe.urls()
    config.write_text(f"TRUNKLINE_SOURCE={urls['source']}\nTRUNKLINE_TARGET={urls['target']}\n"
                      f"TRUNKLINE_SLOT={pipe.slot}\n")
    ended = pipe.command("status", "-c", config)
    assert ended.code == ENDED and "following" in ended.stdout and pipe.slot in ended.stdout


def test_a_slot_that_is_missing(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.admin("SELECT pg_drop_replication_slot(%s)", pipe.slot)
    said = look(pipe, FAILED)
    assert said["slot"]["exists"] is False and said["phase"] == "following"
    assert any(pipe.slot in problem for problem in said["problems"])


def test_a_slot_beyond_its_bound(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.sql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(2, 4000) g")
    said = look(pipe, FAILED, max_slot_wal="64kB")
    assert said["slot"]["held_bytes"] > said["slot"]["max_held_bytes"] == 65536
    assert any("max_slot_wal" in problem for problem in said["problems"])
    assert look(pipe, ENDED, max_slot_wal="1GB")["slot"]["max_held_bytes"] == 2**30


def test_a_slot_that_is_lost(own):
    own.source.sql(TABLE)
    own.copy()
    own.source.cluster.configure(max_slot_wal_keep_size="1MB")
    own.source.admin("SELECT pg_reload_conf()")

    def is_lost():
        own.source.admin("SELECT pg_logical_emit_message(true, 'x', 'y')")
        own.source.admin("SELECT pg_switch_wal()")
        own.source.admin("CHECKPOINT")
        return own.source.admin_one("SELECT wal_status FROM pg_replication_slots") == "lost"

    wait_until(is_lost, "the slot is lost")
    said = look(own, FAILED)
    assert said["slot"]["lost"] and any("invalidated" in problem for problem in said["problems"])


def test_another_pipelines_keeper(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    said = look(pipe, FAILED, slot=f"{pipe.slot}_other")
    assert any(pipe.slot in problem for problem in said["problems"])


# --- the copy ---


def test_a_copy_under_way(pipe, tmp_path):
    pipe.source.sql(LARGE + "; CREATE TABLE u (id int PRIMARY KEY)")
    gate = tmp_path / "gate"
    engine = pipe.start(part_size="64kB", copiers=1, fault=f"part.committed=wait:{gate}@3")
    wait_until(gate.with_name("gate.reached").exists, "some parts are done")
    said = look(pipe, ENDED)
    tables = {table["name"]: table for table in said["tables"]}
    assert said["phase"] == "tables" and said["consistent"] is False
    assert said["consistent_from"] is None
    assert tables["t"]["state"] == "copying" and tables["u"]["state"] == "planned"
    assert 0 < tables["t"]["parts_done"] < tables["t"]["parts"]
    assert tables["t"]["rows_copied"] > 0 and tables["t"]["bytes_copied"] > 0
    assert said["snapshot"]["age_seconds"] >= 0 and said["snapshot"]["pid"] > 0
    text = pipe.command("status", **pipe.urls(), slot=pipe.slot)
    assert text.code == ENDED and "snapshot    held for" in text.stdout
    gate.touch()
    pipe.catch_up(engine)
    assert set(states(look(pipe, ENDED)).values()) == {"following"}
    engine.stop()


def test_a_copied_table_that_waits_for_the_stream(pipe, tmp_path):
    pipe.source.sql(TABLE)
    gate = tmp_path / "gate"
    engine = pipe.start(fault=f"copy.indexes_done=wait:{gate}")
    wait_until(gate.with_name("gate.reached").exists, "all is copied")
    assert states(look(pipe, ENDED)) == {"t": "copied"}
    gate.touch()
    pipe.catch_up(engine)
    engine.stop()


def test_tables_that_are_not_followed(pipe):
    pipe.source.sql(TABLE + "; CREATE UNLOGGED TABLE quick (id int PRIMARY KEY);"
                    " CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY)")
    engine = pipe.follow(tables="public.*")
    pipe.source.sql("CREATE TABLE late (id int PRIMARY KEY);"
                    " CREATE TABLE other.late (id int PRIMARY KEY)")
    said = look(pipe, ENDED)  # without --tables: those that the pipeline was made with
    assert states(said) == {"t": "following", "quick": "unlogged", "late": "not_followed"}
    assert any("not followed" in warning for warning in said["warnings"])
    pipe.source.sql("DROP TABLE t")
    assert states(look(pipe, ENDED))["t"] == "gone"
    engine.stop()


# --- what it waits for ---


def test_a_copier_that_waits_for_a_lock(pipe, tmp_path):
    """status itself asks for no lock on the table: it would not come back."""
    pipe.source.sql(TABLE)
    gate = tmp_path / "gate"
    engine = pipe.start(fault=f"schema.restored=wait:{gate}")
    wait_until(gate.with_name("gate.reached").exists, "the tables are made")
    with pipe.source.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        gate.touch()
        said = wait_for(pipe, lambda s: s["waits"], "a session waits")
        wait = said["waits"][0]
        assert (wait["server"], wait["object"], wait["lock"]) == \
            ("source", "public.t", "AccessShareLock")
        assert wait["blocker"]["pid"] == holder.info.backend_pid
        assert wait["blocker"]["gid"] is None and wait["waited_seconds"] >= 0
        text = pipe.command("status", **pipe.urls(), slot=pipe.slot)
        assert text.code == ENDED and str(holder.info.backend_pid) in text.stdout
        holder.rollback()
    pipe.catch_up(engine)
    assert look(pipe, ENDED)["waits"] == []
    engine.stop()


def test_a_lock_of_a_prepared_transaction(pipe):
    pipe.source.sql(TABLE)
    with pipe.source.connect() as session:
        session.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;"
                        " PREPARE TRANSACTION 'held by nobody'")
    engine = pipe.start()
    said = wait_for(pipe, lambda s: s["waits"], "a session waits")
    blocker = said["waits"][0]["blocker"]
    assert blocker["pid"] is None and blocker["gid"] == "held by nobody"
    assert blocker["transaction_age_seconds"] >= 0
    pipe.source.sql("ROLLBACK PREPARED 'held by nobody'")
    pipe.catch_up(engine)
    engine.stop()


def test_a_slot_that_waits_for_a_transaction(pipe):
    pipe.source.sql(TABLE)
    with pipe.source.connect(autocommit=False) as writer:
        writer.execute("INSERT INTO t VALUES (2, 'b')")
        engine = pipe.start()
        said = wait_for(pipe, lambda s: s["waits"], "the slot's session waits")
        wait = said["waits"][0]
        assert (wait["server"], wait["session"]) == ("source", "slot")
        assert wait["object"].startswith("transaction ")
        assert wait["blocker"]["pid"] == writer.info.backend_pid
        writer.commit()
    pipe.catch_up(engine)
    engine.stop()


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_snapshot_that_waits_for_a_writer(pipe, is_prepared):
    """Beside a slot that exists the copy waits for those who write to its tables."""
    pipe.source.sql(TABLE)
    assert pipe.run(fault="slot.recorded=kill").code == -signal.SIGKILL
    writer = pipe.source.connect(autocommit=False)
    writer.execute("INSERT INTO t VALUES (2, 'b')")
    named = f"pid {writer.info.backend_pid} "
    if is_prepared:
        writer.execute("PREPARE TRANSACTION 'two phases'")
        named = "prepared transaction two phases "
    engine = pipe.start()
    said = wait_for(pipe, lambda s: s["waits_for"], "the engine waits")
    assert named in said["waits_for"] and "public.t" in said["waits_for"]
    if is_prepared:
        writer.rollback()
        writer.autocommit = True
        writer.execute("COMMIT PREPARED 'two phases'")
    else:
        writer.commit()
    writer.close()
    pipe.catch_up(engine)
    assert look(pipe, ENDED)["waits_for"] is None
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_slot_made_by_hand_that_waits_for_all_that_run(pipe, is_prepared):
    """The publication is younger than the transaction."""
    pipe.source.sql(TABLE)
    pipe.source.admin("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    writer = pipe.source.connect(user="postgres", autocommit=False)
    writer.execute("INSERT INTO t VALUES (2, 'b')")
    named = f"pid {writer.info.backend_pid} "
    if is_prepared:
        writer.execute("PREPARE TRANSACTION 'two phases too'")
        named = "prepared transaction two phases too"
    engine = pipe.start()
    said = wait_for(pipe, lambda s: s["waits_for"], "the engine waits")
    assert named in said["waits_for"]
    if is_prepared:
        writer.rollback()
        writer.autocommit = True
        writer.execute("COMMIT PREPARED 'two phases too'")
    else:
        writer.commit()
    writer.close()
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_ages_are_for_those_who_may_see_them(pipe):
    pipe.source.sql(TABLE)
    source = pipe.source.url("postgres")
    with pipe.source.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        engine = pipe.start()
        said = wait_for(pipe, lambda s: s["waits"], "a session waits", source=source)
        blocker = said["waits"][0]["blocker"]
        assert blocker["transaction_age_seconds"] >= 0 and blocker["user"]
        assert blocker["state"] == "idle in transaction"
        holder.rollback()
    pipe.catch_up(engine)
    engine.stop()


def test_it_does_not_wait_while_the_keeper_is_locked(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    with pipe.target.cluster.database(pipe.target.name).connect(
            user="postgres", autocommit=False) as holder:
        holder.execute("LOCK TABLE trunkline.pipeline IN ACCESS EXCLUSIVE MODE")
        start = time.monotonic()
        said = look(pipe, FAILED)
        assert time.monotonic() - start < 8
        assert said["target"]["reachable"] is False and said["slot"]["exists"]
        holder.rollback()


# --- the slot of an idle database ---


@pytest.mark.parametrize("heartbeat", [None, "200ms"])
def test_an_idle_database_holds_no_wal_back(pipe, heartbeat):
    """Another database of the cluster is written to. restart_lsn moves when the server notes the
    running transactions, which the checkpoint makes it do."""
    pipe.source.sql(TABLE)
    other = pipe.source.cluster.create_database(f"{pipe.source.name}_other")
    try:
        engine = pipe.follow(heartbeat_interval=heartbeat)
        other.admin("CREATE TABLE z AS SELECT repeat('x', 500) FROM generate_series(1, 5000)")
        end = lsn(other.admin_one("SELECT pg_current_wal_lsn()::text"))

        def is_past():
            pipe.source.admin("CHECKPOINT")
            slot = look(pipe, ENDED)["slot"]
            return lsn(slot["confirmed_lsn"]) >= end and lsn(slot["restart_lsn"]) >= end

        wait_until(is_past, "the slot has passed the other database's WAL", 10)
        engine.stop()
    finally:
        other.close()
        pipe.source.cluster.drop_database(other.name)


def test_heartbeats_move_a_slot_where_nobody_writes(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow(heartbeat_interval="100ms")
    witness = f"{pipe.slot}_witness"
    pipe.source.admin("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", witness)
    beats = ("SELECT count(*) FROM pg_logical_slot_peek_changes(%s, NULL, NULL)"
             " WHERE data LIKE 'message: transactional: 0 prefix: trunkline,%%'")
    first = pipe.confirmed()
    wait_until(lambda: pipe.source.admin_one(beats, witness) >= 3, "heartbeats are written", 10)
    end = lsn(pipe.source.admin_one("SELECT pg_current_wal_lsn()::text"))
    wait_until(lambda: pipe.confirmed() >= end > first, "the slot moves by itself", 10)
    engine.stop()


def test_no_heartbeats_unless_asked_for(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    witness = f"{pipe.slot}_witness"
    pipe.source.admin("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", witness)
    fresh = "SELECT fresh_at FROM trunkline.pipeline"
    first = pipe.target.admin_one(fresh)
    wait_until(lambda: pipe.target.admin_one(fresh) not in (first, None), "control has looked", 20)
    assert pipe.source.admin("SELECT data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)"
                             " WHERE data LIKE 'message: transactional: 0%%'", witness) == []
    engine.stop()


# --- other kinds of pipelines ---


def test_a_snapshot_that_runs(pipe, tmp_path):
    pipe.source.sql(LARGE)
    assert look(pipe, ENDED, mode="snapshot", slot=None)["phase"] == "none"
    gate = tmp_path / "gate"
    engine = pipe.process("snapshot", *flags({**pipe.urls(), "part_size": "64kB", "copiers": 1}),
                          environment={"TRUNKLINE_FAULT": f"part.committed=wait:{gate}@3"})
    wait_until(gate.with_name("gate.reached").exists, "some parts are done")
    said = look(pipe, ENDED, mode="snapshot", slot=None, running=True)
    table, = said["tables"]
    assert table["state"] == "copying" and 0 < table["parts_done"] < table["parts"]
    assert said["snapshot"]["age_seconds"] >= 0 and said["slot"] is None
    assert said["engine"]["running"]
    gate.touch()
    engine.ends(ENDED)
    assert look(pipe, FAILED, mode="snapshot", slot=None, running=True)["phase"] == "none"


def test_after_init(pipe):
    pipe.source.sql(TABLE)
    pipe.command("init", source=pipe.urls()["source"], slot=pipe.slot)
    said = look(pipe, ENDED)
    assert said["phase"] == "initialised" and states(said)["t"] in ("planned", "not_followed")
    text = pipe.command("status", **pipe.urls(), slot=pipe.slot)
    assert text.code == ENDED and "no engine has run yet" in text.stdout


def test_a_pipeline_without_a_copy(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql(TABLE)
    pipe.command("init", source=pipe.urls()["source"], slot=pipe.slot)
    engine = pipe.follow(mode="replication")
    said = look(pipe, ENDED, mode="replication")
    assert said["phase"] == "following" and states(said) == {"t": "following"}
    assert said["consistent"] is True
    engine.stop()


def test_tables_without_identity(pipe):
    pipe.source.sql(TABLE + "; CREATE TABLE bare (a int)")
    engine = pipe.follow(tables_without_identity="insert_only")
    said = look(pipe, ENDED)
    assert states(said) == {"t": "following", "bare": "insert_only"}
    assert any("INSERT" in warning for warning in said["warnings"])
    engine.stop()
