/* The catalog's fingerprint. See fingerprint.h.
 *
 * For most catalogs a row's xmin tells whether its definition changed; pg_class, pg_index and
 * pg_attribute are rewritten by TRUNCATE, VACUUM FULL and CLUSTER as well: their defining columns
 * are taken one by one. Hashes are added up: no order, no memory. Catalogs that a plain role
 * cannot read, and statistics, are left out. */
#include "schema/fingerprint.h"

#include "base/buf.h"
#include "base/mem.h"
#include "pg/catalog.h"

/* Objects that do not count: temporary, TOAST, the keeper's; by catalog and OID. */
static const char hidden_sql[] =
    "WITH ns AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1"
    "   OR " CATALOG_IS_KEEPER(
        "oid") "   OR nspname ~ '^pg_(toast|temp)'),"
               " class AS (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace IN (SELECT oid "
               "FROM ns)),"
               " type AS (SELECT oid FROM pg_catalog.pg_type WHERE typnamespace IN (SELECT oid "
               "FROM ns)),"
               " hidden(c, o) AS MATERIALIZED ("
               "  SELECT 2615::pg_catalog.oid, oid FROM ns"
               "  UNION ALL SELECT 1259, oid FROM class"
               "  UNION ALL SELECT 1247, oid FROM type"
               "  UNION ALL SELECT 1255, oid FROM pg_catalog.pg_proc WHERE pronamespace IN"
               "   (SELECT oid FROM ns)"
               "  UNION ALL SELECT 2606, oid FROM pg_catalog.pg_constraint WHERE conrelid IN"
               "   (SELECT oid FROM class) OR contypid IN (SELECT oid FROM type)"
               "  UNION ALL SELECT 2604, oid FROM pg_catalog.pg_attrdef WHERE adrelid IN"
               "   (SELECT oid FROM class)"
               "  UNION ALL SELECT 2618, oid FROM pg_catalog.pg_rewrite WHERE ev_class IN"
               "   (SELECT oid FROM class)"
               "  UNION ALL SELECT 2620, oid FROM pg_catalog.pg_trigger WHERE tgrelid IN"
               "   (SELECT oid FROM class)"
               "  UNION ALL SELECT 3256, oid FROM pg_catalog.pg_policy WHERE polrelid IN"
               "   (SELECT oid FROM class)"
               "  UNION ALL SELECT 3381, oid FROM pg_catalog.pg_statistic_ext WHERE stxnamespace IN"
               "   (SELECT oid FROM ns))";

/* One catalog: its rows as `row`, those counted that `where` allows. */
struct part {
    const char *name;
    const char *row;   /* what of a row matters */
    const char *where; /* NULL: all rows */
};

#define NOT_HIDDEN(c, o) "(" c ", " o ") NOT IN (SELECT c, o FROM hidden)"

