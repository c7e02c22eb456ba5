"""trunkline verify: what it finds, what it must not find, how it ends."""
import json
import signal

import psycopg
import pytest

from harness.cluster import HAS_ICU
from harness.program import CONFIGURATION, ENDED, FAILED, NOT_FINISHED
from harness.roles import OWNER
from harness.slices import every
from harness.wait import wait_until

EQUAL, DIFFERENT = ENDED, FAILED


def on_both(pipe, text):
    for database in (pipe.source, pipe.target):
        database.sql(text)


def verified(pipe, code, **settings):
    """Runs verify --json, claims its exit code, gives the tables by name."""
    ended = pipe.verify(json=True, **settings)
    assert ended.code == code, ended.stdout + ended.stderr
    result = json.loads(ended.stdout)
    assert result["version"] == 1
    assert result["result"] == ("equal" if code == EQUAL else "different")
    return {table["table"]: table for table in result["tables"]}


def differences(pipe, table="t"):
    """What verify says about one table that differs, as (kind, key, columns)."""
    found = verified(pipe, DIFFERENT)[table]
    assert found["result"] == "different"
    return [(one["kind"], one["key"], one["columns"]) for one in found["differences"]]


@pytest.fixture
def numbers(pipe):
    """A table of 1,000 rows on both sides."""
    on_both(pipe, "CREATE TABLE t (id int PRIMARY KEY, v text, w text);"
                  "INSERT INTO t SELECT i, i, i FROM generate_series(1, 1000) AS i")
    assert verified(pipe, EQUAL)["t"]["target_rows"] == 1000
    return pipe


@pytest.mark.parametrize("change, expected", [
    ("DELETE FROM t WHERE id = 7", [("missing_on_target", {"id": "7"}, [])]),
    ("INSERT INTO t VALUES (0)", [("extra_on_target", {"id": "0"}, [])]),
    ("UPDATE t SET w = 'x' WHERE id = 9", [("different", {"id": "9"}, ["w"])]),
    ("UPDATE t SET v = 11 - v::int WHERE id IN (5, 6)",
     [("different", {"id": "5"}, ["v"]), ("different", {"id": "6"}, ["v"])]),
    ("UPDATE t SET id = 2000 WHERE id = 1000",
     [("missing_on_target", {"id": "1000"}, []), ("extra_on_target", {"id": "2000"}, [])]),
])
def test_a_changed_row_is_named(numbers, change, expected):
    numbers.target.sql(change)
    assert sorted(differences(numbers), key=str) == sorted(expected, key=str)


def test_only_the_first_keys_are_named(numbers):
    numbers.target.sql("UPDATE t SET v = 'x'")
    table = verified(numbers, DIFFERENT)["t"]
    assert table["more_differences"]
    assert [one["key"]["id"] for one in table["differences"]] == [str(i) for i in range(1, 11)]


@pytest.mark.parametrize("type_name, source, target", [
    ("bytea", r"'\x00ff'", r"'\x01ff'"),
    ("text", "''", "NULL"),
    ("text", "'a'", "'A'"),
    ("numeric", "1.0", "1.00"),
    ("float8", "0.1", "0.1::float8 + 1e-17"),  # the last bit
    ("float8", "0", "'-0'"),
    ("text[]", "'{NULL}'", "'{\"NULL\"}'"),
    ("json", "'{\"a\": 1}'", "'{\"a\":1}'"),
    ("timestamptz", "'2024-01-01 00:00+00'", "'2024-01-01 00:00:00.000001+00'"),
    ("interval", "'24 hours'", "'1 day'"),
])
def test_values_that_print_differently_differ(pipe, type_name, source, target):
    for database, value in ((pipe.source, source), (pipe.target, target)):
        database.sql(f"CREATE TABLE t (id int PRIMARY KEY, v {type_name});"
                     f"INSERT INTO t VALUES (1, {value})")
    assert differences(pipe) == [("different", {"id": "1"}, ["v"])]


def test_values_that_print_alike_are_equal(pipe):
    on_both(pipe, "CREATE DOMAIN small AS int CHECK (VALUE < 100);"
                  "CREATE TYPE pair AS (a int, b text)")
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, n int, d small, x xml, c pair)")
    pipe.target.sql("CREATE TABLE t (c pair, x text, extra int DEFAULT 5, d text, n numeric,"
                    " id bigint PRIMARY KEY)")
    pipe.source.sql("INSERT INTO t VALUES (1, 2, 3, '<?xml version=\"1.0\" encoding=\"latin1\"?>"
                    "<a/>', (1, NULL)), (2, NULL, NULL, NULL, NULL)")
    pipe.target.sql("INSERT INTO t (id, n, d, x, c) VALUES (1, 2, '3', '<a/>', (1, NULL)),"
                    " (2, NULL, NULL, NULL, NULL)")
    assert verified(pipe, EQUAL)


