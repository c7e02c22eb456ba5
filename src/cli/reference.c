/* `trunkline reference TOPIC`: the pages made from the tables of settings, commands and metrics.
 * scripts/generate-docs writes them into docs/; a check fails when what stands there differs. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/manual.h"
#include "conf/setting.h"
#include "conf/unsupported.h"
#include "metrics/metrics.h"

static const struct {
    const char *type;
    const char *name;
    const char *label;
    const char *help;
} metric_rows[] = {
#define METRIC(id, kind, unit, name, label, help) {#kind, "trunkline_" name, label, help},
#include "metrics/metrics.def"
#undef METRIC
};

static void print_head(const char *title, const char *topic, FILE *out)
{
    (void)fprintf(out,
                  "# %s\n\n<!-- Made by `trunkline reference %s`; `make docs` writes it. -->\n\n",
                  title, topic);
}

/* In a table of Markdown a bar would end the cell. */
static void put_cell(const char *text, FILE *out)
{
    for (; *text; text++)
        (void)fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

/* --- settings --- */

static void put_words(const char *const *words, const char *prefix, FILE *out)
{
    for (; words && *words; words++)
        (void)fprintf(out, ", `%s%s`", prefix, *words);
}

static void put_commands(unsigned commands, FILE *out)
{
    const char *between = "";
    for (size_t i = 0; i < command_count; i++) {
        if (!(command_table[i].command & commands) || !command_table[i].summary)
            continue;
        (void)fprintf(out, "%s%s", between, command_table[i].name);
        between = ", ";
    }
}

static void print_places(const struct setting *setting, FILE *out)
{
    AUTO(str_free) char *env = setting_env(setting);
    if (setting->is_flag_only) {
        (void)fputs("- environment, file: not there, it says how to run once\n", out);
        return;
    }
    (void)fprintf(out, "- environment, `.env`: `%s`", env);
    put_words(setting->names, "PGSTREAM_", out);
    (void)fprintf(out, "\n- YAML: `%s`", setting->path);
    put_words(setting->paths, "", out);
    (void)fputs(setting->is_bare_ms ? "; there a number without a unit is milliseconds\n" : "\n",
                out);
}

static void print_setting(const struct setting *setting, FILE *out)
{
    AUTO(str_free) char *flag = setting_flag(setting);
    AUTO(str_free) char *word = setting_word(setting);
    (void)fprintf(out, "\n## %s\n\n%s\n\n", setting->name, setting->help);
    (void)fprintf(out, "- flag: `--%s%s%s`", flag, *word ? " " : "", word);
    put_words(setting->flags, "--", out);
    (void)fputc('\n', out);
    print_places(setting, out);
    if (*setting->def)
        (void)fprintf(out, "- default: `%s`\n", setting->def);
    (void)fputs("- commands: ", out);
    put_commands(setting->commands, out);
    unsigned required = setting->required & setting->commands;
    if (required) {
        (void)fputs("; needed by ", out);
        put_commands(required, out);
    }
    (void)fputc('\n', out);
}

static void print_settings(FILE *out)
{
    print_head("Settings", "settings", out);
    (void)fputs(
        "Flags win over the environment, which wins over the file that `-c` names, which wins over "
        "the default.\nThe file is YAML when its name ends in `.yaml` or `.yml`, else lines of "
        "`NAME=value`.\n\nA name that begins with `PGSTREAM_` may begin with `TRUNKLINE_` as well. "
        "Two different values for one\nsetting are refused. Sizes: `64MiB`, `512kB`. Durations: "
        "`500ms`, `10s`, `2min`. Lists: commas or spaces.\n\n`trunkline config print` shows the "
        "values in force and where each comes from.\n",
        out);
    for (size_t i = 0; i < settings_count; i++)
        print_setting(&settings_table[i], out);
}

/* --- commands --- */

static void print_options(unsigned command, FILE *out)
{
    (void)fputs("\n| option | meaning |\n|---|---|\n", out);
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!(setting->commands & command))
            continue;
        AUTO(str_free) char *flag = setting_flag(setting);
        (void)fprintf(out, "| [`--%s`](settings.md#%s) | ", flag, setting->name);
        put_cell(setting->help, out);
        (void)fputs(setting->required & command ? " (required) |\n" : " |\n", out);
    }
}

