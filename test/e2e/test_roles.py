"""Least privilege: what is missing is named with the SQL that grants it, and that is enough."""
import json
import re

import pytest

from harness import roles
from harness.cluster import MAJORS
from harness.compare import sequence_differences
from harness.program import CONFIGURATION, ENDED, FAILED, json_output

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a');
CREATE SCHEMA "S 2"; CREATE TABLE "S 2"."U" (id serial PRIMARY KEY);
INSERT INTO "S 2"."U" DEFAULT VALUES; CREATE SEQUENCE sq;
"""
COMMAND = re.compile(r"((?:GRANT|ALTER) .*?)(?:; --.*| \(.*)?")
# All that a run needs, on the source and on the target.
NEEDS = [
    ("source", 'ALTER ROLE "{role}" REPLICATION'),
    ("source", 'GRANT CREATE ON DATABASE {database} TO "{role}"'),
    ("source", 'GRANT "{role}_owner" TO "{role}"'),
    ("source", 'GRANT USAGE ON SCHEMA "S 2" TO "{role}"'),
    ("source", 'GRANT SELECT ON t TO "{role}"'),
    ("source", 'GRANT SELECT ON sq TO "{role}"'),
    ("target", 'GRANT CREATE ON DATABASE {database} TO "{role}"'),
    ("target", 'GRANT CREATE ON SCHEMA public TO "{role}"'),
    ("target", 'GRANT SET ON PARAMETER session_replication_role TO "{role}"'),
]
# 14 has no such grant, and the run goes on without (docs/roles.md); its public is open to all.
TRIGGERS = "true"
if MAJORS["target"] == 14:
    TRIGGERS = "auto"
    del NEEDS[-2:]


class Bare:
    """A role that may connect to both databases, and next to nothing else. The source's tables
    belong to a role that may not even use their schema, or read what is its own."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.role = f"Bare_{pipe.source.name}"
        for database in (pipe.source, pipe.target):
            database.admin(f'CREATE ROLE "{self.role}" LOGIN; CREATE ROLE "{self.role}_owner"')
        self.settings = {"disable_triggers": TRIGGERS, **pipe.urls(self.role)}
        pipe.source.admin(TABLES + f'ALTER TABLE t OWNER TO "{self.role}_owner";'
                          f' ALTER TABLE "S 2"."U" OWNER TO "{self.role}_owner";'
                          f' REVOKE SELECT ON t FROM "{self.role}_owner";'
                          f' GRANT SELECT ON "S 2"."U", "S 2"."U_id_seq" TO "{self.role}"')

    def command(self, need):
        """A side's database and SQL for it."""
        database = getattr(self.pipe, need[0])
        return database, need[1].format(role=self.role, database=database.name)

    def findings(self):
        """What check would have mended, as SQL with its side."""
        checked = self.pipe.command("check", slot=self.pipe.slot, json=True, **self.settings)
        found = json_output(checked)["findings"]
        errors = [one for one in found if one["level"] == "error"]
        assert checked.code == (FAILED if found else ENDED), checked.stdout + checked.stderr
        return [(plain(one["hint"]), side_of(one["text"])) for one in errors]

    def run(self):
        return self.pipe.run(until="now", log_format="json", **self.settings)

    def snapshot(self, **settings):
        return self.pipe.command("snapshot", log_format="json", **{**self.settings, **settings})

    def has_left_nothing(self):
        assert self.pipe.source.sql("SELECT pubname FROM pg_publication") == []
        assert self.pipe.confirmed() is None
        assert self.pipe.phase() is None
        assert self.pipe.target.one("SELECT to_regclass('t')") is None
        return True

    def drop(self):
        for database in (self.pipe.source, self.pipe.target):
            database.admin(f'DROP OWNED BY "{self.role}", "{self.role}_owner" CASCADE;'
                           f' DROP ROLE "{self.role}", "{self.role}_owner"')


@pytest.fixture
def bare(pipe):
    role = Bare(pipe)
    yield role
    role.drop()


def side_of(text):
    return "source" if re.search(r"\bsource\b", text) else "target"


def plain(hint):
    """The SQL of a hint, without what it says about it."""
    command = COMMAND.fullmatch(hint)
    assert command, hint
    return command[1].replace(" public.", " ")


def refusal(ended):
    """The SQL in the hint of a run that was refused, and the side it is for."""
    assert ended.code == CONFIGURATION, ended.stderr
    text, _, hint = json.loads(ended.stderr.splitlines()[-1])["msg"].partition("; hint: ")
    return plain(hint), side_of(text)


@pytest.mark.parametrize("missing", NEEDS, ids=range(len(NEEDS)))
def test_one_privilege_alone_is_missing(bare, missing):
    for need in NEEDS:
        if need != missing:
            database, command = bare.command(need)
            database.admin(command)
    database, command = bare.command(missing)
    assert bare.findings() == [(command, missing[0])]
    assert refusal(bare.run()) == (command, missing[0])
    assert bare.has_left_nothing()
    database.admin(command)
    ended = bare.run()
    assert ended.code == ENDED, ended.stderr
    bare.pipe.is_equal()


