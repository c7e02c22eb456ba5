/* The manual page (roff, man macros) and bash's completion, from the tables. See reference.c. */
#include "cli/manual.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "conf/setting.h"

/* Text as roff takes it: a hyphen is a minus that can be copied, a leading dot no request. */
static void put_roff(const char *text, FILE *out)
{
    bool is_first = true;
    for (; *text; text++) {
        if (is_first && (*text == '.' || *text == '\''))
            (void)fputs("\\&", out);
        if (*text == '\\')
            (void)fputs("\\e", out);
        else if (*text == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(*text, out);
        is_first = *text == '\n';
    }
}

static void put_heading(const char *text, FILE *out)
{
    (void)fprintf(out, ".SH %s\n", text);
}

static void print_commands(FILE *out)
{
    put_heading("COMMANDS", out);
    for (size_t i = 0; i < command_count; i++) {
        const struct command_row *row = &command_table[i];
        if (!row->summary)
            continue;
        (void)fputs(".TP\n.B ", out);
        put_roff(row->name, out);
        (void)fputc(' ', out);
        put_roff(row->usage, out);
        (void)fputc('\n', out);
        put_roff(row->text, out);
        if (row->also) {
            (void)fputs("\nAlso called ", out);
            put_roff(row->also, out);
            (void)fputc('.', out);
        }
        (void)fputc('\n', out);
    }
}

static void print_option(const struct setting *setting, FILE *out)
{
    AUTO(str_free) char *flag = setting_flag(setting);
    AUTO(str_free) char *word = setting_word(setting);
    AUTO(str_free) char *env = setting_env(setting);
    AUTO(str_free) char *option = str_fmt("--%s%s%s", flag, *word ? " " : "", word);
    (void)fputs(".TP\n.B ", out);
    put_roff(option, out);
    (void)fputc('\n', out);
    put_roff(setting->help, out);
    if (*setting->def && setting->type != SETTING_BOOL) {
        (void)fputs(" (default: ", out);
        put_roff(setting->def, out);
        (void)fputc(')', out);
    }
    if (!setting->is_flag_only)
        (void)fprintf(out, " [%s]", env);
    (void)fputs(".\nCommands:", out);
    for (size_t i = 0; i < command_count; i++)
        if ((command_table[i].command & setting->commands) && command_table[i].summary) {
            (void)fputc(' ', out);
            put_roff(command_table[i].name, out);
        }
    (void)fputs(".\n", out);
}

void manual_print(FILE *out)
{
    (void)fprintf(out,
                  ".\\\" Made by `trunkline reference man`; `make docs` writes it.\n"
                  ".TH TRUNKLINE 1 \"\" \"trunkline %s\" \"User commands\"\n",
                  TRUNKLINE_VERSION);
    put_heading("NAME", out);
    (void)fputs("trunkline \\- copy a live PostgreSQL database and follow it, exactly once\n", out);
    put_heading("SYNOPSIS", out);
    (void)fputs(".B trunkline\n.I COMMAND\n.RI [ OPTION ]...\n", out);
    put_heading("DESCRIPTION", out);
    (void)fputs("Copies schema and rows of a PostgreSQL database that is in use into another one, "
                "and then\napplies every committed change there, in order and exactly once.\n"
                "Through a link named\n.B pgstream\nthe commands are the same; slot, schema and "
                "messages then carry that name.\n",
                out);
    print_commands(out);
    put_heading("OPTIONS", out);
    (void)fputs("Flags win over the environment, which wins over the file, which wins over the "
                "default.\n.TP\n.B \\-c, \\-\\-config FILE\nRead settings from a file: YAML when "
                "its name ends in .yaml or .yml, else lines of NAME=value.\n.TP\n"
                ".B \\-h, \\-\\-help\nShow the options of a command.\n",
                out);
    for (size_t i = 0; i < settings_count; i++)
        print_option(&settings_table[i], out);
    put_heading("SIGNALS", out);
    (void)fputs("SIGTERM and SIGINT end the program in good order, a second one at once.\nSIGHUP "
                "makes\n.B run\nread the log level again from file and environment.\n",
                out);
    put_heading("EXIT STATUS", out);
    (void)fputs("0 done, 1 failed, 2 configuration, 3 not finished.\n", out);
    put_heading("SEE ALSO", out);
    (void)fputs(".BR psql (1),\n.BR pg_dump (1)\n", out);
}

/* --- completion --- */

/* The words that a shell variable or a case lists: "a b c". */
static void put_flags(unsigned command, FILE *out)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        AUTO(str_free) char *flag = setting_flag(setting);
        if (!(setting->commands & command))
            continue;
        (void)fprintf(out, "--%s ", flag);
        for (const char *const *word = setting->flags; word && *word; word++)
            (void)fprintf(out, "--%s ", *word);
    }
    (void)fputs("--config --help", out);
}

static void put_command_names(FILE *out)
{
    const char *between = "";
    for (size_t i = 0; i < command_count; i++) {
        const struct command_row *row = &command_table[i];
        if (!row->summary)
            continue;
        (void)fprintf(out, "%s%s", between, row->name);
        if (row->also && row->also[0] != '-')
            (void)fprintf(out, " %s", row->also);
        between = " ";
    }
}

static void put_choices(FILE *out)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        AUTO(str_free) char *flag = setting_flag(setting);
        if (setting->type != SETTING_ENUM)
            continue;
        (void)fprintf(out, "    --%s) words=\"", flag);
        for (int k = 0; setting->choices[k]; k++)
            (void)fprintf(out, "%s%s", k ? " " : "", setting->choices[k]);
        (void)fputs("\" ;;\n", out);
    }
}

static void put_options(FILE *out)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command_row *row = &command_table[i];
        if (!row->command || !row->summary)
            continue;
        (void)fprintf(out, "    %s%s%s) words=\"", row->name, row->also ? " | " : "",
                      row->also ? row->also : "");
        put_flags(row->command, out);
        (void)fputs("\" ;;\n", out);
    }
}

void completion_print(FILE *out)
{
    (void)fputs("# Made by `trunkline reference completion`; `make docs` writes it.\n"
                "_trunkline() {\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
                "    local words=\"\" commands=\"",
                out);
    put_command_names(out);
    (void)fputs("\"\n"
                "    COMPREPLY=()\n"
                "    if [ \"$COMP_CWORD\" -eq 1 ] || [ \"$before\" = help ]; then\n"
                "        mapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$word\")\n"
                "        return\n"
                "    fi\n"
                "    if [ \"$before\" = config ] && [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                "        mapfile -t COMPREPLY < <(compgen -W print -- \"$word\")\n"
                "        return\n"
                "    fi\n"
                "    case $before in\n"
                "    -c | --config)\n"
                "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                "        return\n"
                "        ;;\n",
                out);
    put_choices(out);
    (void)fputs("    esac\n"
                "    [ -n \"$words\" ] || case ${COMP_WORDS[1]} in\n",
                out);
    put_options(out);
    (void)fputs("    esac\n"
                "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                "}\n"
                "complete -o filenames -F _trunkline trunkline pgstream\n",
                out);
}
