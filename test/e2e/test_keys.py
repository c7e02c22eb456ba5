"""Keys that are equal but not identical, that are long, of several columns, of every identity: each
change reaches the one row that it was made to. One pair of databases serves all claims."""
import pytest

from harness.program import CONFIGURATION, ENDED, FAILED

# Name, what docs/objects.md calls it; its table; changes while it is followed.
CASES = {
    "numeric": ("default: equal numbers of other scale (1.0, 1.00)", """
        CREATE TABLE {0} (k numeric PRIMARY KEY, v int);
        INSERT INTO {0} VALUES (1.0, 1), (2.00, 1), ('NaN', 1), (0.10, 1)""", """
        UPDATE {0} SET k = 1.00 WHERE k = 1; UPDATE {0} SET v = 2 WHERE k = 2;
        UPDATE {0} SET k = 0.1, v = 3 WHERE k = 0.1; DELETE FROM {0} WHERE k = 'NaN';
        INSERT INTO {0} VALUES ('NaN', 9)"""),
    "zero": ("default: 0 and -0", """
        CREATE TABLE {0} (k float8, l float4, v int, PRIMARY KEY (k, l));
        INSERT INTO {0} VALUES (0, '-0', 1), ('-0', 1, 1), ('NaN', '-0', 1)""", """
        UPDATE {0} SET k = '-0' WHERE l = 0 AND k = 0; UPDATE {0} SET v = 2;
        UPDATE {0} SET l = 0 WHERE k = 'NaN'; UPDATE {0} SET k = 0 WHERE l = 1;
        UPDATE {0} SET v = 3 WHERE l = 1"""),
    "citext": ("default: citext in a schema of its own", """
        CREATE TABLE {0} (k ext.citext PRIMARY KEY, v int);
        INSERT INTO {0} VALUES ('Ab', 1), ('x', 1)""", """
        UPDATE {0} SET k = 'AB' WHERE k OPERATOR(ext.=) 'ab';
        UPDATE {0} SET v = 2 WHERE k OPERATOR(ext.=) 'ab'; DELETE FROM {0} WHERE k = 'X';
        DELETE FROM {0} WHERE k OPERATOR(ext.=) 'X'"""),
    "padded": ("default: char(n), interval, jsonb, timetz", """
        CREATE TABLE {0} (k char(5), i interval, j jsonb, z timetz, v int,
                          PRIMARY KEY (k, i, j, z));
        INSERT INTO {0} VALUES ('a', '1 mon', '1.0', '10:00+00', 1), ('b ', '1 day', '{{}}', '0:0', 1)
        """, """
        UPDATE {0} SET i = '30 days' WHERE k = 'a'; UPDATE {0} SET j = '1.00' WHERE k = 'a';
        UPDATE {0} SET v = 2; UPDATE {0} SET k = 'b' WHERE k = 'b'; DELETE FROM {0} WHERE k = 'b'"""),
    "domain": ("default: a domain with NOT NULL", """
        CREATE DOMAIN given AS text NOT NULL DEFAULT '' CHECK (length(VALUE) < 9);
        CREATE TABLE {0} (k given PRIMARY KEY, v given, n int);
        INSERT INTO {0} VALUES ('', '', 1), ('x', 'y', 1)""", """
        UPDATE {0} SET n = 2 WHERE k = ''; UPDATE {0} SET k = 'z', v = DEFAULT WHERE k = 'x';
        DELETE FROM {0} WHERE k = ''; INSERT INTO {0} VALUES (E'\t', E'\n', 3)"""),
    "domain_of_enum": ("default: domains over an enum, an array, a range", """
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE DOMAIN mood_given AS mood; CREATE DOMAIN mood_again AS mood_given NOT NULL;
        CREATE DOMAIN list AS int[]; CREATE DOMAIN span AS int4range;
        CREATE TABLE {0} (k mood_again, l list, s span, v int, PRIMARY KEY (k, l, s));
        INSERT INTO {0} VALUES ('sad', '{{1}}', '[1,3)', 1), ('ok', '{{}}', 'empty', 1)""", """
        UPDATE {0} SET v = 2 WHERE k::mood = 'sad'; UPDATE {0} SET l = '{{2,3}}' WHERE s = 'empty';
        INSERT INTO {0} VALUES ('ok', '{{9}}', '[5,)', 3); DELETE FROM {0} WHERE k::mood = 'sad'"""),
    "several": ("default: columns in another order than the table's", """
        CREATE TABLE {0} (v int, c text, gone int, b int, a numeric, PRIMARY KEY (a, c, b));
        ALTER TABLE {0} DROP gone;
        INSERT INTO {0} SELECT g, 'c' || g % 3, g, g % 7 FROM generate_series(1, 100) g""", """
        UPDATE {0} SET v = -v WHERE b % 5 = 1; UPDATE {0} SET c = 'd' WHERE a = 2;
        UPDATE {0} SET a = -a, b = b + 1000 WHERE a = 3; DELETE FROM {0} WHERE a = 4"""),
    "include": ("index: key with INCLUDE columns", """
        CREATE TABLE {0} (v int, b text NOT NULL, a int NOT NULL, w text);
        CREATE UNIQUE INDEX {0}_key ON {0} (a, b) INCLUDE (v, w);
        ALTER TABLE {0} REPLICA IDENTITY USING INDEX {0}_key;
        INSERT INTO {0} SELECT g, 'b' || g, g, NULL FROM generate_series(1, 50) g""", """
        UPDATE {0} SET v = -v, w = 'w' WHERE a < 10; UPDATE {0} SET b = 'c' WHERE a = 11;
        DELETE FROM {0} WHERE a = 12; UPDATE {0} SET w = '' WHERE a = 1"""),
    "primary_include": ("default: primary key with INCLUDE columns", """
        CREATE TABLE {0} (v int, a int, w text, PRIMARY KEY (a) INCLUDE (v, w));
        INSERT INTO {0} SELECT g, g, NULL FROM generate_series(1, 20) g""", """
        UPDATE {0} SET v = 0 WHERE a < 5; UPDATE {0} SET a = 100 WHERE a = 6;
        DELETE FROM {0} WHERE a = 7"""),
    "second": ("index: beside a primary key", """
        CREATE TABLE {0} (id int PRIMARY KEY, k text NOT NULL UNIQUE, v int);
        ALTER TABLE {0} REPLICA IDENTITY USING INDEX {0}_k_key;
        INSERT INTO {0} SELECT g, 'k' || g, g FROM generate_series(1, 20) g""", """
        UPDATE {0} SET id = id + 100 WHERE id < 5; UPDATE {0} SET k = 'K', id = 50 WHERE id = 6;
        DELETE FROM {0} WHERE id = 7"""),
    "long": ("default: long keys", """
        CREATE TABLE {0} (k text, b bytea, v int, big text, PRIMARY KEY (k, b));
        ALTER TABLE {0} ALTER big SET STORAGE EXTERNAL;
        INSERT INTO {0} SELECT repeat('ä' || g, 10000), decode(repeat('00ff', 500) || '0' || g, 'hex'),
            0, repeat('x', 5000) FROM generate_series(1, 5) g""", """
        UPDATE {0} SET v = 1 WHERE k LIKE 'ä1%'; UPDATE {0} SET k = k || k WHERE k LIKE 'ä2%';
        UPDATE {0} SET b = b || b, v = 2 WHERE k LIKE 'ä3%'; DELETE FROM {0} WHERE k LIKE 'ä4%'"""),
    "image": ("full: duplicates, NULLs, types without equality", """
        CREATE TABLE {0} (n numeric, j json, x xml, p point, f float8, c text COLLATE "C",
                          a json[], v int, big text);
        ALTER TABLE {0} REPLICA IDENTITY FULL; ALTER TABLE {0} ALTER big SET STORAGE EXTERNAL;
        INSERT INTO {0} SELECT NULL FROM generate_series(1, 4);
        INSERT INTO {0} SELECT x.* FROM generate_series(1, 3), (VALUES
            (1.0, '{{"a": 1}}'::json, '<a/>'::xml, point '(1,2)', float8 '0', 'A', '{{}}'::json[], 1,
             repeat('x', 5000)),
            (1.00, '{{"a": 1}}', '<a/>', '(1,2)', '-0', 'a', '{{}}', 1, repeat('x', 5000)),
            (1.0, '{{"a":1}}', '<a />', '(1,2)', 'NaN', 'a', '{{null}}', 1, NULL)) x""", """
        UPDATE {0} SET v = 2 WHERE ctid = (SELECT ctid FROM {0} WHERE n::text = '1.00' LIMIT 1);
        DELETE FROM {0} WHERE ctid = (SELECT ctid FROM {0} WHERE f = 'NaN' LIMIT 1);
        UPDATE {0} SET j = '[]' WHERE ctid = (SELECT ctid FROM {0} WHERE f::text = '-0' LIMIT 1);
        DELETE FROM {0} WHERE ctid = (SELECT ctid FROM {0} WHERE n IS NULL LIMIT 1);
        UPDATE {0} SET n = 5 WHERE ctid = (SELECT ctid FROM {0} WHERE n IS NULL LIMIT 1);
        UPDATE {0} SET big = 'short' WHERE ctid = (SELECT ctid FROM {0} WHERE c = 'A' LIMIT 1);
        INSERT INTO {0} (n) VALUES (NULL)"""),
    "whole": ("full: beside a primary key", """
        CREATE TABLE {0} (id int PRIMARY KEY, n numeric, j json, big text);
        ALTER TABLE {0} REPLICA IDENTITY FULL; ALTER TABLE {0} ALTER big SET STORAGE EXTERNAL;
        INSERT INTO {0} SELECT g, 1.0, '{{}}', repeat('x', 5000) FROM generate_series(1, 20) g""", """
        UPDATE {0} SET n = 1.00 WHERE id = 1; UPDATE {0} SET id = 100 WHERE id = 2;
        DELETE FROM {0} WHERE id = 3; UPDATE {0} SET j = NULL"""),
}
# Collations of ICU, which not every build has.
BLIND = {
    "nondeterministic": ("default: a nondeterministic collation", """
        CREATE TABLE {0} (k text COLLATE blind PRIMARY KEY, v int);
        INSERT INTO {0} VALUES ('Abc', 1), ('é', 1), ('x', 1)""", """
        UPDATE {0} SET k = 'ABC' WHERE k = 'abc'; UPDATE {0} SET v = 2 WHERE k = 'aBc';
        UPDATE {0} SET k = 'É', v = 3 WHERE k = 'é'; DELETE FROM {0} WHERE k = 'X';
        INSERT INTO {0} VALUES ('X', 4)"""),
    "stricter": ("index: deterministic over a column that is not", """
        CREATE TABLE {0} (k text COLLATE blind NOT NULL, v int);
        CREATE UNIQUE INDEX {0}_key ON {0} (k COLLATE "C");
        ALTER TABLE {0} REPLICA IDENTITY USING INDEX {0}_key;
        INSERT INTO {0} VALUES ('a', 1), ('A', 1), ('b', 1), ('B', 1)""", """
        UPDATE {0} SET v = 2 WHERE k COLLATE "C" = 'a'; DELETE FROM {0} WHERE k COLLATE "C" = 'B';
        UPDATE {0} SET k = 'B' WHERE k COLLATE "C" = 'A'"""),
}
EXTENSION = "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext"
COLLATION = ("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2',"
             " deterministic = false)")


