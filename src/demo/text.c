/* Small text helpers of the demo. */
#include "demo/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *text_tail(const char *path, size_t max_bytes)
{
    char *text = mem_alloc(max_bytes + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    off_t start = MAX_OF(size - (off_t)max_bytes, 0);
    ssize_t len = fd >= 0 ? pread(fd, text, max_bytes, start) : 0;
    if (fd >= 0)
        (void)close(fd);
    text[MAX_OF(len, 0)] = '\0';
    char *line = start > 0 ? strchr(text, '\n') : NULL;
    if (line)
        memmove(text, line + 1, strlen(line + 1) + 1);
    return text;
}

char *text_last_line(const char *path)
{
    AUTO(str_free) char *text = text_tail(path, 800);
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        text[--len] = '\0';
    char *newline = strrchr(text, '\n');
    return str_dup(newline ? newline + 1 : text);
}

const char *text_count(int64_t count, char ret_text[TEXT_COUNT])
{
    char digits[TEXT_COUNT];
    int len = snprintf(digits, sizeof(digits), "%" PRId64, count);
    int at = 0;
    for (int i = 0; i < len && at < TEXT_COUNT - 2; i++) {
        if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            ret_text[at++] = ',';
        ret_text[at++] = digits[i];
    }
    ret_text[at] = '\0';
    return ret_text;
}

const char *text_bytes(int64_t bytes, char ret_text[TEXT_COUNT])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    double value = (double)bytes;
    for (; value >= 1000 && unit + 1 < COUNT_OF(units); unit++)
        value /= 1000;
    (void)snprintf(ret_text, TEXT_COUNT, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return ret_text;
}
