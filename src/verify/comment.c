/* Lines as SQL comments: see comment.h. */
#include "verify/comment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/mem.h"

struct comments {
    FILE *out;      /* borrowed */
    bool is_inside; /* a line has begun */
};

static ssize_t comment_write(void *cookie, const char *data, size_t len)
{
    struct comments *comments = cookie;
    for (size_t i = 0; i < len; i++) {
        if (!comments->is_inside)
            (void)fputs("-- ", comments->out);
        comments->is_inside = data[i] != '\n';
        (void)fputc((unsigned char)data[i], comments->out);
    }
    return fflush(comments->out) == 0 ? (ssize_t)len : 0;
}

static int comment_end(void *cookie)
{
    free(cookie);
    return 0;
}

FILE *comment_open(FILE *out)
{
    struct comments *comments = mem_alloc(sizeof(*comments));
    *comments = (struct comments){.out = out};
    return fopencookie(comments, "w",
                       (cookie_io_functions_t){.write = comment_write, .close = comment_end});
}

void comment_close(FILE **comments)
{
    if (*comments)
        (void)fclose(*comments);
    *comments = NULL;
}
