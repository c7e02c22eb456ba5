"""Cases of test_apply.py: constraints beside the key, which hold after each of the source's
statements and need not hold between the rows of a set. The large column is one that the
stream leaves out."""
from apply_keys import each
from harness.apply import ROWS, Case
from harness.cluster import MAJORS

LARGE = "repeat(md5({}::text), 100)"
LARGE_G = LARGE.format("g")


def table(name, columns, values, more=""):
    """Rows 1 to ROWS; every fourth one has a large value that is kept out of line."""
    return (f"CREATE TABLE {name} (id int PRIMARY KEY, {columns}, big text{more});"
            f"ALTER TABLE {name} ALTER big SET STORAGE EXTERNAL;"
            f"INSERT INTO {name} SELECT g, {values}, CASE WHEN g % 4 = 0 THEN {LARGE_G} END"
            f" FROM generate_series(1, {ROWS}) g")


def swaps(name):
    """Ways in which values of the column u go from row to row."""
    return [
        f"UPDATE {name} SET u = -u; UPDATE {name} SET u = {ROWS} + 1 + u",
        f"UPDATE {name} SET u = NULL WHERE id % 2 = 0; UPDATE {name} SET u = u - 1"
        f" WHERE id % 2 = 1; UPDATE {name} SET u = {ROWS} + 2 - id WHERE id % 2 = 0",
        each(f"UPDATE {name} SET u = u + 1 WHERE u = i", ROWS, 1),
        each(f"UPDATE {name} SET u = u - 1, v = v + 1 WHERE u = i", 2, ROWS + 1),
        f"DELETE FROM {name} WHERE u % 4 = 0; UPDATE {name} SET u = u - 1 WHERE u % 4 = 1 AND u >"
        f" 1;"
        f" INSERT INTO {name} (id, u) SELECT 1000 + g, g + 1 FROM generate_series(4, {ROWS - 1},"
        f" 4) g",
        f"UPDATE {name} SET v = v + 1",
        f"UPDATE {name} SET u = -u, id = id + 5000 WHERE u % 3 = 0;"
        f" UPDATE {name} SET u = u - 1, v = 7 WHERE u % 3 = 1 AND u > 1;"
        f" UPDATE {name} SET u = -u + 1, id = id - 5000 WHERE u < 0",
        f"UPDATE {name} SET u = u + 10000; INSERT INTO {name} (id, u)"
        f" SELECT 20000 + g, g FROM generate_series(1, 200) g; DELETE FROM {name} WHERE u < 100;"
        f" UPDATE {name} SET u = u - 10000 WHERE u BETWEEN 10001 AND 10099"]


SHIFT = ("DO $$ BEGIN FOR i IN REVERSE {rows}..1 LOOP UPDATE {name} SET {set} WHERE id = i;"
         " END LOOP; END $$")

