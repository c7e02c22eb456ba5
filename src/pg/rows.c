/* Query results. See rows.h. */
#include "pg/rows.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/libpq.h"
#include "pg/lsn.h"

struct rows {
    PGresult *result;
};

struct rows *rows_wrap(PGresult *take_result)
{
    struct rows *rows = mem_alloc(sizeof(*rows));
    rows->result = take_result;
    return rows;
}

const PGresult *rows_result(const struct rows *rows)
{
    return rows->result;
}

void rows_free(struct rows **rows)
{
    if (!*rows)
        return;
    PQclear((*rows)->result);
    free(*rows);
    *rows = NULL;
}

int rows_count(const struct rows *rows)
{
    return PQntuples(rows->result);
}

int rows_columns(const struct rows *rows)
{
    return PQnfields(rows->result);
}

int64_t rows_affected(const struct rows *rows)
{
    return strtoll(PQcmdTuples(rows->result), NULL, 10);
}

const char *rows_text(const struct rows *rows, int row, int column)
{
    if (PQgetisnull(rows->result, row, column))
        return NULL;
    return PQgetvalue(rows->result, row, column);
}

bool rows_bool(const struct rows *rows, int row, int column)
{
    return PQgetvalue(rows->result, row, column)[0] == 't';
}

int64_t rows_int(const struct rows *rows, int row, int column)
{
    return strtoll(PQgetvalue(rows->result, row, column), NULL, 10);
}

uint32_t rows_oid(const struct rows *rows, int row, int column)
{
    return (uint32_t)strtoul(PQgetvalue(rows->result, row, column), NULL, 10);
}

uint64_t rows_lsn(const struct rows *rows, int row, int column)
{
    uint64_t lsn = 0;
    (void)lsn_parse(PQgetvalue(rows->result, row, column), &lsn);
    return lsn;
}

const char *rows_name(const struct rows *rows, int column)
{
    return PQfname(rows->result, column);
}

uint32_t rows_type(const struct rows *rows, int column)
{
    return PQftype(rows->result, column);
}

int32_t rows_typmod(const struct rows *rows, int column)
{
    return PQfmod(rows->result, column);
}