static void print_commands(FILE *out)
{
    print_head("Commands", "commands", out);
    (void)fputs("Exit codes: 0 done, 1 failed, 2 configuration, 3 not finished. Results go to "
                "standard output, the log\nto standard error. Through a link named `pgstream` the "
                "commands are the same; slot, schema and messages\nthen carry that name.\n",
                out);
    for (size_t i = 0; i < command_count; i++) {
        const struct command_row *row = &command_table[i];
        if (!row->summary)
            continue;
        (void)fprintf(out, "\n## %s\n\n```\ntrunkline %s%s%s\n```\n\n%s\n", row->name, row->name,
                      *row->usage ? " " : "", row->usage, row->text);
        if (row->also)
            (void)fprintf(out, "\nAlso called `%s`.\n", row->also);
        if (row->command)
            print_options(row->command, out);
    }
}

/* --- metrics --- */

static void print_metrics(FILE *out)
{
    print_head("Metrics", "metrics", out);
    (void)fputs("`--listen HOST:PORT` serves them at `/metrics`, in Prometheus' text format. Each "
                "carries the label\n`pipeline`, which is the slot's name. Positions are bytes of "
                "WAL since its beginning.\n\n| name | type | further label | meaning |\n"
                "|---|---|---|---|\n",
                out);
    for (size_t i = 0; i < COUNT_OF(metric_rows); i++)
        (void)fprintf(out, "| `%s` | %s | %s | %s |\n", metric_rows[i].name, metric_rows[i].type,
                      metric_rows[i].label, metric_rows[i].help);
    (void)fputs("\nThe phase stands in a label of `trunkline_phase`: ", out);
    for (int phase = METRICS_STARTING; phase <= METRICS_FAILED; phase++)
        (void)fprintf(out, "%s`%s`", phase ? ", " : "",
                      metrics_phase_name((enum metrics_phase)phase));
    (void)fputs(".\n", out);
}

/* --- what pgstream has and trunkline refuses --- */

static void print_unsupported(FILE *out)
{
    print_head("What of pgstream is refused", "unsupported", out);
    (void)fputs(
        "A variable here, or a place in a YAML file, ends the program with exit code 2 and "
        "all such names.\nA name that ends in `_` stands for all that begin so, a place for "
        "everything below it. A value in the\nlast column asks for what trunkline does "
        "anyway and is accepted.\n\n| variable | place in YAML | accepted value |\n"
        "|---|---|---|\n",
        out);
    for (size_t i = 0; i < unsupported_count; i++) {
        const struct unsupported *row = &unsupported_table[i];
        (void)fprintf(out, "| %s%s%s ", row->name ? "`PGSTREAM_" : "", row->name ? row->name : "",
                      row->name ? "`" : "");
        (void)fprintf(out, "| %s%s%s ", row->path ? "`" : "", row->path ? row->path : "",
                      row->path ? "`" : "");
        (void)fprintf(out, "| %s%s%s |\n", row->same ? "`" : "", row->same ? row->same : "",
                      row->same ? "`" : "");
    }
}

static const struct {
    const char *name;
    void (*print)(FILE *out);
} topics[] = {
    {"settings", print_settings}, {"commands", print_commands},
    {"metrics", print_metrics},   {"unsupported", print_unsupported},
    {"man", manual_print},        {"completion", completion_print},
};

int cmd_reference(const char *program UNUSED, int argc, char **argv)
{
    struct err err = {0};
    for (size_t i = 0; argc == 2 && i < COUNT_OF(topics); i++)
        if (strcmp(argv[1], topics[i].name) == 0) {
            topics[i].print(stdout);
            return 0;
        }
    (void)err_set(&err, ERR_CONFIG, "reference needs one topic");
    (void)err_hint(&err, "settings, commands, metrics, unsupported, man or completion");
    log_err(LOG_ERROR, &err);
    return err_exit_code(&err);
}
