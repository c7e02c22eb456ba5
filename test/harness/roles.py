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


def statements(side, database):
    """What the manual says under "The source", "The target" and the like, for another database."""
    text = re.sub(r"--.*", "", block(f"The {side}")).replace(DATABASE, database)
    return [statement.strip() for statement in text.split(";") if statement.strip()]
