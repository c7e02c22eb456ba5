"""Cases of test_apply.py: kinds of tables and columns, foreign keys, TRUNCATE, partitions, names,
identities that change while changes are on their way."""
from apply_keys import each
from apply_toast import large
from harness.apply import ROWS, Case

KINDS = """
CREATE TYPE spot AS (x int, y numeric, note text);
CREATE TYPE floatspan AS RANGE (subtype = float8);
CREATE DOMAIN few AS int CHECK (VALUE < 1000000);
"""
VALUES = """SELECT g, ARRAY[[g, NULL], [-g, 0]], ARRAY['', NULL, 'x' || g, '{{,"}}'], to_json(g),
    jsonb_build_object('k', g), ROW(g, g / 3.0, NULL)::spot, ARRAY[ROW(g, 0, 'a')::spot, NULL],
    int4range(g, g + 3), floatspan(g, NULL), hstore('a', g::text),
    ARRAY[hstore('b', NULL), hstore('')], ('<a>' || g || '</a>')::xml, ARRAY[to_json('[]'::text)],
    point(g, -g), (g % 8)::bit(3), ARRAY[int4range(g, NULL), 'empty'], g::few, ARRAY[g::few],
    '[0:1]={{1,2}}'::int[], CASE g % 3 WHEN 0 THEN NULL ELSE g END
    FROM generate_series({first}, {last}) g"""


def kinds(name, key="PRIMARY KEY"):
    make = (f"CREATE TABLE {name} (id int {key}, grid int[], words text[], j json, b jsonb, place"
            f" spot,"
            f" spots spot[], span int4range, f floatspan, h hstore, hs hstore[], x xml, js json[],"
            f" p point, bits bit(3), rs int4range[], d few, ds few[], zeroed int[], n int)")
    fill = f"INSERT INTO {name} " + VALUES
    return make + ";" + fill.format(first=1, last=ROWS), [
        f"UPDATE {name} SET grid = grid || grid, words = '{{}}', spots = spots || place, n = 1"
        f" WHERE id % 3 = 0",
        f"UPDATE {name} SET j = '[1, 2]', b = b || '{{\"z\": null}}', place.note = 'new', span ="
        f" 'empty',"
        f" h = h || 'x=>y', hs = NULL, js = js || js, rs = '{{}}', ds = '{{}}' WHERE id % 4 = 0",
        fill.format(first=1001, last=1200),
        f"UPDATE {name} SET id = -id, words = NULL, zeroed = '[5:5]={{NULL}}', spots = '{{NULL}}'"
        f" WHERE id % 5 = 0; UPDATE {name} SET grid = NULL, x = NULL, p = NULL, bits = '000'"
        f" WHERE id % 6 = 0",
        f"UPDATE {name} SET n = n + 1", f"DELETE FROM {name} WHERE id % 7 = 0;"
        + fill.format(first=7, last=7) + f"; UPDATE {name} SET n = 0 WHERE id % 7 < 2"]


def image(name, more, values, changes):
    return Case(f"CREATE TABLE {name} ({more}); ALTER TABLE {name} REPLICA IDENTITY FULL;"
                f"INSERT INTO {name} {values}", changes)


def some(name, condition, count):
    """Some of the rows that are equal."""
    return f"ctid = ANY (ARRAY(SELECT ctid FROM {name} WHERE {condition} LIMIT {count}))"


