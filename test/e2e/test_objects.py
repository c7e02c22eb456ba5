"""Every class of object, copied by both commands and compared by value."""
import itertools
import shutil

import pytest

from harness import objects
from harness.cluster import server_user
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
        pipe.copy(tables_without_identity="insert_only")
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


@pytest.mark.parametrize("kind", proved(objects.KINDS))
def test_a_kind_of_object_is_copied(copied, kind):
    assert is_there(copied, kind)


def test_definitions_rows_and_sequences_are_the_same(copied):
    assert schema_differences(copied.source, copied.target) == []
    assert sequence_differences(copied.source, copied.target) == []
    copied.is_verified()


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
