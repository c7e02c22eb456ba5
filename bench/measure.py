"""What a run of the bench measures with: its settings, its figures, contenders that take turns."""
import statistics

from place import PARTS, PROGRAM

MIB = 1024 * 1024
LOAD_SECONDS = 30  # of pgbench, of a delay's measuring; half of the time for which a target is locked


class Figure:
    """One line of the result: what trunkline took, what the other took, what must be reached."""

    def __init__(self, what, unit, ours, other_name=None, others=(), must=None,
                 aim=None):
        self.what = what
        self.unit = unit
        self.ours = ours
        self.other_name = other_name
        self.others = list(others)
        self.must = must
        self.aim = aim
        self.cpu = None  # processor seconds, ours and the other's: medians, by the names in PARTS

    @property
    def value(self):
        """The ratio of the medians, or the greatest figure where there is nobody to compare."""
        if self.others:
            return statistics.median(self.ours) / statistics.median(self.others)
        return max(self.ours)

    @classmethod
    def of_runs(cls, what, ours, other_name, others, must=None, aim=None):
        """Times and processor times of runs."""
        figure = cls(what, "s", seconds(ours), other_name, seconds(others), must, aim)
        figure.cpu = [{part: round(statistics.median(run.cpu[part] for run in runs), 2)
                       for part in PARTS} for runs in (ours, others)]
        return figure

    @property
    def is_met(self):
        return None if self.must is None else self.value <= self.must


class Bench:
    """The settings of one run of the bench, and what it says while it works."""

    def __init__(self, place, rounds, load_seconds, size, quick):
        self.place = place
        self.rounds = rounds
        self.load_seconds = load_seconds
        self.size = size  # what is made, as a part of what is measured: 1 is all of it
        self.quick = quick
        self.is_whole = size == 1 and load_seconds >= LOAD_SECONDS
        self.scale = max(1, round(50 * size))  # pgbench's

    def say(self, text):
        print(text, flush=True)

    def must(self, figure):
        """What is to be reached; small scales, where starting is most of it, reach nothing."""
        return figure if self.is_whole else None

    def count(self, whole):
        return max(1, round(whole * self.size))

    def say_run(self, number, name, run):
        when = "before " if number is None else f"round {number + 1}"
        parts = ", ".join(f"{part} {run.cpu[part]:.2f}" for part in PARTS)
        self.say(f"  {when}: {name:<48} {run.seconds:7.2f} s, processors {run.cpu_seconds:6.2f} s"
                 f" ({parts})")

    def alternate(self, contenders, warm_up):
        """Each contender once a round, in turn the first; returns the runs by name. The
        contender named warm_up goes ahead once, uncounted, so that the first is not the one
        that finds cold caches and no kept WAL files."""
        runs = {name: [] for name in contenders}
        contenders[warm_up]()
        for number in range(self.rounds):
            for name in turns(contenders, number):
                runs[name].append(contenders[name]())
                self.say_run(number, name, runs[name][-1])
        return runs

    def pgbench_source(self, name):
        """A fresh source database filled by pgbench, without its keys."""
        source = self.place.source
        source.drop_database(name)
        database = source.create_database(name)
        self.place.run(["pgbench", "-i", "-q", "-I", "dtgv", "-s", self.scale, database.url()])
        return database

    def trunkline(self, source, target, *options):
        """Copies source to target to the end; what it leaves on the source goes untimed."""
        urls = ["--source", source.url(), "--target", target.url()]
        try:
            return self.place.run([PROGRAM, "run", *urls, "--until", "now", *options])
        finally:
            self.place.run([PROGRAM, "tear-down", *urls])
            source.close()
            target.close()

    def check(self, source, target):
        """A contender that is fast and wrong has not won anything."""
        self.place.run([PROGRAM, "verify", "--source", source.url(), "--target", target.url()])
        source.close()
        target.close()


def turns(names, number):
    """The names in the order of one round: each is the first in turn."""
    names = list(names)
    turn = number % len(names)
    return names[turn:] + names[:turn]


def seconds(runs):
    return [round(run.seconds, 3) for run in runs]


