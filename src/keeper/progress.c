/* Parts done of each table, for status. See progress.h. */
#include "keeper/progress.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/quote.h"

bool keeper_progress_read(struct conn *conn, const struct keeper_ref *ref,
                          struct keeper_progress *ret_progress, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    const char *params[] = {ref->slot};
    AUTO(str_free)
    char *sql = quote_sql("SELECT t.source_oid, t.parts, pg_catalog.count(p.part),"
                          " coalesce(pg_catalog.sum(p.rows), 0)::int8,"
                          " coalesce(pg_catalog.sum(p.bytes), 0)::int8"
                          " FROM %I.tables t LEFT JOIN %I.parts p USING (slot, source_oid)"
                          " WHERE t.slot = $1 GROUP BY t.source_oid, t.parts"
                          " ORDER BY t.source_oid",
                          ref->schema, ref->schema);
    if (!conn_query_params(conn, sql, 1, params, &rows, err))
        return err_wrap(err, "could not read how far the copy is");
    struct keeper_progress progress = {.count = (size_t)rows_count(rows)};
    progress.items = mem_alloc(progress.count * sizeof(*progress.items));
    for (int i = 0; i < rows_count(rows); i++)
        progress.items[i] = (struct keeper_table_progress){
            .oid = rows_oid(rows, i, 0),
            .parts = rows_int(rows, i, 1),
            .parts_done = rows_int(rows, i, 2),
            .rows = rows_int(rows, i, 3),
            .bytes = rows_int(rows, i, 4),
        };
    *ret_progress = progress;
    return true;
}

void keeper_progress_release(struct keeper_progress *progress)
{
    free(progress->items);
    *progress = KEEPER_PROGRESS_INIT;
}

const struct keeper_table_progress *keeper_progress_find(const struct keeper_progress *progress,
                                                         uint32_t oid)
{
    for (size_t i = 0; i < progress->count; i++)
        if (progress->items[i].oid == oid)
            return &progress->items[i];
    return NULL;
}
