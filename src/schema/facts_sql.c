/* SQL about the source's catalog. See facts_sql.h. Catalogs are named by their fixed OIDs as
 * pg_restore prints them: 1259 pg_class, 1255 pg_proc, 1247 pg_type, 2615 pg_namespace, 2604
 * pg_attrdef, 2618 pg_rewrite, 2620 pg_trigger, 3256 pg_policy, 826 pg_default_acl, 1418
 * pg_user_mapping, 3079 pg_extension. */
#include "schema/facts_sql.h"

#include "pg/catalog.h"

/* Owners: pg_shdepend has all but the bootstrap superuser, who is pinned (OID 10). */
const char facts_objects_sql[] =
    "WITH w AS (SELECT DISTINCT c, o FROM ROWS FROM (unnest($1::pg_catalog.oid[]),"
    "   unnest($2::pg_catalog.oid[])) AS w(c, o))"
    " SELECT 'o', w.c, w.o, i.type, i.identity"
    "  FROM w CROSS JOIN LATERAL pg_catalog.pg_identify_object(w.c, w.o, 0) i"
    " UNION ALL SELECT 'r', 2618, r.oid, '', ''"
    "  FROM pg_catalog.pg_rewrite r JOIN w ON w.c = 2618 AND w.o = r.oid"
    "  WHERE r.rulename = '_RETURN'"
    /* The trigger comes with that of the parent; the entry only enables or disables it. */
    " UNION ALL SELECT 'r', 2620, t.oid, '', ''"
    "  FROM pg_catalog.pg_trigger t JOIN w ON w.c = 2620 AND w.o = t.oid WHERE t.tgparentid <> 0"
    " UNION ALL SELECT 'p', 1259, c.oid, '', ''"
    "  FROM pg_catalog.pg_class c JOIN w ON w.c = 1259 AND w.o = c.oid"
    "  WHERE c.relkind = 'm' AND c.relispopulated"
    " UNION ALL SELECT 's', 1255, p.oid, '', ''"
    "  FROM pg_catalog.pg_proc p JOIN w ON w.c = 1255 AND w.o = p.oid"
    "  JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.prosecdef OR NOT l.lanpltrusted"
    " UNION ALL (SELECT DISTINCT 'O', 0::oid, 0::oid, pg_catalog.pg_get_userbyid(x.owner)::text, "
    "'' FROM ("
    "   SELECT relowner FROM pg_catalog.pg_class c JOIN w ON w.c = 1259 AND w.o = c.oid"
    "   UNION SELECT proowner FROM pg_catalog.pg_proc p JOIN w ON w.c = 1255 AND w.o = p.oid"
    "   UNION SELECT typowner FROM pg_catalog.pg_type t JOIN w ON w.c = 1247 AND w.o = t.oid"
    "   UNION SELECT nspowner FROM pg_catalog.pg_namespace n JOIN w ON w.c = 2615 AND w.o = n.oid"
    "   UNION SELECT d.refobjid FROM pg_catalog.pg_shdepend d"
    "    JOIN w ON w.c = d.classid AND w.o = d.objid"
    "    WHERE d.deptype = 'o' AND d.classid NOT IN (826, 1418, 3079) AND d.dbid ="
    "     (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    "  ) x(owner))";