def test_settings_of_the_role_change_nothing(pipe):
    on_both(pipe, "CREATE TABLE t (at timestamptz PRIMARY KEY, f float8, b bytea, i interval);"
                  "INSERT INTO t VALUES ('2024-06-01 12:00+00', 1.0 / 3, '\\x00ff', '1 day 1 s')")
    for name, value in (("TimeZone", "Asia/Tokyo"), ("DateStyle", "SQL, DMY"),
                        ("extra_float_digits", "-5"), ("bytea_output", "escape"),
                        ("IntervalStyle", "iso_8601"), ("statement_timeout", "1ms")):
        database = pipe.target.name
        pipe.target.admin(f"ALTER ROLE trunkline_target IN DATABASE {database} SET {name} = '{value}'")
    assert verified(pipe, EQUAL)


def test_a_table_without_a_key_is_a_multiset(pipe):
    on_both(pipe, "CREATE TABLE t (a int, b text)")
    pipe.source.sql("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, NULL), (2, '')")
    pipe.target.sql("INSERT INTO t VALUES (2, ''), (1, 'x'), (2, NULL), (1, 'x')")
    assert verified(pipe, EQUAL)["t"]["key"] == []
    pipe.target.sql("INSERT INTO t VALUES (1, 'x')")
    found = verified(pipe, DIFFERENT)["t"]["differences"]
    assert [(one["source_count"], one["target_count"], one["more_on"]) for one in found] == \
        [(2, 3, "target")]
    assert pipe.target.one("SELECT a FROM t WHERE ctid = %s", found[0]["ctid"]) == 1


def test_the_same_count_of_other_rows_differs(pipe):
    on_both(pipe, "CREATE TABLE t (a int, b text)")
    pipe.source.sql("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, 'y')")
    pipe.target.sql("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y')")
    found = verified(pipe, DIFFERENT)["t"]["differences"]
    assert sorted((one["source_count"], one["target_count"]) for one in found) == [(1, 2), (2, 1)]


