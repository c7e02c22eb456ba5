"""What comes out: a table, results.json, pictures, and what docs/performance.md shows of them."""
import json
import statistics

from place import PARTS, ROOT, Failed
from plot import draw

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"

# What stands in one table and one picture there.
KINDS = {
    "copying": ("copy", "database", "memory"),
    "following": ("catchup-simple", "catchup-standard", "inserts", "updates", "deletes", "delay",
                  "peak"),
}


def columns_of(figure):
    other, ratio = "", ""
    if figure.others:
        other = f"{statistics.median(figure.others):.2f} {figure.unit}"
        ratio = f"{figure.value:.2f}"
    must = "" if figure.must is None else f"{figure.must:g}"
    aim = "" if figure.aim is None else f"{figure.aim:g}"
    met = {None: "", True: "yes", False: "NO"}[figure.is_met]
    ours, theirs = (sum(cpu.values()) for cpu in figure.cpu or ({}, {}))
    cpu = f"{ours / theirs:.2f}" if theirs else ""
    return (figure.what, f"{statistics.median(figure.ours):.2f} {figure.unit}",
            figure.other_name or "", other, ratio, must, met, aim, cpu)


def print_figures(figures):
    print_table([("what", "trunkline", "against", "takes", "ratio", "must reach", "met",
                  "aim", "processors"), *map(columns_of, figures)])


def print_sweeps(sweeps):
    for sweep in sweeps:
        print_table([(sweep.title, "trunkline", "pg_dump | psql", "ratio", "peak"),
                     *sweep.rows()])
        print()


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for index, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if index == 0:
            print("  ".join("-" * width for width in widths))


def write_results(figures, sweeps, facts, arguments):
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    results = {
        "version": 1,
        "quick": arguments.quick,
        "scale": arguments.scale,
        "load_seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "facts": facts,
        "figures": [{
            "scene": figure.scene,
            "what": figure.what,
            "unit": figure.unit,
            "trunkline": figure.ours,
            "other": figure.other_name,
            "other_took": figure.others,
            "processor_seconds": figure.cpu,
            "value": round(figure.value, 3),
            "must_reach": figure.must,
            "aim": figure.aim,
            "met": figure.is_met,
        } for figure in figures],
        "growth": {sweep.name: sweep.facts() for sweep in sweeps},
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    pictures = {f"growth-{sweep.name}.svg": sweep.draw(facts) for sweep in sweeps}
    if figures:
        pictures["results.svg"] = draw(figures, facts)
    for name, picture in pictures.items():
        (out / name).write_text(picture)


# --- what docs/performance.md shows ---

def publish(figures, sweeps, facts, arguments):
    """Pictures of growth; the table and the picture of each kind of which all scenes were run."""
    for sweep in sweeps:
        (PLOTS / f"growth-{sweep.name}.svg").write_text(sweep.draw(facts))
    for kind, scenes in KINDS.items():
        of_kind = [figure for figure in figures if figure.scene in scenes]
        if {figure.scene for figure in of_kind} == set(scenes):
            (PLOTS / f"{kind}.svg").write_text(draw(of_kind, facts))
            replace_block(kind, block(kind, of_kind, facts, arguments))
        elif of_kind:
            print(f"not published, not all of its scenes were run: {kind}")


def block(kind, figures, facts, arguments):
    """Markdown: what was run where, the table, the picture."""
    rounds = f"medians of {arguments.rounds}" if arguments.rounds > 1 else "one round"
    lines = [f"{facts['postgresql'].removeprefix('postgres (PostgreSQL) ')}, "
             f"{facts['processors']} processors ({facts['processor']}), "
             f"{facts['memory_gib']:g} GiB; {facts['date']}, commit {facts['commit']}, {rounds}.",
             "", "| what | trunkline | against | takes | ratio | must reach | aim |",
             "|---|---|---|---|---|---|---|"]
    for figure in figures:
        what, ours, other_name, other, ratio, must, _, aim, _ = columns_of(figure)
        ratio = f"**{ratio}**" if figure.is_met is False else ratio
        must = f"{must} MiB" if must and not figure.others else must
        lines.append(f"| {what} | {ours} | {other_name} | {other} | {ratio} | {must} | {aim} |")
    return "\n".join([*lines, "", *cpu_table(figures), "", f"![{kind}](plots/{kind}.svg)"])


def cpu_table(figures):
    """Markdown: who used the processors, and for how long."""
    lines = ["| processor seconds | " + " | ".join(PARTS) + " |", "|---|" + "---|" * len(PARTS)]
    for figure in figures:
        for name, cpu in zip(("trunkline", figure.other_name), figure.cpu or ()):
            used = " | ".join(f"{cpu[part]:.2f}" for part in PARTS)
            line = f"| {figure.what}: {name} | {used} |"
            if line not in lines:
                lines.append(line)
    return lines


def replace_block(kind, text):
    begin, end = f"<!-- bench: {kind} -->\n", f"\n<!-- bench: end of {kind} -->"
    before, _, rest = PAGE.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise Failed(f"{PAGE} has no place for {kind}: {begin.strip()}")
    PAGE.write_text(before + begin + text + end + after)
