/* Edit distance (optimal string alignment) over three rows of the usual matrix. */
#include "conf/suggest.h"

#include <string.h>

#include "base/macros.h"

enum { MAX_WORD = 64 };

static size_t least(size_t a, size_t b, size_t c)
{
    return MIN_OF(MIN_OF(a, b), c);
}

size_t word_distance(const char *a, const char *b)
{
    size_t rows[3][MAX_WORD];
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    if (a_len >= MAX_WORD || b_len >= MAX_WORD)
        return strcmp(a, b) == 0 ? 0 : MAX_WORD;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN_OF(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

size_t word_tolerance(size_t len)
{
    return len < 4 ? 1 : MIN_OF(len / 3, 4);
}
