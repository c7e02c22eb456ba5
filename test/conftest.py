"""Fixtures: pairs of clusters that live as long as a test worker, a fresh pipeline for a test."""
import itertools
import os
import pathlib
import shutil
import tempfile

import pytest

from harness import proofs
from harness.cluster import MAJORS, Cluster, is_alive, programs
from harness.network import Network
from harness.program import PROGRAM, Pipeline
from harness.roles import OWNER

NUMBERS = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="all cases of the long lists, all kills")
    parser.addoption("--wide", action="store_true", help="more cases of the long lists")
    parser.addoption("--slice", action="store_true", help="only what is marked as matrix")
    parser.addoption("--objects", default=None, help="writes docs/objects.md to this file")
    parser.addoption("--seed", type=int, default=None, help="the seed of random kill times, or of a"
                     " random schema")
    parser.addoption("--seeds", type=int, default=None, help="how many random schemas")


def pytest_configure(config):
    if not PROGRAM.exists():
        raise pytest.UsageError(f"{PROGRAM} is not built: run make build-test")
    for side, major in MAJORS.items():
        if not (programs(major) / "postgres").exists():
            raise pytest.UsageError(f"no PostgreSQL {major} for the {side}: run "
                                    f"scripts/fetch-servers {major}")


def fits_versions(item):
    return all(MAJORS[side] in range(low, high + 1)
               for mark in item.iter_markers("versions")
               for side, (low, high) in mark.kwargs.items())


def pytest_collection_modifyitems(config, items):
    """Not chosen are long cases without --long, wide ones without any option, those of other versions,
    and with --slice all that is not about versions. Those with a time limit of their own come first:
    none of them shall be left for the end, when other workers have nothing to do."""
    if config.getoption("--objects"):
        pathlib.Path(config.getoption("--objects")).write_text(proofs.page(items))
    left_out = {"long"} if not config.getoption("--long") else set()
    if not any(map(config.getoption, ("--long", "--wide", "--slice"))):
        left_out.add("wide")
    needed = {"matrix"} if config.getoption("--slice") else set()
    chosen = []
    for item in items:
        names = {mark.name for mark in item.iter_markers()}
        if not names & left_out and needed <= names and fits_versions(item):
            chosen.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = sorted(chosen, key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def worker_name():
    return os.environ.get("PYTEST_XDIST_WORKER", "gw0")


def cluster_root():
    """In memory where there is much of it: making and dropping a test's databases costs a disk more
    than all the rest."""
    memory = pathlib.Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 8 << 30:
        return memory
    return pathlib.Path("/tmp")


def remove_leftovers():
    """Removes what test processes that were killed have left; their servers died with them."""
    for root in ("/tmp", "/dev/shm"):
        for path in pathlib.Path(root).glob("trunkline-test-*"):
            pid = path.name.split("-")[2]
            if pid.isdigit() and not is_alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def base_directory():
    """Where clusters live: short (sockets), and reachable by the user who runs them."""
    remove_leftovers()
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"trunkline-test-{os.getpid()}-", dir=cluster_root()))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def make_cluster(directory, side, **settings):
    cluster = Cluster(directory, side, **settings).start()
    server = cluster.database()
    server.admin(f"CREATE ROLE with_password; CREATE ROLE {OWNER} LOGIN REPLICATION")
    server.close()
    return cluster


def cluster_pair(directory, **settings):
    pair = []
    try:
        for side in ("source", "target"):
            pair.append(make_cluster(directory / side, side, **settings))
        yield pair
    finally:
        for cluster in pair:
            cluster.remove()


@pytest.fixture(scope="session")
def shared_clusters(base_directory):
    """A source and a target cluster that no test stops or reconfigures."""
    yield from cluster_pair(base_directory / "shared")


@pytest.fixture(scope="session")
def rough_clusters(base_directory):
    """A pair for tests that kill servers: durable settings."""
    yield from cluster_pair(base_directory / "rough", fsync="on", max_wal_size="512MB")


@pytest.fixture
def own_clusters(base_directory):
    """A pair for one test, which may do with it what it likes."""
    yield from cluster_pair(base_directory / f"own{next(NUMBERS)}")


@pytest.fixture
def pipelines(worker_name, tmp_path):
    """Makes pipelines on given clusters, each with new databases (or from a source that is given) and
    a slot of its own."""
    made = []

    def make(clusters, source_options="", target_options="", source=None):
        name = f"{worker_name}_{next(NUMBERS)}"
        directory = tmp_path / name
        directory.mkdir()
        source = source or clusters[0].create_database(f"src_{name}", source_options)
        target = clusters[1].create_database(f"dst_{name}", target_options)
        made.append(Pipeline(source, target, f"slot_{name}", directory))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.end()
    for pipeline in made:
        pipeline.drop()


@pytest.fixture
def pipe(shared_clusters, pipelines):
    """A pipeline between two fresh databases."""
    return pipelines(shared_clusters)


@pytest.fixture
def rough(rough_clusters, pipelines):
    """A pipeline whose servers may be killed and configured; they run again when the test ends."""
    yield pipelines(rough_clusters)
    for cluster in rough_clusters:
        if cluster.is_altered:
            cluster.configure()
            cluster.stop()
        if not cluster.is_running:
            cluster.start()


@pytest.fixture
def own(own_clusters, pipelines):
    """A pipeline on clusters of its own."""
    return pipelines(own_clusters)


@pytest.fixture
def network():
    """Wires between the program and its servers that can be cut."""
    made = Network()
    yield made
    made.remove()


@pytest.fixture
def wired(own_clusters, pipelines, network):
    """A pipeline whose program reaches its servers by wires."""
    for cluster in own_clusters:
        network.attach(cluster)
    return pipelines(own_clusters)
