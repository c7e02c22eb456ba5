"""Values of many types, copied and followed, exact to the byte."""
import pytest

EXTENSIONS = ("hstore", "citext", "ltree", "cube", "seg", "isn", "intarray")
PRELUDE = "CREATE SCHEMA ext;" + "".join(
    f"CREATE EXTENSION {extension} SCHEMA ext;" for extension in EXTENSIONS) + """
CREATE TYPE en AS ENUM ('a', 'b', 'c');
CREATE TYPE co AS (x int, e en, t text);
CREATE DOMAIN dm AS int CHECK (VALUE > 0);
CREATE DOMAIN den AS en;
CREATE DOMAIN dar AS int[];
CREATE TYPE fr AS RANGE (subtype = float8);
CREATE TYPE er AS RANGE (subtype = en);
CREATE TABLE reft (i int PRIMARY KEY);
CREATE FUNCTION reff(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
"""
# Other OIDs for user types on the target than on the source.
SHIFT = "".join(f"CREATE TYPE junk{i} AS ENUM ('x'); DROP TYPE junk{i};" for i in range(7))

VALUES = [
    ("boolean", "true"), ("smallint", "-32768"), ("bigint", "9223372036854775807"),
    ("float4", "'-0'"), ("float4", "3.4028235e38"), ("float8", "1.1e-310"), ("float8", "'NaN'"),
    ("float8", "0.1"), ("numeric", "'NaN'"), ("numeric", "'-Infinity'"), ("numeric", "1.2300"),
    ("numeric", "1e500"), ("numeric(10,2)", "1.2"), ("money", "1234.56"),
    ("text", "E'tab\\tline\\nback\\\\slash \\\\N é €'"), ("text", "''"), ("char(5)", "'ab'"),
    ("varchar(3)", "'abc'"), ('"char"', "'q'"), ("name", "'nm'"), ("bytea", "'\\x00ff5c'"),
    ("date", "'4713-01-01 BC'"), ("date", "'infinity'"), ("time", "'24:00:00'"),
    ("timetz", "'10:00:00+05:30:15'"), ("timestamp", "'2020-02-29 23:59:59.999999'"),
    ("timestamptz", "'294276-12-31 23:59:59+00'"), ("timestamptz", "'-infinity'"),
    ("interval", "'1 mon -3 days 04:05:06.7'"), ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    ("json", "'{\"a\":  1, \"a\":2}'"), ("jsonb", "'{\"a\":1.00, \"b\":[null]}'"),
    ("jsonpath", "'$.a[*] ? (@ > 1)'"), ("xml", "'<a b=\"1\">é</a>'"),
    ("inet", "'::1/64'"), ("cidr", "'10.0.0.0/8'"), ("macaddr", "'08:00:2b:01:02:03'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'"), ("bit(5)", "B'10101'"), ("varbit", "B'1'"),
    ("tsvector", "'a:1A fat:2,4B'"), ("tsquery", "'a & b:*'"), ("point", "'(1,2)'"),
    ("line", "'{1,2,3}'"), ("lseg", "'[(1,2),(3,4)]'"), ("box", "'(3,4),(1,2)'"),
    ("path", "'[(1,2),(3,4)]'"), ("polygon", "'((1,2),(3,4),(5,6))'"), ("circle", "'<(1,2),3>'"),
    ("pg_lsn", "'1/AB'"), ("xid", "'5'"), ("xid8", "'5'"), ("cid", "'5'"), ("tid", "'(1,2)'"),
    ("oid", "1259"), ("oidvector", "'1 2'"), ("int2vector", "'1 2'"), ("pg_snapshot", "'1:5:2'"),
    ("txid_snapshot", "'1:5:2'"), ("refcursor", "'rc'"),
    ("int4range", "'[1,5)'"), ("int8range", "'(,5]'"), ("numrange", "'empty'"),
    ("tstzrange", "'[2020-01-01,)'"), ("int4multirange", "'{[1,3),[5,7)}'"),
    ("datemultirange", "'{}'"), ("int4[]", "'[-2:0]={1,NULL,3}'"), ("int4[]", "'{{1,2},{3,4}}'"),
    ("text[]", "'{}'"), ("text[]", "'{NULL,\"NULL\",\"\",\"a,b\"}'"),
    ("bytea[]", "array['\\x00'::bytea]"),
    ("_int4range", "'{\"[1,2)\",empty}'"), ("jsonb[]", "array['{\"a\":1}'::jsonb]"),
    ("en", "'b'"), ("en[]", "'{a,c}'"), ("co", "row(1,'b','q')"),
    ("co[]", "array[row(1,'b',NULL)::co]"),
    ("dm", "5"), ("dm[]", "'{5,6}'"), ("den", "'c'"), ("den[]", "'{a}'"), ("dar", "'{1,2}'"),
    ("fr", "'[1,2)'"), ("er", "'[a,b]'"), ("reft", "row(7)"), ("reft[]", "array[row(7)::reft]"),
    ("ext.hstore", "'a=>1,b=>NULL'"), ("ext.hstore[]", "array['a=>1'::ext.hstore]"),
    ("ext.citext", "'AbC'"), ("ext.citext[]", "'{AbC,d}'"), ("ext.ltree", "'a.b.c'"),
    ("ext.ltree[]", "'{a.b,c}'"), ("ext.lquery", "'a.*{1,2}'"), ("ext.ltxtquery", "'a & b'"),
    ("ext.cube", "'(1,2),(3,4)'"), ("ext.seg", "'1.0 .. 2.50'"),
    ("ext.isbn", "'978-0-393-04002-9'"),
    ("regclass", "'reft'"), ("regclass[]", "'{reft}'"), ("regtype", "'en'"), ("regproc", "'reff'"),
    ("regprocedure", "'reff(int)'"), ("regrole", "'postgres'"), ("regnamespace", "'ext'"),
    ("regconfig", "'english'"), ("regdictionary", "'english_stem'"), ("regcollation", "'\"C\"'"),
    ("regoper", "'pg_catalog.||/'"), ("regoperator", "'+(int4,int4)'"),
    ("aclitem", "'postgres=r/postgres'"), ("aclitem[]", "'{postgres=r/postgres}'"),
]
# Types whose arrays have no binary form: the stream of a table with them must be text.
NO_BINARY_ARRAY = [("ext.seg[]", "'{1.0,2 .. 3}'"), ("ext.isbn[]", "'{978-0-393-04002-9}'")]


