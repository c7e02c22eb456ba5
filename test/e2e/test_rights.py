"""Nobody may do more on the target than on the source: while the schema is copied, where roles are
missing, and by the script of verify --schema."""
import json
import subprocess

import psycopg
import pytest

from harness.cluster import BIN, MAJORS
from harness.program import ENDED, FAILED

KILLED = -9


def make_roles(database, *names):
    for name in names:
        try:
            database.admin(f"CREATE ROLE {name}")
        except psycopg.errors.DuplicateObject:
            pass


def as_role(database, role, text):
    """The rows that a role gets; None when it may not."""
    database.admin(f"SET ROLE {role}")
    try:
        return database.admin(text)
    except psycopg.errors.InsufficientPrivilege:
        return None
    finally:
        database.admin("RESET ROLE")


def schema(pipe, code, user=None):
    ended = pipe.verify(schema_only=True, json=True, **pipe.urls(user))
    assert ended.code == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)["schema"]


def run_script(pipe, script):
    done = subprocess.run([BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d",
                           pipe.target.url("postgres")], input=script, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr + script


@pytest.mark.parametrize("grantees", ["caller", "caller, unknown_here"])
def test_a_function_with_its_owners_rights_is_never_open_to_all(pipe, grantees):
    make_roles(pipe.source, "caller", "stranger", "unknown_here")
    make_roles(pipe.target, "caller", "stranger")
    pipe.source.sql(
        "CREATE SCHEMA safe; GRANT USAGE ON SCHEMA safe TO PUBLIC;"
        "CREATE TABLE safe.secrets (id int PRIMARY KEY);"
        "CREATE FUNCTION safe.peek() RETURNS int SECURITY DEFINER LANGUAGE sql"
        " AS 'SELECT 7 FROM safe.secrets';"
        "CREATE FUNCTION safe.harmless() RETURNS int LANGUAGE sql AS 'SELECT 7';"
        "REVOKE EXECUTE ON FUNCTION safe.peek(), safe.harmless() FROM PUBLIC;"
        f"GRANT EXECUTE ON FUNCTION safe.peek(), safe.harmless() TO {grantees}")
    assert pipe.run(until="now", fault="copy.planned=kill").code == KILLED
    assert as_role(pipe.target, "stranger", "SELECT safe.peek()") is None
    assert as_role(pipe.target, "caller", "SELECT safe.peek()") == [(None,)]
    pipe.copy()
    for function in "peek", "harmless":
        assert as_role(pipe.target, "stranger", f"SELECT safe.{function}()") is None
        assert as_role(pipe.target, "caller", f"SELECT safe.{function}()")
    schema(pipe, ENDED)


def make_policies(pipe):
    make_roles(pipe.source, "tenant", "unknown_here")
    make_roles(pipe.target, "tenant")
    pipe.source.sql(
        "CREATE TABLE data (id int PRIMARY KEY, tenant text, note text);"
        "INSERT INTO data VALUES (1, 'a'), (2, 'b');"
        "ALTER TABLE data ENABLE ROW LEVEL SECURITY; GRANT SELECT ON data TO tenant;"
        "CREATE POLICY all_rows ON data USING (true);"
        "CREATE POLICY theirs ON data TO unknown_here USING (false);"
        "CREATE POLICY mine ON data AS RESTRICTIVE TO tenant, unknown_here USING (tenant = 'a');"
        "COMMENT ON POLICY mine ON data IS 'restricts'")


def test_a_policy_restricts_the_roles_that_are_there(pipe):
    make_policies(pipe)
    assert pipe.run(until="now", fault="copy.keys_done=kill").code == KILLED
    engine = pipe.run(until="now")
    assert engine.code == ENDED, engine.stderr
    for database in pipe.source, pipe.target:
        assert as_role(database, "tenant", "SELECT id FROM data") == [(1,)]
    assert "policy mine on public.data is made without" in pipe.processes[0].stderr
    assert "policy theirs on public.data is left out" in pipe.processes[0].stderr
    found = schema(pipe, ENDED)
    assert {one["identity"] for one in found["notes"]} >= {'"mine" on "public"."data"',
                                                           '"theirs" on "public"."data"'}


def test_a_script_drops_no_policy_that_it_cannot_make(pipe):
    make_policies(pipe)
    noted = ("CREATE POLICY noted ON data AS RESTRICTIVE TO tenant, unknown_here"
             " USING (note IS NULL)")
    pipe.source.sql(noted)
    pipe.copy()
    pipe.target.admin("ALTER POLICY mine ON data USING (tenant = 'b')")
    pipe.source.sql("DROP POLICY noted ON data; ALTER TABLE data ALTER note TYPE varchar(50)")
    pipe.source.sql(noted)
    run_script(pipe, schema(pipe, FAILED)["script"])
    schema(pipe, ENDED)
    pipe.target.admin("INSERT INTO data VALUES (3, 'b', 'note')")
    assert as_role(pipe.target, "tenant", "SELECT id FROM data") == [(2,)]


def test_a_script_fills_materialised_views_as_their_owners(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY);"
                    "CREATE MATERIALIZED VIEW who AS SELECT current_user::text AS name")
    pipe.copy()
    pipe.target.admin("DROP MATERIALIZED VIEW who")
    run_script(pipe, schema(pipe, FAILED, "postgres")["script"])
    schema(pipe, ENDED)
    assert pipe.target.one("SELECT name FROM who") == "app"


@pytest.mark.matrix
def test_triggers_of_partitions_have_a_state_of_their_own(pipe):
    pipe.source.admin("GRANT CREATE ON SCHEMA public TO app")
    pipe.source.sql("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
                    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id);"
                    "CREATE TABLE p11 PARTITION OF p1 FOR VALUES FROM (0) TO (5);"
                    "CREATE TABLE p12 PARTITION OF p1 DEFAULT;"
                    "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN RETURN NULL; END';"
                    "CREATE TRIGGER acts AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION act();"
                    "ALTER TABLE p11 DISABLE TRIGGER acts")
    # On 14 only a superuser has replica role, without which triggers are not made.
    pipe.copy(target=pipe.target.url("postgres" if MAJORS["target"] == 14 else None))
    schema(pipe, ENDED)
    pipe.target.admin("ALTER TABLE p11 ENABLE TRIGGER acts; ALTER TABLE p12 ENABLE ALWAYS TRIGGER acts")
    found = schema(pipe, FAILED)
    assert [one["identity"] for one in found["differences"]] == ['"acts" on "public"."p11"',
                                                                 '"acts" on "public"."p12"']
    run_script(pipe, found["script"])
    schema(pipe, ENDED)
