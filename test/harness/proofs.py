"""docs/objects.md: what the tests prove of each object class and type, from their marks."""
HEAD = """# Objects and types

What trunkline copies, what it keeps up to date, and what `trunkline verify` compares (rows always,
definitions with `--schema`). Every "yes" is claimed by a test that compares by value; this page is
written from those tests (`scripts/generate-objects`). A "–" claims nothing: changes of definitions
are not followed in this version.
"""
ASPECTS = ("copied", "followed", "verified")


def shown(value):
    return {True: "yes", None: "–"}.get(value, value)


def collect(items):
    """{group: {name: {aspect: True or text}}}; of two tests about one thing each adds its part."""
    groups = {}
    for item in items:
        for mark in item.iter_markers("proves"):
            group, name = mark.args
            row = groups.setdefault(group, {}).setdefault(name, {})
            for aspect, value in mark.kwargs.items():
                assert aspect in ASPECTS, aspect
                if row.get(aspect) is not True:
                    row[aspect] = value
    return groups


def page(items):
    lines = [HEAD]
    for group, rows in sorted(collect(items).items()):
        lines += [f"## {group}", "", "| | copied | followed | verified |", "|---|---|---|---|"]
        for name, row in sorted(rows.items()):
            cells = (shown(row.get(aspect)) for aspect in ASPECTS)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
