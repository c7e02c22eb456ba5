/* Looking for tables that a source 14 has attached. See attached.h. */
#include "pipeline/attached.h"

#include "base/buf.h"
#include "schema/array.h"

enum { TOLD_BY_THE_STREAM = 150000 };

bool attached_are_silent(const struct engine *engine)
{
    return engine->source_version < TOLD_BY_THE_STREAM;
}

bool attached_look(struct engine *engine, const struct keeper_tables *known, struct err *err)
{
    AUTO(conn_free) struct conn *source = NULL;
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(buf_release) struct buf oids = BUF_INIT;
    for (size_t i = 0; i < known->count; i++)
        array_add_oid(&oids, known->items[i].oid);
    const char *params[] = {engine->publication, engine->inserts_publication, array_end(&oids)};
    if (!engine_connect(engine, true, "attached", &source, err) ||
        !conn_query_params(source,
                           "SELECT c.oid, c.oid::pg_catalog.regclass"
                           " FROM pg_catalog.pg_publication p"
                           " CROSS JOIN LATERAL pg_catalog.pg_get_publication_tables(p.pubname) t"
                           " JOIN pg_catalog.pg_class c ON c.oid = t.relid AND c.relkind = 'r'"
                           " WHERE p.pubname IN ($1, $2)"
                           " AND c.oid <> ALL ($3::pg_catalog.oid[])",
                           COUNT_OF(params), params, &rows, err))
        return false;
    for (int i = 0; i < rows_count(rows); i++)
        if (engine_stranger(engine, rows_oid(rows, i, 0)) == STRANGER_NEW)
            return err_set(err, ERR_RETRY, "%s has come to the source", rows_text(rows, i, 1));
    return true;
}
