/* Rewrites a CREATE TABLE as pg_dump 18 writes it. See not_null.h. Only the shape is read: names,
 * strings and parentheses; an element that is not surely a NOT NULL stays what it is. No other
 * element of such a list begins with these words. Quotes are doubled inside quotes, which reads as
 * the end of one text and the beginning of the next. */
#include "schema/not_null.h"

#include <string.h>

static const char not_null[] = "NOT NULL ";
static const char constraint[] = "CONSTRAINT ";

static bool takes(const char **at, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

/* The end of the text in quotes that begins here; NULL: it has none. */
static const char *past_quoted(const char *at)
{
    const char *end = strchr(at + 1, *at);
    return end ? end + 1 : NULL;
}

/* The end of the name that begins here. */
static const char *past_name(const char *at)
{
    if (*at != '"')
        return at + strcspn(at, " ,()\n\"");
    while (at && *at == '"')
        at = past_quoted(at);
    return at;
}

/* The first of these characters outside quotes and deeper parentheses; NULL: there is none. */
static const char *find_outside(const char *at, const char *wanted)
{
    int depth = 0;
    while (at && *at) {
        if (depth == 0 && strchr(wanted, *at))
            return at;
        depth += (*at == '(') - (*at == ')');
        at = *at == '\'' || *at == '"' ? past_quoted(at) : at + 1;
    }
    return NULL;
}

/* The column of a NOT NULL that is the whole element from at to end; NULL: it is another one. */
static const char *column_of(const char *at, const char *end)
{
    if (takes(&at, constraint)) {
        at = past_name(at);
        if (!at || !takes(&at, " "))
            return NULL;
    }
    if (!takes(&at, not_null) || past_name(at) != end)
        return NULL;
    return at;
}

/* The opening parenthesis of the list of columns; NULL: it is no such statement. */
static const char *begin_list(const char *query, const char **ret_name)
{
    const char *at = query;
    if (!takes(&at, "CREATE "))
        return NULL;
    (void)(takes(&at, "UNLOGGED ") || takes(&at, "FOREIGN "));
    if (!takes(&at, "TABLE "))
        return NULL;
    *ret_name = at;
    const char *list = find_outside(at, " ");
    return list && strncmp(list, " (\n", 3) == 0 ? list + 1 : NULL;
}

bool not_null_adapt(const char *query, struct buf *adapted)
{
    AUTO(buf_release) struct buf alters = BUF_INIT;
    AUTO(buf_release) struct buf kept = BUF_INIT;
    const char *name = NULL;
    const char *list = begin_list(query, &name);
    const char *at = list;
    while (at && *at != ')') {
        const char *begin = at + 1 + strspn(at + 1, " \n");
        at = find_outside(begin, ",)");
        const char *end = at;
        while (end && end > begin && end[-1] == '\n')
            end--;
        const char *column = at ? column_of(begin, end) : NULL;
        if (column)
            buf_fmt(&alters, "ALTER TABLE ONLY %.*s ALTER COLUMN %.*s SET NOT NULL;\n",
                    (int)(list - 1 - name), name, (int)(end - column), column);
        else if (at)
            buf_fmt(&kept, "%s\n    %.*s", kept.len ? "," : "", (int)(end - begin), begin);
    }
    if (!at || !alters.len)
        return false;
    buf_add(adapted, query, (size_t)(list + 1 - query));
    buf_puts(adapted, buf_text(&kept));
    buf_fmt(adapted, "\n%s\n%s", at, buf_text(&alters));
    return true;
}
