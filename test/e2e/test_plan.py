"""`trunkline plan`: what it says, that it is true, and that it changes nothing."""
import pytest

from harness.cluster import free_port
from harness.program import CONFIGURATION, ENDED, FAILED, json_output

SCHEMA = """
CREATE TABLE big (id int PRIMARY KEY, v text);
INSERT INTO big SELECT g, repeat('x', 500) FROM generate_series(1, 2000) g;
CREATE TABLE small (id int PRIMARY KEY, big_id int REFERENCES big);
CREATE INDEX ON small (big_id);
CREATE TABLE kinds (id int PRIMARY KEY, r regclass);
CREATE TABLE bare (a int);
CREATE UNLOGGED TABLE quick (id int PRIMARY KEY);
CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM big;
CREATE VIEW shown AS SELECT id FROM big;
CREATE SCHEMA other;
CREATE TABLE other.t (id int PRIMARY KEY);
"""
COUNTERS = """SELECT n.nspname || '.' || c.relname, c.xmin::text, c.relreplident FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' ORDER BY 1"""


def plan(pipe, code=ENDED, **settings):
    ended = pipe.command("plan", json=True, **{**pipe.urls(), "slot": pipe.slot, **settings})
    assert ended.code == code, ended.stderr
    said = json_output(ended)
    assert said["version"] == 1
    return said


def tables(said):
    return {table["name"]: table for table in said["tables"]}


def left_out(said, name):
    return [entry["what"] for entry in said["left_out"] if entry["name"] == name]


def objects(said):
    return {(entry["server"], entry["kind"], entry["name"]): entry["exists"]
            for entry in said["objects"]}


def catalogs(pipe):
    """Everything that a plan could have changed."""
    return [(database.admin(COUNTERS), database.admin("SELECT nspname FROM pg_namespace ORDER BY 1"),
             database.admin("SELECT pubname FROM pg_publication"),
             database.admin("SELECT slot_name FROM pg_replication_slots WHERE database = %s",
                            database.name),
             database.admin("SELECT extname FROM pg_extension ORDER BY 1"))
            for database in (pipe.source, pipe.target)]