static const struct part parts[] = {
    {"pg_class",
     "(oid, relname, relnamespace, reltype, reloftype, relowner, relam, reltablespace,"
     " relpersistence, relkind, relnatts, relchecks, relrowsecurity, relforcerowsecurity,"
     " relreplident, relispartition, relacl::text, reloptions::text, relpartbound::text)",
     NOT_HIDDEN("1259", "oid")},
    {"pg_attribute",
     "(attrelid, attnum, attname, atttypid, atttypmod, attndims, attnotnull, atthasdef,"
     " attidentity, attgenerated, attisdropped, attislocal, attinhcount, attcollation,"
     " attstattarget, attstorage, attcompression, attacl::text, attoptions::text,"
     " attfdwoptions::text)",
     "attnum > 0 AND " NOT_HIDDEN("1259", "attrelid")},
    {"pg_index",
     "(indexrelid, indrelid, indisprimary, indisunique, indimmediate, indisclustered, indisvalid,"
     " indisreplident, indkey::text, indoption::text, indexprs::text, indpred::text)",
     NOT_HIDDEN("1259", "indrelid")},
    {"pg_inherits", "(inhrelid, inhparent, inhseqno, inhdetachpending)",
     NOT_HIDDEN("1259", "inhrelid")},
    {"pg_attrdef", "(oid, xmin)", NOT_HIDDEN("2604", "oid")},
    {"pg_constraint", "(oid, xmin)", NOT_HIDDEN("2606", "oid")},
    {"pg_rewrite", "(oid, xmin)", NOT_HIDDEN("2618", "oid")},
    {"pg_trigger", "(oid, xmin)", NOT_HIDDEN("2620", "oid")},
    {"pg_policy", "(oid, xmin)", NOT_HIDDEN("3256", "oid")},
    {"pg_statistic_ext", "(oid, xmin)", NOT_HIDDEN("3381", "oid")},
    {"pg_sequence", "(seqrelid, xmin)", NOT_HIDDEN("1259", "seqrelid")},
    {"pg_foreign_table", "(ftrelid, xmin)", NULL},
    {"pg_partitioned_table", "(partrelid, xmin)", NOT_HIDDEN("1259", "partrelid")},
    {"pg_type", "(oid, xmin)", NOT_HIDDEN("1247", "oid")},
    {"pg_enum", "(oid, xmin)", NOT_HIDDEN("1247", "enumtypid")},
    {"pg_range", "(rngtypid, xmin)", NOT_HIDDEN("1247", "rngtypid")},
    {"pg_proc", "(oid, xmin)", NOT_HIDDEN("1255", "oid")},
    {"pg_aggregate", "(aggfnoid, xmin)", NOT_HIDDEN("1255", "aggfnoid::pg_catalog.oid")},
    {"pg_namespace", "(oid, xmin)", NOT_HIDDEN("2615", "oid")},
    {"pg_operator", "(oid, xmin)", NOT_HIDDEN("2615", "oprnamespace")},
    {"pg_opclass", "(oid, xmin)", NOT_HIDDEN("2615", "opcnamespace")},
    {"pg_opfamily", "(oid, xmin)", NOT_HIDDEN("2615", "opfnamespace")},
    {"pg_amop", "(oid, xmin)", NULL},
    {"pg_amproc", "(oid, xmin)", NULL},
    {"pg_am", "(oid, xmin)", NULL},
    {"pg_cast", "(oid, xmin)",
     NOT_HIDDEN("1247", "castsource") " AND " NOT_HIDDEN("1247", "casttarget")},
    {"pg_transform", "(oid, xmin)", NULL},
    {"pg_collation", "(oid, xmin)", NOT_HIDDEN("2615", "collnamespace")},
    {"pg_conversion", "(oid, xmin)", NOT_HIDDEN("2615", "connamespace")},
    {"pg_language", "(oid, xmin)", NULL},
    {"pg_ts_config", "(oid, xmin)", NOT_HIDDEN("2615", "cfgnamespace")},
    {"pg_ts_config_map", "(mapcfg, maptokentype, mapseqno, mapdict)", NULL},
    {"pg_ts_dict", "(oid, xmin)", NOT_HIDDEN("2615", "dictnamespace")},
    {"pg_ts_parser", "(oid, xmin)", NOT_HIDDEN("2615", "prsnamespace")},
    {"pg_ts_template", "(oid, xmin)", NOT_HIDDEN("2615", "tmplnamespace")},
    {"pg_extension", "(oid, xmin)", NULL},
    {"pg_foreign_data_wrapper", "(oid, xmin)", NULL},
    {"pg_foreign_server", "(oid, xmin)", NULL},
    {"pg_user_mappings", "(umid, srvid, usename, umoptions::text)", NULL},
    {"pg_default_acl", "(oid, xmin)", NOT_HIDDEN("2615", "defaclnamespace")},
    {"pg_init_privs", "(objoid, classoid, objsubid, xmin)", NULL},
    {"pg_description", "(objoid, classoid, objsubid, xmin)", NOT_HIDDEN("classoid", "objoid")},
    {"pg_seclabel", "(objoid, classoid, objsubid, provider, xmin)",
     NOT_HIDDEN("classoid", "objoid")},
    /* Members of extensions, what depends on them by declaration, and owners of sequences: known
     * to pg_depend alone. */
    {"pg_depend", "(classid, objid, refclassid, refobjid, refobjsubid, deptype)",
     NOT_HIDDEN("classid", "objid") " AND (deptype IN ('e', 'x') OR (deptype IN ('a', 'i')"
                                    " AND classid = 1259 AND refclassid = 1259"
                                    " AND refobjsubid > 0))"},
};

static void add_part(struct buf *sql, const struct part *part)
{
    buf_fmt(sql,
            " SELECT '%s' AS name, pg_catalog.count(*) AS rows, pg_catalog.sum("
            "pg_catalog.hashtextextended(ROW%s::text COLLATE \"C\", 0)) AS hash"
            " FROM pg_catalog.%s%s%s",
            part->name, part->row, part->name, part->where ? " WHERE " : "",
            part->where ? part->where : "");
}

bool schema_fingerprint(struct conn *source, const char *keeper, char **ret_text, struct err *err)
{
    AUTO(buf_release) struct buf sql = BUF_INIT;
    AUTO(rows_free) struct rows *rows = NULL;
    const char *const params[] = {keeper};
    buf_puts(&sql, hidden_sql);
    buf_puts(&sql, " SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', name, rows, hash),"
                   " ';' ORDER BY name) FROM (");
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        buf_puts(&sql, i ? " UNION ALL" : "");
        add_part(&sql, &parts[i]);
    }
    buf_puts(&sql, ") AS part");
    if (!conn_query_params(source, sql.data, 1, params, &rows, err))
        return err_wrap(err, "could not read the catalog");
    *ret_text = str_dup(rows_count(rows) ? rows_text(rows, 0, 0) : "");
    return true;
}
