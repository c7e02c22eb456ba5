/* What tests of the settings share: files, the environment, reading a line of flags. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/mem.h"
#include "base/strv.h"
#include "conf/names.h"
#include "conf/setting.h"
#include "conf/settings.h"

/* Removes every variable that could be a setting: what the caller has set must not matter. */
static inline void clear_environment(void)
{
    AUTO(strv_release) struct strv names = STRV_INIT;
    for (char **variable = environ; *variable; variable++)
        strv_take(&names, str_dup_n(*variable, strcspn(*variable, "=")));
    for (size_t i = 0; i < names.count; i++)
        if (env_rest(names.items[i]))
            (void)unsetenv(names.items[i]);
}

/* A file of that text and ending, to be removed by remove_file(). */
static inline char *write_text(const char *text, const char *ending)
{
    char *path = str_fmt("/tmp/trunkline-test-XXXXXX%s", ending);
    int fd = mkstemps(path, (int)strlen(ending));
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    (void)close(fd);
    return path;
}

static inline void remove_file(char **path)
{
    (void)unlink(*path);
    str_free(path);
}

/* Settings read from a file, flags (split at blanks) and the environment as it is. */
struct attempt {
    struct settings s;
    struct strv problems;
    char *text; /* of all problems, without the file's name */
    bool is_read;
};

static inline void attempt_release(struct attempt *attempt)
{
    settings_release(&attempt->s);
    strv_release(&attempt->problems);
    str_free(&attempt->text);
}

static inline char *without_name(const char *text, const char *name)
{
    struct buf out = BUF_INIT;
    const char *found;
    for (; (found = strstr(text, name)); text = found + strlen(name)) {
        buf_add(&out, text, (size_t)(found - text));
        buf_puts(&out, "FILE");
    }
    buf_puts(&out, text);
    return buf_take(&out);
}

/* file: its text, or NULL for none. ending: ".env" or ".yaml". Into a released or new attempt. */
static inline void attempt_read(struct attempt *ret, unsigned command, const char *file,
                                const char *ending, const char *flags)
{
    AUTO(remove_file) char *path = write_text(file ? file : "", ending);
    AUTO(strv_release) struct strv args = STRV_INIT;
    const char *program = ret->s.program ? ret->s.program : "trunkline";
    *ret = (struct attempt){.s = {.program = program}};
    strv_add(&args, "run");
    if (file)
        strv_take(&args, str_fmt("--config=%s", path));
    while (*flags) {
        size_t len = strcspn(flags, " ");
        strv_take(&args, str_dup_n(flags, len));
        flags += len + (flags[len] == ' ');
    }
    ret->is_read = settings_read(&ret->s, command, (int)args.count, args.items, &ret->problems);
    AUTO(str_free) char *joined = strv_join(&ret->problems, "\n");
    ret->text = without_name(joined, path);
}

/* The value as it is printed, owned by the caller. */
static inline char *value_of(const struct attempt *attempt, const char *setting)
{
    return setting_text(&settings_table[setting_index(setting)], &attempt->s);
}
