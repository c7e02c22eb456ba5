"""What the keeper records of a copy: tables that are finished must not be copied again."""

PARTS = ("SELECT t.table_name, p.part, p.xmin::text, p.done_at::text FROM trunkline.parts p"
         " JOIN trunkline.tables t USING (slot, source_oid) WHERE t.table_name = ANY (%s)")
FINISHED = ("SELECT t.table_name FROM trunkline.tables t JOIN trunkline.parts p"
            " USING (slot, source_oid) WHERE t.parts > 0"
            " GROUP BY t.slot, t.source_oid HAVING count(*) = t.parts")
UNFINISHED = ("SELECT count(*) FROM trunkline.tables t WHERE parts > (SELECT count(*)"
              " FROM trunkline.parts p WHERE p.source_oid = t.source_oid)")


def finished(pipe):
    """The tables whose parts are all there; none before there is a keeper."""
    if pipe.target.admin_one("SELECT to_regclass('trunkline.parts')") is None:
        return []
    return [name for name, in pipe.target.admin(FINISHED)]


def is_in_the_middle(pipe):
    return finished(pipe) and pipe.target.admin_one(UNFINISHED)


def records(pipe, names):
    """Of the parts of these tables: whoever writes one again leaves another."""
    if not names:
        return []
    return sorted(pipe.target.admin(PARTS, names))
