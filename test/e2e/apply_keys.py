"""Cases of test_apply.py: keys that change, come back, swap, are equal without being identical."""
from harness.apply import ROWS, Case
from harness.cluster import BLIND

HALF = ROWS // 2


def each(text, first=1, last=ROWS):
    """One statement for each number i, in that order: what one UPDATE may not do at once."""
    step = 1 if first <= last else -1
    low, high = sorted((first, last))
    return (f"DO $$ BEGIN FOR i IN {'REVERSE ' if step < 0 else ''}{first}..{last} LOOP {text};"
            f" END LOOP; END $$") if low <= high else ""


def plain(name, more=""):
    """A table of three columns, with rows 1 to ROWS."""
    return (f"CREATE TABLE {name} (id int PRIMARY KEY, v text, w int{more});"
            f"INSERT INTO {name} (id, v, w) SELECT g, 'v' || g, g FROM generate_series(1, {ROWS})"
            f" g")


ROTATE = ("UPDATE {0} SET id = -id WHERE id % 3 = 0; UPDATE {0} SET id = id - 1 WHERE id % 3 = 1"
          " AND id > 1; UPDATE {0} SET id = id - 1 WHERE id % 3 = 2 AND id > 2;"
          " UPDATE {0} SET id = -id + 2 WHERE id < 0")

CHANGING = {
    "reborn": Case(plain("reborn"), [
        f"UPDATE reborn SET id = id + 1000 WHERE id <= {HALF};"
        f" INSERT INTO reborn SELECT g, 'again', g FROM generate_series(1, {HALF}) g",
        "DELETE FROM reborn WHERE id <= 100;"
        " UPDATE reborn SET id = id - 1000 WHERE id BETWEEN 1001 AND 1100",
        "UPDATE reborn SET id = -id, v = 'away' WHERE id <= 50;"
        " INSERT INTO reborn SELECT g, 'third', NULL FROM generate_series(1, 50) g;"
        " DELETE FROM reborn WHERE id BETWEEN 1 AND 50;"
        " UPDATE reborn SET id = -id WHERE id < 0"]),
    "flicker": Case(plain("flicker"), [
        "INSERT INTO flicker SELECT g, 'one', 1 FROM generate_series(1001, 1300) g;"
        " DELETE FROM flicker WHERE id > 1000;"
        " INSERT INTO flicker SELECT g, 'two', 2 FROM generate_series(1001, 1300) g",
        "INSERT INTO flicker SELECT g, 'gone', 1 FROM generate_series(2001, 2300) g;"
        " UPDATE flicker SET v = 'gone too' WHERE id > 2000; DELETE FROM flicker WHERE id > 2000",
        "DELETE FROM flicker WHERE id <= 100;"
        " INSERT INTO flicker SELECT g, NULL, 3 FROM generate_series(1, 100) g;"
        " UPDATE flicker SET w = NULL WHERE id <= 50; DELETE FROM flicker WHERE id <= 20",
        "INSERT INTO flicker SELECT g, 'back', 4 FROM generate_series(1, 10) g",
        "DELETE FROM flicker WHERE id <= 10"]),
    "often": Case(plain("often"), [
        *[f"UPDATE often SET w = w + {n}, v = NULLIF(v, 'v{n}')" for n in range(1, 6)],
        "UPDATE often SET v = v; UPDATE often SET w = w", "UPDATE often SET id = id",
        "DELETE FROM often WHERE id % 7 = 0"]),
    "step": Case(plain("step"), [
        each("UPDATE step SET id = id + 1 WHERE id = i", ROWS, 1),
        each("UPDATE step SET id = id + 1, v = NULL WHERE id = i + 1", ROWS, 1),
        each("UPDATE step SET id = id - 1 WHERE id = i", 3, ROWS + 2)]),
    "chain": Case(plain("chain"), [
        *[f"UPDATE chain SET id = id + 10000 WHERE id % 2 = {n % 2}" for n in range(4)],
        "UPDATE chain SET id = id + 500000; UPDATE chain SET id = id - 510000, w = -w;"
        " UPDATE chain SET id = id + 10000; UPDATE chain SET id = -id",
        "DELETE FROM chain WHERE id % 4 = 0; UPDATE chain SET id = id + 1 WHERE id % 4 = -1;"
        " INSERT INTO chain SELECT id - 1, 'hole', w FROM chain WHERE id % 4 = 0;"
        " UPDATE chain SET id = -id"]),
    "cycle": Case(plain("cycle"), [
        ROTATE.format("cycle"), ROTATE.format("cycle"), "UPDATE cycle SET v = v || '!'",
        ROTATE.format("cycle"), ROTATE.format("cycle"),
        "UPDATE cycle SET id = -id; UPDATE cycle SET w = 0; UPDATE cycle SET id = -id"]),
    "into_deleted": Case(plain("into_deleted"), [
        "DELETE FROM into_deleted WHERE id % 2 = 0",
        f"UPDATE into_deleted SET id = id + 1 WHERE id < {ROWS}",
        f"INSERT INTO into_deleted SELECT g, 'odd', g FROM generate_series(1, {ROWS}, 2) g",
        "DELETE FROM into_deleted WHERE id % 3 = 0; UPDATE into_deleted SET id = id + 1"
        " WHERE id % 3 = 2; INSERT INTO into_deleted SELECT id - 1, v, 1 FROM into_deleted"
        " WHERE id % 3 = 0"]),
    "only_key": Case(
        f"CREATE TABLE only_key (id int PRIMARY KEY);"
        f"INSERT INTO only_key SELECT generate_series(1, {ROWS})", [
            "UPDATE only_key SET id = -id WHERE id % 2 = 0", "UPDATE only_key SET id = id",
            "DELETE FROM only_key WHERE id % 3 = 0", "UPDATE only_key SET id = id + 1000",
            f"INSERT INTO only_key SELECT generate_series(1, {ROWS})"]),
    "undone": Case(plain("undone"), [
        "BEGIN; UPDATE undone SET w = 1 WHERE id <= 100; SAVEPOINT a; DELETE FROM undone;"
        " SAVEPOINT b; INSERT INTO undone SELECT g, 'b', g FROM generate_series(1, 300) g;"
        " ROLLBACK TO b; ROLLBACK TO a; UPDATE undone SET w = 2 WHERE id <= 50; SAVEPOINT c;"
        " UPDATE undone SET id = id + 1000 WHERE id > 200; RELEASE c; SAVEPOINT d;"
        " INSERT INTO undone SELECT g, 'd', g FROM generate_series(201, 300) g; ROLLBACK TO d;"
        " INSERT INTO undone SELECT g, 'kept', g FROM generate_series(201, 250) g; COMMIT",
        "BEGIN; DELETE FROM undone; ROLLBACK"]),
}

