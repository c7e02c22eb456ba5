/* Log sequence numbers: 64-bit byte positions in the write-ahead log, printed "X/X". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LSN_TEXT = 24 };

/* SQL: the source's end of WAL, written out or not. At the beginning of a page the insert position
 * stands behind the page's header (24 or 40 bytes), where no record ever ends: the stream of an
 * idle server comes to the page's beginning, and so does this. */
#define LSN_END_SQL                                                                           \
    "(SELECT i - CASE WHEN (i - '0/0') % 8192 IN (24, 40) THEN (i - '0/0') % 8192 ELSE 0 END" \
    " FROM pg_catalog.pg_current_wal_insert_lsn() i)"

/* Writes "X/X" into ret_text (LSN_TEXT bytes) and returns it. */
const char *lsn_format(uint64_t lsn, char ret_text[LSN_TEXT]);

/* False: text is not an LSN. */
bool lsn_parse(const char *text, uint64_t *ret_lsn);
