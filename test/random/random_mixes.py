"""Random tables and random transactions over few rows each, so that keys, unique values and large
values meet again and again. One thread moves four sessions in turn: what waits for another gives
up, and a seed does the same each time."""
import dataclasses
import random

from psycopg import errors

SESSIONS = 4
TOGETHER = 5  # seeds that share databases, and groups
# What may happen to a random statement beside three other sessions; all else is a mistake of ours.
EXPECTED = (errors.IntegrityError, errors.LockNotAvailable, errors.ObjectInUse,
            errors.SerializationFailure)
WIDE = 3000  # bytes of a large value, which is kept out of line

# Identity: name, columns of the key, what makes it.
KEYS = {
    "int": ("id int", "id", "ADD PRIMARY KEY (id)"),
    "pair": ("id int, part text", "part, id", "ADD PRIMARY KEY (part, id)"),
    "numeric": ("id numeric", "id", "ADD PRIMARY KEY (id)"),
    "char": ("id char(6)", "id", "ADD PRIMARY KEY (id)"),
    "index": ("id int NOT NULL", "id", "ADD CONSTRAINT {0}_key UNIQUE (id)"),
    "late": ("id int", "id", "ADD PRIMARY KEY (id) DEFERRABLE"),
    "none": ("id int", "", "ALTER id DROP NOT NULL"),
}
RULES = {
    "u": "ADD UNIQUE (u)",
    "u late": "ADD UNIQUE (u) DEFERRABLE",
    "u pair": "ADD UNIQUE (u, grp)",
    "act": "CREATE UNIQUE INDEX ON {0} (grp) WHERE act",
    "name": "CREATE UNIQUE INDEX ON {0} (lower(name))",
    "during": "ADD EXCLUDE USING gist (during WITH &&)",
}
COLUMNS = ("u int, grp int, act boolean, name text, during int4range, big text, n int, list int[],"
           " doc json")


@dataclasses.dataclass
class Table:
    name: str
    key: str
    rules: list
    is_full: bool
    is_split: bool
    parent: object
    rows: int  # keys are taken from about so many

    @property
    def statements(self):
        columns, key, identity = KEYS[self.key]
        yield (f"CREATE TABLE {self.name} ({columns}, {COLUMNS})"
               + " PARTITION BY HASH (id)" * self.is_split)
        tables = [self.name]
        if self.is_split:
            for number in (0, 1):
                tables.append(f"{self.name}_{number}")
                yield (f"CREATE TABLE {tables[-1]} PARTITION OF {self.name} FOR VALUES WITH"
                       f" (MODULUS 2, REMAINDER {number})")
        bare = self.name.split(".")[1]
        yield f"ALTER TABLE {self.name} {identity.format(bare)}"
        for table in tables:
            yield f"ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL"
            if self.is_full:
                yield f"ALTER TABLE {table} REPLICA IDENTITY FULL"
            elif self.key == "index":
                yield f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {bare}_key"
        for rule in self.rules:
            text = RULES[rule].format(self.name)
            yield text if text.startswith("CREATE") else f"ALTER TABLE {self.name} {text}"
        if self.parent:
            yield (f"ALTER TABLE {self.name} ADD FOREIGN KEY (grp) REFERENCES {self.parent.name}"
                   " ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED")

    @property
    def can_be_altered(self):
        return self.key not in ("late", "none") and not self.is_split


def block(seed):
    """Seeds of one block are alike where one would spoil it for all: a set that is refused, for one
    table's rule or trigger, takes back its group."""
    return (seed - 1) // TOGETHER


def make_tables(seed):
    """Three tables of a seed, in a schema of its own."""
    rng = random.Random(f"tables {seed}")
    tables = []
    for number in range(3):
        key = rng.choices(list(KEYS), (4, 3, 3, 1, 3, 1, 2))[0]
        parents = [table for table in tables if table.key == "int" and not table.is_split]
        is_split = key in ("int", "pair", "numeric") and rng.random() < 0.2
        has_rules = not is_split and block(seed) % 2 == 1
        rules = rng.sample(list(RULES), rng.choice((0, 1, 1, 2, 3))) if has_rules else []
        tables.append(Table(
            f"mix{seed}.t{number}", key, rules, key in ("late", "none") or rng.random() < 0.25,
            is_split, rng.choice(parents) if parents and rng.random() < 0.5 else None,
            rng.choice((12, 60, 300))))
    return tables