/* Single grants; those by others than the owner are repeated by nobody. */
#define NAMED(name) "pg_catalog.format('%I.%I', n.nspname, " name ")"
const char facts_grants_sql[] =
    "WITH w AS (SELECT DISTINCT c, o FROM ROWS FROM (unnest($1::pg_catalog.oid[]),"
    "   unnest($2::pg_catalog.oid[])) AS w(c, o)),"
    " relation AS (SELECT c.oid, c.relowner, c.relacl, CASE c.relkind WHEN 'S' THEN 'SEQUENCE '"
    "   ELSE 'TABLE ' END || " NAMED(
        "c.relname") " AS what FROM pg_catalog.pg_class c"
                     "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN w ON w.c = "
                     "1259 AND w.o = c.oid),"
                     " list(c, o, owner, acl, what, part) AS ("
                     "  SELECT 1259, oid, relowner, relacl, what, '' FROM relation WHERE relacl IS "
                     "NOT NULL"
                     "  UNION ALL SELECT 1259, r.oid, r.relowner, a.attacl, r.what,"
                     "   pg_catalog.format(' (%I)', a.attname) FROM relation r JOIN "
                     "pg_catalog.pg_attribute a"
                     "   ON a.attrelid = r.oid AND a.attacl IS NOT NULL"
                     "  UNION ALL SELECT 1255, p.oid, proowner, proacl, 'ROUTINE ' || i.identity, "
                     "''"
                     "   FROM pg_catalog.pg_proc p JOIN w ON w.c = 1255 AND w.o = p.oid"
                     "   CROSS JOIN LATERAL pg_catalog.pg_identify_object(1255, p.oid, 0) i WHERE "
                     "proacl IS NOT NULL"
                     "  UNION ALL SELECT 1247, t.oid, typowner, typacl, 'TYPE ' || " NAMED(
                         "t.typname") ", ''"
                                      "   FROM pg_catalog.pg_type t JOIN w ON w.c = 1247 AND w.o = "
                                      "t.oid"
                                      "   JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
                                      "WHERE typacl IS NOT NULL"
                                      "  UNION ALL SELECT 2615, n.oid, nspowner, nspacl, "
                                      "pg_catalog.format('SCHEMA %I', nspname), ''"
                                      "   FROM pg_catalog.pg_namespace n JOIN w ON w.c = 2615 AND "
                                      "w.o = n.oid"
                                      "   WHERE nspacl IS NOT NULL)"
                                      " SELECT 'v', c, o, 'REVOKE ALL ON ' || what || ' FROM "
                                      "PUBLIC', '' FROM list WHERE part = ''"
                                      " UNION ALL SELECT 'v', c, o, pg_catalog.format('REVOKE ALL "
                                      "ON %s FROM %I', what,"
                                      "   pg_catalog.pg_get_userbyid(owner)), "
                                      "pg_catalog.pg_get_userbyid(owner)::text"
                                      "  FROM list WHERE part = ''"
                                      " UNION ALL SELECT CASE e.privilege_type WHEN 'MAINTAIN' "
                                      "THEN 'm' ELSE 'g' END, c, o,"
                                      "   pg_catalog.format('GRANT %s%s ON %s TO %s%s', "
                                      "e.privilege_type, part, what,"
                                      "    CASE e.grantee WHEN 0 THEN 'PUBLIC'"
                                      "     ELSE "
                                      "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(e.grantee)"
                                      ") END,"
                                      "    CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' ELSE "
                                      "'' END),"
                                      "   CASE e.grantee WHEN 0 THEN '' ELSE "
                                      "pg_catalog.pg_get_userbyid(e.grantee)::text END"
                                      "  FROM list CROSS JOIN LATERAL pg_catalog.aclexplode(acl) e "
                                      "WHERE e.grantor = owner";

/* Access lists: catalog, oid, owner, the list and what it is when nobody granted anything.
 * Of built-in objects as well: pg_dump dumps what was changed there. */
#define LISTS                                                                             \
    "(SELECT 1259::pg_catalog.oid, oid, relowner, relacl, pg_catalog.acldefault("         \
    "   CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, relowner)"                 \
    "  FROM pg_catalog.pg_class WHERE relacl IS NOT NULL"                                 \
    " UNION ALL SELECT 1259, a.attrelid, c.relowner, a.attacl, NULL"                      \
    "  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"   \
    "  WHERE a.attacl IS NOT NULL"                                                        \
    " UNION ALL SELECT 2615, oid, nspowner, nspacl, pg_catalog.acldefault('n', nspowner)" \
    "  FROM pg_catalog.pg_namespace WHERE nspacl IS NOT NULL"                             \
    " UNION ALL SELECT 1247, oid, typowner, typacl, pg_catalog.acldefault('T', typowner)" \
    "  FROM pg_catalog.pg_type WHERE typacl IS NOT NULL"                                  \
    " UNION ALL SELECT 1255, oid, proowner, proacl, pg_catalog.acldefault('f', proowner)" \
    "  FROM pg_catalog.pg_proc WHERE proacl IS NOT NULL"                                  \
    ") AS list(c, o, owner, acl, usual)"

/* An owner is named in the commands only when its own rights are not the usual ones. */
#define OWN_RIGHTS(acl)                                                          \
    "(SELECT pg_catalog.string_agg(privilege_type, ',' ORDER BY privilege_type)" \
    " FROM pg_catalog.aclexplode(" acl ") WHERE grantee = owner)"

