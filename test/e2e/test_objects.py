"""Every class of object, copied by both commands and compared by value."""
import itertools
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import objects
from harness.cluster import MAJORS, server_user
from harness.compare import open_session, schema_differences, sequence_differences
from harness.program import ENDED, Pipeline
from harness.roles import OWNER

NUMBERS = itertools.count(1)


def make_roles(clusters):
    """Owners and grantees, which PostgreSQL keeps per cluster."""
    for cluster in clusters:
        server = cluster.database()
        for role in (objects.OTHER, objects.GRANTEE):
            name = '"' + role.replace('"', '""') + '"'
            if not server.admin("SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                server.admin(f"CREATE ROLE {name}")
            server.admin(f"GRANT {name} TO app")
            if server.admin("SELECT 1 FROM pg_roles WHERE rolname = %s", cluster.role):
                server.admin(f"GRANT {name} TO {cluster.role}")
        server.close()


def fill(database, kinds=tuple(objects.KINDS), user=OWNER):
    """Makes each kind of object."""
    database.admin(f"GRANT CREATE ON DATABASE {database.name} TO PUBLIC")
    with database.connect(user) as session:
        session.execute(objects.PLACE)
        session.execute(objects.PATH)
        session.execute('GRANT CREATE ON SCHEMA "Ödd ""o\'b; j" TO PUBLIC')
        for kind in kinds:
            if kind.admin:
                database.admin(kind.admin)
            if kind.make:
                session.execute(kind.make)


def prepare_target(database):
    """What only a superuser may do there."""
    database.admin(f"GRANT CREATE ON DATABASE {database.name} TO PUBLIC")
    database.admin("CREATE SCHEMA ext AUTHORIZATION app; CREATE EXTENSION bloom SCHEMA ext")


@pytest.fixture(scope="module")
def databases(shared_clusters, worker_name, tmp_path_factory):
    """Makes pipelines that live as long as this file's tests."""
    made = []

    def make():
        name = f"objects_{worker_name}_{next(NUMBERS)}"
        source = shared_clusters[0].create_database(f"src_{name}")
        target = shared_clusters[1].create_database(f"dst_{name}")
        made.append(Pipeline(source, target, f"slot_{name}", tmp_path_factory.mktemp(name)))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.end()
        pipeline.drop()


def copy_once(pipe, mode):
    if mode == "run":
        pipe.copy(tables_without_identity="insert_only", **pipe.able())
    else:
        ended = pipe.command("snapshot", **pipe.urls())
        assert ended.code == ENDED, ended.stderr


@pytest.fixture(scope="module", params=["run", "snapshot"])
def copied(request, databases, shared_clusters):
    """A database with every kind of object, and its copy."""
    make_roles(shared_clusters)
    pipe = databases()
    fill(pipe.source)
    prepare_target(pipe.target)
    copy_once(pipe, request.param)
    pipe.mode = request.param
    return pipe


def proved(kinds):
    for kind in kinds:
        mark = pytest.mark.proves("Objects", kind.name, copied=True)
        yield pytest.param(kind, id=kind.name, marks=mark)


def is_there(pipe, kind):
    """Claims that both sides say the same of it, and that there is something to say."""
    with open_session(pipe.source) as here, open_session(pipe.target) as there:
        claimed = here.execute(kind.claim).fetchall()
        assert claimed and there.execute(kind.claim).fetchall() == claimed
        return True


@pytest.mark.matrix
@pytest.mark.parametrize("kind", proved(objects.KINDS))
def test_a_kind_of_object_is_copied(copied, kind):
    assert is_there(copied, kind)


@pytest.mark.matrix
def test_definitions_rows_and_sequences_are_the_same(copied):
    found = schema_differences(copied.source, copied.target)
    assert [line for line in found if objects.ALIKE or "granted TO app" not in line] == []
    assert sequence_differences(copied.source, copied.target) == []
    copied.is_verified(schema=True)


@pytest.mark.proves("Objects", "tables", followed=True, verified=True)
@pytest.mark.proves("Objects", "tables: unlogged, typed, without columns", verified=True,
                    followed="yes, but unlogged ones: they are not in the WAL")
@pytest.mark.proves("Objects", "partitions", followed=True, verified=True)
@pytest.mark.proves("Objects", "inherited tables", followed=True, verified=True)
@pytest.mark.proves("Objects", "sequences: standalone, descending, cached", followed=True)
@pytest.mark.proves("Objects", "sequences: owned", followed=True)
@pytest.mark.proves("Objects", "policies and row security", followed="rows that policies hide, too")
@pytest.mark.proves("Objects", "rules", followed="their effects, once")
@pytest.mark.proves("Objects", "triggers, with their enabled state", followed="their effects, once")
@pytest.mark.parametrize("copied", ["run"], indirect=True)
def test_rows_of_every_kind_of_table_are_followed(copied):
    with copied.source.connect() as session:
        session.execute(objects.PATH)
        session.execute(objects.CHANGES)
    copied.target.admin("GRANT ALL ON \"Ödd \"\"o'b; j\".granted TO trunkline_target")
    copy_once(copied, "run")
    copied.is_verified()
    assert sequence_differences(copied.source, copied.target) == []
    count = "SELECT count(*) FROM \"Ödd \"\"o'b; j\".logged"
    assert copied.target.admin_one(count) == copied.source.admin_one(count) == 4


# --- what only a superuser makes ---

def make_tablespaces(clusters):
    for cluster in clusters:
        server = cluster.database()
        if not server.admin("SELECT 1 FROM pg_tablespace WHERE spcname = 'spa;ce'"):
            place = cluster.data.parent / "space"
            place.mkdir()
            if server_user():
                shutil.chown(place, server_user())
            server.admin(f"""CREATE TABLESPACE "spa;ce" LOCATION '{place}'""")
        server.close()


@pytest.fixture(scope="module")
def copied_by_superuser(databases, shared_clusters):
    make_roles(shared_clusters)
    make_tablespaces(shared_clusters)
    pipe = databases()
    fill(pipe.source, objects.SUPER, "postgres")
    pipe.source.admin("""CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE EVENT TRIGGER "ev;ent" ON ddl_command_end EXECUTE FUNCTION on_ddl();
        CREATE PUBLICATION "publi;cation" FOR ALL TABLES;
        CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)""")
    pipe.copied = pipe.command("snapshot", **pipe.urls("postgres"))
    pipe.source.admin("ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
    pipe.source.admin("DROP SUBSCRIPTION sub")
    assert pipe.copied.code == ENDED, pipe.copied.stderr
    return pipe


@pytest.mark.matrix
@pytest.mark.parametrize("kind", proved(objects.SUPER))
def test_a_superusers_kind_of_object_is_copied(copied_by_superuser, kind):
    assert is_there(copied_by_superuser, kind)


@pytest.mark.proves("Objects", "event triggers", copied="no: the log names them", followed="no")
@pytest.mark.proves("Objects", "publications and subscriptions",
                    copied="no: they belong to a server, not to its data", followed="no")
def test_what_would_act_on_the_target_is_not_copied(copied_by_superuser):
    target = copied_by_superuser.target
    assert not target.admin("SELECT evtname FROM pg_event_trigger")
    assert not target.admin("SELECT pubname FROM pg_publication")
    assert not target.admin("SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid"
                            " FROM pg_database WHERE datname = current_database())")
    assert "left out: event trigger" in copied_by_superuser.copied.stderr


def test_a_superusers_definitions_and_rows_are_the_same(copied_by_superuser):
    found = schema_differences(copied_by_superuser.source, copied_by_superuser.target)
    assert [line for line in found if "on_ddl" not in line and "ev;ent" not in line] == []
    copied_by_superuser.is_equal()
    verified = copied_by_superuser.verify(schema_only=True)
    assert verified.code == 0, verified.stdout


# --- a second start ---

@pytest.mark.parametrize("point", [
    "copy.keys_done", pytest.param("schema.restored", marks=pytest.mark.long),
    pytest.param("copy.indexes_done", marks=pytest.mark.long)])
def test_a_start_after_a_kill_finds_what_is_there(pipe, shared_clusters, point):
    make_roles(shared_clusters)
    fill(pipe.source)
    prepare_target(pipe.target)
    pipe.start(fault=f"{point}=kill", tables_without_identity="insert_only",
               **pipe.able()).ends(-signal.SIGKILL)
    if point == "copy.keys_done":  # its owner has taken rights from itself
        pipe.target.admin("GRANT ALL ON \"Ödd \"\"o'b; j\".granted TO trunkline_target")
    copy_once(pipe, "run")
    assert schema_differences(pipe.source, pipe.target) == []
    pipe.is_equal()


@pytest.mark.long
@pytest.mark.parametrize("point", ["copy.keys_done", "schema.restored"])
def test_a_second_snapshot_finds_what_only_a_superuser_makes(pipe, shared_clusters, point):
    make_roles(shared_clusters)
    make_tablespaces(shared_clusters)
    fill(pipe.source, objects.SUPER, "postgres")
    pipe.command("snapshot", environment={"TRUNKLINE_FAULT": f"{point}=kill"}, **pipe.urls("postgres"))
    ended = pipe.command("snapshot", **pipe.urls("postgres"))
    assert ended.code == ENDED, ended.stderr
    assert schema_differences(pipe.source, pipe.target) == []
    pipe.is_equal()


# --- what a server must have ---

@pytest.fixture
def labels(base_directory):
    """Makes a library that is a label provider for a version; its path."""
    def make(major):
        library = base_directory / f"label_provider_{major}.so"
        source = pathlib.Path(objects.__file__).with_name("label_provider.c")
        subprocess.run(["gcc", "-shared", "-fPIC", f"-DMAJOR={major}", "-o", library, source],
                       check=True)
        return library
    return make


LABELS = """
SECURITY LABEL FOR "pro'vider" ON TABLE t IS 'it''s'; SECURITY LABEL FOR "pro'vider" ON COLUMN t.id IS 'ü';
SECURITY LABEL FOR "pro'vider" ON FUNCTION f() IS 'f'; SECURITY LABEL FOR "pro'vider" ON SCHEMA s IS 's';
SECURITY LABEL FOR "pro'vider" ON VIEW v IS 'v'; SECURITY LABEL FOR "pro'vider" ON TYPE e IS 'e'"""
LABELLED = """
CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE SCHEMA s; CREATE TYPE e AS ENUM ('a');
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v AS SELECT 1 AS a"""
READ_LABELS = "SELECT objtype, objname, provider, label FROM pg_seclabels ORDER BY 1, 2, 4"


@pytest.mark.versions(source=(15, 17), target=(15, 17))
@pytest.mark.proves("Objects", "security labels", copied="yes, where the target has their provider",
                    followed="no")
@pytest.mark.parametrize("sides", [("source", "target"), ("source",)], ids=["both", "source"])
def test_security_labels(pipe, labels, sides):
    for side in sides:
        database = getattr(pipe, side)
        database.admin(f"ALTER DATABASE {database.name} SET session_preload_libraries ="
                       f" '{labels(MAJORS[side])}'")
        database.close()
    pipe.source.sql(LABELLED)
    pipe.source.sql(LABELS)
    ended = pipe.start(until="now").ends(ENDED)
    labelled = pipe.source.admin(READ_LABELS)
    assert len(labelled) == 6
    assert pipe.target.admin(READ_LABELS) == (labelled if len(sides) == 2 else [])
    assert ("has not loaded that label provider" in ended.stderr) == (len(sides) == 1)
    assert pipe.target.one("SELECT count(*) FROM t") == 1


POOR = """
CREATE ROLE {role}; GRANT {role} TO app, trunkline_source; SET ROLE app;
CREATE TABLE plain (id int PRIMARY KEY); GRANT SELECT ON plain TO PUBLIC;
CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a');
GRANT SELECT ON t TO {role}, PUBLIC; GRANT UPDATE (v) ON t TO {role}, PUBLIC;
CREATE FUNCTION closed() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION closed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION closed TO {role};
ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO {role};
CREATE POLICY p ON t TO {role} USING (true);
CREATE TABLE theirs (id int PRIMARY KEY); INSERT INTO theirs VALUES (2); RESET ROLE;
ALTER TABLE theirs OWNER TO {role}; ALTER DATABASE {database} SET work_mem = '5MB';
CREATE TABLE apart (id int PRIMARY KEY) TABLESPACE "{role}"; ALTER TABLE apart OWNER TO app"""


def test_what_the_target_lacks_is_named_and_not_fatal(pipe, shared_clusters):
    role = f"poor_{pipe.slot}"
    place = shared_clusters[0].data.parent / role
    place.mkdir()
    if server_user():
        shutil.chown(place, server_user())
    pipe.source.admin(f"CREATE TABLESPACE {role} LOCATION '{place}'")
    pipe.source.admin(f"GRANT CREATE ON TABLESPACE {role} TO PUBLIC")
    try:
        pipe.source.admin(POOR.format(role=role, database=pipe.source.name))
        found = {line.split(":")[0] for line in
                 pipe.command("check", slot=pipe.slot, **pipe.urls()).stdout.splitlines()}
        assert {"warning role_missing", "warning tablespace_missing",
                "warning database_settings"} <= found
        pipe.copy()
        pipe.is_equal()
        assert pipe.target.admin("SELECT relname FROM pg_class WHERE relacl::text ~ '[{,]=r/' AND relname"
                                 " IN ('t', 'plain') ORDER BY 1") == [("plain",), ("t",)]
        assert pipe.target.admin("SELECT attname FROM pg_attribute WHERE attacl::text ~ '[{,]=w/'"
                                 " AND attrelid = 't'::regclass") == [("v",)]
        assert pipe.target.admin_one("SELECT prosrc FROM pg_proc WHERE proname = 'closed' AND"
                                     " proacl::text !~ '[{,]=X'") == "SELECT 1"
        assert not pipe.target.admin("SELECT polname FROM pg_policy")
        assert not pipe.target.admin("SELECT defaclacl FROM pg_default_acl")
        assert pipe.target.admin_one("SELECT reltablespace FROM pg_class WHERE relname = 'apart'") == 0
        assert pipe.target.admin_one("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE"
                                     " relname = 'theirs'") == "trunkline_target"
    finally:
        pipe.source.admin("DROP TABLE apart")
        pipe.source.admin(f"DROP OWNED BY {role}")
        pipe.source.admin(f"DROP ROLE {role}")
        pipe.source.admin(f"DROP TABLESPACE {role}")


# --- materialised views ---

VIEWS = """
CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);
CREATE MATERIALIZED VIEW "m 1" AS SELECT * FROM t; CREATE UNIQUE INDEX ON "m 1" (id);
CREATE MATERIALIZED VIEW a_on_it AS SELECT id FROM "m 1"; CREATE VIEW v AS SELECT * FROM a_on_it"""


@pytest.mark.proves("Objects", "materialised views", followed="no: filled at the end of the copy")
@pytest.mark.parametrize("mode", ["run", "snapshot"])
def test_no_refresh_leaves_materialised_views_empty(pipe, mode):
    pipe.source.sql(VIEWS)
    if mode == "run":
        pipe.copy(no_refresh=True)
    else:
        assert pipe.command("snapshot", no_refresh=True, **pipe.urls()).code == ENDED
    assert pipe.target.sql("SELECT relname, relispopulated FROM pg_class WHERE relkind = 'm'"
                           " ORDER BY 1") == [("a_on_it", False), ("m 1", False)]
    pipe.target.admin('REFRESH MATERIALIZED VIEW "m 1"; REFRESH MATERIALIZED VIEW a_on_it')
    assert pipe.target.sql("SELECT * FROM v") == [(1,)]
    assert schema_differences(pipe.source, pipe.target) == []


def test_rows_of_ones_own_in_tables_of_extensions_are_named(pipe):
    pipe.source.admin("""CREATE EXTENSION hstore; CREATE TABLE config (id int);
        ALTER EXTENSION hstore ADD TABLE config; INSERT INTO config VALUES (1), (2);
        UPDATE pg_extension SET extconfig = ARRAY['config'::regclass], extcondition = ARRAY['WHERE id > 1']
        WHERE extname = 'hstore'""")
    warning = "warning extension_rows: rows of your own in tables of extensions are not copied: public.config"
    for row, is_named in ((2, True), (None, False)):
        if row is None:
            pipe.source.admin("DELETE FROM config WHERE id > 1")
        assert (warning in pipe.command("check", slot=pipe.slot, **pipe.urls("postgres")).stdout) == is_named