class Statements:
    """Random statements over tables."""

    def __init__(self, tables, rng):
        self.tables = tables
        self.rng = rng

    def make(self):
        rng = self.rng
        self.table = rng.choice(self.tables)
        chosen = rng.choices(
            (self.insert, self.update, self.move, self.hand_over, self.delete, self.again,
             self.wide, self.same, self.all, self.shift, self.flicker, self.alter, self.truncate),
            (24, 16, 14, 16, 9, 6, 8, 2, 6, 3, 4, 0.8, 0.2))[0]
        return chosen()

    # --- pieces ---

    def number(self):
        return self.rng.randrange(self.table.rows)

    def key(self, number):
        return {"pair": f"{number}, '{'ab'[number % 2]}'", "char": f"'k{number}'",
                "numeric": f"{number}{self.rng.choice(('', '.0', '.00'))}"}.get(self.table.key,
                                                                               str(number))

    def where(self, count=1):
        low = self.number() // 2 * self.rng.choice((1, 2, 2))
        number = {"char": "ltrim(id, 'k')::int"}.get(self.table.key, "id")
        condition = f"{number} BETWEEN {low} AND {low + count - 1}"
        if self.table.key == "none" and self.rng.random() < 0.7:
            return (f" WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {self.table.name}"
                    f" WHERE {condition} LIMIT {self.rng.randrange(1, 4)})")
        return f" WHERE {condition}"

    def value(self, column):
        rng, rows = self.rng, self.table.rows
        return {
            "u": lambda: rng.choice(("NULL", str(rng.randrange(rows)),
                                     str(rng.randrange(rows * 3)))),
            "grp": lambda: rng.choice(("NULL", str(rng.randrange(rows // 3)))),
            "act": lambda: rng.choice(("true", "false")),
            "name": lambda: rng.choice(("NULL", f"'n{rng.randrange(rows)}'",
                                        f"'N{rng.randrange(rows)}'")),
            "during": lambda: (lambda low: rng.choice(("NULL", f"int4range({low}, {low + 3})")))(
                rng.randrange(3 * rows)),
            "big": lambda: rng.choice(("NULL", "'s'", f"repeat(md5('{rng.random()}'),"
            f" {WIDE // 32})")),
            "n": lambda: str(rng.randrange(9)),
            "list": lambda: rng.choice(("NULL", "'{}'", "'{{1,2},{3,NULL}}'")),
            "doc": lambda: rng.choice(("NULL", "'[1, 2]'", "'{\"a\": 1}'")),
        }[column]()

    def fields(self):
        names = [column.split()[0] for column in COLUMNS.split(", ")]
        return names, ", ".join(self.value(name) for name in names)

    # --- statements ---

    def insert(self, number=None):
        names, values = self.fields()
        names = ", ".join((["id", "part"] if self.table.key == "pair" else ["id"]) + names)
        number = self.number() if number is None else number
        return f"INSERT INTO {self.table.name} ({names}) VALUES ({self.key(number)}, {values})"

    def fill(self):
        """Every other row of each table, or so."""
        for self.table in self.tables:
            yield from (self.insert(number) for number in range(0, self.table.rows, 2))

    def update(self):
        columns = self.rng.sample([column.split()[0] for column in COLUMNS.split(", ")],
                                  self.rng.choice((1, 1, 2)))
        sets = ", ".join(f"{column} = {self.value(column)}" for column in columns)
        return f"UPDATE {self.table.name} SET {sets}" + self.where(self.rng.choice((1, 1, 1, 3)))

    def new_key(self):
        number = self.number()
        if self.table.key == "pair" and self.rng.random() < 0.6:
            return "part = CASE part WHEN 'a' THEN 'b' ELSE 'a' END"
        if self.table.key == "numeric" and self.rng.random() < 0.4:
            return self.rng.choice(("id = id + 0.0", "id = trim_scale(id)", "id = id + 0.00, act"
            " = NULL"))
        return f"id = {self.key(number).split(',')[0]}"

    def move(self):
        more = self.rng.choice(("", "", ", n = n + 1", f", u = {self.value('u')}",
                                f", big = {self.value('big')}"))
        return f"UPDATE {self.table.name} SET {self.new_key()}{more}" + self.where()

    def hand_over(self):
        """Values that must be unique go from one row to another."""
        name, one, other = self.table.name, self.where(), self.where()
        return self.rng.choice((
            lambda: f"UPDATE {name} SET act = false{one}; UPDATE {name} SET act = true{other}",
            lambda: f"UPDATE {name} SET u = -1{one}; UPDATE {name} SET u ="
            f" {self.value('u')}{other};"
                    f" UPDATE {name} SET u = {self.value('u')}{one}",
            lambda: f"UPDATE {name} SET name = NULL{one}; UPDATE {name} SET name = upper(name),"
                    f" n = n + 1{other}; UPDATE {name} SET name = {self.value('name')}{one}",
            lambda: f"UPDATE {name} SET during = NULL{one}; UPDATE {name} SET during ="
                    f" {self.value('during')}{other}; UPDATE {name} SET during ="
                    f" {self.value('during')}{one}",
            lambda: f"DELETE FROM {name}{one}; UPDATE {name} SET u = {self.value('u')},"
                    f" grp = {self.value('grp')}, act = true{other}; {self.insert()}",
        ))()

    def delete(self):
        return f"DELETE FROM {self.table.name}" + self.where(self.rng.choice((1, 1, 2, 5)))

    def again(self):
        """A key that goes and comes, deleted or moved away."""
        number = self.number()
        where = {"char": f" WHERE id = 'k{number}'"}.get(self.table.key, f" WHERE id = {number}")
        gone = self.rng.choice((f"DELETE FROM {self.table.name}{where}",
                                f"UPDATE {self.table.name} SET {self.new_key()}{where}"))
        after = self.rng.choice(("", f"; UPDATE {self.table.name} SET n = 77{where}",
                                 f"; DELETE FROM {self.table.name}{where}"))
        return f"{gone}; {self.insert(number)}{after}"

    def flicker(self):
        number = self.number() + 1000
        where = {"char": f" WHERE id = 'k{number}'"}.get(self.table.key, f" WHERE id = {number}")
        gone = f"DELETE FROM {self.table.name}{where}"
        return f"{self.insert(number)}; {gone}; {self.insert(number)}; {gone}"

    def wide(self):
        return f"UPDATE {self.table.name} SET big = {self.value('big')}, n = n + 1" + self.where(2)

    def same(self):
        return f"UPDATE {self.table.name} SET n = n, big = big, id = id" + self.where(5)

    def all(self):
        half = self.where(self.table.rows // 2)
        return self.rng.choice((f"UPDATE {self.table.name} SET n = n + 1",
                                f"UPDATE {self.table.name} SET n = n + 1, list = NULL{half}",
                                f"UPDATE {self.table.name} SET doc = '[]'{half}",
                                f"UPDATE {self.table.name} SET big = repeat(md5(id::text || n),"
                                f" {WIDE // 32}){half}",
                                f"UPDATE {self.table.name} SET id = id, grp = NULL{half}",
                                f"UPDATE {self.table.name} SET n = n + 1, act = false",
                                f"UPDATE {self.table.name} SET n = 0 WHERE n > 5",
                                f"UPDATE {self.table.name} SET u = -u, during = NULL"))

    def shift(self):
        """id = id + 1 and u = u + 1, the greatest first."""
        column = "u" if self.table.key in ("char", "none") or self.rng.random() < 0.5 else "id"
        low = self.number()
        return (f"DO $$ BEGIN FOR i IN REVERSE {low + 8}..{low} LOOP UPDATE {self.table.name} SET"
                f" {column} = i + 1 WHERE {column} = i; END LOOP; END $$")

    def alter(self):
        if not self.table.can_be_altered:
            return self.insert()
        identities = ["FULL", "DEFAULT"] if self.table.key != "index" else [
            "FULL", f"USING INDEX {self.table.name.split('.')[1]}_key"]
        return f"ALTER TABLE {self.table.name} REPLICA IDENTITY {self.rng.choice(identities)}"

    def truncate(self):
        return f"TRUNCATE {self.table.name} CASCADE"


class Writer:
    """A seed's four sessions. kept: statements that stood at a commit."""

    def __init__(self, seed, database):
        self.seed = seed
        self.rng = random.Random(f"writes {seed}")
        self.statements = Statements(make_tables(seed), self.rng)
        options = "-c lock_timeout=2ms -c statement_timeout=30s"
        self.sessions = [database.connect(options=options) for _ in range(SESSIONS)]
        self.left = [0] * SESSIONS  # statements that the session's transaction has still to make
        self.made = [0] * SESSIONS  # statements of it that stand
        self.kept = 0
        self.prepared = 0

    def fill(self):
        for text in self.statements.fill():
            try:
                self.sessions[0].execute(text)
            except EXPECTED:
                pass

    def write(self, transactions):
        """Begins so many transactions and ends all."""
        while transactions or any(self.left):
            turn = self.rng.randrange(SESSIONS)
            if self.left[turn]:
                self._step(turn)
            elif transactions:
                transactions -= 1
                self.left[turn] = self.rng.choice((1, 1, 2, 3, 5, 12)) + 1
                self.made[turn] = 0
                self.sessions[turn].execute("BEGIN")

    def _step(self, turn):
        session = self.sessions[turn]
        self.left[turn] -= 1
        if not self.left[turn]:
            self._end(turn)
            return
        text = self.statements.make()
        is_kept = self.rng.random() < 0.9
        try:
            session.execute(f"SAVEPOINT s; {text}; "
                            + ("RELEASE s" if is_kept else "ROLLBACK TO s; RELEASE s"))
            self.made[turn] += is_kept
        except EXPECTED:
            session.execute("ROLLBACK TO s; RELEASE s")

    def _end(self, turn):
        end = self.rng.choices(("COMMIT", "ROLLBACK", "PREPARE"), (90, 6, 4))[0]
        if end == "PREPARE":
            self.prepared += 1
            name = f"mix {self.seed} {self.prepared}"
            end = f"PREPARE TRANSACTION '{name}'; COMMIT PREPARED '{name}'"
        try:
            for text in end.split("; "):
                self.sessions[turn].execute(text)
            self.kept += self.made[turn] if end != "ROLLBACK" else 0
        except EXPECTED:  # a constraint that was deferred to the commit
            if self.sessions[turn].info.transaction_status:
                self.sessions[turn].execute("ROLLBACK")

    def close(self):
        for session in self.sessions:
            session.close()
