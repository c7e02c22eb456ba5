/* The schema of the keeper's part on the source. '@' stands for the quoted name of the schema; the
 * texts run in one transaction. */
#include "base/buf.h"
#include "base/mem.h"
#include "keeper/source_keeper.h"
#include "pg/quote.h"

/* migrations[v] leads from version v to v + 1. Identifiers of the history are 12 bytes (seconds,
 * machine, process, counter) in base 32: they sort by time and are short to read. */
static const char *const migrations[SOURCE_KEEPER_VERSION] = {
    "CREATE TABLE @.source_pipelines ("
    " id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
    " slot text NOT NULL UNIQUE,"
    " publication text NOT NULL,"
    " published_lsn pg_lsn NOT NULL,"
    " target text,"
    " program text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now());"
    "CREATE TABLE @.source_identities ("
    " slot text NOT NULL,"
    " table_oid oid NOT NULL,"
    " identity \"char\" NOT NULL,"
    " index_name text,"
    " PRIMARY KEY (slot, table_oid));"
    "CREATE DOMAIN @.xid AS character(20) CHECK (VALUE ~ '^[0-9a-v]{20}$');"
    "CREATE SEQUENCE @.xid_serial AS int MINVALUE 0 MAXVALUE 16777215 CYCLE;"
    "CREATE FUNCTION @.xid(at timestamptz DEFAULT pg_catalog.clock_timestamp()) RETURNS @.xid"
    " LANGUAGE plpgsql SET search_path = pg_catalog AS $$"
    " DECLARE"
    "  bits text := floor(extract(epoch FROM at))::bigint::bit(32)::text"
    "   || ('x' || left(md5((SELECT system_identifier FROM pg_control_system())::text), 6))"
    "      ::bit(24)::text"
    "   || pg_backend_pid()::bit(16)::text || nextval('@.xid_serial')::int::bit(24)::text;"
    "  result text := '';"
    " BEGIN"
    "  FOR i IN 0..19 LOOP"
    "   result := result || substr('0123456789abcdefghijklmnopqrstuv',"
    "    rpad(substr(bits, i * 5 + 1, 5), 5, '0')::bit(5)::int + 1, 1);"
    "  END LOOP;"
    "  RETURN result;"
    " END $$;"
    "CREATE TABLE @.schema_log ("
    " id @.xid PRIMARY KEY DEFAULT @.xid(),"
    " version bigint NOT NULL,"
    " schema_name text NOT NULL,"
    " schema jsonb NOT NULL,"
    " created_at timestamp NOT NULL DEFAULT now(),"
    " acked boolean NOT NULL DEFAULT false);"
    "CREATE UNIQUE INDEX schema_log_version_uniq ON @.schema_log (schema_name, version);"
    "CREATE INDEX schema_log_name_acked ON @.schema_log (schema_name, acked, id);",
};

/* '@' becomes the schema, quoted; owned by the caller. */
static char *named(const char *text, const char *schema)
{
    struct buf sql = BUF_INIT;
    for (; *text; text++) {
        if (*text == '@')
            quote_ident(&sql, schema);
        else
            buf_putc(&sql, *text);
    }
    return buf_take(&sql);
}

static bool read_version(struct conn *source, const char *schema, int *ret_version, struct err *err)
{
    AUTO(rows_free) struct rows *rows = NULL;
    AUTO(rows_free) struct rows *meta = NULL;
    AUTO(str_free) char *sql = quote_sql("SELECT version FROM %I.source_meta", schema);
    const char *params[] = {schema};
    *ret_version = 0;
    if (!conn_query_params(source,
                           "SELECT FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n"
                           " WHERE c.relnamespace = n.oid AND n.nspname = $1"
                           " AND c.relname = 'source_meta'",
                           1, params, &rows, err))
        return false;
    if (rows_count(rows) == 0)
        return true;
    if (!conn_query(source, sql, &meta, err))
        return false;
    *ret_version = rows_count(meta) ? (int)rows_int(meta, 0, 0) : 0;
    return true;
}

static bool migrate_from(struct conn *source, const char *schema, int version, struct err *err)
{
    if (!keeper_schema_make(source, schema, err))
        return false;
    if (version == 0 && !conn_execf(source, err,
                                    "CREATE TABLE %I.source_meta (version int NOT NULL);"
                                    "INSERT INTO %I.source_meta VALUES (0)",
                                    schema, schema))
        return false;
    for (int v = version; v < SOURCE_KEEPER_VERSION; v++) {
        AUTO(str_free) char *sql = named(migrations[v], schema);
        if (!conn_exec(source, sql, err) ||
            !conn_execf(source, err, "UPDATE %I.source_meta SET version = %d", schema, v + 1))
            return false;
    }
    return true;
}

bool source_keeper_make(struct conn *source, const char *schema, struct err *err)
{
    int version = 0;
    bool exists = false;
    if (!keeper_schema_look(source, schema, &exists, err) ||
        !read_version(source, schema, &version, err))
        return false;
    if (version > SOURCE_KEEPER_VERSION) {
        (void)err_set(err, ERR_CONFIG,
                      "the source's keeper has version %d, this program knows %d at most", version,
                      SOURCE_KEEPER_VERSION);
        return err_hint(err, "use the newer trunkline that made it");
    }
    if (version == SOURCE_KEEPER_VERSION)
        return true;
    if (!conn_exec(source, "BEGIN", err) || !migrate_from(source, schema, version, err) ||
        !conn_exec(source, "COMMIT", err)) {
        struct err ignored = {0};
        (void)conn_exec(source, "ROLLBACK", &ignored);
        return err_wrap(err, "could not make the schema \"%s\" on the source", schema);
    }
    return true;
}