KEYLESS = {
    "equal_rows": image(
        "equal_rows", "a int, b text, n numeric", f"SELECT g % 5, 'b', 1.0 FROM"
        f" generate_series(1, {ROWS}) g; INSERT INTO equal_rows SELECT NULL FROM"
        f" generate_series(1, {ROWS})", [
            "UPDATE equal_rows SET b = 'one' WHERE " + some("equal_rows", "a = 1", 30),
            "DELETE FROM equal_rows WHERE " + some("equal_rows", "a = 1", 30),
            "DELETE FROM equal_rows WHERE " + some("equal_rows", "a IS NULL", 150),
            "UPDATE equal_rows SET n = 1.00 WHERE " + some("equal_rows", "a = 2", 40),
            "UPDATE equal_rows SET b = NULL WHERE a = 2 AND n::text = '1.0'",
            "UPDATE equal_rows SET b = 'n' WHERE " + some("equal_rows", "a IS NULL", 100),
            "INSERT INTO equal_rows SELECT 1, 'one', 1.0 FROM generate_series(1, 100);"
            " DELETE FROM equal_rows WHERE " + some("equal_rows", "b = 'one'", 60) + ";"
            " UPDATE equal_rows SET a = 4 WHERE b = 'one'; UPDATE equal_rows SET b = 'two' WHERE "
            + some("equal_rows", "a = 4", 50), "UPDATE equal_rows SET b = b"]),
    "unequal": image(
        "unequal", "j json, x xml, p point, f float8, big text", f"SELECT to_json(g), '<a/>',"
        f" point(g, 0), CASE g % 2 WHEN 0 THEN 0 ELSE '-0'::float8 END, {large('g')}"
        f" FROM generate_series(1, 60) g", [
            "UPDATE unequal SET f = '-0' WHERE f::text = '0' AND p[0] < 20",
            "UPDATE unequal SET j = 'null', x = NULL WHERE p[0] > 40; UPDATE unequal SET j = '{}'"
            " WHERE x IS NULL", "UPDATE unequal SET f = 'NaN' WHERE p[0] < 10;"
            " DELETE FROM unequal WHERE f = 'NaN'", "UPDATE unequal SET p = point(7, 7), big = 's'"
            " WHERE p[0] BETWEEN 20 AND 30; INSERT INTO unequal SELECT * FROM unequal",
            "DELETE FROM unequal WHERE " + some("unequal", "big = 's'", 7)]),
}
# Names that a statement of ours might use itself.
KEYLESS["clash"] = image(
    "clash", "id int, r spot, s spot, t spot, n spot", f"SELECT g, one, one, ROW(g, 1, '')::spot,"
    f" one FROM (SELECT ROW(1, 1, '')::spot) x (one), generate_series(1, {ROWS}) g", [
        "UPDATE clash SET n = t WHERE id % 2 = 0", "UPDATE clash SET t.note = 'x'",
        "DELETE FROM clash WHERE id % 3 = 0"])
KEYLESS["keyless_kinds"] = Case(
    (lambda make: make + "; ALTER TABLE keyless_kinds REPLICA IDENTITY FULL")(
        kinds("keyless_kinds", "")[0]), kinds("keyless_kinds", "")[1])

