"""A schema made from a number: types, tables with every sort of key, constraints, partitions. The
number alone decides the texts. `random_schema.py 17` prints those of seed 17.

    maker = Schema(17)
    maker.statements     makes it
    maker.fill()         its first rows
    maker.tables         what random_changes.py changes"""
import random
import sys

from odd_values import (Kind, Names, array_of, builtins, composite_of, domain_of, enum_of, ident,
                        narrow_range, quote, range_of)

EXTENSIONS = ("CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;"
              " CREATE EXTENSION citext SCHEMA ext")
KEYED, INDEXED, FULL, FULL_KEYED, DEFERRED, INSERTS = range(6)  # how rows are identified
UNIQUE_KINDS = ("uuid", "bigint", "integer", "text")  # unique in columns beside the key, at times
BATCH = 10


class Column:
    """name is quoted already. extra: what follows the type in a definition."""

    def __init__(self, name, kind, extra="", is_written=True):
        self.name = name
        self.kind = kind
        self.extra = extra
        self.is_written = is_written  # not generated, nor filled by the server
        self.is_indexed = False

    @property
    def definition(self):
        return f"{self.name} {self.kind.name} {self.extra}".rstrip()


class Table:
    """What a change needs to know. For partitioned tables the root; `leaves` may be changed, too."""

    def __init__(self, name, columns, key, identity):
        self.name = name
        self.columns = columns
        self.key = key
        self.identity = identity
        self.references = []  # (columns, parent table, its columns)
        self.leaves = []
        self.is_frozen = False  # its changes are not followed
        self.may_skip = identity != DEFERRED  # ON CONFLICT knows no deferrable constraint
        self.rows = 0

    @property
    def written(self):
        tied = {column for columns, _, _ in self.references for column in columns}
        return [column for column in self.columns if column.is_written and column not in tied]

    def insert(self, rng, count, columns=None):
        """Rows with values of all columns, or of those; references point to rows that are there."""
        columns = columns or self.written
        rows = ", ".join("(" + ", ".join(self.cell(column, rng) for column in columns) + ")"
                         for _ in range(count))
        names = [column.name for column in columns]
        picked, joins = ["v.*"], ""
        for i, (ours, parent, theirs) in enumerate(self.references):
            names += [column.name for column in ours]
            picked += [f"r{i}.{column.name}" for column in theirs]
            joins += (f" LEFT JOIN (SELECT {', '.join(column.name for column in theirs)}"
                      f" FROM {parent.name} OFFSET {rng.randrange(parent.rows + 2)} LIMIT 1) r{i} ON true")
        overriding = " OVERRIDING SYSTEM VALUE" if rng.random() < 0.2 else ""
        return (f"INSERT INTO {self.name} ({', '.join(names)}){overriding}"
                f" SELECT {', '.join(picked)} FROM (VALUES {rows}) v{joins}")

    def cell(self, column, rng):
        if column in self.key or "NOT NULL" in column.extra:
            return column.kind.value(rng)
        return column.kind.value_or_null(rng)