def wide_table(name, values):
    """A table with a column for each value, and the list of the values."""
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _) in enumerate(values))
    row = ", ".join(f"({value})::{kind}" for kind, value in values)
    return f"CREATE TABLE {name} (id int PRIMARY KEY, {columns});", row


def run_values(pipe, values):
    make, row = wide_table("wide", values)
    nulls = ", ".join("NULL" for _ in values)
    assign = ", ".join(f"c{i} = ({value})::{kind}" for i, (kind, value) in enumerate(values))
    unset = ", ".join(f"c{i} = NULL" for i in range(len(values)))
    pipe.target.sql(SHIFT)
    pipe.source.sql(PRELUDE + make)
    pipe.source.sql("INSERT INTO reft VALUES (1)")
    pipe.source.sql(f"INSERT INTO wide VALUES (1, {row}), (2, {nulls})")
    engine = pipe.follow()
    pipe.is_equal()
    for change in (f"INSERT INTO wide VALUES (3, {row}), (4, {nulls})",
                   f"UPDATE wide SET {assign} WHERE id = 2",
                   f"UPDATE wide SET {unset} WHERE id = 1",
                   "UPDATE wide SET id = 30 WHERE id = 3", "DELETE FROM wide WHERE id = 4"):
        pipe.source.sql(change)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()
    assert pipe.target.one("SELECT count(*) FROM wide") == 3


def test_every_type_is_copied_and_followed(pipe):
    run_values(pipe, VALUES)