CIRCLE = """
CREATE TABLE hen (id int PRIMARY KEY, egg int, v int);
CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen DEFERRABLE INITIALLY DEFERRED, v int);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg DEFERRABLE INITIALLY DEFERRED;
"""
FAMILY = """
CREATE TABLE top (id int PRIMARY KEY, v int);
CREATE TABLE mid (id int PRIMARY KEY, top int REFERENCES top ON DELETE CASCADE ON UPDATE CASCADE,
                  v int);
CREATE TABLE leaf (id int PRIMARY KEY, mid int REFERENCES mid ON DELETE CASCADE);
CREATE TABLE loose (id int PRIMARY KEY, top int DEFAULT 1 REFERENCES top ON DELETE SET DEFAULT
                    ON UPDATE SET NULL);
CREATE TABLE told (what text, id int); ALTER TABLE told REPLICA IDENTITY FULL;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    INSERT INTO told VALUES (TG_TABLE_NAME || TG_OP, coalesce(NEW.id, OLD.id));
    RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON mid FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER tell BEFORE UPDATE OR DELETE ON leaf FOR EACH ROW EXECUTE FUNCTION tell();
"""
REFERENCES = {
    "circle": Case(CIRCLE + f"""BEGIN;
        INSERT INTO hen SELECT g, g, 0 FROM generate_series(1, {ROWS}) g;
        INSERT INTO egg SELECT g, g + 1, 0 FROM generate_series(1, {ROWS - 1}) g;
        INSERT INTO egg VALUES ({ROWS}, 1, 0); COMMIT""", [
            "UPDATE hen SET id = id + 1000 WHERE id % 2 = 0; UPDATE egg SET hen = hen + 1000"
            " WHERE hen % 2 = 0; UPDATE egg SET id = -id, v = 1; UPDATE hen SET egg = -egg, v = v"
            " + 1",
            "INSERT INTO egg SELECT g, g, 0 FROM generate_series(2001, 2200) g;"
            " INSERT INTO hen SELECT g, g, 0 FROM generate_series(2001, 2200) g",
            "DELETE FROM hen WHERE id > 2100; DELETE FROM egg WHERE id > 2100"]),
    "self": Case(
        f"CREATE TABLE self (id int PRIMARY KEY, boss int REFERENCES self ON DELETE CASCADE"
        f" ON UPDATE CASCADE, v int); INSERT INTO self SELECT g, g / 2, 0"
        f" FROM generate_series(1, 1) g WHERE false; INSERT INTO self SELECT g, NULLIF(g / 2, 0), 0"
        f" FROM generate_series(1, {ROWS}) g", [
            "UPDATE self SET id = -id WHERE id BETWEEN 2 AND 20; UPDATE self SET v = v + 1",
            "DELETE FROM self WHERE id IN (-5, 37)", "UPDATE self SET boss = id WHERE boss IS NULL",
            "INSERT INTO self SELECT g, g + 1, 0 FROM generate_series(1001, 1199) g UNION ALL"
            " SELECT 1200, 1001, 0; DELETE FROM self WHERE id = 1100"]),
    "family": Case(FAMILY + f"""
        INSERT INTO top SELECT g, 0 FROM generate_series(1, 100) g;
        INSERT INTO mid SELECT g, 1 + g % 100, 0 FROM generate_series(1, {ROWS}) g;
        INSERT INTO leaf SELECT g, 1 + g % {ROWS} FROM generate_series(1, {2 * ROWS}) g;
        INSERT INTO loose SELECT g, g FROM generate_series(1, 100) g""", [
            "DELETE FROM top WHERE id BETWEEN 10 AND 30",
            "UPDATE top SET id = id + 1000 WHERE id BETWEEN 31 AND 60; UPDATE top SET v = v + 1",
            "UPDATE mid SET v = v + 1; DELETE FROM mid WHERE id % 5 = 0; INSERT INTO mid SELECT"
            " g, 1, 9"
            f" FROM generate_series(5, {ROWS}, 5) g; UPDATE leaf SET mid = 5 WHERE mid % 5 = 1",
            "DELETE FROM top WHERE id > 1050; INSERT INTO top VALUES (1055, 7), (1060, 7)"]),
    "parents": Case(f"""
        CREATE TABLE parent (id serial PRIMARY KEY, v int);
        CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent, v int);
        CREATE TABLE beside (id int PRIMARY KEY, v int);
        INSERT INTO parent (v) SELECT generate_series(1, {ROWS});
        INSERT INTO child (parent) SELECT generate_series(1, {ROWS});
        INSERT INTO beside SELECT g, 0 FROM generate_series(1, {ROWS}) g""", [
            "UPDATE parent SET v = v + 1; UPDATE beside SET v = v + 1; TRUNCATE parent CASCADE;"
            f" INSERT INTO parent SELECT g, g FROM generate_series(1, {ROWS}) g; INSERT INTO child"
            f" SELECT g, g FROM generate_series(1, {ROWS}) g; UPDATE beside SET id = -id",
            "UPDATE child SET v = 1; UPDATE parent SET v = v + 1",
            "DELETE FROM child WHERE id > 10; UPDATE child SET v = 3; TRUNCATE child;"
            " DELETE FROM parent WHERE id <= 100; INSERT INTO child SELECT g, g FROM"
            " generate_series(101, 200) g; UPDATE beside SET v = v + 1; TRUNCATE child, parent;"
            " INSERT INTO parent VALUES (1, 1), (2, 2); INSERT INTO child VALUES (1, 1, 1);"
            " UPDATE parent SET v = 5 WHERE id = 2", "UPDATE beside SET v = v + 1",
            "BEGIN; SAVEPOINT a; TRUNCATE child; ROLLBACK TO a; INSERT INTO child VALUES (2, 2, 2);"
            " COMMIT", "TRUNCATE beside; INSERT INTO beside VALUES (1, 1)",
            "INSERT INTO beside SELECT g, 0 FROM generate_series(2, 300) g; TRUNCATE beside",
            "INSERT INTO beside SELECT g, 7 FROM generate_series(1, 300) g"]),
}

