/* The list of findings. See finding.h. */
#include "check/finding.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char hint_mark[] = "; hint: ";

void findings_release(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->items[i].text);
        free(findings->items[i].hint);
    }
    free(findings->items);
    *findings = FINDINGS_INIT;
}

static struct finding *add(struct findings *findings)
{
    findings->items = mem_resize(findings->items, findings->count + 1, sizeof(*findings->items));
    return &findings->items[findings->count++];
}

void findings_add(struct findings *findings, enum finding_level level, const char *code,
                  char *take_text, char *take_hint)
{
    *add(findings) = (struct finding){
        .level = level,
        .kind = ERR_CONFIG,
        .code = code,
        .text = take_text,
        .hint = take_hint,
    };
}

void findings_add_err(struct findings *findings, const char *code, const struct err *err)
{
    const char *hint = strstr(err->text, hint_mark);
    size_t len = hint ? (size_t)(hint - err->text) : strlen(err->text);
    *add(findings) = (struct finding){
        .level = FINDING_ERROR,
        .kind = err->kind,
        .code = code,
        .text = str_dup_n(err->text, len),
        .hint = str_dup(hint ? hint + strlen(hint_mark) : ""),
    };
}

void findings_move_last(struct findings *findings, size_t index)
{
    struct finding last = findings->items[findings->count - 1];
    memmove(&findings->items[index + 1], &findings->items[index],
            (findings->count - 1 - index) * sizeof(last));
    findings->items[index] = last;
}

size_t findings_count(const struct findings *findings, enum finding_level level)
{
    size_t count = 0;
    for (size_t i = 0; i < findings->count; i++)
        count += findings->items[i].level == level;
    return count;
}

bool finding_err(const struct finding *finding, struct err *err)
{
    (void)err_set(err, finding->kind, "%s", finding->text);
    return finding->hint[0] ? err_hint(err, "%s", finding->hint) : false;
}
