/* Log sequence numbers: 64-bit byte positions in the write-ahead log, printed "X/X". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LSN_TEXT = 24 };

/* Writes "X/X" into ret_text (LSN_TEXT bytes) and returns it. */
const char *lsn_format(uint64_t lsn, char ret_text[LSN_TEXT]);

/* False: text is not an LSN. */
bool lsn_parse(const char *text, uint64_t *ret_lsn);
