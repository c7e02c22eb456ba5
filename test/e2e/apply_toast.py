"""Cases of test_apply.py: values out of line, which the stream leaves out where they stay."""
from harness.apply import Case

ROWS = 40
LONG = 3200  # bytes of the values that are many
HUGE = 100_000  # bytes of the one row's


def large(what, size=LONG):
    """Text that grows with its size whatever compresses it."""
    return f"repeat(md5(({what})::text), {size // 32})"


def toasted(name, identity="DEFAULT"):
    make = (f"CREATE TABLE {name} (id int PRIMARY KEY, k text NOT NULL UNIQUE, n int, big text,"
            f" big2 bytea, doc jsonb);"
            f"ALTER TABLE {name} ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL,"
            f" ALTER doc SET STORAGE EXTERNAL; ALTER TABLE {name} REPLICA IDENTITY {identity};"
            f"INSERT INTO {name} SELECT g, 'k' || g, 0, {large('g')},"
            f" decode({large('-g')}, 'hex'), to_jsonb({large('g * 7')})"
            f" FROM generate_series(1, {ROWS}) g;"
            f"INSERT INTO {name} SELECT -g, 'huge' || g, 0, {large('g', HUGE)}"
            f" FROM generate_series(1, 3) g")
    return Case(make, [
        f"UPDATE {name} SET n = n + 1", f"UPDATE {name} SET n = n + 1; UPDATE {name} SET n = n + 1",
        f"UPDATE {name} SET n = n", f"UPDATE {name} SET id = id + 1000 WHERE id % 4 = 1",
        f"UPDATE {name} SET id = id - 1000, k = k || '!', n = 5 WHERE id > 1000",
        f"UPDATE {name} SET big2 = NULL, doc = 'null' WHERE id % 5 = 0",
        f"UPDATE {name} SET big = 'short' WHERE id % 7 = 0; UPDATE {name} SET n = 6 WHERE id % 7"
        f" < 2",
        f"UPDATE {name} SET big = {large('id + 1')} WHERE id % 7 = 1; UPDATE {name} SET n = n + 1",
        f"UPDATE {name} SET id = id + 2000 WHERE id % 3 = 0; UPDATE {name} SET n = 8 WHERE id >"
        f" 2000;"
        f" UPDATE {name} SET doc = '{{}}' WHERE id > 2010; UPDATE {name} SET id = id - 2000"
        f" WHERE id > 2000",
        f"INSERT INTO {name} SELECT g, 'k' || g, 0, {large('g')} FROM generate_series(101, 120) g;"
        f" UPDATE {name} SET n = 1 WHERE id > 100; UPDATE {name} SET id = id + 100 WHERE id > 110;"
        f" UPDATE {name} SET n = 2, k = k || '?' WHERE id > 115",
        f"UPDATE {name} SET big2 = '\\x00' WHERE id > 100",
        f"DELETE FROM {name} WHERE id % 6 = 0; INSERT INTO {name} SELECT g, 'k6 ' || g, 1, 'new'"
        f" FROM generate_series(6, {ROWS}, 6) g; UPDATE {name} SET n = 3 WHERE id % 6 = 0",
        f"UPDATE {name} SET id = -id - 10 WHERE id BETWEEN 1 AND 9; INSERT INTO {name} SELECT g,"
        f" 'again ' || g, 1, {large('g * 3')} FROM generate_series(1, 9) g; UPDATE {name} SET n = 9"
        f" WHERE id < 10; UPDATE {name} SET id = id - 100 WHERE id < 0",
        f"UPDATE {name} SET n = NULL, doc = to_jsonb({large('id')})"])


def toasted_key(name, identity, key):
    """The key itself is out of line: an index takes less than a third of a page."""
    make = (f"CREATE TABLE {name} (k text NOT NULL, l int NOT NULL, n int, big text);"
            f"ALTER TABLE {name} ALTER k SET STORAGE EXTERNAL, ALTER big SET STORAGE EXTERNAL;"
            f"{key}; ALTER TABLE {name} REPLICA IDENTITY {identity};"
            f"INSERT INTO {name} SELECT {large('g', 2400)}, g, 0, {large('-g')}"
            f" FROM generate_series(1, {ROWS}) g")
    return Case(make, [
        f"UPDATE {name} SET n = n + 1", f"UPDATE {name} SET n = n + 1; UPDATE {name} SET n = n + 1",
        f"UPDATE {name} SET l = -l WHERE l % 3 = 0", f"UPDATE {name} SET k = {large('l + 1', 2400)}"
        f" WHERE l % 4 = 0; UPDATE {name} SET n = 9 WHERE l % 4 < 2",
        f"UPDATE {name} SET k = 'short ' || l, big = NULL WHERE l % 5 = 0",
        f"UPDATE {name} SET l = l + 100, n = 4; UPDATE {name} SET n = 5; UPDATE {name} SET l = l"
        f" - 100",
        f"DELETE FROM {name} WHERE l % 6 = 0; INSERT INTO {name} SELECT {large('g', 2400)}, g, 1,"
        f" NULL"
        f" FROM generate_series(6, {ROWS}, 6) g; UPDATE {name} SET n = 7"])


TOAST = {
    "default": toasted("toast_default"),
    "full": toasted("toast_full", "FULL"),
    "index": toasted("toast_index", "USING INDEX toast_index_k_key"),
    "key": toasted_key("toast_key", "DEFAULT", "ALTER TABLE toast_key ADD PRIMARY KEY (k, l)"),
    "key_full": toasted_key("toast_kfull", "FULL", "ALTER TABLE toast_kfull ADD PRIMARY KEY (k,"
    " l)"),
    "key_none": toasted_key("toast_none", "FULL", "SELECT 1"),
}