OTHERS = {
    "kinds": Case(*kinds("kinds")),
    "ident": Case(f"""
        CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,
            b int GENERATED BY DEFAULT AS IDENTITY, twice int GENERATED ALWAYS AS (a * 2) STORED,
            both_ text GENERATED ALWAYS AS ((a % 7)::text || 'x') STORED UNIQUE DEFERRABLE, v text);
        ALTER TABLE ident DROP CONSTRAINT ident_both__key;
        INSERT INTO ident (a) SELECT generate_series(1, {ROWS})""", [
            "UPDATE ident SET a = -a WHERE id % 2 = 0", "INSERT INTO ident (a) SELECT g FROM"
            " generate_series(1, 200) g", "UPDATE ident SET id = DEFAULT WHERE id % 5 = 0",
            "DELETE FROM ident WHERE id % 7 = 0; UPDATE ident SET b = b + 1, v = 'v';"
            " INSERT INTO ident (id, a) OVERRIDING SYSTEM VALUE SELECT g, 0 FROM"
            " generate_series(7, 70, 7) g; UPDATE ident SET a = 5 WHERE a = 0"]),
    "beside_ident": Case(f"""
        CREATE TABLE beside_ident (k text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v int);
        INSERT INTO beside_ident (k, v) SELECT 'k' || g, 0 FROM generate_series(1, {ROWS}) g""", [
            "UPDATE beside_ident SET v = v +"
            " 1", "UPDATE beside_ident SET n = DEFAULT WHERE n % 2 = 0",
            "UPDATE beside_ident SET k = k || '!' WHERE n % 3 = 0; UPDATE beside_ident SET v = 4"
            " WHERE n % 3 = 0", "DELETE FROM beside_ident WHERE n % 5 = 0; INSERT INTO beside_ident"
            " (k, v) SELECT 'k' || g, 9 FROM generate_series(1001, 1100) g"]),
    "partitions": Case(f"""
        CREATE TABLE ev (id int, region text, v text, PRIMARY KEY (region, id))
            PARTITION BY LIST (region);
        CREATE TABLE ev_a PARTITION OF ev FOR VALUES IN ('a') PARTITION BY RANGE (id);
        CREATE TABLE ev_a1 (gone int, v text, region text NOT NULL, id int NOT NULL);
        ALTER TABLE ev_a1 DROP gone;
        ALTER TABLE ev_a ATTACH PARTITION ev_a1 FOR VALUES FROM (0) TO (200);
        CREATE TABLE ev_a2 PARTITION OF ev_a DEFAULT;
        CREATE TABLE ev_b PARTITION OF ev FOR VALUES IN ('b');
        CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
        INSERT INTO ev SELECT g, (ARRAY['a', 'b', 'c', 'd'])[g % 4 + 1], 'v'
        FROM generate_series(1, {ROWS}) g""", [
            "UPDATE ev SET region = 'b' WHERE region = 'a'",
            "UPDATE ev SET region = 'a', v = 'w' WHERE id % 3 = 0; UPDATE ev SET v = v || v;"
            " UPDATE ev SET region = 'c' WHERE id % 6 = 0; UPDATE ev SET id = id + 1000"
            " WHERE region = 'a' AND id < 100", "UPDATE ev SET id = id - 1000 WHERE id > 1000",
            "UPDATE ev SET region = CASE region WHEN 'a' THEN 'b' WHEN 'b' THEN 'c' ELSE 'a' END",
            "TRUNCATE ev_b; INSERT INTO ev SELECT g, 'b', 'new' FROM generate_series(1, 200) g;"
            " DELETE FROM ev WHERE id % 10 = 0; UPDATE ev SET region = 'd' WHERE id % 10 = 1"
            " AND region ="
            " 'b'", "UPDATE ev SET v = NULL; UPDATE ev SET region = 'a', id = -id WHERE"
            " id % 5 = 1 AND region = 'c'"]),
    "split_full": Case(f"""
        CREATE TABLE split (k int, v text) PARTITION BY LIST (k);
        CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1);
        CREATE TABLE split_2 PARTITION OF split FOR VALUES IN (2);
        ALTER TABLE split REPLICA IDENTITY FULL; ALTER TABLE split_1 REPLICA IDENTITY FULL;
        ALTER TABLE split_2 REPLICA IDENTITY FULL;
        INSERT INTO split SELECT 1 + g % 2, 'same' FROM generate_series(1, 100) g""", [
            "UPDATE split SET k = 2 WHERE"
            " " + some("split_1", "true", 20).replace("ctid", "tableoid ="
            " 'split_1'::regclass AND ctid", 1), "UPDATE split SET k = 3 - k, v = 'x'",
            "DELETE FROM split_1 WHERE " + some("split_1", "true", 10)]),
    "names": Case(f"""
        CREATE SCHEMA "Odd ""schema"" é";
        CREATE TYPE "Odd ""schema"" é"."Mood's" AS ENUM ('a''b', '"', 'É');
        CREATE TABLE "Odd ""schema"" é"."Table ""x"" 'y' $1 %s" (
            "ID" int, "select" "Odd ""schema"" é"."Mood's" NOT NULL, "a ""b"" 'c'" int[],
            "é\u4e2d" text, "$1" json, PRIMARY KEY ("select", "ID"));
        INSERT INTO "Odd ""schema"" é"."Table ""x"" 'y' $1 %s" SELECT g, 'a''b', ARRAY[g], 'é', '1'
        FROM generate_series(1, {ROWS}) g""", [
            change.replace("@", """"Odd ""schema"" é"."Table ""x"" 'y' $1 %s\"""") for change in (
                """UPDATE @ SET "é\u4e2d" = NULL, "$1" = '{}' WHERE "ID" % 2 = 0""",
                """UPDATE @ SET "select" = '"' WHERE "ID" % 3 = 0; UPDATE @ SET "ID" = -"ID";"""
                """ UPDATE @ SET "a ""b"" 'c'" = '{}'""", """DELETE FROM @ WHERE "ID" % 5 = 0""",
                """INSERT INTO @ SELECT g, 'É' FROM generate_series(1, 200) g""")]),
    "wide_open": Case(
        f"CREATE TABLE wide_open (id bigserial PRIMARY KEY,"
        f" {', '.join(f'c{n} int' for n in range(60))});"
        f"INSERT INTO wide_open (c0) SELECT generate_series(1, {ROWS})", [
            *[f"UPDATE wide_open SET c{n} = c0 WHERE id % 5 = {n % 5}" for n in range(1, 10)],
            "UPDATE wide_open SET id = -id, c59 = 1; INSERT INTO wide_open (c5) SELECT"
            " generate_series(1, 100)"]),
    "clash_keyed": Case(
        f"CREATE TABLE t (n int PRIMARY KEY, t int, o int, a0 int, a1 int, b0 int, x0 int, gone"
        f" int);"
        f"INSERT INTO t SELECT g, 1, 2, 3, 4, 5, 6, 7 FROM generate_series(1, {ROWS}) g", [
            "UPDATE t SET a0 = a1, a1 = a0, b0 ="
            " 0", "UPDATE t SET n = -n, gone = x0 WHERE n % 2 = 0",
            "DELETE FROM t WHERE n % 3 = 0"]),
    "long_name": Case(  # of 63 bytes
        f"CREATE TABLE {'n' * 63} (id int PRIMARY KEY, {'c' * 63} int);"
        f"INSERT INTO {'n' * 63} SELECT g, 0 FROM generate_series(1, {ROWS}) g", [
            f"UPDATE {'n' * 63} SET {'c' * 63} = id; DELETE FROM {'n' * 63} WHERE id % 2 = 0",
            each(f"UPDATE {'n' * 63} SET id = -id WHERE id = i", 1, 99)]),
}

