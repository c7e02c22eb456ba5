"""A network between the program and its servers that can lose every packet, without a word to
either end: a namespace of its own, with one wire to each server."""
import os
import random
import shutil
import subprocess

import pytest

from harness.program import flags

NOBODY = "02:00:00:00:00:01"  # a hardware address that no interface has


def ip(*arguments, within=None):
    command = ["ip", *(("-n", within) if within else ()), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def refuse_without_rights():
    """These tests make network namespaces, which takes root's CAP_NET_ADMIN and iproute2."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root, and ip from the package iproute2")
    probe = f"tl{random.SystemRandom().randrange(16 ** 8):08x}"
    try:
        ip("netns", "add", probe)
        ip("netns", "del", probe)
    except subprocess.CalledProcessError as failure:
        pytest.skip(f"may not make network namespaces: {failure.stderr.strip()}")


class Wire:
    """A pair of interfaces: one here, one in the namespace."""

    def __init__(self, space, number):
        self.space = space
        self.ends = (f"{space}{number}a", f"{space}{number}b")
        net = f"198.{18 + random.SystemRandom().randrange(2)}.{random.SystemRandom().randrange(256)}"
        base = random.SystemRandom().randrange(0, 256, 4)
        self.addresses = (f"{net}.{base + 1}", f"{net}.{base + 2}")  # RFC 2544: for tests
        ip("link", "add", self.ends[0], "type", "veth", "peer", "name", self.ends[1], "netns", space)
        for end, address, within in zip(self.ends, self.addresses, (None, space)):
            ip("addr", "add", f"{address}/30", "dev", end, within=within)
            ip("link", "set", end, "up", within=within)

    def cut(self):
        """From now on nothing arrives, in either direction."""
        for end, other, within in zip(self.ends, reversed(self.addresses), (None, self.space)):
            ip("neigh", "replace", other, "lladdr", NOBODY, "dev", end, "nud", "permanent",
               within=within)

    def mend(self):
        for end, other, within in zip(self.ends, reversed(self.addresses), (None, self.space)):
            ip("neigh", "del", other, "dev", end, within=within)

    def remove(self):
        subprocess.run(["ip", "link", "del", self.ends[0]], check=False, capture_output=True)


class Network:
    def __init__(self):
        refuse_without_rights()
        self.space = f"tl{random.SystemRandom().randrange(16 ** 8):08x}"
        ip("netns", "add", self.space)
        self.wires = {}

    @property
    def within(self):
        """What a command starts with that is to run behind the wires."""
        return ["ip", "netns", "exec", self.space]

    def attach(self, cluster):
        """Lays a wire to a cluster, which is restarted to listen at its end."""
        wire = self.wires[cluster.side] = Wire(self.space, len(self.wires))
        with open(cluster.data / "pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write(f"host all all {wire.addresses[1]}/32 trust\n")
        cluster.configure(listen_addresses=f"127.0.0.1,{wire.addresses[0]}")
        cluster.restart()

    def url(self, database):
        wire = self.wires[database.cluster.side]
        return database.url().replace("127.0.0.1", wire.addresses[0])

    def start(self, pipe, command="run", **settings):
        """The program behind the wires."""
        urls = {"source": self.url(pipe.source), "target": self.url(pipe.target)}
        more = ({"slot": pipe.slot, "idle_position_interval": "100ms"} if command == "run" else {})
        return pipe.process(command, *flags({**urls, **more, **settings}), within=self.within)

    def remove(self):
        for wire in self.wires.values():
            wire.remove()
        subprocess.run(["ip", "netns", "del", self.space], check=False, capture_output=True)
