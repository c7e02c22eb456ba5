/* What `check` prints. See report.h. */
#include "check/report.h"

#include <jansson.h>

enum { JSON_VERSION = 1 };

static const char *level_name(enum finding_level level)
{
    switch (level) {
    case FINDING_ERROR:
        return "error";
    case FINDING_WARNING:
        return "warning";
    }
    return "";
}

static void print_json(const struct findings *findings, FILE *out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s}", "level", level_name(finding->level), "code",
                            finding->code, "text", finding->text, "hint", finding->hint));
    }
    json_t *root = json_pack("{s:i, s:o}", "version", (int)JSON_VERSION, "findings", list);
    (void)json_dumpf(root, out, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    (void)fputc('\n', out);
    json_decref(root);
}

static void print_level(const struct findings *findings, enum finding_level level, FILE *out)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        if (finding->level != level)
            continue;
        (void)fprintf(out, "%s %s: %s\n", level_name(level), finding->code, finding->text);
        if (finding->hint[0])
            (void)fprintf(out, "    %s\n", finding->hint);
    }
}

void findings_print(const struct findings *findings, bool as_json, FILE *out)
{
    size_t errors = findings_count(findings, FINDING_ERROR);
    size_t warnings = findings_count(findings, FINDING_WARNING);
    if (as_json) {
        print_json(findings, out);
        return;
    }
    print_level(findings, FINDING_ERROR, out);
    print_level(findings, FINDING_WARNING, out);
    (void)fprintf(out, "%zu error%s, %zu warning%s\n", errors, errors == 1 ? "" : "s", warnings,
                  warnings == 1 ? "" : "s");
}