UNIQUE = {
    "uniq": Case(table("uniq", "u int UNIQUE, v int", "g, 0"), swaps("uniq")),
    "uniq_full": Case(table("uniq_full", "u int UNIQUE, v int", "g, 0")
                      + "; ALTER TABLE uniq_full REPLICA IDENTITY FULL", swaps("uniq_full")),
    "uniq_late": Case(
        table("uniq_late", "u int UNIQUE DEFERRABLE, v int", "g, 0"), [
            *swaps("uniq_late")[:4], f"UPDATE uniq_late SET u = {ROWS} + 1 - u",
            "UPDATE uniq_late SET u = u +"
            " 1", "UPDATE uniq_late SET u = u - 1, v = v + 1, id = -id"]),
    "uniq_last": Case(
        table("uniq_last", "u int UNIQUE DEFERRABLE INITIALLY DEFERRED, v int", "g, 0"), [
            f"UPDATE uniq_last SET u = u + 1 WHERE u % 2 = 1; UPDATE uniq_last SET u = u - 1"
            f" WHERE id % 2 = 0; INSERT INTO uniq_last VALUES (5000, 5, 0, NULL);"
            f" DELETE FROM uniq_last WHERE u = 5 AND id <> 5000",
            f"UPDATE uniq_last SET u = {ROWS} + 1 - u"]),
    "key_late": Case(
        f"CREATE TABLE key_late (id int PRIMARY KEY DEFERRABLE, v int, big text);"
        f"ALTER TABLE key_late REPLICA IDENTITY FULL;"
        f"ALTER TABLE key_late ALTER big SET STORAGE EXTERNAL;"
        f"INSERT INTO key_late SELECT g, g, CASE WHEN g % 4 = 0 THEN {LARGE_G} END"
        f" FROM generate_series(1, 100) g", [
            "UPDATE key_late SET id = id + 1", "UPDATE key_late SET id = 102 - id",
            "UPDATE key_late SET v = v + 1; UPDATE key_late SET id = id - 1"]),
    "partial": Case(
        table("partial", "grp int, act bool, v int", "g % 100, g <= 100, 0")
        + "; CREATE UNIQUE INDEX partial_act ON partial (grp) WHERE act", [
            f"UPDATE partial SET act = false WHERE act;"
            f" UPDATE partial SET act = true WHERE id % {ROWS} BETWEEN 101 AND 200",
            each("UPDATE partial SET act = false WHERE id = 100 + i; UPDATE partial SET act = true"
                 " WHERE id = i", 1, 100),
            each("UPDATE partial SET act = false WHERE id = i; UPDATE partial SET act = true, v = 1"
                 " WHERE id = 300 + i", 1, 100),
            "UPDATE partial SET v = v + 1",
            "DELETE FROM partial WHERE act AND grp % 2 = 0; UPDATE partial SET act = true, id = -id"
            " WHERE id BETWEEN 1 AND 100 AND grp % 2 = 0;"
            " INSERT INTO partial SELECT 1000 + g, g, false, 3 FROM generate_series(1, 50) g",
            "UPDATE partial SET grp = -grp WHERE act; UPDATE partial SET act = true WHERE id"
            " BETWEEN"
            " 201 AND 299"]),
    "expr": Case(
        table("expr", "name text, v int", "'Name' || g, 0")
        + "; CREATE UNIQUE INDEX expr_name ON expr (lower(name), (v / 1000))", [
            "UPDATE expr SET name = '#' || name; UPDATE expr SET name = 'NAME' || "
            f"({ROWS} + 1 - id)",
            each("UPDATE expr SET name = 'name' || i + 1 WHERE name ILIKE 'name' || i", ROWS, 1),
            "DELETE FROM expr WHERE id % 2 = 0; UPDATE expr SET name = 'nAMe' ||"
            f" ({ROWS} + 1 - id) WHERE id % 2 = 1",
            "UPDATE expr SET v = v +"
            " 1", "UPDATE expr SET v = v + 1000; INSERT INTO expr (id, name, v)"
            " SELECT 1000 + id, upper(name), 0 FROM expr"]),
    "excl": Case(
        table("excl", "during int4range, v int", "int4range(10 * g, 10 * g + 10), 0")
        + "; ALTER TABLE excl ADD EXCLUDE USING gist (during WITH &&)", [
            SHIFT.format(rows=ROWS, name="excl", set="during = int4range(10 * i + 10, 10 * i +"
            " 20)"),
            "UPDATE excl SET during = NULL; UPDATE excl SET during = int4range("
            f"10 * ({ROWS} - id), 10 * ({ROWS} - id) + 10)",
            "UPDATE excl SET v = v + 1", "DELETE FROM excl WHERE id % 2 = 0; UPDATE excl SET during"
            " = int4range(lower(during) - 10, upper(during)), v = 1 WHERE id % 2 = 1;"
            " UPDATE excl SET during = int4range(lower(during) + 5, upper(during)), id = -id;"
            f" INSERT INTO excl SELECT {ROWS} + id, int4range(lower(during) - 2, lower(during))"
            " FROM excl"]),
    "excl_late": Case(
        table("excl_late", "during int4range, v int", "int4range(10 * g, 10 * g + 10), 0")
        + "; ALTER TABLE excl_late ADD EXCLUDE USING gist (during WITH &&) DEFERRABLE", [
            "UPDATE excl_late SET during = int4range(lower(during) + 10, upper(during) + 10)",
            f"UPDATE excl_late SET during = int4range(10 * ({ROWS} - id), 10 * ({ROWS} - id) + 10),"
            " v = 1"]),
    "two": Case(
        table("two", "a int UNIQUE, b int UNIQUE, v int", "g, g, 0"), [
            "UPDATE two SET a = -a, b = -b; UPDATE two SET a = CASE id % 2 WHEN 0 THEN id - 1 ELSE"
            f" id + 1 END, b = {ROWS} + 1 - id",
            "UPDATE two SET a = NULL WHERE id % 2 = 0; UPDATE two SET b = NULL WHERE id % 2 = 1;"
            " UPDATE two SET a = id WHERE id % 2 = 1; UPDATE two SET b = id WHERE id % 2 = 0;"
            " UPDATE two SET a = id WHERE a IS NULL; UPDATE two SET b = id WHERE b IS NULL",
            "UPDATE two SET v = 1 WHERE id % 2 = 0; UPDATE two SET id = -id, a = -a WHERE id % 3"
            " = 0;"
            " UPDATE two SET a = a + 1 WHERE a % 3 = 2"]),
    "including": Case(
        table("including", "a int, b text, v int", "g / 2, 'b' || g % 2, 0")
        + "; CREATE UNIQUE INDEX ON including (b, a) INCLUDE (v)", [
            "UPDATE including SET b = b || 'x'; UPDATE including SET b = CASE b WHEN 'b0x' THEN"
            " 'b1'"
            " ELSE 'b0' END", "UPDATE including SET v = 5"]),
}
if min(MAJORS.values()) >= 15:
    UNIQUE["nulls"] = Case(
        table("nulls", "a int, b int, v int, UNIQUE NULLS NOT DISTINCT (a, b)", "g, NULL, 0"), [
            f"UPDATE nulls SET a = -a; UPDATE nulls SET a = {ROWS} + 1 + a",
            "UPDATE nulls SET b = 1 WHERE id % 2 = 0; UPDATE nulls SET a = NULL WHERE id = 1;"
            " UPDATE nulls SET a = 1 WHERE id = 1; UPDATE nulls SET a = NULL WHERE id = 3"])
