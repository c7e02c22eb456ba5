"""Tables and writing sessions that several tests use."""
import psycopg
from psycopg import errors

# Every replica identity, TOAST, a unique column beside the key, partitions, no key at all.
MILL = """
CREATE TABLE item (id int PRIMARY KEY, n int, u int UNIQUE, big text, small text DEFAULT 's');
ALTER TABLE item ALTER big SET STORAGE EXTERNAL;
INSERT INTO item SELECT g, g, g, repeat('x', 3000), 'small' FROM generate_series(1, {rows}, 5) g;
INSERT INTO item SELECT g, g, g, NULL, 'small' FROM generate_series(1, {rows}) g
    ON CONFLICT DO NOTHING;
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text,
                    twice bigint GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO event (what) SELECT 'event ' || g FROM generate_series(1, {rows}) g;
CREATE TABLE trace (a int, b text);
ALTER TABLE trace REPLICA IDENTITY FULL;
INSERT INTO trace SELECT g % 50, 'b' || g % 7 FROM generate_series(1, 500) g;
CREATE TABLE code (a int NOT NULL, b text NOT NULL, c int);
CREATE UNIQUE INDEX code_key ON code (a, b);
ALTER TABLE code REPLICA IDENTITY USING INDEX code_key;
INSERT INTO code SELECT g, 'c' || g, g FROM generate_series(1, 300) g;
CREATE TABLE split (id int, k int, v text, PRIMARY KEY (k, id)) PARTITION BY RANGE (k);
CREATE TABLE split_low PARTITION OF split FOR VALUES FROM (0) TO (10);
CREATE TABLE split_high PARTITION OF split DEFAULT;
INSERT INTO split SELECT g, g % 20, 'v' FROM generate_series(1, 1000) g;
CREATE TABLE scratch (id int PRIMARY KEY);
"""


def make_mill(database, rows=2000):
    database.sql(MILL.format(rows=rows))


def _change(session, rng):
    """One statement of the mill."""
    i = rng.randrange(1, 2500)
    choice = rng.randrange(14)
    if choice == 0:
        session.execute("INSERT INTO item VALUES (%s, 1, %s, repeat('y', 4000))"
                        " ON CONFLICT DO NOTHING", (i, i))
    elif choice == 1:
        session.execute("UPDATE item SET n = n + 1 WHERE id = %s", (i,))
    elif choice == 2:
        session.execute("UPDATE item SET big = repeat(%s, 3500) WHERE id = %s",
                        (rng.choice("abc"), i))
    elif choice == 3:
        session.execute("UPDATE item SET id = %s, u = -id WHERE id = %s", (i + 3000, i))
    elif choice == 4:
        session.execute("DELETE FROM item WHERE id = %s", (i + 3000,))
    elif choice in (5, 6):
        session.execute("INSERT INTO event (what) VALUES ('more')")
    elif choice == 7:
        session.execute("INSERT INTO trace SELECT %s, 'dup' FROM generate_series(1, 3)", (i % 20,))
    elif choice == 8:
        session.execute("UPDATE trace SET b = 'moved' WHERE ctid = (SELECT ctid FROM trace"
                        " WHERE a = %s LIMIT 1)", (i % 20,))
    elif choice == 9:
        session.execute("DELETE FROM trace WHERE ctid = (SELECT ctid FROM trace"
                        " WHERE a = %s LIMIT 1)", (i % 20,))
    elif choice == 10:
        session.execute("UPDATE code SET b = b || 'x', c = %s WHERE a = %s", (i, i % 300))
    elif choice == 11:
        session.execute("UPDATE split SET k = %s WHERE id = %s", (rng.randrange(20), i % 1000))
    elif choice == 12:
        session.execute("INSERT INTO scratch VALUES (%s) ON CONFLICT DO NOTHING", (i,))
    else:
        session.execute("UPDATE item SET small = NULL WHERE id BETWEEN %s AND %s", (i, i + 10))


