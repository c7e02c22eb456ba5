"""Every type with its edge values: one table for each, in several forms, and what is done to them.

Tables of a value's type:
    value_N   (id int PRIMARY KEY, v)           each value and NULL
    image_N   (v), REPLICA IDENTITY FULL        each value twice, NULL twice: rows without a key
    key_N     (v PRIMARY KEY, n int)            what the type calls different, where it has an order
"""
import collections

from psycopg import sql

from harness.cluster import MAJORS
from harness.compare import open_session

Type = collections.namedtuple("Type", "name sql values is_key")

EXTENSIONS = ("hstore", "citext", "ltree", "cube", "seg", "isn")
# In a schema that no search_path names; the target's user types have other OIDs.
PRELUDE = "CREATE SCHEMA ext;" + "".join(
    f"CREATE EXTENSION {extension} SCHEMA ext;" for extension in EXTENSIONS) + """
CREATE SCHEMA "my types";
CREATE TYPE mood AS ENUM ('sad', 'happy');
ALTER TYPE mood ADD VALUE 'so-so' BEFORE 'happy';
ALTER TYPE mood ADD VALUE 'Wörst, "of" all' BEFORE 'sad';
CREATE TYPE pair AS (x int, gone text, m mood, t text);
ALTER TYPE pair DROP ATTRIBUTE gone, ADD ATTRIBUTE late numeric[];
CREATE TYPE nest AS (p pair, many pair[], tags ext.hstore);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN given AS text NOT NULL DEFAULT '' CHECK (length(VALUE) < 10);
CREATE DOMAIN numbers AS int[] CHECK (array_position(VALUE, 13) IS NULL);
CREATE DOMAIN couple AS pair CHECK ((VALUE).x > 0);
CREATE DOMAIN deep AS positive CHECK (VALUE < 1000000);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE TYPE "my types"."odd; ""it's"" n" AS ENUM ('', 'a''b');
CREATE TABLE reft (i int PRIMARY KEY, "quoted Name" text);
CREATE FUNCTION reff(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
"""
SHIFT = "".join(f"CREATE TYPE junk{i} AS ENUM ('x'); DROP TYPE junk{i};" for i in range(7))

# Settings that change how values are written, as defaults of database and role: none may matter.
HOSTILE = {
    "source": {"IntervalStyle": "sql_standard", "DateStyle": "SQL, DMY", "TimeZone": "Asia/Tokyo",
               "bytea_output": "escape", "extra_float_digits": "-15", "xmloption": "document",
               "search_path": "ext", "standard_conforming_strings": "off",
               "client_encoding": "LATIN1", "lc_monetary": "C.UTF-8"},
    "target": {"IntervalStyle": "iso_8601", "DateStyle": "German, MDY",
               "TimeZone": "America/St_Johns", "bytea_output": "escape", "array_nulls": "off",
               "extra_float_digits": "0", "xmloption": "document", "search_path": "nowhere",
               "default_transaction_read_only": "on", "lc_monetary": "POSIX"},
}


def quoted(values):
    return ["'" + str(value).replace("'", "''") + "'" for value in values]


def make(name, sql, *values, key=False):
    """A type whose values are given as plain text."""
    return Type(name, sql, quoted(values), key)


def raw(name, sql, *values, key=False):
    """A type whose values are given as SQL."""
    return Type(name, sql, list(values), key)


TEXTS = ["", " ", "\t", "\\N", "\\.", "\\", "\\\\", "a\tb", "a\nb", "a\r\nb", "\n", "\r", "\n\\.\n",
         "\b\f\v\x01\x1f\x7f", "\\x41", "\\t", "NULL", "null", '"', "'", "''", '","', "{}", "(,)",
         "é ü € 漢字 😀", "e\u0301", "\u202e\ufeff", " trail ", "%s $1 ${x}", "\\\n", "a" * 3000]
# The extremes of each kind of float by their bits; the last is the smallest denormal.
FLOATS4 = ["0", "-0", "NaN", "Infinity", "-Infinity", "3.4028235e38", "-3.4028235e38",
           "1.1754944e-38", "1.1754942e-38", "1e-45", "-1e-45", "0.1", "16777217", "1.00000012"]