IDENTITIES = ("FULL", "USING INDEX"
" {0}_k_key", "DEFAULT", "FULL", "DEFAULT", "USING INDEX {0}_k_key",
              "FULL")
STEPS = ("UPDATE {0} SET v = v + 1", "UPDATE {0} SET k = k || 'x' WHERE id % 5 = 1",
         "UPDATE {0} SET id = -id WHERE id % 5 IN (-2, 2)", "DELETE FROM {0} WHERE id % 5 = 3",
         "INSERT INTO {0} SELECT g, 'k' || g || '{1}', 0, repeat('x', 3000) FROM"
         " generate_series(3, 200, 5) g", "UPDATE {0} SET v = 0 WHERE id % 5 = 3")


def identities(name, is_within):
    """Between the transactions, or within one transaction each."""
    make = (f"CREATE TABLE {name} (id int PRIMARY KEY, k text NOT NULL UNIQUE, v int, big text);"
            f"ALTER TABLE {name} ALTER big SET STORAGE EXTERNAL;"
            f"INSERT INTO {name} SELECT g, 'k' || g, g, repeat('x', 3000)"
            f" FROM generate_series(1, 200) g")
    changes = []
    for number, identity in enumerate(IDENTITIES):
        alter = f"ALTER TABLE {name} REPLICA IDENTITY {identity}".format(name)
        steps = [step.format(name, f" {number}") for step in STEPS]
        changes += ["; ".join(steps[:3] + [alter] + steps[3:])] if is_within else [alter, *steps]
    return Case(make, changes)


ALTERED = {"between": identities("altered", False), "within": identities("altered_within", True)}
