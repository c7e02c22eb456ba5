"""What check finds: each finding by itself and all at once, what mends it, and that nothing changes."""
import subprocess

import psycopg
import pytest

from harness.cluster import MAJORS, as_server_user, die_with_parent, free_port
from harness.program import CONFIGURATION, ENDED, FAILED, json_output
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"
CATALOGS = ["pg_class", "pg_attribute", "pg_constraint", "pg_trigger", "pg_publication",
            "pg_publication_rel", "pg_namespace", "pg_proc", "pg_type", "pg_db_role_setting",
            "pg_replication_slots", "pg_roles"]


# Warnings about the servers of this run, whatever a test is about.
OF_SERVERS = {"snapshot_fix"} | ({"replica_role"} if MAJORS["target"] == 14 else set())


def is_servers(one):
    return one["level"] == "warning" and one["code"] in OF_SERVERS


def check(pipe, code=None, **settings):
    """The findings of one run; claims the exit code that goes with them."""
    chosen = {**pipe.urls(), "slot": pipe.slot, **settings}
    ended = pipe.command("check", json=True, **chosen)
    assert ended.code in (ENDED, FAILED), ended.stderr
    document = json_output(ended)
    assert document["version"] == 1
    found = document["findings"]
    assert ended.code == (FAILED if found else ENDED)
    for one in found:
        assert set(one) == {"level", "code", "text", "hint"} and one["text"] and one["hint"]
        assert one["level"] in ("error", "warning")
    return [one for one in found if one["code"] == code or code is None and not is_servers(one)]


def codes(found):
    return {one["code"] for one in found}


def catalog(pipe):
    """Everything in both databases that a change would show in."""
    return [database.admin(f"SELECT pg_catalog.md5(pg_catalog.string_agg(x::text, '|' ORDER BY"
                           f" x::text)) FROM pg_catalog.{name} x")
            for database in (pipe.source, pipe.target) for name in CATALOGS]


@pytest.mark.versions(source=(15, 15), target=(15, 18))
def test_nothing_to_find(pipe):
    """Of servers that are all right themselves."""
    pipe.source.sql(TABLE)
    assert check(pipe) == []
    ended = pipe.command("check", slot=pipe.slot, **pipe.urls())
    assert (ended.code, ended.stdout) == (ENDED, "0 errors, 0 warnings\n")


def roles_of(pipe, code):
    """The part of a check that needs a superuser: other people's sessions, server settings."""
    return check(pipe, code, **pipe.urls("postgres"))