def prove(cases):
    def decorate(test):
        for name, _, _ in cases.values():
            test = pytest.mark.proves("Replica identity", name, copied=True, followed=True,
                                      verified=True)(test)
        return test
    return decorate


def prove_cases(pipe, cases, *prelude):
    for statement in prelude:
        pipe.source.sql(statement)
    for table, (_, make, _) in cases.items():
        pipe.source.sql(make.format(table))
    engine = pipe.follow()
    pipe.is_equal()
    for table, (_, _, changes) in cases.items():
        for change in changes.split(";"):
            pipe.source.sql(change.format(table))
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.matrix
@prove(CASES)
def test_a_change_reaches_the_row_that_it_was_made_to(pipe):
    prove_cases(pipe, CASES, EXTENSION)


@prove(CASES)
def test_a_change_in_text_form_reaches_the_row_that_it_was_made_to(pipe):
    prove_cases(pipe, CASES, EXTENSION, "CREATE TABLE forced (id int PRIMARY KEY, r regtype)")


@pytest.mark.versions(source=(15, 15), target=(15, 15))
@prove(BLIND)
def test_keys_under_a_nondeterministic_collation(pipe):
    prove_cases(pipe, BLIND, COLLATION)


TEMPORAL = {"temporal": ("default: a key WITHOUT OVERLAPS (from 18)", """
        CREATE TABLE {0} (id int, during ext.span, v int, PRIMARY KEY (id, during WITHOUT OVERLAPS));
        INSERT INTO {0} VALUES (1, '[1,5)', 1), (1, '[5,9)', 2), (2, '(,)', 3)""", """
        UPDATE {0} SET v = 10 WHERE v = 1; UPDATE {0} SET during = '[7,9)' WHERE v = 2;
        UPDATE {0} SET during = '[1,7)' WHERE v = 10; DELETE FROM {0} WHERE id = 2""")}