FLOATS8 = ["0", "-0", "NaN", "Infinity", "-Infinity", "1.7976931348623157e308",
           "-1.7976931348623157e308", "2.2250738585072014e-308", "2.225073858507201e-308",
           "5e-324", "-5e-324", "0.1", "0.30000000000000004", "9007199254740993", "1e15"]
NUMERICS = ["'NaN'", "'Infinity'", "'-Infinity'", "0", "0.00", "-0.0000001", "1.2300", "1e500",
            "repeat('9', 131072)::numeric", "('-' || repeat('12345678', 16384))::numeric",
            "('0.' || repeat('0', 16382) || '1')::numeric",
            "('9.' || repeat('9', 16383))::numeric",
            "(repeat('7', 131072) || '.' || repeat('3', 16383))::numeric"]
JSONS = ['{"a":  1, "a":2}', " [1,\n\t2 ] ", "null", '"\\u00e9\\ud83d\\ude00"', "1E400",
         '{"b":1.00,"":{"":[]}}', "  {}", '"\\\\ \\" \\n"']
DATES = ["4713-01-01 BC", "0001-12-31 BC", "0001-01-01", "1970-01-01", "2000-02-29",
         "5874897-12-31", "infinity", "-infinity"]
STAMPS = ["4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity",
          "2020-02-29 23:59:59.999999", "1999-12-31 23:59:60", "0044-03-15 12:00 BC"]
# 14 neither reads nor writes more hours than an int holds.
LONGEST = "2562047788:00:54.775807" if min(MAJORS.values()) >= 15 else "2147483647:59:59.999999"
INTERVALS = ["178000000 years", "-178000000 years", "1 mon -3 days 04:05:06.7",
             "-1 year +2 mons -3 days +04:05:06.000001", "0", "-00:00:00.000001",
             "2147483647 days", "-2147483648 days", LONGEST, "-" + LONGEST, "-1 mon",
             "1 year 2 mons 3 days"]