# What is found: code, level, where its SQL is to be run, what brings it about on the source, on the
# target, and the settings.
NOKEY = "CREATE TABLE nokey (id int)"
FOUND = [
    ("replica_identity", "error", "source", NOKEY, "", {}),
    ("insert_only", "warning", "source", NOKEY, "", {"tables_without_identity": "insert_only"}),
    ("identity_full", "warning", "source", NOKEY, "", {"tables_without_identity": "full"}),
    ("deferrable_key", "warning", "source",
     "CREATE TABLE late (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED)", "", {}),
    ("generated_key", "warning", "source",
     "CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY)", "", {}),
    ("unlogged", "warning", "source", "CREATE UNLOGGED TABLE light (id int PRIMARY KEY)", "", {}),
    ("reg_column", "warning", None, "CREATE TABLE r (id int PRIMARY KEY, c regclass[])", "", {}),
    ("text_column", "warning", None, "CREATE TABLE x (id int PRIMARY KEY, a aclitem[])", "", {}),
    ("other_publication", "warning", "source",
     NOKEY + "; CREATE PUBLICATION theirs FOR TABLE nokey, t", "", {}),
    ("other_publication", "warning", "source",
     NOKEY + "; CREATE PUBLICATION theirs FOR ALL TABLES", "", {}),
    ("other_publication", "warning", "source",
     NOKEY + "; CREATE PUBLICATION theirs FOR TABLES IN SCHEMA public", "", {}),
    ("other_publication", "warning", "source",
     "CREATE PUBLICATION theirs FOR TABLE t WHERE (v <> 'x')", "", {}),
    ("other_publication", "warning", "source", "CREATE PUBLICATION theirs FOR TABLE t (v)", "", {}),
    ("publication_missing", "error", "source", "", "", {"publication_name": "mine"}),
    ("publication_tables", "error", "source",
     "CREATE TABLE p (k int PRIMARY KEY) PARTITION BY LIST (k);"
     "CREATE TABLE p_leaf PARTITION OF p DEFAULT; CREATE PUBLICATION mine FOR TABLE t", "",
     {"publication_name": "mine"}),
    ("publication_operations", "error", "source",
     "CREATE PUBLICATION mine FOR TABLE t WITH (publish = 'insert')", "",
     {"publication_name": "mine"}),
    ("publication_via_root", "error", "source",
     "CREATE PUBLICATION mine FOR TABLE t WITH (publish_via_partition_root)", "",
     {"publication_name": "mine"}),
    ("publication_filter", "error", "source", "CREATE PUBLICATION mine FOR TABLE t WHERE (id > 0)",
     "", {"publication_name": "mine"}),
    ("publication_filter", "error", "source", "CREATE PUBLICATION mine FOR TABLE t (v)", "",
     {"publication_name": "mine", "mode": "replication"}),
    ("timeout", "warning", "source",
     "ALTER ROLE trunkline_source IN DATABASE {source} SET statement_timeout = '5s'", "", {}),
    ("timeout", "warning", "target", "",
     "ALTER DATABASE {target} SET idle_in_transaction_session_timeout = '5s'", {}),
    ("extension_missing", "error", None,
     "CREATE EXTENSION hstore; UPDATE pg_extension SET extname = 'nosuch'"
     " WHERE extname = 'hstore'", "", {}),
    ("extension_privilege", "error", "target", "CREATE EXTENSION pageinspect", "", {}),
    ("role_missing", "warning", "target",
     "CREATE ROLE \"Only {source}\"; GRANT SELECT ON t TO \"Only {source}\"", "", {}),
    ("role_membership", "warning", "target",
     "CREATE ROLE both_{source}; CREATE TABLE w (id int PRIMARY KEY); ALTER TABLE w OWNER TO"
     " both_{source}; GRANT both_{source} TO trunkline_source", "CREATE ROLE both_{source}", {}),
    ("large_objects", "warning", None, "SELECT lo_create(0)", "", {}),
    ("owner_privilege", "warning", None,
     "CREATE TABLE shut (id int PRIMARY KEY); REVOKE INSERT ON shut FROM app", "", {}),
    ("database_settings", "warning", None, "ALTER DATABASE {source} SET work_mem = '5MB'", "", {}),
    ("large_object_privilege", "error", "source",
     "SELECT lo_create(0)", "", {"large_objects": True}),
    ("large_object_there", "error", "target", "SELECT lo_create(77)",
     "SELECT lo_create(77)", {"large_objects": True}),
    ("always_trigger", "warning", "target", "",
     TABLE.split(";")[0] + "; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
     " 'BEGIN RETURN NULL; END'; CREATE TRIGGER \"An\" AFTER INSERT ON t FOR EACH ROW EXECUTE"
     " FUNCTION f(); ALTER TABLE t ENABLE ALWAYS TRIGGER \"An\"", {}),
    ("outside_foreign_key", "warning", "target", "",
     TABLE.split(";")[0] + "; CREATE TABLE theirs (t int REFERENCES t)", {}),
    ("target_rows", "error", None, "", TABLE, {}),
    ("target_column", "error", "target", "", "CREATE TABLE t (id int PRIMARY KEY)", {}),
    ("target_type", "error", "target", "", "CREATE TABLE t (id int PRIMARY KEY, v varchar(3))", {}),
    ("target_wider", "warning", "target", "", "CREATE TABLE t (id bigint PRIMARY KEY, v text)", {}),
    ("target_kind", "error", "target", "", "CREATE VIEW t AS SELECT 1 AS id", {}),
    ("target_required", "error", "target", "",
     "CREATE TABLE t (id int PRIMARY KEY, v text, \"W\" int NOT NULL)", {}),
    ("root_key", "error", "source",
     "CREATE TABLE p (k int, v int) PARTITION BY LIST (k);"
     "CREATE TABLE p_leaf PARTITION OF p DEFAULT; ALTER TABLE p_leaf ADD PRIMARY KEY (v)", "",
     {"publish_via_root": True}),
    ("target_column", "error", "target",
     "CREATE TABLE p (k int PRIMARY KEY, v int) PARTITION BY LIST (k);"
     "CREATE TABLE p_leaf PARTITION OF p DEFAULT", "CREATE TABLE p (k int PRIMARY KEY)",
     {"publish_via_root": True}),
    ("target_privilege", "error", "target", "",
     TABLE.split(";")[0] + "; ALTER TABLE t OWNER TO postgres", {}),
    ("target_table", "error", None, "", "", {"mode": "replication"}),
    ("slot_missing", "error", None, "", "", {"mode": "replication"}),
    ("publication_younger", "error", None,
     "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');"
     "CREATE PUBLICATION {slot} FOR TABLE t", "", {"mode": "replication"}),
    ("publication", "error", None, "CREATE PUBLICATION {slot} FOR TABLE t", "", {}),
    ("partition", "error", None,
     "CREATE TABLE p (k int PRIMARY KEY) PARTITION BY LIST (k);"
     "CREATE TABLE p_leaf PARTITION OF p DEFAULT", "", {"tables": "t,p_leaf"}),
]


