"""PostgreSQL clusters made for the tests: loopback only, temporary, never as root."""
import ctypes
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess

import psycopg
from psycopg import sql

from harness import roles
from harness.roles import OWNER
from harness.wait import wait_until

DEBIANS = 15  # the one that Debian has
SERVERS = pathlib.Path(os.environ.get("TRUNKLINE_SERVERS",
                                      f"/var/tmp/trunkline-servers-{os.getuid()}"))
# The versions between which pipelines run in this test run.
MAJORS = {"source": int(os.environ.get("TEST_SOURCE", DEBIANS)),
          "target": int(os.environ.get("TEST_TARGET", DEBIANS))}
HAS_ICU = set(MAJORS.values()) == {DEBIANS}  # what is fetched is built without it
# A collation under which unlike texts are equal, where there is one.
BLIND = ("(provider = icu, locale = 'und-u-ks-level2', deterministic = false)" if HAS_ICU
         else 'FROM "C"')
PR_SET_PDEATHSIG = 1
PORTS = range(20000, 32000)  # below the range from which clients are given theirs

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_connections": 120,
    "max_wal_senders": 40,
    "max_replication_slots": 40,
    "max_prepared_transactions": 20,
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "fsync": "off",
    "autovacuum": "off",
    "jit": "off",
    "deadlock_timeout": "50ms",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %a: ",
}


def programs(major):
    """The directory of a version's programs: Debian's, or what scripts/fetch-servers has fetched."""
    if major == DEBIANS:
        return pathlib.Path("/usr/lib/postgresql/15/bin")
    return SERVERS / str(major) / "bin"


# The newest of both: its pg_dump reads either server. The program takes those of the source.
BIN = programs(max(MAJORS.values()))


def die_with_parent(how):
    """For Popen's preexec_fn: the child gets the signal when the test process goes, and can be
    interrupted, also when the tests run in the background of a shell."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        libc.prctl(PR_SET_PDEATHSIG, how)

    return prepare


def server_user():
    """The user who runs servers: postgres when we are root, which a server refuses to be."""
    return "postgres" if os.geteuid() == 0 else None


def as_server_user():
    """Arguments for subprocess that step down to that user."""
    user = server_user()
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def free_port():
    """A port nobody listens on."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children_of(pid):
    """The processes whose parent is pid."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def only(rows, text):
    """The first column of the only row."""
    assert len(rows) == 1, f"{len(rows)} rows: {text}"
    return rows[0][0]


class Database:
    """One database of a cluster. The tests work in it as its owner, who is no superuser."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self._sessions = {}

    def url(self, user=None, password=None):
        """The program's URL: with the role of this side of a pipeline, if none is named."""
        secret = f":{password}" if password else ""
        role = user or self.cluster.role
        return f"postgresql://{role}{secret}@127.0.0.1:{self.cluster.port}/{self.name}"

    @property
    def owner(self):
        return OWNER if self.cluster.side else "postgres"

    def connect(self, user=None, autocommit=True, **options):
        return psycopg.connect(self.url(user or self.owner), autocommit=autocommit, client_encoding="UTF8",
                               **options)

    def _execute(self, user, text, parameters):
        for attempt in (1, 2):
            try:
                if user not in self._sessions or self._sessions[user].closed:
                    self._sessions[user] = self.connect(user)
                cursor = self._sessions[user].execute(text, parameters or None)
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                session = self._sessions.pop(user, None)
                if session is not None and not session.closed or attempt == 2:
                    raise
        return []

    def sql(self, text, *parameters):
        """Runs one statement (several without parameters); returns the rows, if it has any."""
        return self._execute(self.owner, text, parameters)

    def admin(self, text, *parameters):
        """The same as a superuser: other people's sessions, roles, the server's configuration, and
        what belongs to the program's role."""
        return self._execute("postgres", text, parameters)

    def one(self, text, *parameters):
        """The first column of the only row."""
        return only(self.sql(text, *parameters), text)

    def admin_one(self, text, *parameters):
        return only(self.admin(text, *parameters), text)

    def close(self):
        for session in self._sessions.values():
            session.close()
        self._sessions = {}


