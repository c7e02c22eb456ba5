"""Names and values that are odd: what random schemas are made of. All come from the caller's random
numbers alone, so that a seed gives the same texts for ever."""
PIECES = [
    "a", "B", "cd", "0", "_", " ", '"', '""', "'", "''", ";", "--", "/*", "*/", "\\", "\\n", "%", "%s",
    "%I", "$1", "$$", ":x", ".", ",", "(", ")", "{", "}", "[", "]", "*", "?", "&", "|", "=", "@", "#",
    "~", "`", "^", "!", "<", ">", "\t", "\n", "\r", "é", "e\u0301", "Ω", "ß", "İ", "漢字", "🐘", "\u00a0",
    "\u200b", "\u202e", "select", "table", "NULL", "user", "only", "trunkline", "E'", "U&", "N",
]
NAME_BYTES = 63
TEXTS = [
    "", " ", "NULL", "\\N", "\\.", "\\", "\\\\", "tab\there", "line\nbreak", "\r", "\r\n", "\b\f\v",
    "\x01\x7f", "'", '"', "{", "{}", "{NULL}", "(,)", ",", "a,b", "é", "e\u0301", "ß", "SS", "İ", "ı",
    "漢字", "🐘🐘", "\u202eabc", "\ufeff", "\uffff", "Abc", "aBC", "trailing ", "  x", "0", "-0",
    "x" * 130, "$1", "%s", "\\x00", "COPY", "a\\tb",
]


def quote(text):
    """A literal."""
    return "'" + text.replace("'", "''") + "'"


def ident(*names):
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


class Names:
    """Odd names, none twice. The number in front keeps them apart and shows where one belongs. Those
    of the plain kinds are of letters and digits only."""

    def __init__(self, rng, prefix="", plain=()):
        self.rng = rng
        self.prefix = prefix
        self.plain = plain
        self.count = 0

    def next(self, kind):
        self.count += 1
        name = f"{self.prefix}{kind}{self.count}"
        if kind in self.plain or self.rng.random() < 0.15:
            return name
        if self.rng.random() < 0.3:  # not only behind the number
            name = self.rng.choice(PIECES) + name
        for _ in range(self.rng.choice((1, 2, 3, 5, 40))):
            piece = self.rng.choice(PIECES)
            if len((name + piece).encode()) > NAME_BYTES:
                break
            name += piece
        return name


class Kind:
    """A type: its SQL name, and literals of it. What it can be used for:
    is_key: in a B-tree key; is_hash: to partition by hash, with the same result on every server;
    methods: further index methods; splits: rising bounds for partitions by range; parts: values of
    which no two are equal, for partitions by list; is_large: a value may have 100 kB."""

    def __init__(self, name, make, is_key=False, is_hash=False, methods=(), splits=(), parts=(),
                 is_large=False):
        self.name = name
        self.make = make
        self.is_key = is_key
        self.is_hash = is_hash
        self.methods = methods
        self.splits = splits
        self.parts = parts
        self.is_large = is_large
        self.can_refer = not name.endswith("]")  # foreign keys of arrays lack an operator at times

    def literal(self, text):
        return f"{quote(text)}::{self.name}"

    def value(self, rng):
        return self.make(self, rng)

    def value_or_null(self, rng, nulls=0.12):
        return f"NULL::{self.name}" if rng.random() < nulls else self.value(rng)


def edges(texts, more=None, share=0.4):
    """Values from the list or, more often, what `more` makes."""
    def make(kind, rng):
        if more is None or rng.random() < share:
            return kind.literal(rng.choice(texts))
        return kind.literal(more(rng))
    return make


def random_text(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 9))) + str(rng.randrange(10**6))


def random_hex(rng, count):
    return f"{rng.getrandbits(4 * count):0{count}x}"


def random_uuid(rng):
    return random_hex(rng, 32)


def random_date(rng):
    return f"{rng.randrange(1, 4000):04}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"


def random_time(rng):
    return f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(10**6):06}"


def random_moment(rng):
    return f"{random_date(rng)} {random_time(rng)}"


def random_numeric(rng):
    number = f"{rng.randrange(-10**rng.randrange(1, 40), 10**20)}"
    return number + ("" if rng.random() < 0.5 else f".{rng.randrange(10**9):09}")


def random_float(rng):
    return repr(rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30))


def random_json(rng):
    keys = [rng.choice(("a", "b", "é", "", "x y")) for _ in range(rng.randrange(4))]
    inner = ", ".join(f'"{key}": {random_numeric(rng)}' for key in keys)
    return f'{{{inner}}}' if rng.random() < 0.7 else f'[{random_numeric(rng)},  null, "t"]'


def whole(bits):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return edges([str(low), str(high), "0", "-1", "1"],
                 lambda rng: str(rng.randrange(low, high)), 0.15)


def narrow_range(kind, rng):
    """For exclusion constraints: ranges that seldom overlap."""
    start = rng.randrange(-10**12, 10**12)
    return f"int8range({start}, {start + rng.randrange(1, 50)})"


