/* Tests of the schema copy's parts that need no server: the list of a dump (recorded from
 * pg_restore 15 over a database with odd names), what goes to which stage, what is left out,
 * child processes, finding the tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/stop.h"
#include "schema/array.h"
#include "schema/child.h"
#include "schema/facts.h"
#include "schema/not_null.h"
#include "schema/toc.h"
#include "schema/tools.h"

static const char before_rows[] =
    ";\n; Archive created at 2026-11-21 10:55:34 UTC\n;\n"
    "10; 2615 16394 SCHEMA - ATTACH x postgres\n"
    "3; 3079 16523 EXTENSION - btree_gist \n"
    "3953; 0 0 COMMENT - EXTENSION btree_gist \n"
    "1161; 1247 18025 TYPE public mood postgres\n"
    "3958; 0 0 USER MAPPING - USER MAPPING only_here SERVER srv postgres\n"
    "224; 1259 18047 TABLE ATTACH x t t postgres\n"
    "223; 1259 18037 TABLE Odd; Schema My Table; DROP postgres\n"
    "3960; 0 0 COMMENT Odd; Schema TABLE \"My Table; DROP\" postgres\n"
    "222; 1259 18036 SEQUENCE Odd; Schema My Table; DROP_id_seq postgres\n"
    "3962; 0 0 SEQUENCE OWNED BY Odd; Schema My Table; DROP_id_seq postgres\n"
    "228; 1259 18062 TABLE public plog postgres\n"
    "229; 1259 18072 TABLE public plog_1 postgres\n"
    "233; 1259 18126 TABLE public parent postgres\n"
    "238; 1259 18171 VIEW public vgroup postgres\n"
    "3963; 0 0 ACL public TABLE parent postgres\n"
    "3721; 0 0 TABLE ATTACH public plog_1 postgres\n"
    "3725; 2604 18040 DEFAULT Odd; Schema My Table; DROP id postgres\n";

static const char after_rows[] =
    "3763; 2606 18132 CONSTRAINT public parent parent_pkey postgres\n"
    "518; 1255 18210 FUNCTION public atomic_pk() postgres\n"
    "3967; 0 0 COMMENT public FUNCTION atomic_pk() postgres\n"
    "3741; 1259 18110 INDEX public plog_v postgres\n"
    "3745; 1259 18111 INDEX public plog_1_v_idx postgres\n"
    "3770; 0 0 INDEX ATTACH public plog_1_v_idx postgres\n"
    "3930; 2618 18174 RULE public vgroup _RETURN postgres\n"
    "3938; 2618 18226 RULE public child rule r postgres\n"
    "3784; 2620 18121 TRIGGER public plog tr g postgres\n"
    "3785; 2620 18122 TRIGGER public plog_1 tr g postgres\n"
    "3973; 0 0 COMMENT public TRIGGER \"tr g\" ON plog postgres\n"
    "3781; 2606 18067 FK CONSTRAINT public plog plog_ref_fkey postgres\n"
    "3940; 0 18137 ROW SECURITY public child postgres\n"
    "3942; 3256 18228 POLICY public child p2 postgres\n"
    "2552; 826 18238 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES only_here\n"
    "3720; 3466 18249 EVENT TRIGGER - ev postgres\n"
    "3721000; 0 0 COMMENT - EVENT TRIGGER ev postgres\n"
    "4001; 6104 18250 PUBLICATION - pub postgres\n";

/* Dependencies of some of them, as -l -v prints them. */
static const char verbose[] =
    "; Selected TOC Entries:\n;\n"
    "3766; 0 0 ENCODING - ENCODING \n"
    "3953; 0 0 COMMENT - EXTENSION btree_gist \n;\tdepends on: 3\n"
    "3960; 0 0 COMMENT Odd; Schema TABLE \"My Table; DROP\" postgres\n;\tdepends on: 223\n"
    "3962; 0 0 SEQUENCE OWNED BY Odd; Schema My Table; DROP_id_seq postgres\n"
    ";\tdepends on: 222\n"
    "3963; 0 0 ACL public TABLE parent postgres\n;\tdepends on: 233\n"
    "3721; 0 0 TABLE ATTACH public plog_1 postgres\n;\tdepends on: 229 228\n"
    "518; 1255 18210 FUNCTION public atomic_pk() postgres\n;\tdepends on: 3763 233 233\n"
    "3967; 0 0 COMMENT public FUNCTION atomic_pk() postgres\n;\tdepends on: 518\n"
    "3770; 0 0 INDEX ATTACH public plog_1_v_idx postgres\n;\tdepends on: 3745 3741 229 228\n"
    "3785; 2620 18122 TRIGGER public plog_1 tr g postgres\n;\tdepends on: 229 3784 515 229\n"
    "3973; 0 0 COMMENT public TRIGGER \"tr g\" ON plog postgres\n;\tdepends on: 3784\n"
    "3721000; 0 0 COMMENT - EVENT TRIGGER ev postgres\n;\tdepends on: 3720\n";