def drop_slot(server, slot):
    """Whether it is gone. A killed engine's walsender may come to it as late as this."""
    server.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                 " WHERE slot_name = %s AND active", slot)
    try:
        server.admin("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                     " WHERE slot_name = %s AND NOT active", slot)
    except psycopg.errors.ObjectInUse:
        return False
    return not server.admin("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot)


class Cluster:
    """A PostgreSQL server of our own, for one side of pipelines: "source" or "target". Without one
    there are no roles but the superuser's: for measuring beside programs that need one."""

    def __init__(self, directory, side="source", **settings):
        self.directory = pathlib.Path(directory)
        self.side = side
        self.major = MAJORS[side or "source"]
        self.bin = programs(self.major)
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.port = free_port()
        self.process = None
        self.settings = settings
        self.is_altered = False
        self.locales = None  # a directory of locales of our own, beside C
        self._server = Database(self, "postgres")
        self._initdb()
        self.configure()

    def _environment(self):
        own = {"LOCPATH": str(self.locales)} if self.locales else {}
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.directory),
                "LC_ALL": "C.UTF-8", **own}

    def _initdb(self):
        self.directory.mkdir(mode=0o700, parents=True)
        user = server_user()
        if user:
            entry = pwd.getpwnam(user)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        subprocess.run(
            [self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync",
             "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True, capture_output=True, cwd=self.directory, env=self._environment(),
            **as_server_user())
        hba = self.data / "pg_hba.conf"
        hba.write_text("host all +with_password 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write("include 'test.conf'\n")

    def configure(self, **settings):
        """Writes the configuration: ours, with the given settings over it. Reload or restart."""
        self.is_altered = bool(settings)
        chosen = {**SETTINGS, "port": self.port, "unix_socket_directories": self.directory,
                  **self.settings, **settings}
        lines = "".join(f"{name} = '{value}'\n" for name, value in chosen.items())
        (self.data / "test.conf").write_text(lines)

    @property
    def role(self):
        """Whom the program connects as: docs/roles.md makes it."""
        return f"trunkline_{self.side}" if self.side else "postgres"

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts the server and waits until it takes connections."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.directory, env=self._environment(),
                preexec_fn=die_with_parent(signal.SIGQUIT), **as_server_user())
        wait_until(self._takes_connections, "the server takes connections", 60)
        return self

    def _takes_connections(self):
        if not self.is_running:
            raise AssertionError(f"the server ended: {self.log.read_text()[-2000:]}")
        try:
            Database(self, "postgres").connect("postgres").close()
            return True
        except psycopg.OperationalError:
            return False

    def stop(self, how=signal.SIGINT):
        """Ends the server, fast by default, and waits."""
        if self.is_running:
            self.process.send_signal(how)
            self.process.wait(60)

    def restart(self):
        self.stop()
        self.start()

    def kill9(self):
        """kill -9 of the postmaster and all its processes, as when the machine goes down: stopped
        first, so that none of them lives to see another one die."""
        self.process.send_signal(signal.SIGSTOP)
        pids = [self.process.pid] + children_of(self.process.pid)
        for pid in reversed(pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        wait_until(lambda: not any(map(is_alive, pids)), "the killed processes are gone", 10)

    def database(self, name="postgres"):
        return Database(self, name)

    def create_database(self, name, options=""):
        """An empty database, and in it the program's role with what the manual gives it."""
        strategy = "STRATEGY file_copy " if self.major >= 15 else ""  # half the work
        self._server.admin(sql.SQL("CREATE DATABASE {} OWNER {} " + strategy + options).format(
            sql.Identifier(name), sql.Identifier(OWNER if self.side else "postgres")))
        if not self.side:
            return self.database(name)
        with self.database(name).connect("postgres") as session:
            for statement in roles.statements(self.side, name, self.major):
                try:
                    session.execute(statement)
                except psycopg.errors.DuplicateObject:  # the role, from an earlier database
                    pass
        return self.database(name)

    def drop_database(self, name):
        """Drops the database with its slots, sessions and prepared transactions."""
        server = self._server
        for gid, in server.admin("SELECT gid FROM pg_prepared_xacts WHERE database = %s", name):
            with self.database(name).connect("postgres") as inside:
                inside.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        for slot, in server.admin("SELECT slot_name FROM pg_replication_slots WHERE database = %s",
                                  name):
            wait_until(lambda: drop_slot(server, slot), f"slot {slot} is dropped", 10)
        server.admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def backup(self, directory):
        """A copy of the stopped cluster's files, owned as they are."""
        subprocess.run(["cp", "-a", self.data, directory], check=True)

    def restore(self, directory):
        """Puts the files of a backup in place of the stopped cluster's."""
        shutil.rmtree(self.data)
        subprocess.run(["cp", "-a", directory, self.data], check=True)

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)


class Standby(Cluster):
    """A hot standby of a running cluster; with a slot there that keeps its WAL, if one is named."""

    def __init__(self, primary, directory, slot="", **settings):
        self.primary = primary
        self.address = f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres"
        self.slot = slot
        super().__init__(directory, primary.side, **{
            **primary.settings, "hot_standby_feedback": "on", "primary_conninfo": self.address,
            "primary_slot_name": slot, **settings})

    def _initdb(self):
        self.directory.mkdir(mode=0o700)
        shutil.chown(self.directory, server_user())
        more = ["-C", "-S", self.slot] if self.slot else []
        subprocess.run([self.primary.bin / "pg_basebackup", "-d", self.address, "-D", self.data,
                        "-c", "fast", *more], check=True, cwd=self.directory,
                       env=self._environment(), **as_server_user())
        (self.data / "standby.signal").touch()

    def promote(self):
        """Makes it a primary of its own."""
        assert self.database().admin_one("SELECT pg_promote()")