def provoke(pipe, source, target):
    names = {"source": pipe.source.name, "target": pipe.target.name, "slot": pipe.slot}
    for database, text in ((pipe.source, source), (pipe.target, target)):
        for statement in text.replace("'BEGIN RETURN NULL; END'", "@").split(";"):
            database.admin("SET ROLE app" if "TABLE" in statement and "OWNER" not in statement
                           and "PUBLICATION" not in statement else "RESET ROLE")
            if statement.strip():
                database.admin(statement.format(**names)
                               .replace("@", "'BEGIN RETURN NULL; END'"))
        database.admin("RESET ROLE")


def remove_roles(pipe):
    for database in (pipe.source, pipe.target):
        for role, in database.admin("SELECT rolname FROM pg_roles WHERE rolname LIKE %s",
                                    "%" + pipe.source.name):
            database.admin(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')


def mend(pipe, side, found):
    """Runs the hints as they stand."""
    for one in found:
        getattr(pipe, side).admin(one["hint"])


def since(case):
    """14 knows neither publications of schemas nor those of some rows or columns; and on a target
    14 the role may not switch triggers off, which is then what is found of them."""
    is_narrow = any(text in case[3] for text in ("IN SCHEMA", "WHERE (", "TABLE t (v)"))
    if is_narrow:
        return pytest.mark.versions(source=(15, 18))
    acts = case[0] in ("always_trigger", "outside_foreign_key")
    return pytest.mark.versions(target=(15 if acts else 14, 18))


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{number}-{case[0]}", marks=since(case))
                                  for number, case in enumerate(FOUND)])
def test_each_is_found_and_its_hint_mends_it(pipe, case):
    code, level, side, source, target, settings = case
    pipe.source.sql(TABLE)
    provoke(pipe, source, target)
    before = catalog(pipe)
    found = check(pipe, code, **settings)
    assert [one["level"] for one in found] == [level], check(pipe, **settings)
    assert catalog(pipe) == before
    try:
        if side:
            mend(pipe, side, found)
            assert check(pipe, code, **settings) == []
    finally:
        remove_roles(pipe)