def test_a_plan_before_anything_is_there(pipe):
    pipe.source.sql(SCHEMA)
    before = catalogs(pipe)
    said = plan(pipe, tables_without_identity="insert_only", part_size="64kB", copiers=3)
    assert catalogs(pipe) == before
    found = tables(said)
    assert set(found) == {"big", "small", "kinds", "bare", "quick", "leaf", "t"}
    assert found["big"]["bytes"] == pipe.source.one("SELECT pg_relation_size('big')")
    assert found["big"]["parts"] == -(-found["big"]["bytes"] // 65536)
    assert found["big"]["format"] == "binary" and found["big"]["format_reason"] is None
    assert found["kinds"]["format"] == "text" and "regclass" in found["kinds"]["format_reason"]
    assert {name: found[name]["changes"] for name in ("big", "bare", "quick", "leaf")} == \
        {"big": "all", "bare": "insert_only", "quick": "none_unlogged", "leaf": "all"}
    assert all(table["rows"] == "copied" and not table["exists_on_target"]
               for table in said["tables"])
    assert said["bytes"] == sum(table["bytes"] for table in said["tables"])
    assert said["parts"] == sum(table["parts"] for table in said["tables"])
    assert said["copiers"] == 3 and said["part_bytes"] == 65536
    assert objects(said) == {
        ("source", "publication", pipe.slot): False,
        ("source", "publication", f"{pipe.slot}_inserts"): False,
        ("source", "slot", pipe.slot): False,
        ("target", "keeper schema", "trunkline"): False,
        ("target", "schema", "other"): False,
        ("target", "schema", "public"): True}
    assert left_out(said, "public.bare") and left_out(said, "public.quick")
    assert "REFRESH" in left_out(said, "public.seen")[0]
    counts = said["schema_objects"]
    assert (counts["foreign keys"], counts["views"], counts["materialised views"]) == (1, 1, 1)


def test_the_plan_is_what_is_done(pipe):
    pipe.source.sql(SCHEMA + "DROP TABLE bare")
    settings = {"part_size": "64kB"}
    said = plan(pipe, **settings)
    pipe.copy(**settings)
    done = dict(pipe.target.admin("SELECT table_name, parts FROM trunkline.tables"))
    assert {name: table["parts"] for name, table in tables(said).items()} == done
    again = plan(pipe, **settings)
    assert all(table["rows"] == "present" and table["exists_on_target"]
               for table in again["tables"])
    assert again["bytes"] == 0 and again["parts"] == 0
    assert all(objects(again).values())


@pytest.mark.parametrize("choice, changes", [("error", "refused"), ("insert_only", "insert_only"),
                                             ("full", "all_by_full_identity")])
def test_tables_without_identity(pipe, choice, changes):
    pipe.source.sql("CREATE TABLE bare (a int); CREATE TABLE t (id int PRIMARY KEY)")
    before = catalogs(pipe)
    said = plan(pipe, tables_without_identity=choice)
    assert tables(said)["bare"]["changes"] == changes
    assert tables(said)["t"]["changes"] == "all"
    assert bool(left_out(said, "public.bare")) == (choice != "full")
    assert (("source", "replica identity full", "public.bare") in objects(said)) == \
        (choice == "full")
    assert catalogs(pipe) == before


def test_what_the_patterns_leave_out(pipe):
    pipe.source.sql(SCHEMA)
    said = plan(pipe, tables="public.*", excluded_tables="small,bare", schema_only_tables="big")
    assert set(tables(said)) == {"big", "kinds", "quick", "leaf"}
    assert "excluded_tables" in left_out(said, "public.small")[0]
    assert "tables does not name it" in left_out(said, "other.t")[0]
    big = tables(said)["big"]
    assert (big["rows"], big["parts"], big["changes"]) == ("left_out", 0, "all")
    assert left_out(said, "public.big") == ["the rows that it holds now"]
    said = plan(pipe, tables="leaf")
    assert tables(said) == {} and "public.root" in left_out(said, "public.leaf")[0]


def test_a_publication_of_the_users_own(pipe):
    pipe.source.sql(SCHEMA)
    pipe.source.admin("CREATE PUBLICATION mine FOR TABLE big")
    said = plan(pipe, publication_name="mine")
    assert tables(said)["big"]["changes"] == "all"
    assert tables(said)["small"]["changes"] == "none_unpublished"
    assert objects(said)[("source", "publication", "mine")] is True


def test_a_type_that_differs_and_an_extension(pipe):
    pipe.source.admin("CREATE EXTENSION citext")
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(10))")
    pipe.target.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    said = plan(pipe)
    table = tables(said)["t"]
    assert table["exists_on_target"] and table["format"] == "text"
    assert "on the target" in table["format_reason"]
    assert objects(said)[("target", "extension", "citext")] is False


def test_a_plan_of_a_snapshot(pipe):
    pipe.source.sql(SCHEMA)
    said = plan(pipe, mode="snapshot")
    assert said["mode"] == "snapshot" and said["slot"] is None
    assert {table["changes"] for table in said["tables"]} == {"none"}
    assert not [entry for entry in said["objects"] if entry["server"] == "source"]


def test_a_plan_for_people(pipe):
    pipe.source.sql(SCHEMA)
    ended = pipe.command("plan", **pipe.urls(), slot=pipe.slot)
    assert ended.code == ENDED
    for text in ("public.big", "binary", "left out: public.seen", f"slot {pipe.slot}, to be made",
                 "total: "):
        assert text in ended.stdout


def test_exit_codes(pipe):
    pipe.source.sql(SCHEMA)
    urls = pipe.urls()
    assert pipe.command("plan", **urls, tables="nosuch").code == CONFIGURATION
    assert pipe.command("plan", source=urls["source"]).code == CONFIGURATION
    assert pipe.command("plan", **{**urls, "slot": "Not a slot"}).code == CONFIGURATION
    gone = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    assert pipe.command("plan", source=urls["source"], target=gone).code == FAILED


def test_a_locked_table_is_not_waited_for_without_end(pipe):
    pipe.source.sql(SCHEMA)
    with pipe.source.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE big IN ACCESS EXCLUSIVE MODE")
        ended = pipe.command("plan", **pipe.urls(), slot=pipe.slot)
        assert ended.code == FAILED and "lock timeout" in ended.stderr
        holder.rollback()