@pytest.mark.matrix
@pytest.mark.versions(source=(18, 99), target=(18, 99))
@prove(TEMPORAL)
def test_a_key_without_overlaps(pipe):
    for database in (pipe.source, pipe.target):  # no extension that a plain role may make
        database.admin("CREATE SCHEMA ext AUTHORIZATION app; CREATE EXTENSION btree_gist SCHEMA ext")
    prove_cases(pipe, TEMPORAL, "SET search_path = public, ext",
                "CREATE TYPE ext.span AS RANGE (subtype = float8)")
    pipe.source.sql("INSERT INTO temporal VALUES (3, '[1,5)', 0)")
    pipe.copy()
    pipe.target.sql("UPDATE temporal SET during = '[2,5)' WHERE id = 3")  # overlaps, is not equal
    pipe.source.sql("UPDATE temporal SET v = 1 WHERE id = 3")
    assert pipe.run(until="now").code == FAILED


CHANGES = ["UPDATE t SET v = v + 1", "UPDATE t SET k = k || 'x' WHERE id % 5 = 1",
           "UPDATE t SET id = -id WHERE id % 5 = 2", "DELETE FROM t WHERE id % 5 = 3",
           "INSERT INTO t SELECT g, 'k' || g, 0, repeat('x', 3000) FROM generate_series(3, 99, 5) g"]