class Schema:
    def __init__(self, seed, has_icu=True, plain=(), has_generated=True):
        self.seed = seed
        self.has_generated = has_generated
        self.rng = random.Random(f"schema {seed}")
        self.names = Names(self.rng, plain=plain)
        self.multiranges = Names(random.Random(f"multiranges {seed}"))
        self.statements = []
        self.tables = []
        self.kinds = builtins()
        names = Names(self.rng, f"seed {seed} ")
        self.schemas = [ident(names.next("s")) for _ in range(self.rng.choice((1, 2, 3)))]
        for schema in self.schemas:
            self.add(f"CREATE SCHEMA {schema}")
        self._collation(has_icu)
        self._types()
        for _ in range(self.rng.randrange(5, 16)):
            self._table()

    def add(self, text):
        self.statements.append(text)

    def name(self, kind):
        return f"{self.rng.choice(self.schemas)}.{ident(self.names.next(kind))}"

    def chance(self, probability):
        return self.rng.random() < probability

    # --- types ---

    def _collation(self, has_icu):
        name = self.name("collation")
        if has_icu:
            self.add(f"CREATE COLLATION {name} (provider = icu, locale = 'und-u-ks-level2',"
                     " deterministic = false)")
        text = next(kind for kind in self.kinds if kind.name == "text")
        self.uncased = Kind("text", text.make, is_key=True)
        self.uncased_extra = f"COLLATE {name}" if has_icu else ""

    def _types(self):
        made = []
        for _ in range(self.rng.randrange(2, 4)):
            name = self.name("enum")
            labels = [self.names.next("label") for _ in range(self.rng.randrange(2, 6))]
            self.add(f"CREATE TYPE {name} AS ENUM ({', '.join(map(quote, labels))})")
            made.append(enum_of(name, labels))
        for make in self.rng.choices((self._domain, self._composite, self._range), k=6):
            kind = make(self.kinds + made * 4)
            made.append(kind)
        self.kinds += made * 3  # more often than one of sixty
        self.kinds += [array_of(kind) for kind in self.rng.sample(self.kinds, 12) + made]

    def _domain(self, kinds):
        base = self.rng.choice(kinds + [array_of(kind) for kind in kinds])
        name = self.name("domain")
        default = f" DEFAULT {base.value(self.rng)}" if self.chance(0.3) else ""
        self.add(f"CREATE DOMAIN {name} AS {base.name}{default}"
                 f" CONSTRAINT {ident(self.names.next('check'))} CHECK (pg_column_size(VALUE) < 10000000)")
        return domain_of(name, base)

    def _composite(self, kinds):
        name = self.name("composite")
        fields = [self.rng.choice(kinds) for _ in range(self.rng.randrange(1, 5))]
        inside = ", ".join(f"{ident(self.names.next('field'))} {kind.name}" for kind in fields)
        self.add(f"CREATE TYPE {name} AS ({inside})")
        return composite_of(name, fields)

    def _range(self, kinds):
        plain = ("double precision", "text", "uuid", "time", "inet")
        subtypes = [kind for kind in kinds if kind.name in plain or kind.parts and kind.name[0] == '"']
        kind = self.rng.choice(subtypes)
        name = self.name("span")
        # A name of its own: the server would cut a long one in the middle of a character.
        many = f"{self.schemas[0]}.{ident(self.multiranges.next('many'))}"
        self.add(f"CREATE TYPE {name} AS RANGE (SUBTYPE = {kind.name}, MULTIRANGE_TYPE_NAME = {many})")
        return range_of(name, kind)

    # --- tables ---

    def _columns(self, count, kinds=None):
        columns = []
        for _ in range(count):
            kind = self.rng.choice(kinds or self.kinds)
            extra = ""
            if kind.name in ("text", "varchar(40)") and self.chance(0.15):
                kind, extra = self.uncased, self.uncased_extra
            if self.chance(0.15):
                extra += f" DEFAULT {kind.value(self.rng)}"
            if self.chance(0.12):
                extra += " NOT NULL"
            columns.append(Column(ident(self.names.next("c")), kind, extra))
        return columns

    def _keys(self, count):
        """Columns for a key; the first has so many values that few rows collide."""
        wide = [kind for kind in self.kinds if kind.name in
                ("bigint", "integer", "uuid", "text", "ext.citext", "numeric", "timestamptz", "date",
                 "bytea", "pg_lsn", "interval", "timestamp", "name", "double precision")]
        usable = [kind for kind in self.kinds if kind.is_key and kind.name != "boolean"]
        kinds = [self.rng.choice(wide)] + [self.rng.choice(usable) for _ in range(count - 1)]
        self.rng.shuffle(kinds)
        columns = [Column(ident(self.names.next("k")), kind, "NOT NULL") for kind in kinds]
        for column in columns:
            if column.kind.name == "text" and self.chance(0.3):
                column.extra = f"{self.uncased_extra} NOT NULL"
        return columns

    def _server_filled(self, columns):
        """A generated column, an identity or a serial one."""
        if self.chance(0.35) and self.has_generated:
            of = self.rng.choice(columns)
            columns.append(Column(ident(self.names.next("g")), Kind("boolean", None),
                                  f"GENERATED ALWAYS AS ({of.name} IS NULL) STORED", False))
        if self.chance(0.3):
            extra = self.rng.choice(("GENERATED ALWAYS AS IDENTITY", "GENERATED BY DEFAULT AS IDENTITY",
                                     "GENERATED ALWAYS AS IDENTITY (START WITH -5 INCREMENT BY -7)"))
            columns.append(Column(ident(self.names.next("i")), Kind("bigint", None), extra, False))
        elif self.chance(0.2):
            columns.append(Column(ident(self.names.next("i")), Kind("bigserial", None), "", False))

    def _table(self):
        choice = self.rng.random()
        if choice < 0.3:
            return self._partitioned()
        identity = self.rng.choices((KEYED, INDEXED, FULL, FULL_KEYED, DEFERRED, INSERTS),
                                    (40, 12, 20, 8, 8, 8))[0]
        key = [] if identity in (FULL, INSERTS) else self._keys(self.rng.choice((1, 1, 2, 3)))
        columns = key + self._columns(self.rng.randrange(1, 10))
        self._server_filled(columns)
        parents = [] if identity == INSERTS else self._references(columns)
        self.rng.shuffle(columns)
        table = Table(self.name("t"), columns, key, identity)
        table.references = parents
        is_unlogged = choice > 0.95 and not parents
        table.is_frozen = is_unlogged
        parts = [column.definition for column in columns] + self._key_constraints(table)
        parts += self._checks(table)
        dropped = ident(self.names.next("gone"))
        if self.chance(0.25):
            parts.insert(self.rng.randrange(len(columns) + 1), f"{dropped} int")
        self.add(f"CREATE {'UNLOGGED ' * is_unlogged}TABLE {table.name} ({', '.join(parts)})")
        if f"{dropped} int" in parts:
            self.add(f"ALTER TABLE {table.name} DROP COLUMN {dropped}")
        self._identify(table, table.name)
        self._more(table)
        self.tables.append(table)
        if not parents and identity != INSERTS and self.chance(0.12):
            self._child(table)
        return None

    def _references(self, columns):
        """Columns that refer to the key of an earlier table."""
        found = []
        usable = [table for table in self.tables if table.identity in (KEYED, FULL_KEYED)
                  and not table.is_frozen and all(column.kind.can_refer for column in table.key)]
        if usable and self.chance(0.5):
            parent = self.rng.choice(usable)
            ours = [Column(ident(self.names.next("f")), column.kind,
                           column.extra.replace("NOT NULL", "")) for column in parent.key]
            columns += ours
            found.append((ours, parent, parent.key))
        return found

    def _key_constraints(self, table):
        names = ", ".join(column.name for column in table.key)
        if table.identity == KEYED or table.identity == FULL_KEYED:
            parts = [f"PRIMARY KEY ({names})"]
        elif table.identity == DEFERRED:
            parts = [f"PRIMARY KEY ({names}) DEFERRABLE INITIALLY {self.rng.choice(('DEFERRED', 'IMMEDIATE'))}"]
        else:
            parts = []
        for ours, parent, theirs in table.references:
            how = self.rng.choice(("", "ON DELETE CASCADE", "ON DELETE SET NULL ON UPDATE CASCADE",
                                   "ON UPDATE SET NULL", "MATCH FULL"))
            when = self.rng.choice(("", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"))
            parts.append(f"CONSTRAINT {ident(self.names.next('fk'))} FOREIGN KEY"
                         f" ({', '.join(column.name for column in ours)}) REFERENCES {parent.name}"
                         f" ({', '.join(column.name for column in theirs)}) {how} {when}")
        return parts

    def _checks(self, table):
        if not self.chance(0.3):
            return []
        column = self.rng.choice(table.columns)
        return [f"CONSTRAINT {ident(self.names.next('check'))}"
                f" CHECK (pg_column_size({column.name}) < 50000000)"]

    def _identify(self, table, name):
        if table.identity in (FULL, FULL_KEYED, DEFERRED):
            self.add(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
        elif table.identity == INDEXED:
            index = ident(self.names.next("key"))
            extra = [column for column in table.columns if column not in table.key
                     and column.kind.name in ("integer", "boolean", "uuid")]
            include = f" INCLUDE ({extra[0].name})" if extra and self.chance(0.5) else ""
            names = ", ".join(column.name for column in table.key)
            self.add(f"CREATE UNIQUE INDEX {index} ON {name} ({names}){include}")
            self.add(f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {index}")

    def _more(self, table):
        """Indexes, constraints, storage: on columns that are not of the key."""
        others = [column for column in table.columns if column not in table.key
                  and column.kind.make is not None]
        for column in self.rng.sample(others, min(len(others), 3)):
            self._index(table, column)
        if self.chance(0.2):
            self._exclusion(table)
        for column in others:
            if column.kind.is_large and not column.is_indexed and self.chance(0.5):
                self.add(f"ALTER TABLE {table.name} ALTER {column.name} SET STORAGE EXTERNAL")

    def _index(self, table, column):
        choice = self.rng.random()
        index = ident(self.names.next("index"))
        kind = column.kind
        column.is_indexed = True
        if choice < 0.2 and kind.name in UNIQUE_KINDS:
            self.add(f"ALTER TABLE {table.name} ADD CONSTRAINT {index} UNIQUE ({column.name})"
                     f"{self._deferrable(table)}")
        elif choice < 0.3 and kind.name in UNIQUE_KINDS:
            self.add(f"CREATE UNIQUE INDEX {index} ON {table.name} ({column.name})"
                     f" WHERE {column.name} IS NOT NULL")
        elif choice < 0.4 and kind.name in UNIQUE_KINDS:
            self.add(f"CREATE UNIQUE INDEX {index} ON {table.name} (md5({column.name}::text))")
        elif choice < 0.5:
            self.add(f"CREATE INDEX {index} ON {table.name} (({column.name} IS NULL))")
            column.is_indexed = False
        elif kind.methods and choice < 0.8:
            self.add(f"CREATE INDEX {index} ON {table.name} USING {self.rng.choice(kind.methods)}"
                     f" ({column.name})")
        elif kind.is_key:
            order = self.rng.choice(("", " DESC", " NULLS FIRST"))
            self.add(f"CREATE INDEX {index} ON {table.name} ({column.name}{order})")

    def _exclusion(self, table):
        column = Column(ident(self.names.next("x")), Kind("int8range", narrow_range))
        column.is_indexed = True
        table.columns.append(column)
        self.add(f"ALTER TABLE {table.name} ADD COLUMN {column.name} int8range, ADD CONSTRAINT"
                 f" {ident(self.names.next('excl'))} EXCLUDE USING gist ({column.name} WITH &&)"
                 f"{self._deferrable(table)}")

    def _deferrable(self, table):
        if self.chance(0.6):
            return ""
        table.may_skip = False
        return " DEFERRABLE INITIALLY DEFERRED"

    def _child(self, parent):
        """By inheritance: rows of its own, changed through the parent as well."""
        more = self._columns(self.rng.randrange(1, 4))
        bigint = next(kind for kind in self.kinds if kind.name == "bigint")
        inherited = [column if "IDENTITY" not in column.extra
                     else Column(column.name, bigint, "NOT NULL") for column in parent.columns]
        child = Table(self.name("child"), inherited + more, parent.key,
                      KEYED if parent.identity == KEYED else FULL)
        parts = [column.definition for column in more]
        if child.identity == KEYED:
            parts.append(f"PRIMARY KEY ({', '.join(column.name for column in child.key)})")
        self.add(f"CREATE TABLE {child.name} ({', '.join(parts)}) INHERITS ({parent.name})")
        if child.identity != KEYED:
            child.key = []
        self._identify(child, child.name)
        child.is_frozen = parent.is_frozen
        self.tables.append(child)

    # --- partitions ---

    def _partitioned(self):
        usable = [kind for kind in self.kinds if kind.is_key
                  and (kind.splits or kind.is_hash or len(kind.parts) > 1)]
        by, then = (Column(ident(self.names.next("p")), self.rng.choice(usable), "NOT NULL")
                    for _ in range(2))
        identity = KEYED if self.chance(0.65) else FULL
        key = self._keys(1) + [by, then] if identity == KEYED else []
        columns = [column for column in key if column not in (by, then)] + [by, then]
        if identity == FULL:
            by.extra = then.extra = ""
        columns += self._columns(self.rng.randrange(1, 7))
        self.rng.shuffle(columns)
        table = Table(self.name("p"), columns, key, identity)
        parts = [column.definition for column in columns] + self._key_constraints(table)
        self.add(f"CREATE TABLE {table.name} ({', '.join(parts)}) PARTITION BY"
                 f" {self._method(by)}")
        self._leaves(table, table.name, by, then)
        self._identify(table, table.name)
        others = [column for column in columns if column not in (key or (by, then))
                  and column.kind.name not in UNIQUE_KINDS]
        if others:
            self._index(table, self.rng.choice(others))
        self.tables.append(table)

    def _method(self, column):
        """Chosen once and kept with the column."""
        kind = column.kind
        methods = ["RANGE"] * bool(kind.splits) + ["HASH"] * kind.is_hash + ["LIST"] * (len(kind.parts) > 1)
        column.method = self.rng.choice(methods)
        return f"{column.method} ({column.name})"

    def _bounds(self, column):
        kind = column.kind
        if column.method == "HASH":
            return [f"FOR VALUES WITH (MODULUS 3, REMAINDER {i})" for i in range(3)]
        if column.method == "LIST":
            found = [f"FOR VALUES IN ({kind.literal(part)})" for part in kind.parts[1:]]
            return found + ["DEFAULT"]
        ends = ["MINVALUE"] + [kind.literal(split) for split in kind.splits] + ["MAXVALUE"]
        found = [f"FOR VALUES FROM ({low}) TO ({high})" for low, high in zip(ends, ends[1:])]
        return found + ["DEFAULT"]

    def _leaves(self, table, parent, by, then):
        for i, bound in enumerate(self._bounds(by)):
            name = self.name("leaf")
            if then is not None and i == 0 and self.chance(0.6):
                self.add(f"CREATE TABLE {name} PARTITION OF {parent} {bound} PARTITION BY"
                         f" {self._method(then)}")
                self._leaves(table, name, then, None)
            elif self.chance(0.4):
                self._attached(table, parent, name, bound)
            else:
                self.add(f"CREATE TABLE {name} PARTITION OF {parent} {bound}")
                self._leaf(table, name)

    def _attached(self, table, parent, name, bound):
        """Made beside the table: other order of columns, and one that is gone."""
        columns = list(table.columns)
        self.rng.shuffle(columns)
        gone = ident(self.names.next("gone"))
        parts = [column.definition for column in columns]
        parts.insert(self.rng.randrange(len(parts)), f"{gone} text DEFAULT 'x'")
        self.add(f"CREATE TABLE {name} ({', '.join(parts)})")
        self.add(f"ALTER TABLE {name} DROP COLUMN {gone}")
        self.add(f"ALTER TABLE {parent} ATTACH PARTITION {name} {bound}")
        self._leaf(table, name)

    def _leaf(self, table, name):
        table.leaves.append(name)
        if table.identity == FULL or self.chance(0.15):
            self.add(f"ALTER TABLE {name} REPLICA IDENTITY FULL")

    # --- rows ---

    def fill(self):
        """Statements; some fail on a unique key, and nothing is lost by that."""
        rng = random.Random(f"rows {self.seed}")
        for table in self.tables:
            table.rows = rng.choice((0, 10, 30, 80))
            for _ in range(table.rows // BATCH):
                yield table.insert(rng, BATCH) + " ON CONFLICT DO NOTHING" * table.may_skip


if __name__ == "__main__":
    schema = Schema(int(sys.argv[1]))
    for statement in [EXTENSIONS, *schema.statements, *schema.fill()]:
        print(statement + ";")
