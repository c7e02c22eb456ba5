/* Parts of the copy: COPY … FROM STDIN. Runs in a copier thread.
 *
 * Invariant: a part's rows and its record commit in one transaction, so that a part is either
 * whole and recorded, or not there. */
#include <inttypes.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/mem.h"
#include "pg/copy.h"
#include "target/postgres/inside.h"

bool postgres_part_begin(struct target *target, const struct part_target *part, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    pg->part = *part;
    pg->part_bytes = 0;
    return conn_exec(pg->conn, "BEGIN", err) && copy_in_begin(pg->conn, part->copy_sql, err);
}

bool postgres_part_rows(struct target *target, const char *raw, size_t len, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    pg->part_bytes += (int64_t)len;
    return copy_in_write(pg->conn, raw, len, err);
}

static bool record_part(struct postgres *pg, int64_t row_count, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    char oid[16], number[16], count[24], bytes[24];
    (void)snprintf(oid, sizeof(oid), "%u", pg->part.table_oid);
    (void)snprintf(number, sizeof(number), "%d", pg->part.number);
    (void)snprintf(count, sizeof(count), "%" PRId64, row_count);
    (void)snprintf(bytes, sizeof(bytes), "%" PRId64, pg->part_bytes);
    const char *params[] = {pg->options.keeper.slot, oid, number, count, bytes};
    AUTO(str_free) char *sql = keeper_part_sql(pg->options.keeper.schema);
    return conn_query_params(pg->conn, sql, 5, params, &rows, err);
}

/* A part with a snapshot of its own is a whole table: its S and L are the table's from now on. */
static bool record_snapshot(struct postgres *pg, struct err *err)
{
    if (!pg->part.snapshot)
        return true;
    return keeper_set_snapshot(pg->conn, &pg->options.keeper, pg->part.table_oid, pg->part.snapshot,
                               pg->part.end_lsn, err);
}

bool postgres_part_commit(struct target *target, int64_t *ret_rows, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    return copy_in_end(pg->conn, ret_rows, err) && record_part(pg, *ret_rows, err) &&
           record_snapshot(pg, err) && fault_point("part.commit", err) &&
           conn_exec(pg->conn, "COMMIT", err);
}

bool postgres_part_abort(struct target *target, struct err *err)
{
    struct postgres *pg = postgres_of(target);
    return conn_exec(pg->conn, "ROLLBACK", err);
}