IDENTITIES = ["FULL", "USING INDEX t_k_key", "DEFAULT", "FULL", "DEFAULT"]


@pytest.mark.proves("Replica identity", "another one while it is followed, or between two runs",
                    copied=True, followed=True, verified=True)
def test_an_identity_that_changes_is_followed(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, k text NOT NULL UNIQUE, v int, big text);"
                    "ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
                    "INSERT INTO t SELECT g, 'k' || g, g, repeat('x', 3000)"
                    " FROM generate_series(1, 100) g")
    for is_running in (True, False):
        engine = pipe.follow()
        if not is_running:
            engine.stop()
        for identity in IDENTITIES:
            for change in (f"ALTER TABLE t REPLICA IDENTITY {identity}", *CHANGES):
                pipe.source.sql(change)
        engine = engine if is_running else pipe.start()
        pipe.catch_up(engine)
        pipe.is_equal()
        engine.stop()
    pipe.is_verified()


@pytest.mark.proves("Replica identity", "nothing", copied=True, verified=True,
                    followed="INSERT and TRUNCATE: by tables_without_identity = insert_only")
def test_a_table_without_identity_is_refused_or_followed_by_its_inserts(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v json);"
                    "ALTER TABLE t REPLICA IDENTITY NOTHING;"
                    "INSERT INTO t SELECT g, '{}' FROM generate_series(1, 10) g")
    assert pipe.run().code == CONFIGURATION
    engine = pipe.follow(tables_without_identity="insert_only")
    pipe.source.sql("INSERT INTO t VALUES (11, '[]')")
    pipe.catch_up(engine)
    assert pipe.is_verified()
    pipe.source.sql("UPDATE t SET v = NULL WHERE id = 1; DELETE FROM t WHERE id = 2")
    pipe.catch_up(engine)
    assert pipe.target.one("SELECT count(*) FROM t WHERE v IS NOT NULL") == 11
    verified = pipe.verify()
    assert verified.code == FAILED and "insert-only" in verified.stdout
    pipe.source.sql("TRUNCATE t")
    pipe.source.sql("INSERT INTO t VALUES (1, NULL)")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()


def test_an_identity_taken_away_while_following_is_said(pipe):
    """From then on the source itself refuses updates; the next start says so."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)")
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET v = 3; ALTER TABLE t REPLICA IDENTITY NOTHING;"
                    "INSERT INTO t VALUES (3, 3)")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    ended = pipe.run(until="now")
    assert ended.code == CONFIGURATION and "public.t" in ended.stderr
    pipe.follow(tables_without_identity="insert_only").stop()
    verified = pipe.verify()
    assert verified.code == ENDED
    pipe.source.sql("UPDATE t SET v = 4 WHERE id = 1")
    verified = pipe.verify()
    assert verified.code == FAILED and "insert-only" in verified.stdout


def test_a_table_that_has_an_identity_again_is_copied_again(pipe):
    """It has missed updates and deletes."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2);"
                    "ALTER TABLE t REPLICA IDENTITY NOTHING")
    pipe.follow(tables_without_identity="insert_only").stop()
    pipe.source.sql("UPDATE t SET v = 4 WHERE id = 2; DELETE FROM t WHERE id = 1")
    pipe.source.sql("ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET v = 5 WHERE id = 2")
    engine = pipe.follow()
    assert "public.t has a replica identity again" in engine.stderr
    pipe.source.sql("UPDATE t SET v = v + 1; INSERT INTO t VALUES (3, 3)")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
    assert pipe.target.admin_one("SELECT count(*) FROM trunkline.tables WHERE is_insert_only") == 0
