"""Comparison of two databases, independent of the program's own."""
import collections
import re
import subprocess

from psycopg import errors, sql

from harness.cluster import BIN

KEEPER = "trunkline"
TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
  AND n.nspname NOT IN ('information_schema', %s)
ORDER BY 1, 2"""
# The sum tells sets with repeated rows apart and needs no order.
DIGEST = """
SELECT count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint::numeric), 0)
FROM ONLY {} t"""
ROWS = "SELECT t::text FROM ONLY {} t"
SEQUENCES = """
SELECT schemaname, sequencename, last_value, increment_by FROM pg_sequences
WHERE schemaname <> %s ORDER BY 1, 2"""
SHOWN = 5
FORMS = {"search_path": "", "extra_float_digits": 1, "datestyle": "ISO",
         "intervalstyle": "postgres", "timezone": "UTC", "bytea_output": "hex",
         "statement_timeout": 0, "lock_timeout": 0, "idle_session_timeout": 0}


def open_session(database):
    """As a superuser, whatever the database's defaults; without a search path names in values are
    written in full."""
    options = " ".join(f"-c {name}={value}" for name, value in FORMS.items())
    return database.connect("postgres", options=options)


def tables(session):
    return session.execute(TABLES, [KEEPER]).fetchall()


def row_differences(name, source, target):
    """The rows that only one side has."""
    query = sql.SQL(ROWS).format(sql.Identifier(*name))
    here = collections.Counter(row for row, in source.execute(query))
    there = collections.Counter(row for row, in target.execute(query))
    missing, extra = here - there, there - here
    yield f"{'.'.join(name)}: {missing.total()} rows missing, {extra.total()} rows too many"
    for what, rows in (("missing", missing), ("too many", extra)):
        for row, count in list(rows.items())[:SHOWN]:
            yield f"    {what} {count} x {row[:200]}"


def differences(source, target, only=None):
    """What differs between the rows of two databases, as lines; nothing when they are equal.
    only: names ("schema", "table") to look at; all tables of both sides otherwise."""
    found = []
    with open_session(source) as one, open_session(target) as other:
        names = only or tables(one)
        if not only:
            for name in set(tables(other)) ^ set(names):
                found.append(f"{'.'.join(name)}: on one side only")
        there = set(tables(other))
        for name in names:
            if name not in there:
                continue
            digest = sql.SQL(DIGEST).format(sql.Identifier(*name))
            if one.execute(digest).fetchone() != other.execute(digest).fetchone():
                found += row_differences(name, one, other)
    return found


def is_same(source, target, **options):
    """Whether nothing differs, while tables may come and go."""
    try:
        return not differences(source, target, **options)
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.QueryCanceled):
        return False


def sequence_differences(source, target):
    """Sequences whose next values differ."""
    with open_session(source) as one, open_session(target) as other:
        here = set(one.execute(SEQUENCES, [KEEPER]).fetchall())
        there = set(other.execute(SEQUENCES, [KEEPER]).fetchall())
    return [f"sequence {row}" for row in sorted(here ^ there, key=str)]


def dump(database, program):
    """The schema as pg_dump of that version writes it."""
    return subprocess.run(
        [program / "pg_dump", "--schema-only", "--no-publications", "--no-subscriptions",
         f"--exclude-schema={KEEPER}", database.url("postgres")],
        check=True, capture_output=True, text=True).stdout


def schema_text(database):
    """pg_dump's view of the schema, without what names the moment, the server or our roles."""
    return [line for line in dump(database, BIN).splitlines()
            if line and not re.match(r"--|\\(un)?restrict|.*pg_attver|GRANT .* TO trunkline_"
                                     r"|ALTER TABLE .* SET \(pg_attver=", line)]


NAME = r'("(?:[^"]|"")+"|\w+)'
NOT_NULL = re.compile(rf"^    (?:CONSTRAINT {NAME} )?NOT NULL {NAME},?\n", re.M)


def for_older(text, major):
    """What pg_dump writes, with NOT NULL of columns that are only inherited as 17 reads it, and the
    sequences of unlogged tables as 14 has them."""
    if major < 15:
        text = re.sub(r"^CREATE UNLOGGED SEQUENCE", "CREATE SEQUENCE", text, flags=re.M)
    if major >= 18:
        return text
    def adapt(match):
        body = match[3] + "\n"
        alters = [f"\nALTER TABLE ONLY {match[2]} ALTER {column} SET NOT NULL;"
                  for _, column in NOT_NULL.findall(body)]
        if not alters:
            return match[0]
        return match[1] + NOT_NULL.sub("", body).rstrip(",\n") + "\n" + match[4] + "".join(alters)
    return re.sub(r"(^CREATE (?:UNLOGGED )?TABLE ([^\n]+) \(\n)(.*?)\n(\).*?;$)", adapt, text,
                  flags=re.M | re.S)


def reference_text(source, target):
    """The schema that the target should have: servers of different versions write the same things
    differently, so the target's own server says it, in a database that psql has filled."""
    if source.cluster.major == target.cluster.major:
        return schema_text(source)
    scratch = target.cluster.create_database(f"{target.name}_reference")
    try:
        subprocess.run([BIN / "psql", "-q", scratch.url("postgres")], check=True,
                       input=for_older(dump(source, source.cluster.bin), target.cluster.major),
                       capture_output=True, text=True)
        return schema_text(scratch)
    finally:
        target.cluster.drop_database(scratch.name)


def schema_differences(source, target):
    """Lines of the two schemas that only one side has."""
    here = collections.Counter(reference_text(source, target))
    there = collections.Counter(schema_text(target))
    return [f"- {line}" for line in (here - there)] + [f"+ {line}" for line in (there - here)]
