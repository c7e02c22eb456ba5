"""The program's roles, as the manual tells its readers to make them: docs/roles.md."""
import pathlib
import re

MANUAL = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "roles.md"
OWNER = "app"  # of databases and tables, in the manual and in the tests
DATABASE = "shop"  # in the manual


def block(heading):
    """The SQL under one of the manual's headings."""
    section = MANUAL.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"^```sql\n(.*?)^```", section, re.M | re.S)[1]


def is_for(line, major):
    """Whether a line of the manual's SQL says nothing of versions, or that this one has it."""
    since = re.search(r"-- PostgreSQL (\d+) and later", line)
    return not since or major >= int(since[1])


def statements(side, database, major):
    """What the manual says under "The source", "The target" and the like, for another database on
    a server of that version."""
    lines = [line for line in block(f"The {side}").splitlines() if is_for(line, major)]
    text = re.sub(r"--.*", "", "\n".join(lines)).replace(DATABASE, database)
    return [statement.strip() for statement in text.split(";") if statement.strip()]
