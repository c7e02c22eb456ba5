/* LSN text form, both ways. See lsn.h. */
#include "pg/lsn.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *lsn_format(uint64_t lsn, char ret_text[LSN_TEXT])
{
    (void)snprintf(ret_text, LSN_TEXT, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32),
                   (uint32_t)lsn);
    return ret_text;
}

/* 1 to 8 hexadecimal digits; returns what follows, NULL when there are none. */
static const char *parse_half(const char *text, uint64_t *ret_half)
{
    uint64_t half = 0;
    int digits = 0;
    for (; digits < 8 && isxdigit((unsigned char)*text); digits++, text++) {
        int c = tolower((unsigned char)*text);
        half = half << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret_half = half;
    return digits ? text : NULL;
}

bool lsn_parse(const char *text, uint64_t *ret_lsn)
{
    uint64_t high = 0;
    uint64_t low = 0;
    text = parse_half(text, &high);
    if (!text || *text != '/')
        return false;
    text = parse_half(text + 1, &low);
    if (!text || *text)
        return false;
    *ret_lsn = high << 32 | low;
    return true;
}