@pytest.mark.parametrize("command", [Bare.run, Bare.snapshot])
def test_from_nothing_hint_by_hint(bare, command):
    """A role that may do nothing is granted what each refusal says, until it works."""
    granted = []
    ended = command(bare)
    while ended.code != ENDED:
        needed, side = refusal(ended)
        assert bare.has_left_nothing() and (needed, side) not in granted
        granted.append((needed, side))
        getattr(bare.pipe, side).admin(needed)
        ended = command(bare)
    bare.pipe.is_equal()
    replicates = any("REPLICATION" in needed for needed, _ in granted)
    assert replicates == (command is Bare.run)


def test_a_role_with_what_it_needs_does_everything(bare):
    for need in NEEDS:
        database, command = bare.command(need)
        database.admin(command)
    pipe = bare.pipe
    engine = pipe.follow(**bare.settings)
    pipe.source.admin("INSERT INTO t VALUES (2, 'b')")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    assert pipe.verify(**pipe.urls(bare.role)).code == ENDED
    assert pipe.tear_down(**pipe.urls(bare.role)).code == ENDED
    assert pipe.source.sql("SELECT pubname FROM pg_publication") == []


def test_from_nothing_at_once(bare):
    """What check finds in one go is enough."""
    for command, side in bare.findings():
        getattr(bare.pipe, side).admin(command)
    assert bare.findings() == []
    ended = bare.run()
    assert ended.code == ENDED, ended.stderr
    bare.pipe.is_equal()


def test_tables_that_nobody_selected_may_be_closed(pipe):
    """pg_dump would lock them, and our role may not."""
    pipe.source.sql(TABLES)
    pipe.source.admin("CREATE TABLE secret (id int PRIMARY KEY REFERENCES t);"
                      " CREATE VIEW peek AS SELECT * FROM secret;"
                      " CREATE SCHEMA closed; CREATE TABLE closed.more (id serial PRIMARY KEY)")
    engine = pipe.follow(tables='t,"S 2".*')
    pipe.source.sql("INSERT INTO t VALUES (2, 'b')")
    pipe.catch_up(engine)
    pipe.is_equal(only=[("public", "t"), ("S 2", "U")])
    engine.stop()
    assert pipe.target.one("SELECT to_regclass('secret')") is None


def test_copied_objects_belong_to_their_owner(pipe):
    """As long as our role is a member of it on the target, else they are ours: said, not hidden."""
    pipe.source.sql(TABLES)
    pipe.copy()
    owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE tablename IN ('t', 'U')"
    assert pipe.target.sql(owner) == [("app",)]
    assert pipe.tear_down().code == ENDED
    pipe.target.sql('DROP TABLE t; DROP SCHEMA "S 2" CASCADE')
    pipe.source.admin("ALTER TABLE t OWNER TO postgres; GRANT SELECT ON t TO trunkline_source;"
                      " ALTER TABLE t OWNER TO pg_monitor; GRANT pg_monitor TO trunkline_source")
    try:
        engine = pipe.copy()
    finally:
        pipe.source.admin("REVOKE pg_monitor FROM trunkline_source")
    assert "pg_monitor" in engine.stderr
    assert pipe.target.sql(owner) == [("trunkline_target",)]


def test_row_security_that_binds_the_owner_too(bare):
    """No row may go missing in silence; BYPASSRLS on both sides is enough."""
    for need in NEEDS:
        database, command = bare.command(need)
        database.admin(command)
    bare.pipe.source.admin("ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
                           " CREATE POLICY p ON t USING (id < 0)")
    for side in ("source", "target"):
        assert refusal(bare.run()) == (f'ALTER ROLE "{bare.role}" BYPASSRLS', side)
        assert bare.has_left_nothing()
        getattr(bare.pipe, side).admin(f'ALTER ROLE "{bare.role}" BYPASSRLS')
    engine = bare.pipe.follow(**bare.settings)
    bare.pipe.source.admin("INSERT INTO t VALUES (2, 'b')")
    bare.pipe.catch_up(engine)
    bare.pipe.is_equal()
    engine.stop()


@pytest.fixture
def reader(pipe):
    """The manual's role for the source of a snapshot."""
    for statement in roles.statements("source of a snapshot", pipe.source.name,
                                      pipe.source.cluster.major):
        pipe.source.admin(statement)
    yield "trunkline_snapshot"
    pipe.source.admin("DROP OWNED BY trunkline_snapshot; DROP ROLE trunkline_snapshot")


def test_a_snapshot_needs_neither_replication_nor_ownership(pipe, reader):
    pipe.source.admin(TABLES)
    taken = pipe.command("snapshot", source=pipe.source.url(reader), target=pipe.target.url())
    assert taken.code == ENDED, taken.stderr
    pipe.is_equal()
    assert sequence_differences(pipe.source, pipe.target) == []


def test_a_snapshot_of_one_table_needs_one_select(pipe, bare):
    """Less than the manual's: SELECT on what is copied, and on the sequences."""
    pipe.source.admin(f'GRANT SELECT ON t, sq TO "{bare.role}"')
    taken = bare.snapshot(target=pipe.target.url(), tables="t")
    assert taken.code == ENDED, taken.stderr
    pipe.is_equal(only=[("public", "t")])