def mill_step(session, rng):
    """A transaction of the mill: some change much, some are rolled back, in part or whole."""
    try:
        with session.transaction():
            for _ in range(rng.choice((1, 1, 2, 8))):
                _change(session, rng)
            if rng.random() < 0.2:
                with session.transaction():
                    _change(session, rng)
                    if rng.random() < 0.5:
                        raise psycopg.Rollback
            if rng.random() < 0.0005:
                session.execute("TRUNCATE scratch")
            if rng.random() < 0.05:
                raise psycopg.Rollback
    except (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure):
        pass


def large_step(session, rng):
    """A transaction of the mill that a source with logical_decoding_work_mem = '64kB' sends before
    its end, and that takes more than the least that an engine keeps in memory."""
    fill = "INSERT INTO event (what) SELECT repeat('w', 400) FROM generate_series(1, %s)"
    with session.transaction():
        session.execute(fill, (600,))
        with session.transaction():
            session.execute(fill, (400,))
            if rng.random() < 0.5:
                raise psycopg.Rollback
        session.execute(fill, (600,))
        if rng.random() < 0.2:
            raise psycopg.Rollback


STREAMED = {"logical_decoding_work_mem": "64kB", "spill_memory": "64kB"}
KEPT = {"TRUNKLINE_APPLY_AHEAD": "false"}  # what is streamed is kept until it commits
ACCOUNTS = 200
OPENING = 1000
BANK = f"""
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note text);
INSERT INTO account SELECT g, {OPENING}, repeat('n', 200) FROM generate_series(1, {ACCOUNTS}) g;
CREATE TABLE transfer (id bigserial PRIMARY KEY, sender int NOT NULL REFERENCES account,
                       receiver int NOT NULL REFERENCES account, amount bigint NOT NULL);
"""
TOTAL = "SELECT coalesce(sum(balance), 0) FROM account"
# Accounts whose balance is not what the transfers say.
OFF_BALANCE = f"""
SELECT count(*) FROM account LEFT JOIN (
    SELECT id, sum(amount) AS told FROM (
        SELECT receiver AS id, amount FROM transfer UNION ALL SELECT sender, -amount FROM transfer) m
    GROUP BY id) t USING (id)
WHERE balance <> {OPENING} + coalesce(told, 0)"""


def make_bank(database):
    database.sql(BANK)


def transfer(session, rng):
    """Moves money between two accounts; every tenth time the sender thinks again."""
    sender, receiver = sorted(rng.sample(range(1, ACCOUNTS + 1), 2))
    amount = rng.randrange(-50, 51)
    with session.transaction():
        session.execute("UPDATE account SET balance = balance - %s WHERE id = %s", (amount, sender))
        with session.transaction():
            session.execute("UPDATE account SET balance = balance + %s WHERE id = %s",
                            (amount, receiver))
            session.execute("INSERT INTO transfer (sender, receiver, amount) VALUES (%s, %s, %s)",
                            (sender, receiver, amount))
        if rng.random() < 0.1:
            raise psycopg.Rollback


def payday(session, rng):
    """Every other account pays its neighbour, in one transaction."""
    amount = rng.randrange(1, 50)
    with session.transaction():
        session.execute("SELECT id FROM account ORDER BY id FOR UPDATE")
        session.execute("UPDATE account SET balance = balance + CASE id %% 2 WHEN 0 THEN %s ELSE %s END",
                        (amount, -amount))
        session.execute("INSERT INTO transfer (sender, receiver, amount)"
                        " SELECT id, id + 1, %s FROM account WHERE id %% 2 = 1", (amount,))


def check_bank(session, rng):
    """What a reader must see at every moment, in one statement and in one snapshot."""
    total, = session.execute(TOTAL).fetchone()
    assert total == ACCOUNTS * OPENING, f"the accounts hold {total}"
    off, = session.execute(OFF_BALANCE).fetchone()
    assert off == 0, f"{off} balances do not follow from the transfers"
