/* Reading of configuration files, which are small. See text_file.h. */
#include "conf/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_FILE_BYTES = 1024 * 1024 };

static void close_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

char *text_file_read(const char *path, struct strv *problems)
{
    AUTO(close_file) FILE *in = fopen(path, "re");
    AUTO(str_wipe) char *text = mem_alloc(MAX_FILE_BYTES + 1);
    size_t len = 0;
    if (in)
        len = fread(text, 1, MAX_FILE_BYTES, in);
    if (!in || ferror(in))
        strv_take(problems, str_fmt("could not read %s: %s", path, strerror(errno)));
    else if (len == MAX_FILE_BYTES)
        strv_take(problems, str_fmt("cannot read %s: larger than 1 MiB", path));
    else if (memchr(text, '\0', len))
        strv_take(problems, str_fmt("cannot read %s: not a text file", path));
    else
        return TAKE(text);
    return NULL;
}