KINDS = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy');
CREATE DOMAIN given AS text NOT NULL CHECK (VALUE <> '');
CREATE TYPE pair AS (a int, b text);
"""
MANY = "k1, k2, k3, k4, k5, k6, k7, k8, k9"


def many_rows(first, last):
    return (f"SELECT 'text ' || g, md5(g::text)::uuid, timestamptz '2020-01-01' + g * interval '1"
            f" h',"
            f" decode(md5(g::text), 'hex'), g::numeric / 7, (enum_range(NULL::mood))[1 + g % 3],"
            f" 'given ' || g, ROW(g, 'b')::pair, ARRAY[g, NULL], g, 'v'"
            f" FROM generate_series({first}, {last}) g")


ALIKE = {
    "several": Case(
        f"CREATE TABLE several (k1 text, k2 uuid, k3 timestamptz, k4 bytea, k5 numeric, k6 mood,"
        f" k7 given, k8 pair, k9 int[], n int, v text, PRIMARY KEY ({MANY}));"
        f"INSERT INTO several {many_rows(1, ROWS)}", [
            "UPDATE several SET v = 'w', n = n + 1000", "DELETE FROM several WHERE n % 10 = 0",
            *[f"UPDATE several SET {change} WHERE n % 10 = {n}" for n, change in enumerate((
                "k1 = k1 || '!'", "k2 = md5(k2::text)::uuid", "k3 = k3 + interval '1 us'",
                "k4 = k4 || '\\x00'::bytea", "k5 = k5 + 0.01", "k6 = 'ok'", "k7 = upper(k7)",
                "k8 = ROW(-n, NULL)::pair", "k9 = k9 || k9"), 1)],
            "UPDATE several SET k6 = 'Happy', k9 = '{}', v = NULL",
            f"INSERT INTO several {many_rows(1, 100)}"]),
    "number": Case(
        f"CREATE TABLE number (k numeric PRIMARY KEY, n int, v int);"
        f"INSERT INTO number SELECT g, g, 0 FROM generate_series(1, {ROWS}) g", [
            "UPDATE number SET k = k + 0.0 WHERE n % 3 = 1", "UPDATE number SET v = v + 1",
            "UPDATE number SET k = k + 0.00, v = 2 WHERE n % 3 < 2",
            "UPDATE number SET k = trim_scale(k) WHERE n % 5 = 0;"
            " UPDATE number SET v = 3 WHERE n % 5 < 2",
            "DELETE FROM number WHERE n % 7 = 0; INSERT INTO number SELECT g + 0.000, g, 9"
            f" FROM generate_series(7, {ROWS}, 7) g; UPDATE number SET v = v + 1 WHERE n % 7 = 0"]),
    "zero": Case(
        f"CREATE TABLE zero (k float8, l int, v int, PRIMARY KEY (k, l));"
        f"INSERT INTO zero SELECT CASE g % 2 WHEN 0 THEN 0 ELSE '-0'::float8 END, g, 0"
        f" FROM generate_series(1, {ROWS}) g", [
            "UPDATE zero SET k = '-0' WHERE l % 3 = 0", "UPDATE zero SET v = v + 1",
            "UPDATE zero SET k = 0, v = 5 WHERE l % 4 = 0;"
            " UPDATE zero SET k = '-0' WHERE l % 4 = 0; UPDATE zero SET v = v + 1 WHERE l % 2 = 0",
            "UPDATE zero SET k = 'NaN' WHERE l % 5 = 0; UPDATE zero SET v = 7 WHERE k = 'NaN'",
            "DELETE FROM zero WHERE l % 6 = 0"]),
    "cased": Case(
        f"CREATE TABLE cased (k ext.citext PRIMARY KEY, n int, v int);"
        f"INSERT INTO cased SELECT 'Key ' || g, g, 0 FROM generate_series(1, {ROWS}) g", [
            "UPDATE cased SET k = upper(k::text)::ext.citext WHERE n % 3 = 0",
            "UPDATE cased SET v = v + 1",
            "UPDATE cased SET k = lower(k::text)::ext.citext WHERE n % 2 = 0;"
            " UPDATE cased SET v = v + 1 WHERE n % 4 = 0",
            "DELETE FROM cased WHERE n % 5 = 0; INSERT INTO cased SELECT 'kEY ' || g, g, 9"
            f" FROM generate_series(5, {ROWS}, 5) g"]),
    "padded": Case(
        f"CREATE TABLE padded (k char(9), i interval, v int, PRIMARY KEY (k, i));"
        f"INSERT INTO padded SELECT 'k' || g, '1 mon', g FROM generate_series(1, {ROWS}) g", [
            "UPDATE padded SET i = '30 days' WHERE v % 3 = 0", "UPDATE padded SET v = v + 1000",
            "UPDATE padded SET i = '720:00', k = k WHERE v % 3 = 1;"
            " UPDATE padded SET v = v + 1000 WHERE v % 2 ="
            " 0", "DELETE FROM padded WHERE v % 5 = 0"]),
    "blind": Case(
        f"CREATE COLLATION unseeing {BLIND};"
        f"CREATE TABLE blind (k text COLLATE unseeing PRIMARY KEY, n int, v int);"
        f"INSERT INTO blind SELECT 'Clé ' || g, g, 0 FROM generate_series(1, {ROWS}) g", [
            "UPDATE blind SET k = upper(k) WHERE n % 3 = 0", "UPDATE blind SET v = v + 1",
            "UPDATE blind SET k = lower(k) WHERE n % 2 = 0;"
            " UPDATE blind SET v = v + 1 WHERE n % 4 = 0",
            "DELETE FROM blind WHERE n % 5 = 0; INSERT INTO blind SELECT 'cLÉ ' || g, g, 9"
            f" FROM generate_series(5, {ROWS}, 5) g"]),
    # The key tells apart what the column's own comparison does not.
    "stricter": Case(
        f"CREATE COLLATION loose {BLIND};"
        f"CREATE TABLE stricter (k text COLLATE loose NOT NULL, n int, v int);"
        f'CREATE UNIQUE INDEX stricter_key ON stricter (k COLLATE "C");'
        f"ALTER TABLE stricter REPLICA IDENTITY USING INDEX stricter_key;"
        f"INSERT INTO stricter SELECT 'a' || g, g, 0 FROM generate_series(1, {ROWS}) g;"
        f"INSERT INTO stricter SELECT 'A' || g, -g, 0 FROM generate_series(1, {ROWS}) g", [
            "UPDATE stricter SET v = n", "UPDATE stricter SET v = v + 1 WHERE n > 0",
            "DELETE FROM stricter WHERE n < -100; UPDATE stricter SET k = upper(k) WHERE n > 100;"
            " UPDATE stricter SET v = 7 WHERE n % 2 = 0",
            "DELETE FROM stricter WHERE n BETWEEN -50 AND 50; INSERT INTO stricter SELECT 'A' ||"
            " g, g,"
            " 1 FROM generate_series(1, 50) g; INSERT INTO stricter SELECT 'a' || g, -g, 2 FROM"
            " generate_series(1, 50) g; UPDATE stricter SET v = v + 1 WHERE n < 0"]),
    "by_index": Case(
        f"CREATE TABLE by_index (id int PRIMARY KEY, k text NOT NULL, l numeric NOT NULL, v int);"
        f"CREATE UNIQUE INDEX by_index_key ON by_index (l, k) INCLUDE (v);"
        f"ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key;"
        f"INSERT INTO by_index SELECT g, 'k' || g % 3, g, 0 FROM generate_series(1, {ROWS}) g", [
            "UPDATE by_index SET id = -id WHERE id % 2 = 0", "UPDATE by_index SET v = v + 1",
            "UPDATE by_index SET k = 'other', l = l + 0.0 WHERE id % 3 = 0;"
            " UPDATE by_index SET id = id + 10000 WHERE k = 'other'",
            "DELETE FROM by_index WHERE id % 5 = 0"]),
}