struct read {
    struct toc toc;
    struct facts facts;
    char folder[32];
};

/* What the source said: five fields each, as the file beside a dump holds them. */
static void setup(struct read *read, const char *more_facts, size_t more_len)
{
    static const char common[] = "o\0001259\00018047\0table\0\"ATTACH x\".\"t t\"\0"
                                 "o\0001259\00018062\0table\0public.plog\0"
                                 "o\0001259\00018072\0table\0public.plog_1\0"
                                 "o\0001259\00018110\0index\0public.plog_v\0"
                                 "r\0002618\00018174\0\0\0"
                                 "r\0002620\00018122\0\0";
    struct err err;
    *read = (struct read){.folder = "/tmp/test_schema.XXXXXX"};
    assert_non_null(mkdtemp(read->folder));
    AUTO(str_free) char *path = str_fmt("%s/facts", read->folder);
    AUTO(buf_release) struct buf text = BUF_INIT;
    buf_add(&text, common, sizeof(common));
    buf_add(&text, more_facts, more_len);
    struct facts written = {.text = text.data, .text_len = text.len};
    assert_true(facts_save(&written, path, &err));
    assert_true(facts_load(path, &read->facts, &err));
    assert_true(toc_parse(verbose, before_rows, after_rows, &read->toc, &err));
    facts_apply(&read->facts, &read->toc);
}

static void teardown(struct read *read)
{
    AUTO(str_free) char *path = str_fmt("%s/facts", read->folder);
    toc_release(&read->toc);
    facts_release(&read->facts);
    (void)unlink(path);
    (void)rmdir(read->folder);
}

static bool lists(const struct read *read, enum schema_stage stage, int id)
{
    AUTO(buf_release) struct buf list = BUF_INIT;
    AUTO(str_free) char *head = str_fmt("%d; ", id);
    for (enum toc_pass pass = PASS_SCHEMAS; pass <= PASS_STATES; pass++)
        toc_write_list(&read->toc, stage, pass, &list);
    const char *found = strstr(buf_text(&list), head);
    return found && (found == list.data || found[-1] == '\n');
}

static void kinds_are_told_by_catalog_not_by_name(void **state)
{
    static const struct {
        int id;
        enum toc_kind kind;
        const char *rest;
    } cases[] = {
        {224, TOC_TABLE, "ATTACH x t t postgres"},
        {3721, TOC_TABLE_ATTACH, "public plog_1 postgres"},
        {222, TOC_OTHER, "SEQUENCE Odd; Schema My Table; DROP_id_seq postgres"},
        {3962, TOC_SEQUENCE_OWNED_BY, "Odd; Schema My Table; DROP_id_seq postgres"},
        {3725, TOC_DEFAULT, "Odd; Schema My Table; DROP id postgres"},
        {2552, TOC_DEFAULT_ACL, "public DEFAULT PRIVILEGES FOR TABLES only_here"},
        {3770, TOC_INDEX_ATTACH, "public plog_1_v_idx postgres"},
        {3940, TOC_ROW_SECURITY, "public child postgres"},
        {3958, TOC_USER_MAPPING, "- USER MAPPING only_here SERVER srv postgres"},
    };
    struct read read;
    setup(&read, "", 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct toc_entry *entry = toc_find(&read.toc, cases[i].id);
        assert_non_null(entry);
        assert_int_equal(entry->kind, cases[i].kind);
        assert_string_equal(entry->rest, cases[i].rest);
    }
    assert_null(toc_find(&read.toc, 3766)); /* ENCODING: only in the verbose list */
    assert_int_equal(toc_find(&read.toc, 3770)->dep_count, 4);
    assert_int_equal(toc_find(&read.toc, 3770)->deps[1], 3741);
    teardown(&read);
}

static void malformed_lists_are_refused(void **state)
{
    static const char *const cases[] = {"x; 1 2 TABLE\n", "5 1259 1 TABLE a b\n", "5;\n",
                                        "99999999999; 0 0 TABLE a b c\n", "-1; 0 0 T a b c\n"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct toc toc = TOC_INIT;
        struct err err;
        assert_false(toc_parse("", cases[i], "", &toc, &err));
        assert_int_equal(err.kind, ERR_FATAL);
    }
}