@pytest.mark.versions(source=(15, 18), target=(15, 18))
def test_all_at_once_and_nothing_is_changed(pipe):
    """In one database; each hint with SQL is run, and what is left has none. Some of it 14 lacks."""
    sides = {case[0]: case[2] for case in FOUND if case[0] != "timeout"}
    cases = [case for case in FOUND if not case[5] and case[0] not in (
        "target_rows", "target_column", "target_type", "publication", "target_privilege",
        "extension_missing", "target_wider", "target_kind", "target_required")]
    pipe.source.sql(TABLE)
    made = set()
    for code, _, _, source, target, _ in cases:
        for database, text in (("source", source), ("target", target)):
            kept = [part for part in text.split("; ") if (database, part) not in made]
            made.update((database, part) for part in kept)
            text = "; ".join(kept).replace("theirs", f"theirs_{len(made)}")
            provoke(pipe, *(text if name == database else "" for name in ("source", "target")))
    before = catalog(pipe)
    found = check(pipe)
    assert catalog(pipe) == before
    assert {case[0] for case in cases} - codes(found) == set()
    try:
        for one in found:
            by_text = "target" if "target" in one["text"] else "source"
            side = sides.get(one["code"], by_text)
            if side:
                getattr(pipe, side).admin(one["hint"])
    finally:
        left = check(pipe)
        remove_roles(pipe)
    assert codes(left) <= {"reg_column", "text_column", "large_objects", "owner_privilege",
                            "database_settings"}, left


@pytest.mark.versions(source=(15, 15), target=(15, 18))
def test_text_names_what_mends_it_below(pipe):
    """Of servers that are all right themselves."""
    pipe.source.sql(TABLE + ";" + NOKEY + "; CREATE UNLOGGED TABLE light (id int PRIMARY KEY)")
    ended = pipe.command("check", slot=pipe.slot, **pipe.urls())
    lines = ended.stdout.splitlines()
    assert ended.code == FAILED and len(lines) == 5, ended.stdout
    assert lines[0].startswith("error replica_identity: ")
    assert lines[1].startswith('    ALTER TABLE "public"."nokey" REPLICA IDENTITY FULL')
    assert lines[2].startswith("warning unlogged: ")
    assert lines[4] == "1 error, 1 warning"


@pytest.mark.parametrize("settings", [{"until": "soon"}, {"tables": "a.b.c"}, {"source": "here"}])
def test_mistakes_in_the_settings_are_no_findings(pipe, settings):
    ended = pipe.command("check", json=True, **{**pipe.urls(), **settings})
    assert (ended.code, ended.stdout) == (CONFIGURATION, "")


def test_a_collation_that_the_target_lacks(pipe):
    pipe.source.sql(TABLE + '; CREATE TABLE c (id int PRIMARY KEY, v text COLLATE "C.utf8")')
    pipe.target.admin('DROP COLLATION pg_catalog."C.utf8"')
    found = check(pipe, "collation_missing")
    assert [one["level"] for one in found] == ["error"]
    mend(pipe, "target", found)
    assert check(pipe) == []


def test_row_security_on_both_sides(pipe):
    pipe.source.sql(TABLE + "; ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
                            " ALTER TABLE t FORCE ROW LEVEL SECURITY")
    try:
        for code, side in (("row_security", "source"), ("target_row_security", "target")):
            mend(pipe, side, check(pipe, code))
        assert check(pipe) == []
    finally:
        pipe.source.admin("ALTER ROLE trunkline_source NOBYPASSRLS")
        pipe.target.admin("ALTER ROLE trunkline_target NOBYPASSRLS")