TYPES = [
    make("boolean", "boolean", "t", "f", key=True),
    make("smallint", "smallint", -32768, -1, 0, 32767, key=True),
    make("integer", "integer", -2147483648, 0, 2147483647, key=True),
    make("bigint", "bigint", -9223372036854775808, 0, 9223372036854775807, key=True),
    raw("numeric: NaN, infinities, 131,072 digits", "numeric", *NUMERICS, key=False),
    make("numeric as a key: 1.0 and 1.00", "numeric", "1.0", "-3.50", "NaN", "Infinity", "1e100",
         key=True),
    make("numeric(p,s)", "numeric(10,2)", "1.2", "-99999999.99", "NaN", key=True),
    *([make("numeric with a negative scale", "numeric(3,-2)", "12345", "-99900")]
      if min(MAJORS.values()) >= 15 else []),
    make("real: by bit", "real", *FLOATS4, key=False),
    make("double precision: by bit", "double precision", *FLOATS8, key=False),
    make("double precision as a key: 0 and -0", "double precision", "-0", "NaN", "0.1", "5e-324",
         "-Infinity", key=True),
    make("money", "money", "1234.56", "-92233720368547758.08", "92233720368547758.07", "0",
         "-0.01", key=True),
    make("text: every escape of COPY", "text", *TEXTS, key=True),
    make("varchar(n)", "varchar(5)", "", "abc  ", "äöü€😀", key=True),
    make("char(n)", "char(5)", "", "ab", " a", "a\\", key=True),
    make("char(n) of varying width: bpchar", "bpchar", "", "ab  ", "\t ", key=True),
    make('"char"', '"char"', "q", "", "\\", "\t", key=True),
    make("name", "name", "", "nm", "x" * 63, "é'\"", key=True),
    raw("bytea", "bytea", "''", "'\\x00'", "'\\x00ff5c0a0d09'", "'\\x5c2e0a'",
        "convert_to('\\N', 'UTF8')", "decode(repeat('00ff5c', 5000), 'hex')", key=False),
    make("date", "date", *DATES, key=True),
    make("time", "time", "24:00:00", "00:00", "23:59:59.999999", "12:00:60", key=True),
    make("time(p)", "time(3)", "23:59:59.9996", key=True),
    make("timetz", "timetz", "10:00:00+05:30:15", "24:00:00-15:59:59", "00:00+15:59:59",
         "23:59:59.999999Z", key=True),
    make("timestamp", "timestamp", *STAMPS, key=True),
    make("timestamp(p)", "timestamp(0)", "2020-02-29 23:59:59.5", key=True),
    make("timestamptz", "timestamptz", *[stamp + "+00" if stamp[-1].isdigit() else stamp
                                         for stamp in STAMPS], "2020-03-29 02:30 Europe/Berlin",
         key=True),
    make("interval", "interval", *INTERVALS, key=True),
    make("interval of some fields", "interval day to second(2)", "1 day 04:05:06.789"),
    make("uuid", "uuid", "00000000-0000-0000-0000-000000000000",
         "ffffffff-ffff-ffff-ffff-ffffffffffff", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", key=True),
    make("json: spacing and duplicate keys kept", "json", *JSONS),
    raw("jsonb: numbers of any size", "jsonb", *quoted(JSONS[:2] + JSONS[4:]),
        "('[' || repeat('9', 131072) || ', -1e-16000, 1.000]')::jsonb", key=False),
    make("jsonb as a key", "jsonb", "1.0", '{"a": 1.10, "b": null}', "[]", key=True),
    make("jsonpath", "jsonpath", "$", '$.a[*] ? (@ > 1 && @.b like_regex "^x" flag "i")',
         'strict $."é".size()'),
    make("xml", "xml", '<a b="1">é</a>', "text &amp; <b/>", "", "<?xml version=\"1.0\"?><a/>",
         "<!-- c --><a> \n</a>", "<![CDATA[ ]] ]]>"),
    make("inet", "inet", "::1/64", "10.1.2.3", "0.0.0.0/0", "::ffff:1.2.3.4",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127", key=True),
    make("cidr", "cidr", "10.0.0.0/8", "::/0", "192.168.1.1/32", key=True),
    make("macaddr", "macaddr", "08:00:2b:01:02:03", "00:00:00:00:00:00", key=True),
    make("macaddr8", "macaddr8", "08:00:2b:01:02:03:04:05", "ff:ff:ff:ff:ff:ff:ff:ff", key=True),
    make("bit(n)", "bit(5)", "10101", "00000", key=True),
    raw("bit varying", "varbit", "B''", "B'1'", "repeat('10', 5000)::varbit", key=False),
    make("tsvector", "tsvector", "", "a:1A fat:2,4B", "'it''s':16383D 'a b' '\\\\'", key=True),
    make("tsquery", "tsquery", "", "a & b:*AB | !c", "a <3> (b | 'x y')", key=True),
    make("point", "point", "(1,2)", "(-0,NaN)", "(Infinity,5e-324)", "(0.1,1e308)"),
    make("line", "line", "{1,2,3}", "{0,-1,0.1}", "{-1,0,-0}"),
    make("lseg", "lseg", "[(1,2),(3,4)]", "[(0,0),(0,0)]"),
    make("box", "box", "(3,4),(1,2)", "(0.1,-0),(0,-1e300)"),
    make("path", "path", "[(1,2),(3,4)]", "((1,2),(3,4),(0.1,-0))", "[(1,1)]"),
    make("polygon", "polygon", "((1,2),(3,4),(5,6))", "((0.1,0.2))"),
    make("circle", "circle", "<(1,2),3>", "<(0,-0),0>", "<(0.1,0.2),Infinity>"),
    make("pg_lsn", "pg_lsn", "0/0", "1/AB", "FFFFFFFF/FFFFFFFF", key=True),
    make("xid", "xid", "0", "4294967295"),
    make("xid8", "xid8", "0", "18446744073709551615", key=True),
    make("cid", "cid", "0", "4294967295"),
    make("tid", "tid", "(0,0)", "(4294967295,65535)", key=True),
    make("oid", "oid", "0", "1259", "4294967295", key=True),
    make("oidvector", "oidvector", "", "1 2 4294967295", key=True),
    make("int2vector", "int2vector", "", "-32768 0 32767"),
    make("pg_snapshot", "pg_snapshot", "1:1:", "1:5:2,3", "1:9223372036854775807:2"),
    make("txid_snapshot", "txid_snapshot", "1:1:", "1:5:2,3"),
    make("refcursor", "refcursor", "", "rc", "\\N"),
    make("int4range", "int4range", "[1,5)", "empty", "(,)", "[-2147483648,2147483647)", key=True),
    make("int8range", "int8range", "(,5]", "[1,9223372036854775806]", key=True),
    make("numrange", "numrange", "empty", "[1.0,2.00)", "[-Infinity,NaN]", key=True),
    make("daterange", "daterange", "[infinity,]", "[4713-01-01 BC,2000-01-01)", key=True),
    make("tsrange", "tsrange", "[2020-01-01,infinity)", "[,2020-01-01]", key=True),
    make("tstzrange", "tstzrange", "[2020-01-01 00:00+00,)", key=True),
    make("multiranges", "int4multirange", "{}", "{[1,3),[5,7)}", "{(,1),[9,)}", key=True),
    make("nummultirange, datemultirange", "nummultirange", "{[1.0,1.5],(2,3)}", key=True),
    make("arrays: dimensions, lower bounds, NULLs, empty", "int[]", "{}", "[-2:0]={1,NULL,3}",
         "{{1,2},{3,4}}", "[0:0][5:6]={{1,NULL}}", "{NULL}", "{{{{{{1}}}}}}", key=True),
    make("arrays of text", "text[]", "{}", '{NULL,"NULL","","a,b","\\"","\\\\","{}"," x "}',
         '{"line\nline","\\\\N"}', key=True),
    raw("arrays of other types", "bytea[]", "ARRAY['\\x00'::bytea, '\\x5c', NULL, '']", key=False),
    make("arrays of ranges, jsonb, dates, boxes", "int4range[]", '{"[1,2)",empty,NULL}', key=True),
    make("arrays of jsonb", "jsonb[]", '{"{\\"a\\": \\"b,c\\"}",null,"null"}', key=True),
    make("arrays of boxes (another delimiter)", "box[]", "{(3,4),(1,2);(1,1),(0,0)}"),
    make("arrays of intervals", "interval[]", "{1 mon -3 days,NULL}", key=True),
    make("enum, values added out of order", "mood", "happy", "so-so", 'Wörst, "of" all', key=True),
    make("arrays of enums", "mood[]", '{happy,NULL,"Wörst, \\"of\\" all"}', "{}", key=True),
    make("enum with a name of quotes", '"my types"."odd; ""it\'s"" n"', "", "a'b", key=True),
    raw("composite with a dropped field", "pair", "ROW(1, 'happy', 'q', '{1.0,1.00}')",
        "ROW(NULL, NULL, NULL, NULL)", "ROW(2, 'so-so', E'a\\tb\"(,)\\\\', '{}')", key=True),
    raw("arrays of composites", "pair[]",
        "ARRAY[ROW(1, 'sad', NULL, '{NULL}')::pair, NULL, ROW(NULL, NULL, '', NULL)]", "'{}'",
        key=True),
    raw("composites of arrays and of composites", "nest",
        "ROW(ROW(1, 'sad', 'x', '{1}')::pair, ARRAY[ROW(2, NULL, '\"', NULL)::pair],"
        " '\"a b\"=>\"1\", c=>NULL')", "ROW(NULL, NULL, NULL)"),
    raw("row type of a table", "reft", "ROW(7, 'x')", "ROW(NULL, NULL)", key=True),
    make("domain with a CHECK", "positive", "1", "2147483647", key=True),
    make("arrays of a domain with NOT NULL", "given[]", '{"",x}', "{}", key=True),
    make("domain over a domain", "deep", "1", "999999", key=True),
    make("domain over an array", "numbers", "{1,2}", "{}", "[5:6]={1,NULL}", key=True),
    raw("domain over a composite", "couple", "ROW(1, 'happy', NULL, NULL)", key=True),
    raw("arrays of domains", "positive[]", "'{5,NULL,6}'", "'{}'", key=True),
    make("range over a user's subtype", "span", "[1,2)", "[-0,NaN]", "empty", key=True),
    make("range over an enum", "moods", "[sad,happy]", "(,so-so)", key=True),
    make("multirange over a user's type", "span_multirange", "{[1,2),[3,4.5]}", "{}", key=True),
    make("arrays of multiranges", "moods_multirange[]", '{"{[sad,happy]}","{}"}', key=True),
    make("hstore", "ext.hstore", "", "a=>1,b=>NULL", '"é\\"q"=>"NULL","n"=>""', key=True),
    make("arrays of hstore", "ext.hstore[]", '{"a=>1",NULL}', key=True),
    make("citext", "ext.citext", "AbC", "", "É", "x y\\", key=True),
    make("arrays of citext", "ext.citext[]", "{AbC,d}", key=True),
    make("ltree", "ext.ltree", "a.b.c", "", key=True),
    make("arrays of ltree", "ext.ltree[]", "{a.b,c}", key=True),
    make("lquery", "ext.lquery", "a.*{1,2}.b|c@"),
    make("ltxtquery", "ext.ltxtquery", "a & b | !c*@"),
    make("cube", "ext.cube", "(1,2),(3,4)", "(0.1)", "(-0,5e-324),(1e308,1)", key=True),
    make("seg", "ext.seg", "1.0 .. 2.50", "~1", "<3", "1.5 ..", key=True),
    make("isn", "ext.isbn", "978-0-393-04002-9", key=True),
    make("isn: ean13, issn, upc", "ext.ean13", "978-0-393-04002-9", key=True),
    make("regclass", "regclass", "reft", "pg_catalog.pg_class", "-", key=True),
    make("arrays of regclass", "regclass[]", "{reft,NULL}", key=True),
    make("regtype", "regtype", "mood", '"my types"."odd; ""it\'s"" n"', "int4", "-"),
    make("regproc", "regproc", "reff", "pg_catalog.now", "-"),
    make("regprocedure", "regprocedure", "reff(int)", "-"),
    make("regoper", "regoper", "pg_catalog.||/", "0"),
    make("regoperator", "regoperator", "+(int4,int4)", "0"),
    make("regrole", "regrole", "postgres", "-"),
    make("regnamespace", "regnamespace", "ext", "-"),
    make("regconfig", "regconfig", "english"),
    make("regdictionary", "regdictionary", "english_stem"),
    make("regcollation", "regcollation", '"C"'),
    make("aclitem", "aclitem", "postgres=r*w/postgres", "=U/postgres"),
    make("arrays of aclitem", "aclitem[]", "{postgres=r/postgres,NULL}"),
]
# Arrays of what has no binary form: of these the stream of all tables would be text.
TEXT_ARRAYS = [
    make("arrays of seg", "ext.seg[]", "{1.0,2 .. 3}", key=True),
    make("arrays of isn", "ext.isbn[]", "{978-0-393-04002-9}", key=True),
]
NO_BINARY = ("reg", "oidvector", "int2vector", "tsquery", "arrays of regclass", "arrays of aclitem")


def binary_types():
    """Those that leave the stream in binary form."""
    older = MAJORS["source"] >= 17 > MAJORS["target"]  # infinity would be some number of months
    return [each for each in TYPES if not each.name.startswith(NO_BINARY)
            and not (older and "interval" in each.sql)]


def text_types():
    """All; without the tables of keys, which the binary form has."""
    return [each._replace(is_key=False) for each in TYPES + TEXT_ARRAYS]


def tables(types, forced):
    """CREATE TABLE statements. forced: another column, whose type makes a table's copy text."""
    more = f", forced {forced}" if forced else ""
    for i, each in enumerate(types):
        yield f"CREATE TABLE value_{i} (id int PRIMARY KEY, v {each.sql}{more})"
        yield f"CREATE TABLE image_{i} (v {each.sql}{more})"
        yield f"ALTER TABLE image_{i} REPLICA IDENTITY FULL"
        if each.is_key:
            yield f"CREATE TABLE key_{i} (v {each.sql}, n int{more}, PRIMARY KEY (v))"


def rows(types, first_id=0, first_n=0):
    """INSERT statements: each value and NULL into value_N, twice into image_N, once into key_N."""
    for i, each in enumerate(types):
        values = ", ".join(f"({first_id + n}, ({value})::{each.sql})"
                           for n, value in enumerate(each.values + ["NULL"]))
        yield f"INSERT INTO value_{i} (id, v) VALUES {values}"
        yield (f"INSERT INTO image_{i} (v) SELECT v FROM value_{i}, generate_series(1, 2)"
               f" WHERE id >= {first_id}")
        if each.is_key and not first_n:
            yield f"INSERT INTO key_{i} (v, n) SELECT v, {first_n} FROM value_{i} WHERE v IS NOT NULL"


def changes(types):
    """Statements that touch every form: each value is inserted, updated to and from, deleted."""
    yield from rows(types, 1000, 1)
    for i, each in enumerate(types):
        count = len(each.values) + 1
        one = f"(SELECT ctid FROM image_{i} WHERE v IS {{}} NULL LIMIT 1)"
        yield (f"UPDATE value_{i} t SET v = s.v FROM value_{i} s WHERE t.id < 1000"
               f" AND s.id = (t.id + 1) % {count}")
        yield f"UPDATE value_{i} SET id = -id WHERE id = 1001"
        yield f"DELETE FROM value_{i} WHERE id IN (1000, 1002)"
        yield f"DELETE FROM image_{i} WHERE ctid = {one.format('NOT')}"
        yield f"UPDATE image_{i} SET v = NULL WHERE ctid = {one.format('NOT')}"
        yield f"DELETE FROM image_{i} WHERE ctid = {one.format('')}"
        yield (f"UPDATE image_{i} SET v = (SELECT v FROM value_{i} WHERE id = 0)"
               f" WHERE ctid = {one.format('')}")
        if each.is_key:
            yield f"UPDATE key_{i} SET n = n + 1"
            yield f"DELETE FROM key_{i} WHERE ctid = (SELECT ctid FROM key_{i} LIMIT 1)"
            yield (f"INSERT INTO key_{i} (v, n) SELECT v, 7 FROM value_{i} WHERE id = 1"
                   " AND v IS NOT NULL ON CONFLICT DO NOTHING")


COLUMN_TYPES = """
SELECT c.relname, a.atttypid < 16384 AND a.atttypid::regtype::text !~ '^reg|aclitem'
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'v'
WHERE c.relkind = 'r' AND c.relname ~ '^(value|image|key)_'"""


def read(session, table, is_binary):
    """The rows as the server writes them, in text and in binary form, sorted."""
    forms = []
    for form, columns in (("text", "*"), ("binary", "v"))[:1 + is_binary]:
        query = sql.SQL(f"COPY (SELECT {columns} FROM {{}} t ORDER BY t::text COLLATE \"C\")"
                        f" TO STDOUT (FORMAT {form})").format(sql.Identifier(table))
        with session.cursor().copy(query) as copy:
            forms.append(b"".join(bytes(data) for data in copy))
    return forms


def differing(source, target, types):
    """The names of the types whose tables differ in any form; every table is there to be read."""
    found = []
    with open_session(source) as one, open_session(target) as other:
        one.execute("SET search_path = public")
        other.execute("SET search_path = public")
        tables = dict(one.execute(COLUMN_TYPES).fetchall())
        assert len(tables) == sum(2 + each.is_key for each in types)
        for table, is_binary in tables.items():
            if read(one, table, is_binary) != read(other, table, is_binary):
                found.append(f"{types[int(table.split('_')[1])].name} ({table})")
    return sorted(found)
