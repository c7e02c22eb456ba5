/* A label provider that takes every label, for servers of the tests: PostgreSQL has none that works
 * everywhere. Written without the server's headers, which the tests do not need otherwise; MAJOR is
 * the version it is for (15 to 17: what a module says of itself differs in others). */
struct magic {
    int len;
    int version;
    int function_arguments;
    int index_keys;
    int name_bytes;
    int float8_by_value;
    char abi[32];
};

void register_label_provider(const char *name, void (*hook)(const void *object, const char *label));

const struct magic *Pg_magic_func(void);
const struct magic *Pg_magic_func(void)
{
    static const struct magic magic = {sizeof(magic), MAJOR * 100, 100, 32, 64, 1, "PostgreSQL"};
    return &magic;
}

static void accept_label(const void *object, const char *label)
{
    (void)object;
    (void)label;
}

void _PG_init(void);
void _PG_init(void)
{
    register_label_provider("pro'vider", accept_label);
}
