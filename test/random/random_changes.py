"""Random transactions over a random schema. A transaction's texts are made before the first of them
runs, from random numbers alone: what the server answers changes none of them."""
import psycopg
from psycopg import errors

from random_schema import INSERTS

# What may happen to a random statement beside three other sessions; all else is a mistake of ours.
EXPECTED = (errors.IntegrityError, errors.DeadlockDetected, errors.SerializationFailure,
            errors.ProgramLimitExceeded,  # a key too long for an index
            errors.ObjectInUse)  # a TRUNCATE where deferred checks wait
LARGE_BYTES = 100_000


class Changes:
    """One session's: step() runs a transaction. kept: how many statements stood at a commit."""

    def __init__(self, schema, rng, name):
        self.rng = rng
        self.name = name
        self.tables = [table for table in schema.tables if not table.is_frozen]
        self.kept = 0
        self.prepared = 0

    def step(self, session):
        run_transaction(session, self.transaction(), self)

    def transaction(self):
        """Lists of statements, each under a savepoint that is kept or not; and how it ends."""
        count = self.rng.choice((1, 1, 1, 2, 2, 3, 8))
        begin = "BEGIN" + self.rng.choice(("", "", "", " ISOLATION LEVEL REPEATABLE READ"))
        blocks = []
        for _ in range(count):
            texts = [self.statement() for _ in range(self.rng.choice((1, 1, 1, 2)))]
            blocks.append((texts, self.rng.random() < 0.85))
        end = self.rng.choices(("COMMIT", "ROLLBACK", "PREPARE"), (88, 8, 4))[0]
        if end == "PREPARE":
            self.prepared += 1
            end = f"PREPARE TRANSACTION '{self.name} {self.prepared}'"
        return begin, blocks, end

    def statement(self):
        rng = self.rng
        table = rng.choice(self.tables)
        if table.identity == INSERTS:
            return self.truncate(table) if rng.random() < 0.02 else self.insert(table)
        make = rng.choices((self.insert, self.update, self.move, self.delete, self.upsert, self.many,
                            self.large, self.same, self.lock, self.truncate),
                           (28, 28, 9, 17, 4, 3, 4, 3, 2, 0.6))[0]
        return make(table)

    def target(self, table):
        """The table, or a partition of it by its own name."""
        return self.rng.choice(table.leaves) if table.leaves and self.rng.random() < 0.2 else table.name

    def where(self, name, table, limit):
        start = self.rng.randrange(table.rows + 10)
        return (f" WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {name}"
                f" OFFSET {start} LIMIT {limit})")

    def insert(self, table):
        text = table.insert(self.rng, self.rng.choice((1, 1, 2, 5)))
        may_skip = table.may_skip and self.rng.random() < 0.3
        return text + " ON CONFLICT DO NOTHING" * may_skip

    def assign(self, table, columns):
        return "SET " + ", ".join(f"{column.name} = {table.cell(column, self.rng)}"
                                  for column in columns)

    def update(self, table):
        others = [column for column in table.written if column not in table.key]
        if not others:
            return self.refer(table)
        columns = self.rng.sample(others, min(len(others), self.rng.choice((1, 1, 2, 3))))
        name = self.target(table)
        return f"UPDATE {name} {self.assign(table, columns)}" + self.where(name, table, 3)

    def refer(self, table):
        if not table.references:
            return self.insert(table)
        ours, parent, theirs = self.rng.choice(table.references)
        names, picked = (", ".join(column.name for column in columns) for columns in (ours, theirs))
        start = self.rng.randrange(parent.rows + 2)
        return (f"UPDATE {table.name} SET ({names}) = (SELECT {picked} FROM {parent.name}"
                f" OFFSET {start} LIMIT 1)" + self.where(table.name, table, 2))

    def move(self, table):
        """Another key, or another partition."""
        keys = [column for column in table.key if column.is_written]
        if not keys:
            return self.refer(table)
        columns = self.rng.sample(keys, self.rng.randrange(1, len(keys) + 1))
        return f"UPDATE {table.name} {self.assign(table, columns)}" + self.where(table.name, table, 1)

    def delete(self, table):
        name = self.target(table)
        return f"DELETE FROM {name}" + self.where(name, table, self.rng.choice((1, 2, 4)))

    def upsert(self, table):
        others = [column for column in table.written if column not in table.key]
        if not table.key or not others or table.identity not in (0, 1):
            return self.insert(table)
        key = ", ".join(column.name for column in table.key)
        text = table.insert(self.rng, 1)
        return f"{text} ON CONFLICT ({key}) DO UPDATE {self.assign(table, others[:2])}"

    def many(self, table):
        columns = [column for column in table.written if column not in table.key][:1]
        where = self.where(table.name, table, 40)
        if not columns:
            return f"DELETE FROM {table.name}{where}"
        return f"UPDATE {table.name} {self.assign(table, columns)}{where}"

    def large(self, table):
        """A value that goes to the TOAST table, compressed or not."""
        usable = [column for column in table.written if column.kind.is_large
                  and not column.is_indexed and column not in table.key
                  and " COLLATE " not in column.extra]
        if not usable:
            return self.refer(table)
        column = self.rng.choice(usable)
        digest = f"md5('{self.rng.getrandbits(60)}')"
        count = self.rng.choice((LARGE_BYTES, 9000, 3000)) // 32
        text = f"repeat({digest}, {count})"
        value = {"bytea": f"decode({text}, 'hex')", "json": f"to_json({text})",
                 "jsonb": f"to_jsonb({text})"}.get(column.kind.name, text)
        return f"UPDATE {table.name} SET {column.name} = {value}" + self.where(table.name, table, 1)

    def same(self, table):
        columns = ", ".join(f"{column.name} = {column.name}" for column in table.columns
                            if column.is_written)
        return f"UPDATE {table.name} SET {columns}" + self.where(table.name, table, 2)

    def lock(self, table):
        return f"SELECT FROM {table.name}{self.where(table.name, table, 5)} FOR UPDATE"

    def truncate(self, table):
        name = self.target(table)
        restart = self.rng.choice((" RESTART IDENTITY", ""))
        return f"TRUNCATE {name}{restart} CASCADE"


def run_block(session, texts, is_kept):
    """Whether its statements stand."""
    session.execute("SAVEPOINT block")
    try:
        for text in texts:
            session.execute(text)
    except EXPECTED:
        is_kept = False
    session.execute("RELEASE block" if is_kept else "ROLLBACK TO block; RELEASE block")
    return is_kept


def run_transaction(session, transaction, changes):
    begin, blocks, end = transaction
    session.execute(begin)
    try:
        kept = sum(len(texts) for texts, is_kept in blocks if run_block(session, texts, is_kept))
        session.execute(end)
    except EXPECTED:
        if session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            session.execute("ROLLBACK")
        return
    if end.startswith("PREPARE"):
        session.execute(end.replace("PREPARE TRANSACTION", "COMMIT PREPARED"))
    if end != "ROLLBACK":
        changes.kept += kept