def test_types_without_a_binary_array_form(pipe):
    run_values(pipe, VALUES[:5] + NO_BINARY_ARRAY)


@pytest.mark.parametrize("kind, value", [
    ("regclass", "'reft'"), ("regtype", "'en'"), ("regconfig", "'english'"), ("ext.seg", "'1'"),
    ("aclitem[]", "'{postgres=r/postgres}'"), ("en", "'b'"), ("co", "row(1, 'b', 'q')")])
def test_a_type_is_exact_in_a_table_of_its_own(pipe, kind, value):
    """Where no other column forces text upon the table."""
    run_values(pipe, [(kind, value)])


def test_identity_full_with_every_type(pipe):
    make, row = wide_table("wide", VALUES)
    pipe.target.sql(SHIFT)
    pipe.source.sql(PRELUDE + make + "ALTER TABLE wide REPLICA IDENTITY FULL;"
                    " ALTER TABLE wide DROP CONSTRAINT wide_pkey;"
                    " ALTER TABLE wide ALTER id DROP NOT NULL")
    pipe.source.sql("INSERT INTO reft VALUES (1)")
    pipe.source.sql(f"INSERT INTO wide SELECT 1, {row} FROM generate_series(1, 3)")
    engine = pipe.follow()
    pipe.source.sql("UPDATE wide SET id = 2 WHERE ctid = (SELECT ctid FROM wide LIMIT 1)")
    pipe.source.sql("DELETE FROM wide WHERE ctid = (SELECT ctid FROM wide WHERE id = 1 LIMIT 1)")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_unchanged_large_values_stay(pipe):
    """The stream does not carry them: neither NULL nor a placeholder may take their place."""
    pipe.source.sql("""
        CREATE TABLE t (id int PRIMARY KEY, big text, doc jsonb, raw bytea, n int);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
        INSERT INTO t SELECT g, repeat(md5(g::text), 200),
            jsonb_build_object('k', repeat('j', 9000)),
            decode(repeat(md5(g::text), 300), 'hex'), g FROM generate_series(1, 50) g""")
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET n = -n WHERE id < 30")
    pipe.source.sql("BEGIN; UPDATE t SET n = 1 WHERE id = 1; UPDATE t SET big = 'b' WHERE id = 1;"
                    " UPDATE t SET n = 2 WHERE id = 1; COMMIT")
    pipe.source.sql("UPDATE t SET raw = NULL WHERE id = 2")
    pipe.source.sql("BEGIN; INSERT INTO t SELECT 100, repeat(md5('x'), 200), NULL, NULL, 0;"
                    " UPDATE t SET n = 5 WHERE id = 100; COMMIT")
    pipe.source.sql("UPDATE t SET doc = doc || '{\"more\": 1}' WHERE id = 3")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_rows_of_a_megabyte(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v bytea, w text);"
                    "ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
    insert = ("INSERT INTO t SELECT g, decode(repeat(md5(g::text), 60000), 'hex'),"
              " repeat(md5(g::text), 3000) FROM generate_series({}, {}) g")
    pipe.source.sql(insert.format(1, 20))
    engine = pipe.follow(part_size="1MB")
    pipe.source.sql(insert.format(21, 40))
    pipe.source.sql("UPDATE t SET w = 'changed' WHERE id < 10")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("source, target", [
    ("TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", ""),
    ("", "TEMPLATE template0 LOCALE 'C'"),
])
def test_encodings(shared_clusters, pipelines, source, target):
    pipe = pipelines(shared_clusters, source, target)
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v text, j json, a text[])")
    row = "'é ü £', '{\"ä\": \"ö\"}', ARRAY['ß']"
    pipe.source.sql(f"INSERT INTO t VALUES (1, {row})")
    engine = pipe.follow()
    pipe.source.sql(f"INSERT INTO t VALUES (2, {row})")
    pipe.catch_up(engine)
    engine.stop()
    query = "SELECT * FROM t ORDER BY id"
    assert pipe.target.sql(query) == pipe.source.sql(query)
    assert pipe.verify().code == 0