const char facts_roles_sql[] =
    "SELECT DISTINCT 'A', x.c, x.o, pg_catalog.pg_get_userbyid(x.role)::text, '' FROM ("
    "  SELECT classid, objid, refobjid FROM pg_catalog.pg_shdepend WHERE deptype = 'a'"
    "   AND classid NOT IN (1259, 2615, 1247, 1255) AND dbid ="
    "   (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    "  UNION SELECT list.c, list.o, e.grantee FROM " LISTS
    "   CROSS JOIN LATERAL pg_catalog.aclexplode(list.acl) e WHERE e.grantee <> 0"
    "   AND (e.grantee <> owner OR " OWN_RIGHTS("acl") " IS DISTINCT FROM " OWN_RIGHTS(
        "usual") ")) x(c, o, role)"
                 " UNION ALL (SELECT DISTINCT 'G', x.c, x.o, "
                 "pg_catalog.pg_get_userbyid(x.role)::text, ''"
                 "  FROM (SELECT 826::pg_catalog.oid, oid, defaclrole FROM "
                 "pg_catalog.pg_default_acl"
                 "   UNION SELECT list.c, list.o, e.grantor FROM " LISTS
                 "   CROSS JOIN LATERAL pg_catalog.aclexplode(list.acl) e WHERE e.grantor <> owner"
                 "  ) x(c, o, role))"
                 " UNION ALL SELECT 'M', x.c, x.o, '', '' FROM ("
                 "   SELECT 1259::pg_catalog.oid, oid, relacl FROM pg_catalog.pg_class"
                 "   UNION ALL SELECT 826, oid, defaclacl FROM pg_catalog.pg_default_acl"
                 "  ) x(c, o, acl) WHERE EXISTS (SELECT FROM pg_catalog.aclexplode(x.acl) e"
                 "   GROUP BY e.grantee, e.grantor HAVING bool_or(e.privilege_type = 'MAINTAIN')"
                 "   AND (count(*) < 8 OR bool_or(e.is_grantable) <> bool_and(e.is_grantable)))"
                 " UNION ALL SELECT 'P', 3256, p.oid, pg_catalog.pg_get_userbyid(r.oid)::text, ''"
                 "  FROM pg_catalog.pg_policy p, unnest(p.polroles) r(oid) WHERE r.oid <> 0"
                 " UNION ALL SELECT 'c', 3256, p.oid, pg_catalog.format("
                 "   'CREATE POLICY %I ON %I.%I AS %s FOR %s TO ', p.polname, n.nspname, c.relname,"
                 "   CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,"
                 "   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN"
                 "    'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END),"
                 "   pg_catalog.concat(' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid)"
                 "     || ')', ' WITH CHECK (' ||"
                 "    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')"
                 "  FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid"
                 "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                 "  WHERE 0::pg_catalog.oid <> ALL (p.polroles)"
                 " UNION ALL SELECT 'U', 0::oid, 0::oid, pg_catalog.translate("
                 "   'USER MAPPING ' || usename || ' SERVER ' || srvname, E'\\r\\n', '  '),"
                 "   CASE WHEN umuser = 0 THEN '' ELSE usename END FROM pg_catalog.pg_user_mappings"
                 " UNION ALL (SELECT DISTINCT 'T', 0::oid, 0::oid, s.spcname::text, ''"
                 "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_tablespace s ON s.oid = "
                 "c.reltablespace"
                 "  WHERE c.oid >= 16384 AND c.relpersistence <> 't')"
                 " UNION ALL (SELECT DISTINCT 'L', s.classoid, s.objoid, s.provider, ''"
                 "  FROM pg_catalog.pg_seclabel s)";

/* What depends on tables that are not selected, down to the last: pg_depend's rows from what is
 * referred to; and backwards over internal ones, because a view goes with its rule. A sequence
 * that such a table owns but a remaining table uses stays, without its owner. */
const char facts_selection_sql[] =
    "WITH RECURSIVE unselected AS (SELECT c.oid FROM pg_catalog.pg_class c"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'"
    "  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> $2"
    "  AND NOT " CATALOG_IS_KEEPER(
        "n.oid") "  AND c.oid <> ALL ($1::pg_catalog.oid[])"
                 "  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 1259"
                 "    AND d.objid = c.oid AND d.deptype = 'e')),"
                 " kept AS (SELECT d.objid FROM unselected"
                 "  JOIN pg_catalog.pg_depend d ON d.refclassid = 1259 AND d.refobjid = "
                 "unselected.oid"
                 "   AND d.classid = 1259 AND d.deptype = 'a' AND d.refobjsubid > 0"
                 "  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
                 "  WHERE EXISTS (SELECT FROM pg_catalog.pg_depend u JOIN pg_catalog.pg_attrdef a"
                 "    ON u.classid = 2604 AND u.objid = a.oid WHERE u.refclassid = 1259"
                 "    AND u.refobjid = s.oid AND a.adrelid NOT IN (SELECT oid FROM unselected))),"
                 " gone(c, o) AS (SELECT 1259::pg_catalog.oid, oid FROM unselected"
                 "  UNION SELECT e.c, e.o FROM gone g CROSS JOIN LATERAL ("
                 "    SELECT d.classid, d.objid FROM pg_catalog.pg_depend d"
                 "     WHERE d.refclassid = g.c AND d.refobjid = g.o AND d.deptype IN "
                 "('n','a','i','P','S')"
                 "     AND NOT (d.classid = 1259 AND d.objid IN (SELECT objid FROM kept))"
                 "    UNION ALL SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_depend d"
                 "     WHERE d.classid = g.c AND d.objid = g.o AND d.deptype = 'i') e(c, o))"
                 " SELECT 'x', g.c, g.o, CASE WHEN EXISTS (SELECT FROM unselected WHERE g.c = 1259"
                 "    AND unselected.oid = g.o) OR EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN "
                 "unselected"
                 "    ON d.refclassid = 1259 AND d.refobjid = unselected.oid WHERE d.classid = g.c"
                 "    AND d.objid = g.o AND d.deptype IN ('a', 'i')) THEN 'part' ELSE '' END, '' "
                 "FROM gone g"
                 " UNION ALL SELECT 'd', 1259, objid, '', '' FROM kept";