FLOATS = ["0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "1e-37", "-1"]
HSTORES = ["", '"a"=>"1"', '"b"=>NULL, "a"=>"x y"', '"quo\\"te"=>"back\\\\slash"', "é=>🐘"]


def builtins():
    """The types of every server from 14 on."""
    return [
        Kind("boolean", edges(["true", "false"]), is_key=True, parts=("true", "false")),
        Kind("smallint", whole(16), True, True, ("hash", "brin"), ("-5", "0", "900"), ("0", "1")),
        Kind("integer", whole(32), True, True, ("hash", "brin"), ("-5000000", "0", "77"), ("0", "-1")),
        Kind("bigint", whole(64), True, True, ("hash", "brin"), ("-1", "4000000000")),
        Kind("real", edges(FLOATS + ["3.4028235e38", "1e-45"], random_float)),
        Kind("double precision", edges(FLOATS + ["1.7976931348623157e308", "5e-324"], random_float),
             True),
        Kind("numeric", edges(["0", "-0.000", "1", "1.0", "1.00", "NaN", "Infinity", "-Infinity",
                               "1e-300", "0.1", "1e1500"], random_numeric),
             True, True, ("hash",), ("-1", "0", "1.5")),
        Kind("numeric(12,3)", edges(["0", "1.5", "-999999999.999", "NaN"],
                                    lambda rng: str(rng.randrange(10**9) / 1000)), True),
        Kind("money", edges(["0", "0.01", "-92233720368547758.08"],
                            lambda rng: str(rng.randrange(10**12)) + ".99"), True),
        Kind("text", edges(TEXTS, random_text), True, True, ("hash", "spgist", "brin"),
             ("A", "a", "é"), ("", "NULL", "é"), is_large=True),
        Kind("varchar(40)", edges([text[:40] for text in TEXTS], random_text), True),
        Kind("char(7)", edges(["", "a", "ab  ", "é", "\\N"], random_text), True),
        Kind('"char"', edges(["", "a", " ", "\\", "'"]), True),
        Kind("name", edges(TEXTS, random_text), True),
        Kind("bytea", edges(["\\x", "\\x00", "\\x5c", "\\xff00ff", "\\x0a0d09"],
                            lambda rng: "\\x" + random_hex(rng, 32)), True, True, is_large=True),
        Kind("uuid", edges(["0" * 32, "f" * 32], random_uuid, 0.05), True, True, ("hash", "brin"),
             ("4" + "0" * 31, "a" + "0" * 31)),
        Kind("date", edges(["4713-01-01 BC", "infinity", "-infinity", "5874897-12-31", "0044-03-15 BC",
                            "2000-02-29"], random_date), True, True, ("brin",),
             ("0001-01-01", "1500-01-01", "2000-01-01"), ("infinity", "2000-02-29")),
        Kind("time", edges(["00:00:00", "24:00:00", "23:59:59.999999"], random_time), True),
        Kind("timetz", edges(["00:00:00+15:59:59", "24:00:00-15:59:59", "10:00+05:30:15"],
                             lambda rng: random_time(rng) + "+02"), True),
        Kind("timestamp", edges(["infinity", "-infinity", "294276-12-31 23:59:59.999999",
                                 "4713-01-01 00:00:00 BC"], random_moment), True, True, ("brin",)),
        Kind("timestamptz", edges(["infinity", "-infinity", "2020-10-25 02:30:00+02",
                                   "0001-12-31 23:59:59+15:59:59 BC"], random_moment),
             True, True, ("brin",), ("0100-01-01 00:00:00+00", "2000-01-01 00:00:00+00")),
        Kind("interval", edges(["0", "1 mon", "30 days", "720:00:00", "-0.000001 s", "178000000 years",
                                "1 mon -3 days 04:05:06.7"],
                               lambda rng: f"{rng.randrange(-999, 999)} days {random_time(rng)}"), True),
        Kind("json", edges(['{"a":  1, "a":2}', "null", '"\\u0000"', "[1e400]", " {} "], random_json),
             is_large=True),
        Kind("jsonb", edges(['{"n": 1e1000}', "null", '[1.0, 1.00, -0]', '{"": {"": []}}'],
                            random_json), True, False, ("gin", "hash"), is_large=True),
        Kind("jsonpath", edges(["$", "$.a[*] ? (@ > 1)", 'strict $."x y"'])),
        Kind("xml", edges(["", "<a/>", "<a />", '<a b="1">é</a>', "a<b/>c", "<!-- c --><x/>"])),
        Kind("bit(5)", edges(["00000", "10101", "11111"]), True),
        Kind("varbit", edges(["", "0", "1" * 70], lambda rng: f"{rng.getrandbits(20):b}"), True),
        Kind("inet", edges(["0.0.0.0/0", "255.255.255.255", "::1/64", "fe80::1", "::"],
                           lambda rng: f"10.{rng.randrange(256)}.{rng.randrange(256)}.1/16"),
             True, True, ("spgist", "brin")),
        Kind("cidr", edges(["10.0.0.0/8", "::/0", "192.168.1.1/32"]), True),
        Kind("macaddr", edges(["08:00:2b:01:02:03"], lambda rng: random_hex(rng, 12)), True),
        Kind("macaddr8", edges(["08:00:2b:01:02:03:04:05"], lambda rng: random_hex(rng, 16)), True),
        Kind("point", edges(["(0,-0)", "(NaN,Infinity)", "(1e300,5e-324)"],
                            lambda rng: f"({random_float(rng)},{random_float(rng)})"),
             methods=("gist", "spgist")),
        Kind("line", edges(["{1,2,3}", "{0,-1,1e10}"])),
        Kind("lseg", edges(["[(1,2),(3,4)]", "[(0,0),(0,0)]"])),
        Kind("box", edges(["(3,4),(1,2)", "(0,0),(0,-0)"]), methods=("gist", "spgist")),
        Kind("path", edges(["[(1,2),(3,4)]", "((1,2))"])),
        Kind("polygon", edges(["((1,2),(3,4),(5,6))", "((0,0))"])),
        Kind("circle", edges(["<(1,2),3>", "<(0,0),0>", "<(1,1),NaN>"])),
        Kind("tsvector", edges(["", "a:1A fat:2,4B", "'x y':3 ''''", "é"]), methods=("gin", "gist")),
        Kind("tsquery", edges(["", "a & b:*", "!x | (y <2> z:AB)"])),
        Kind("pg_lsn", edges(["0/0", "FFFFFFFF/FFFFFFFF"],
                             lambda rng: f"{rng.getrandbits(30):X}/{rng.getrandbits(30):X}"), True),
        Kind("oid", edges(["0", "1259", "4294967295"], lambda rng: str(rng.getrandbits(31))), True),
        Kind("xid8", edges(["0", "5", "18446744073709551615"])),
        Kind("tid", edges(["(0,0)", "(4294967295,65535)"])),
        Kind("pg_snapshot", edges(["1:5:2", "10:10:"])),
        Kind("regclass", edges(["pg_class", "-", "pg_catalog.pg_type"])),
        Kind("regtype", edges(["integer", "text[]", "timestamp with time zone"])),
        Kind("int4range", edges(["empty", "(,)", "[1,5)", "[2147483646,2147483647)"],
                                lambda rng: f"[{rng.randrange(100)},{rng.randrange(100, 999)}]"),
             True, False, ("gist", "spgist")),
        Kind("numrange", edges(["empty", "(,1.0]", "(,1.00]", "[1,NaN)"]), True, False, ("gist",)),
        Kind("tstzrange", edges(["empty", "[2020-01-01,)", "(-infinity,infinity)"]), True),
        Kind("daterange", edges(["empty", "[2020-01-01,2020-02-01]"]), True),
        Kind("int4multirange", edges(["{}", "{[1,3),[5,7)}", "{(,)}"]), True),
        Kind("ext.hstore", edges(HSTORES), methods=("gin", "gist")),
        Kind("ext.citext", edges(["AbC", "abc", "ABC", "", "ÄÖ", "äö"], random_text), True, False,
             ("hash",)),
    ]


def array_of(kind):
    def make(self, rng):
        choice = rng.random()
        if choice < 0.15:
            return self.literal("{}")
        if choice < 0.3:
            rows = ", ".join(f"[{kind.value_or_null(rng)}, {kind.value(rng)}]" for _ in range(2))
            return f"ARRAY[{rows}]::{self.name}"
        values = ", ".join(kind.value_or_null(rng) for _ in range(rng.randrange(1, 5)))
        return f"ARRAY[{values}]::{self.name}"
    return Kind(f"{kind.name}[]", make, kind.is_key)


def enum_of(name, labels):
    """Hashed by OIDs, which differ between servers: never partitioned by hash."""
    return Kind(name, edges(labels), True, methods=("hash",), parts=labels)


def domain_of(name, kind):
    domain = Kind(name, lambda self, rng: f"({kind.value(rng)})::{self.name}", kind.is_key)
    domain.can_refer = kind.can_refer
    return domain


def composite_of(name, kinds):
    def make(self, rng):
        return f"ROW({', '.join(kind.value_or_null(rng) for kind in kinds)})::{self.name}"
    return Kind(name, make, all(kind.is_key for kind in kinds))


def range_of(name, kind):
    def make(self, rng):
        if rng.random() < 0.15:
            return self.literal("empty")
        one, other = kind.value_or_null(rng), kind.value_or_null(rng)
        if one.startswith("NULL") or other.startswith("NULL"):
            return f"{name}({one}, {other}, '{rng.choice(('[)', '()', '(]'))}')"
        return (f"{name}(least({one}, {other}), greatest({one}, {other}),"
                f" '{rng.choice(('[)', '()', '(]', '[]'))}')")
    return Kind(name, make, True, methods=("gist",))