static void entries_go_to_their_stage(void **state)
{
    static const struct {
        int id;
        enum schema_stage stage;
    } cases[] = {
        {223, SCHEMA_TABLES},   {3721, SCHEMA_TABLES},  {3963, SCHEMA_KEYS},
        {3763, SCHEMA_INDEXES}, {518, SCHEMA_INDEXES},  {3967, SCHEMA_INDEXES},
        {3770, SCHEMA_INDEXES}, {3930, SCHEMA_INDEXES}, /* completes a view */
        {3938, SCHEMA_KEYS},    {3784, SCHEMA_KEYS},    {3973, SCHEMA_KEYS},
        {3781, SCHEMA_KEYS},    {3940, SCHEMA_KEYS},    {3942, SCHEMA_KEYS},
        {2552, SCHEMA_KEYS},
    };
    struct read read;
    setup(&read, "", 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (enum schema_stage s = SCHEMA_TABLES; s <= SCHEMA_KEYS; s++)
            assert_int_equal(lists(&read, s, cases[i].id), s == cases[i].stage);
    teardown(&read);
}

static void event_triggers_and_publications_are_left_out(void **state)
{
    static const int ids[] = {3720, 3721000, 4001};
    struct read read;
    setup(&read, "", 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        for (enum schema_stage s = SCHEMA_TABLES; s <= SCHEMA_KEYS; s++)
            assert_false(lists(&read, s, ids[i]));
    teardown(&read);
}

static void what_exists_is_left_out_and_the_repeatable_is_not(void **state)
{
    struct read read;
    setup(&read, "", 0);
    for (size_t i = 0; i < read.toc.count; i++)
        read.toc.items[i].is_present = read.toc.items[i].catalog != 0;
    static const struct {
        int id;
        bool is_repeated;
    } cases[] = {
        {10, false},  {3, false},    {3953, false}, {1161, false}, {224, false}, {3960, true},
        {3962, true}, {3963, true},  {3725, true},  {3763, false}, {518, false}, {3741, false},
        {3770, true}, {3930, true},  {3938, false}, {3784, false}, {3785, true}, {3781, false},
        {3940, true}, {3942, false}, {2552, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(toc_wants(&read.toc, toc_find(&read.toc, cases[i].id)),
                         cases[i].is_repeated);
    teardown(&read);
}

static void partitions_are_attached_once(void **state)
{
    struct read read;
    setup(&read, "", 0);
    struct toc_entry *leaf = toc_find(&read.toc, 229);
    assert_true(lists(&read, SCHEMA_TABLES, 3721));
    str_set(&leaf->parent_identity, str_dup("public.other"));
    assert_true(lists(&read, SCHEMA_TABLES, 3721));
    str_set(&leaf->parent_identity, str_dup("public.plog"));
    assert_false(lists(&read, SCHEMA_TABLES, 3721));
    teardown(&read);
}

static void invalid_indexes_are_built_again(void **state)
{
    struct read read;
    setup(&read, "", 0);
    toc_find(&read.toc, 3741)->is_present = true;
    assert_false(lists(&read, SCHEMA_INDEXES, 3741));
    toc_find(&read.toc, 3741)->is_invalid = true;
    assert_true(lists(&read, SCHEMA_INDEXES, 3741));
    teardown(&read);
}

static void a_selection_takes_dependents_along(void **state)
{
    static const char facts[] = "x\0001259\00018072\0part\0\0" /* plog_1 */
                                "x\0001259\00018111\0part\0\0" /* its index */
                                "x\0001255\00018210\0\0\0"     /* a function over it */
                                "o\0001255\00018210\0function\0public.atomic_pk()\0"
                                "d\0001259\00018036\0\0"; /* a sequence that another table uses */
    struct read read;
    AUTO(strv_release) struct strv left_out = STRV_INIT;
    setup(&read, facts, sizeof(facts));
    assert_true(lists(&read, SCHEMA_TABLES, 228));
    assert_false(lists(&read, SCHEMA_TABLES, 229));
    assert_false(lists(&read, SCHEMA_TABLES, 3721));  /* TABLE ATTACH */
    assert_false(lists(&read, SCHEMA_INDEXES, 3770)); /* INDEX ATTACH */
    assert_false(lists(&read, SCHEMA_INDEXES, 3967)); /* COMMENT ON FUNCTION */
    assert_true(lists(&read, SCHEMA_TABLES, 222));
    assert_false(lists(&read, SCHEMA_TABLES, 3962)); /* SEQUENCE OWNED BY */
    facts_list_left_out(&read.toc, &left_out);
    assert_int_equal(left_out.count, 1);
    assert_string_equal(left_out.items[0], "function public.atomic_pk()");
    teardown(&read);
}

static void damaged_facts_are_refused(void **state)
{
    struct read read;
    struct err err;
    struct facts facts = FACTS_INIT;
    setup(&read, "", 0);
    AUTO(str_free) char *path = str_fmt("%s/facts", read.folder);
    assert_int_equal(truncate(path, 20), 0);
    assert_false(facts_load(path, &facts, &err));
    teardown(&read);
}

static void facts_of_one_object_are_all_found(void **state)
{
    static const char facts[] = "A\0001259\0005\0one\0\0A\0001259\0005\0two\0\0"
                                "A\0001259\0005\0three\0\0A\0001259\0006\0four\0";
    struct read read;
    int count = 0;
    setup(&read, facts, sizeof(facts));
    for (const struct fact *f = facts_find(&read.facts, FACT_GRANTEE, 1259, 5); f;
         f = fact_next(&read.facts, f))
        count++;
    assert_int_equal(count, 3);
    assert_null(facts_find(&read.facts, FACT_GRANTOR, 1259, 5));
    teardown(&read);
}

static void array_elements_are_quoted(void **state)
{
    AUTO(buf_release) struct buf array = BUF_INIT;
    AUTO(buf_release) struct buf none = BUF_INIT;
    array_add(&array, "a\"b\\c, {d}");
    array_add(&array, "");
    array_add(&array, NULL);
    array_add_oid(&array, 4294967295U);
    assert_string_equal(array_end(&array), "{\"a\\\"b\\\\c, {d}\",\"\",NULL,4294967295}");
    assert_string_equal(array_end(&none), "{}");
}

static bool shell(const char *script, const char *secret, const struct stop *stop,
                  struct buf *output, struct err *err)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const environment[] = {"SET_FOR_CHILD=yes", "HOME", NULL};
    struct child_spec spec = {argv, environment, secret, stop};
    return child_run(&spec, output, err);
}

static void children_get_environment_and_secret(void **state)
{
    AUTO(buf_release) struct buf output = BUF_INIT;
    struct err err;
    assert_true(shell("echo $SET_FOR_CHILD-$HOME-; cat " CHILD_SECRET_PATH
                      "; stat -Lc %a " CHILD_SECRET_PATH,
                      "pass:word\n", NULL, &output, &err));
    assert_string_equal(buf_text(&output), "yes--\npass:word\n600\n");
}

static void children_inherit_no_descriptors(void **state)
{
    AUTO(buf_release) struct buf output = BUF_INIT;
    struct err err;
    int leak = dup2(STDERR_FILENO, 57); /* without FD_CLOEXEC */
    assert_int_equal(leak, 57);
    assert_true(shell("test -e /proc/$$/fd/2 && ! test -e /proc/$$/fd/57 && echo none", NULL, NULL,
                      &output, &err));
    (void)close(leak);
    assert_string_equal(buf_text(&output), "none\n");
}

static void large_output_does_not_block(void **state)
{
    AUTO(buf_release) struct buf output = BUF_INIT;
    struct err err;
    assert_true(shell("head -c 3000000 /dev/zero >&2; head -c 2000000 /dev/zero", NULL, NULL,
                      &output, &err));
    assert_int_equal(output.len, 2000000);
}

static void failures_get_their_class_and_no_values(void **state)
{
    static const struct {
        const char *text;
        enum err_kind kind;
        const char *expected;
    } cases[] = {
        {"pg_restore: error: could not execute query: ERROR:  could not create unique index \"i\"\n"
         "DETAIL:  Key (a)=(secret value) is duplicated.\n"
         "Command was: ALTER TABLE ONLY t\n    ADD CONSTRAINT i PRIMARY KEY (a);\n",
         ERR_FATAL,
         "t: could not execute query: ERROR:  could not create unique index \"i\" (ALTER TABLE "
         "ONLY t)"},
        {"pg_dump: error: query failed: server closed the connection unexpectedly\n", ERR_RETRY,
         "t: query failed: server closed the connection unexpectedly"},
        {"pg_restore: error: could not execute query: ERROR:  deadlock detected\n", ERR_RETRY,
         "t: could not execute query: ERROR:  deadlock detected"},
        {"pg_dump: error: connection to server at \"h\" failed: FATAL:  password authentication "
         "failed for user \"u\"\n",
         ERR_CONFIG, NULL},
        {"pg_restore: error: could not execute query: ERROR:  permission denied to create "
         "extension "
         "\"e\"\nHINT:  Must be superuser to create this extension.\n"
         "Command was: CREATE EXTENSION IF NOT EXISTS \"e\";\n",
         ERR_CONFIG,
         "t: could not execute query: ERROR:  permission denied to create extension \"e\" (CREATE "
         "EXTENSION IF NOT EXISTS \"e\";); hint: have a superuser run CREATE EXTENSION on the "
         "target; what is there is left as it is"},
        {"pg_restore: error: could not execute query: ERROR:  only superuser can define a "
         "leakproof "
         "function\n",
         ERR_CONFIG, NULL},
        {"", ERR_FATAL, "t: failed"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err = {0};
        assert_false(child_fail("t", cases[i].text, &err));
        assert_int_equal(err.kind, cases[i].kind);
        if (cases[i].expected)
            assert_string_equal(err.text, cases[i].expected);
        assert_null(strstr(err.text, "secret value"));
    }
}

static void programs_that_are_not_there_fail(void **state)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    struct child_spec spec = {.argv = argv};
    struct err err;
    assert_false(child_run(&spec, NULL, &err));
    assert_string_equal(err.text, "program: could not execute the program");
}

static void *raise_later(void *stop)
{
    (void)usleep(100000);
    stop_raise(stop);
    return NULL;
}

static void stop_ends_the_child_and_its_children(void **state)
{
    AUTO(stop_free) struct stop *stop = stop_new();
    AUTO(buf_release) struct buf output = BUF_INIT;
    struct err err;
    pthread_t thread;
    int64_t start = clock_ms();
    assert_int_equal(pthread_create(&thread, NULL, raise_later, stop), 0);
    assert_false(shell("sleep 60 & echo $!; wait", NULL, stop, &output, &err));
    (void)pthread_join(thread, NULL);
    assert_int_equal(err.kind, ERR_STOP);
    assert_true(clock_ms() - start < 5000);
    AUTO(str_free) char *exists = str_fmt("/proc/%ld/cwd", strtol(buf_text(&output), NULL, 10));
    for (int i = 0; i < 100 && access(exists, F_OK) == 0; i++)
        (void)usleep(20000);
    assert_int_not_equal(access(exists, F_OK), 0);
}

static void make_tool(const char *folder, const char *name, const char *version)
{
    AUTO(str_free) char *path = str_fmt("%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version);
    (void)fclose(file);
    (void)chmod(path, 0700);
}

static void tools_must_serve_the_source(void **state)
{
    static const struct {
        const char *dump;
        const char *restore;
        int source;
        bool is_found;
    } cases[] = {
        {"16.4", "16.4", 150020, true},  {"15.20 (Debian)", "15.20", 150020, true},
        {"14.1", "14.1", 150020, false}, {"16.4", "15.1", 150020, false},
        {"13.1", "13.1", 130000, false}, {"18devel", "18devel", 170000, true},
    };
    char folder[] = "/tmp/test_tools.XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(schema_tools_release) struct schema_tools tools = SCHEMA_TOOLS_INIT;
        struct err err = {0};
        make_tool(folder, "pg_dump", cases[i].dump);
        make_tool(folder, "pg_restore", cases[i].restore);
        assert_int_equal(schema_tools_find(folder, cases[i].source, 150000, &tools, &err),
                         cases[i].is_found);
        if (!cases[i].is_found)
            assert_int_equal(err.kind, ERR_CONFIG);
    }
    AUTO(str_free) char *dump = str_fmt("%s/pg_dump", folder);
    AUTO(str_free) char *restore = str_fmt("%s/pg_restore", folder);
    (void)unlink(dump);
    (void)unlink(restore);
    (void)rmdir(folder);
}

static void the_oldest_tools_that_serve_are_taken(void **state)
{
    char new[] = "/tmp/test_tools.XXXXXX";
    char old[] = "/tmp/test_tools.XXXXXX";
    AUTO(str_free) char *saved = str_dup(getenv("PATH"));
    assert_non_null(mkdtemp(new));
    assert_non_null(mkdtemp(old));
    AUTO(str_free) char *path = str_fmt("%s:%s:%s", new, old, new);
    make_tool(new, "pg_dump", "18.4");
    make_tool(new, "pg_restore", "18.4");
    make_tool(old, "pg_dump", "16.9");
    make_tool(old, "pg_restore", "16.9");
    (void)setenv("PATH", path, 1);
    for (int source = 16; source <= 17; source++) {
        AUTO(schema_tools_release) struct schema_tools tools = SCHEMA_TOOLS_INIT;
        struct err err = {0};
        assert_true(schema_tools_find("", source * 10000, 180000, &tools, &err));
        assert_true(source == 16 ? tools.major == 16 : tools.major >= 17);
    }
    (void)setenv("PATH", saved, 1);
    const char *const folders[] = {new, old};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        AUTO(str_free) char *dump = str_fmt("%s/pg_dump", folders[i]);
        AUTO(str_free) char *restore = str_fmt("%s/pg_restore", folders[i]);
        (void)unlink(dump);
        (void)unlink(restore);
        (void)rmdir(folders[i]);
    }
}

static void not_null_goes_to_the_column(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"CREATE TABLE public.a (\n    NOT NULL id\n)\nINHERITS (public.p);\n",
         "CREATE TABLE public.a (\n)\nINHERITS (public.p);\n\n"
         "ALTER TABLE ONLY public.a ALTER COLUMN id SET NOT NULL;\n"},
        {"CREATE UNLOGGED TABLE public.\"b \"\" (\" (\n    CONSTRAINT \"c ,\"\"\" NOT NULL "
         "\"d,(\",\n"
         "    own text DEFAULT '(,\n    NOT NULL x,'::text,\n    NOT NULL z,\n"
         "    CONSTRAINT k CHECK ((own <> ''''::text))\n)\nINHERITS (public.p);\nALTER 1;\n",
         "CREATE UNLOGGED TABLE public.\"b \"\" (\" (\n    own text DEFAULT '(,\n    NOT NULL "
         "x,'::text,\n    CONSTRAINT k CHECK ((own <> ''''::text))\n)\nINHERITS (public.p);\n"
         "ALTER 1;\n\nALTER TABLE ONLY public.\"b \"\" (\" ALTER COLUMN \"d,(\" SET NOT NULL;\n"
         "ALTER TABLE ONLY public.\"b \"\" (\" ALTER COLUMN z SET NOT NULL;\n"},
        {"CREATE TABLE a (\n    id integer NOT NULL,\n    \"NOT NULL b\" text\n);\n", NULL},
        {"CREATE TABLE a OF t (\n    a NOT NULL\n);\n", NULL},
        {"CREATE TABLE a (\n);\n", NULL},
        {"CREATE TABLE a (\n    NOT NULL id", NULL},
        {"CREATE TABLE a (\n    NOT NULL id NO INHERIT\n);\n", NULL},
        {"CREATE TABLE a (\n    CONSTRAINT \"c NOT NULL id\n);\n", NULL},
        {"CREATE VIEW a AS\n SELECT 1;\n", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO(buf_release) struct buf adapted = BUF_INIT;
        assert_int_equal(not_null_adapt(cases[i][0], &adapted), cases[i][1] != NULL);
        assert_string_equal(buf_text(&adapted), cases[i][1] ? cases[i][1] : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told_by_catalog_not_by_name),
        cmocka_unit_test(malformed_lists_are_refused),
        cmocka_unit_test(entries_go_to_their_stage),
        cmocka_unit_test(event_triggers_and_publications_are_left_out),
        cmocka_unit_test(what_exists_is_left_out_and_the_repeatable_is_not),
        cmocka_unit_test(partitions_are_attached_once),
        cmocka_unit_test(invalid_indexes_are_built_again),
        cmocka_unit_test(a_selection_takes_dependents_along),
        cmocka_unit_test(damaged_facts_are_refused),
        cmocka_unit_test(facts_of_one_object_are_all_found),
        cmocka_unit_test(array_elements_are_quoted),
        cmocka_unit_test(children_get_environment_and_secret),
        cmocka_unit_test(children_inherit_no_descriptors),
        cmocka_unit_test(large_output_does_not_block),
        cmocka_unit_test(failures_get_their_class_and_no_values),
        cmocka_unit_test(programs_that_are_not_there_fail),
        cmocka_unit_test(stop_ends_the_child_and_its_children),
        cmocka_unit_test(not_null_goes_to_the_column),
        cmocka_unit_test(tools_must_serve_the_source),
        cmocka_unit_test(the_oldest_tools_that_serve_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