def test_a_replica_identity_index_is_a_key(pipe):
    on_both(pipe, "CREATE TABLE t (a int, b text NOT NULL);"
                  "CREATE UNIQUE INDEX u ON t (b); ALTER TABLE t REPLICA IDENTITY USING INDEX u;"
                  "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    pipe.target.sql("UPDATE t SET a = 3 WHERE b = 'y'")
    assert differences(pipe) == [("different", {"b": "y"}, ["a"])]


@pytest.mark.matrix
def test_tables_of_every_shape_are_compared(pipe):
    on_both(pipe, """
        CREATE SCHEMA "S 1";
        CREATE TABLE "S 1"."T""x.y" ("Key Col" text, t int, "a""b" text, PRIMARY KEY ("Key Col", t));
        INSERT INTO "S 1"."T""x.y" SELECT 'k' || i, i % 3, 'v' FROM generate_series(1, 100) AS i;
        CREATE TABLE nothing ();
        INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE bare (id int PRIMARY KEY);
        CREATE TABLE g (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED);
        INSERT INTO g SELECT i, i FROM generate_series(1, 10) AS i;
        CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (50) TO (200);
        INSERT INTO p SELECT i, i FROM generate_series(1, 100) AS i;
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);
        CREATE TYPE mood AS ENUM ('z', 'a');
        CREATE TABLE e (m mood PRIMARY KEY, u uuid UNIQUE);
        INSERT INTO e VALUES ('a', NULL), ('z', NULL)""")
    pipe.target.sql("CREATE TABLE only_here (id int)")
    tables = verified(pipe, EQUAL)
    assert set(tables) == {'T"x.y', "nothing", "bare", "g", "p1", "p2", "parent", "child", "e"}
    assert tables["parent"]["source_rows"] == 1
    pipe.target.sql("UPDATE p SET v = 'x' WHERE id = 50; UPDATE g SET a = 0 WHERE id = 3;"
                    "INSERT INTO nothing DEFAULT VALUES; INSERT INTO bare VALUES (1);"
                    "UPDATE \"S 1\".\"T\"\"x.y\" SET \"a\"\"b\" = NULL WHERE \"Key Col\" = 'k5'")
    tables = verified(pipe, DIFFERENT)
    different = {name for name, table in tables.items() if table["result"] != "equal"}
    assert different == {'T"x.y', "nothing", "bare", "g", "p2"}
    assert tables["g"]["differences"][0]["columns"] == ["a", "b"]
    assert tables['T"x.y']["differences"] == [
        {"kind": "different", "key": {"Key Col": "k5", "t": "2"}, "columns": ['a"b']}]


LARGE = {
    "bigint": "i::bigint",
    "uuid": "md5(i::text)::uuid",
    "numeric": "i / 7.0",
    "timestamptz": "timestamptz '2024-01-01 00:00+00' + i * interval '1 hour'",
    "bytea": "decode(md5(i::text), 'hex')",
    'text COLLATE "en-x-icu"': "md5(i::text)",
    "int, more": "1",
}


if not HAS_ICU:
    del LARGE['text COLLATE "en-x-icu"']


@pytest.mark.parametrize("type_name", every(2, list(LARGE)))
def test_a_large_table_is_searched_by_ranges(pipe, type_name):
    """Enough rows to be divided by key, and for the last case by the key's hash as well."""
    is_composite = type_name == "int, more"
    columns = "k int, n int" if is_composite else f"k {type_name}, n int"
    key = "k, n" if is_composite else "k"
    on_both(pipe, f"CREATE TABLE t ({columns}, v text, PRIMARY KEY ({key}));"
                  f"INSERT INTO t SELECT {LARGE[type_name]}, i, 'v' FROM generate_series(1, 120000)"
                  " AS i; ANALYZE t")
    verified(pipe, EQUAL)
    pipe.target.sql("DELETE FROM t WHERE n = 60000; UPDATE t SET v = 'x' WHERE n IN (1, 119999)")
    expected = {pipe.source.one("SELECT k::text || '/' || n FROM t WHERE n = %s", n): kind
                for n, kind in ((1, "different"), (119999, "different"),
                                (60000, "missing_on_target"))}
    table = verified(pipe, DIFFERENT)["t"]
    found = {}
    for one in table["differences"]:
        n = one["key"].get("n") or pipe.source.one("SELECT n FROM t WHERE k::text = %s",
                                                   one["key"]["k"])
        found[f"{one['key']['k']}/{n}"] = one["kind"]
    assert found == expected
    assert not table["more_differences"]


def test_a_large_table_without_a_key_is_searched_by_hash(pipe):
    on_both(pipe, "CREATE TABLE t (a int); INSERT INTO t SELECT i % 70000 FROM"
                  " generate_series(1, 140000) AS i; INSERT INTO t SELECT 5 FROM"
                  " generate_series(1, 60000) AS i")
    verified(pipe, EQUAL)
    pipe.target.sql("UPDATE t SET a = 69999 WHERE ctid IN (SELECT ctid FROM t WHERE a = 5 LIMIT 2)")
    found = verified(pipe, DIFFERENT)["t"]["differences"]
    assert sorted((one["source_count"], one["target_count"]) for one in found) == \
        [(2, 4), (60002, 60000)]


DIVIDED = {
    "many types, NULLs among them": (
        "a smallint, b bigint, c oid, d uuid, e numeric, f float8, g timestamp, h timestamptz, i text",
        "nullif(n % 9, 3), n, n::oid, md5(n::text)::uuid, n / 10.0, nullif(n, 5) / 3.0,"
        " CASE n % 3 WHEN 0 THEN timestamp 'infinity' ELSE timestamp '2024-01-01' END,"
        " timestamptz '2024-01-01 UTC' + n * interval '1 min', repeat('x', n % 300)",
        "e = 777.70"),
    "a text that is longer than what is hashed of it": (
        "a text", "repeat('x', 300) || n", "a = overlay(a PLACING 'y' FROM 9)"),
    "nothing that tells rows apart cheaply": (
        "a int, b char(12)", "1, n", "b = 'other'")}


@pytest.mark.parametrize("name", DIVIDED)
def test_one_row_is_found_however_a_table_without_a_key_is_divided(pipe, name):
    """Of the first one the text alone differs: the value is equal. Of the last all rows are in one
    lot, more than are looked at in one go."""
    columns, values, change = DIVIDED[name]
    on_both(pipe, f"CREATE TABLE t ({columns}); INSERT INTO t"
                  f" SELECT {values} FROM generate_series(1, 60000) AS n")
    verified(pipe, EQUAL)
    place = pipe.target.one("SELECT ctid FROM t LIMIT 1 OFFSET 7776")
    pipe.target.sql(f"UPDATE t SET {change} WHERE ctid = %s", place)
    found = verified(pipe, DIFFERENT)["t"]["differences"]
    assert sorted((one["source_count"], one["target_count"]) for one in found) == [(0, 1), (1, 0)]


@pytest.mark.versions(source=(15, 15), target=(15, 15))
def test_databases_of_other_encodings_and_collations_are_compared(shared_clusters, pipelines):
    """The target's is ICU's, which only Debian's server has."""
    pipe = pipelines(shared_clusters,
                     "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
                     "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de'")
    on_both(pipe, "CREATE TABLE t (k text PRIMARY KEY, v text);"
                  "INSERT INTO t VALUES ('ä', 'ö'), ('z', 'ß'), ('Z', 'x')")
    verified(pipe, EQUAL)
    pipe.target.sql("UPDATE t SET v = 'o' WHERE k = 'ä'")
    assert differences(pipe) == [("different", {"k": "ä"}, ["v"])]


def test_bytes_of_databases_without_an_encoding_are_compared(shared_clusters, pipelines):
    options = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    pipe = pipelines(shared_clusters, options, options)
    for database in (pipe.source, pipe.target):
        with psycopg.connect(database.url(OWNER), client_encoding="SQL_ASCII", autocommit=True) as s:
            s.execute(rb"CREATE TABLE t (k text PRIMARY KEY, v int)")
            s.execute(rb"INSERT INTO t VALUES (E'a\xff', 1), (E'b\xfe', 2)")
    verified(pipe, EQUAL)
    pipe.target.sql("UPDATE t SET v = 3 WHERE v = 2")
    assert differences(pipe) == [("different", {"k": "b?"}, ["v"])]


def test_what_the_target_lacks_is_named(numbers):
    numbers.source.sql("CREATE TABLE more (id int PRIMARY KEY)")
    numbers.target.sql("ALTER TABLE t DROP COLUMN w")
    tables = verified(numbers, DIFFERENT)
    assert tables["more"]["result"] == "missing_on_target"
    assert tables["t"]["result"] == "columns_missing_on_target"
    assert tables["t"]["missing_columns"] == ["w"]


def test_a_partitioned_table_that_the_target_lacks_counts(pipe):
    pipe.source.sql("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
                    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    done = pipe.verify()
    assert done.code == FAILED
    assert "source and target differ: 2 of 2 tables" in done.stdout


def test_patterns_choose_tables(pipe):
    on_both(pipe, "CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY);"
                  "CREATE TABLE b (id int PRIMARY KEY);"
                  "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
                  "CREATE TABLE p1 PARTITION OF p DEFAULT")
    pipe.target.sql("INSERT INTO b VALUES (1)")
    assert set(verified(pipe, EQUAL, tables="s.*, p")) == {"a", "p1"}
    assert set(verified(pipe, DIFFERENT, tables="b")) == {"b"}
    refused = pipe.verify(tables="s.*, nowhere, x.*")
    assert refused.code == CONFIGURATION
    assert "nowhere, x.*" in refused.stderr and refused.stdout == ""


def test_people_get_a_table(numbers):
    equal = numbers.verify()
    assert equal.code == EQUAL
    assert "source and target are identical: 1 table, 1000 rows" in equal.stdout
    numbers.target.sql("DELETE FROM t WHERE id = 7; UPDATE t SET v = E'\\x1b[2J' WHERE id = 8")
    different = numbers.verify()
    assert different.code == DIFFERENT and different.stderr == ""
    assert "(id=7)" in different.stdout and "(id=8) in v" in different.stdout
    assert "source and target differ: 1 of 1 table" in different.stdout


def test_control_characters_of_a_key_are_not_printed(pipe):
    on_both(pipe, "CREATE TABLE t (k text PRIMARY KEY)")
    pipe.source.sql("INSERT INTO t VALUES (E'a\\x1b[2J\\n')")
    assert "(k=a\\x1b[2J\\x0a)" in pipe.verify().stdout


def test_a_refused_connection_is_not_finished(pipe):
    url = "postgresql://postgres@127.0.0.1:1/nowhere"
    assert pipe.verify(target=url).code == NOT_FINISHED
    refused = pipe.verify(source=url, json=True)
    assert refused.code == NOT_FINISHED
    result = json.loads(refused.stdout)
    assert result["result"] == "not_finished" and "refused" in result["error"]


def test_mistakes_in_the_configuration_are_told(pipe):
    assert pipe.verify(target=pipe.target.url() + "_not").code == CONFIGURATION
    assert pipe.verify(target=None).code == CONFIGURATION
    on_both(pipe, "CREATE TABLE t (id int)")
    pipe.target.admin("DROP ROLE IF EXISTS nobody; CREATE ROLE nobody LOGIN")
    refused = pipe.verify(target=pipe.target.url("nobody"))
    assert refused.code == CONFIGURATION and "permission denied" in refused.stderr
    pipe.target.admin("DROP ROLE nobody")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_what_it_asked_for(numbers, how):
    with numbers.target.connect(autocommit=False) as session:
        session.execute("LOCK TABLE t")
        running = numbers.process("verify", "--source", numbers.source.url(), "--target",
                                  numbers.target.url())
        waits = ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                 " AND wait_event_type = 'Lock' AND application_name LIKE 'trunkline:%%'")
        wait_until(lambda: numbers.target.admin_one(waits) == 1, "verify waits for the lock")
        running.stop(NOT_FINISHED, how)
        wait_until(lambda: numbers.target.admin_one(waits) == 0, "the statement is cancelled")
    assert "not finished" in running.stdout