@pytest.fixture
def bound(pipe):
    """A role on the target that may not switch triggers off."""
    role = f"bound_{pipe.target.name}"
    pipe.source.sql(TABLE)
    pipe.target.admin(f"CREATE ROLE {role} LOGIN IN ROLE app; GRANT CREATE ON SCHEMA public TO app;"
                      f" GRANT CREATE ON DATABASE {pipe.target.name} TO {role}")
    pipe.settings = {**pipe.urls(), "target": pipe.target.url(role)}
    yield pipe
    pipe.target.admin(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


ACTIVE = {
    "target_trigger": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL;"
                      " END'; CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "target_foreign_key": "ALTER TABLE t ADD mother int REFERENCES t",
    "outside_foreign_key": "CREATE TABLE theirs (t int REFERENCES t ON DELETE CASCADE)",
}


@pytest.mark.versions(target=(15, 18))
@pytest.mark.parametrize("code", ACTIVE)
def test_triggers_that_cannot_be_switched_off(bound, code):
    """They are refused; without any it is a warning, unless it was demanded or not wanted. 14 has
    no GRANT that mends it."""
    bound.target.sql("CREATE TABLE t (id int PRIMARY KEY, v text);" + ACTIVE[code])
    found = check(bound, **bound.settings)
    assert [(one["level"], one["code"]) for one in found] == [("error", "replica_role"),
                                                              ("error", code)]
    assert check(bound, disable_triggers="false", **bound.settings) == []
    mend(bound, "target", found[1:])
    assert [one["level"] for one in check(bound, **bound.settings)] == ["warning"]
    found = check(bound, disable_triggers="true", **bound.settings)
    assert [(one["level"], one["code"]) for one in found] == [("error", "replica_role")]
    mend(bound, "target", found)
    assert check(bound, disable_triggers="true", **bound.settings) == []


@pytest.mark.matrix
def test_a_trigger_that_a_partition_has_from_its_parent(pipe):
    """Its state is its own. 14 calls such triggers internal."""
    tables = ("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id);"
              "CREATE TABLE leaf PARTITION OF p DEFAULT;")
    pipe.source.sql(tables)
    pipe.target.sql(tables + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN"
                    " NULL; END'; CREATE TRIGGER g AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION"
                    " f(); ALTER TABLE leaf ENABLE ALWAYS TRIGGER g")
    found = roles_of(pipe, "always_trigger")
    assert len(found) == 1 and "trigger g of public.leaf on the target" in found[0]["text"]
    mend(pipe, "target", found)
    assert roles_of(pipe, "always_trigger") == []


def test_transactions_that_would_hold_the_start_up(pipe):
    pipe.source.sql(TABLE)
    writer = pipe.source.connect(autocommit=False)
    writer.execute("INSERT INTO t VALUES (2, 'b')")
    with pipe.source.connect(autocommit=False) as preparer:
        preparer.execute("INSERT INTO t VALUES (3, 'c'); PREPARE TRANSACTION 'it''s'")
    wait_until(lambda: codes(roles_of(pipe, None)) >= {"long_transaction", "prepared_transaction"},
               "both are five seconds old", 20)
    assert f"{writer.info.backend_pid}" in roles_of(pipe, "long_transaction")[0]["text"]
    mend(pipe, "source", roles_of(pipe, "long_transaction"))
    mend(pipe, "source", roles_of(pipe, "prepared_transaction"))
    assert codes(roles_of(pipe, None)) <= {"role_missing", "role_membership"}


def test_a_server_that_is_away_hides_nothing_of_the_other(pipe):
    pipe.source.sql(TABLE + ";" + NOKEY)
    pipe.target.admin(f"ALTER DATABASE {pipe.target.name} SET lock_timeout = '1s'")
    away = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    assert codes(check(pipe, source=away)) == {"source_connection", "timeout"}
    assert codes(check(pipe, target=away)) == {"target_connection", "replica_identity"}


def test_a_snapshot_needs_no_more_than_a_copy_needs(own):
    """Neither wal_level nor REPLICATION, slot, publication, ownership or identity."""
    own.source.cluster.configure(wal_level="replica", max_replication_slots=0)
    own.source.cluster.restart()
    own.source.sql(TABLE + ";" + NOKEY)
    own.source.admin("CREATE ROLE reader LOGIN; GRANT SELECT ON t, nokey TO reader")
    assert check(own, mode="snapshot", no_privileges=True,
                 source=own.source.url("reader")) == []
    assert codes(check(own, source=own.source.url("reader"))) >= {
        "wal_level", "max_replication_slots", "replication_role", "owner", "replica_identity",
        "source_create_privilege"}


@pytest.mark.versions(source=(15, 18))
def test_settings_of_the_server(own):
    """One of them exists in minor versions of 2026-08 and later only; the 14 that is fetched is
    older."""
    cluster = own.source.cluster
    cluster.configure(wal_level="replica", max_replication_slots=1,
                      output_plugin_libraries="test_decoding")
    cluster.restart()
    own.source.sql(TABLE)
    own.source.admin("SELECT pg_create_physical_replication_slot('taken')")
    wanted = {"wal_level", "max_replication_slots", "output_plugin_libraries"}
    found = roles_of(own, None)
    assert codes(found) >= wanted
    for one in found:
        if one["code"] in wanted:
            for statement in one["hint"].split("; "):
                if not statement.startswith("--"):
                    own.source.admin(statement)
    own.source.close()
    cluster.restart()
    assert not codes(roles_of(own, None)) & wanted


def test_a_standby_as_source(own):
    own.source.sql(TABLE)
    own.source.close()
    own.source.cluster.stop()
    (own.source.cluster.data / "standby.signal").touch()
    own.source.cluster.start()
    found = check(own)
    own.source.admin("SELECT pg_promote()")
    assert codes(found) == {"source_standby"}


@pytest.mark.parametrize("side", ["source", "target"])
def test_encodings(shared_clusters, pipelines, side):
    options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    pipe = pipelines(shared_clusters, **{f"{side}_options": options})
    pipe.source.sql(TABLE)
    code = "sql_ascii" if side == "source" else "target_encoding"
    assert codes(check(pipe)) == {code}


@pytest.fixture
def bouncer(tmp_path_factory):
    """Starts pgbouncer before a server; returns its port."""
    started = []

    def start(cluster, **more):
        port = free_port()
        directory = cluster.directory / f"bouncer{port}"
        directory.mkdir()
        directory.chmod(0o777)
        settings = {"listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "any",
                    "pool_mode": "transaction", "unix_socket_dir": "", **more}
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (directory / "ini").write_text(f"[databases]\n* = host=127.0.0.1 port={cluster.port}"
                                       f" user=postgres\n[pgbouncer]\n{lines}")
        (directory / "ini").chmod(0o644)
        log = open(directory / "log", "wb")
        started.append(subprocess.Popen(["/usr/sbin/pgbouncer", directory / "ini"], stdout=log,
                                        stderr=log, preexec_fn=die_with_parent(15),
                                        **as_server_user()))
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        wait_until(lambda: takes_connections(url), "pgbouncer takes connections", 20)
        return port

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def takes_connections(url):
    try:
        psycopg.connect(url).close()
        return True
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("ignored", ["extra_float_digits", "extra_float_digits, options"])
def test_a_pooler_in_between(pipe, bouncer, mode, ignored):
    pipe.source.sql(TABLE)
    for side in ("source", "target"):
        database = getattr(pipe, side)
        port = bouncer(database.cluster, ignore_startup_parameters=ignored, pool_mode=mode)
        url = f"postgresql://postgres@127.0.0.1:{port}/{database.name}"
        found = check(pipe, "connection_pooler", **{side: url})
        assert [(one["level"], side in one["text"]) for one in found] == [("error", True)]
        if mode == "transaction":
            refused = pipe.run(**{side: url})
            assert refused.code == CONFIGURATION and "connection pooler" in refused.stderr
            assert f"the server itself in the {side} URL" in refused.stderr
    assert check(pipe, "connection_pooler") == [] and pipe.confirmed() is None


def test_a_pipeline_that_runs_has_no_findings_until_a_table_loses_its_key(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    assert check(pipe) == []
    pipe.source.sql("ALTER TABLE t DROP CONSTRAINT t_pkey")
    assert codes(check(pipe)) == {"replica_identity"}
    engine.stop()
    pipe.source.sql("ALTER TABLE t ADD PRIMARY KEY (id)")
    assert check(pipe) == []


def test_init_before_it_follows(pipe):
    """A publication that init made is no stranger's, and older than its slot."""
    pipe.source.sql(TABLE)
    pipe.target.sql(TABLE.split(";")[0])
    made = pipe.command("init", source=pipe.source.url(), slot=pipe.slot)
    assert made.code == ENDED, made.stderr
    for mode in ("replication", "snapshot_and_replication"):
        assert check(pipe, mode=mode) == []
