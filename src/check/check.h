/* What cannot work, and what is worth knowing, before anything is created: everything at once.
 * Changes nothing on either server. What a run needs of it depends on the settings' mode.
 *
 * Owner: one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stop.h"
#include "check/finding.h"
#include "conf/selection.h"
#include "conf/settings.h"
#include "keeper/keeper.h"
#include "keeper/source_keeper.h"
#include "pg/catalog.h"
#include "pg/conn.h"
#include "schema/tools.h"
#include "source/slot.h"

/* One check and what it has learned of the pipeline, for who runs it afterwards. Text is owned;
 * it is NULL, as the connections are, while it is not known (a server cannot be reached). */
struct check {
    const struct settings *settings; /* borrowed */
    const struct stop *stop;         /* borrowed; NULL: cannot be stopped */
    bool is_run;                     /* the run itself comes next */
    struct findings findings;

    struct conn *source;
    struct conn *target;
    int source_version;
    bool is_raw; /* the source database has no encoding */
    int target_version;
    char *database; /* the source's, as are system and timeline */
    char *system_id;
    uint32_t timeline;
    char *slot;
    char *publication;
    char *name_prefix;     /* of application_name, once the slot is known */
    struct keeper_ref ref; /* of the state on the target */
    uint64_t until;        /* 0: for ever */
    struct schema_tools tools;
    struct slot_state slot_state;

    bool lacks_replication; /* the role may not: said once */
    bool is_known;          /* the keeper holds this pipeline */
    struct keeper_pipeline pipeline;
    char *record_schema;             /* of a snapshot's own record */
    struct keeper_tables unfinished; /* what a snapshot that was killed was filling */
    struct source_pipeline init;     /* what init made on the source; all NULL: nothing */

    struct selection selection;
    bool has_tables;          /* the two lists are read */
    struct table_list tables; /* selected, on the source */
    bool is_target_asked;     /* for its tables */
    struct catalog_question target_question;
    bool has_target_tables;
    struct table_list target_tables; /* all user tables there */
    char *source_role;               /* quoted */
    char *target_role;               /* quoted */
};

/* Fills in check->findings. False (ERR_CONFIG) for settings that cannot be meant, and when it was
 * stopped; what a server answers is a finding. check is zeroed; release it in any case. */
bool check_run(struct check *check, const struct settings *settings, const struct stop *stop,
               struct err *err) MUST_USE;
void check_release(struct check *check); /* AUTO handler */

/* Everything has been copied already: what is left to do is to follow. */
bool check_is_complete(const struct check *check);

/* Refuses tables whose UPDATEs would fail on the source once they are published. */
bool check_identity(const struct table_list *tables, struct err *err);

/* Whether the target's type holds every value of the source's, and writes it alike. Not for equal
 * types. */
bool check_is_wider(const struct column *column, const struct column *there);

/* Refuses to go on with a snapshot as a pipeline, or the other way round (ERR_CONFIG). */
bool check_purpose(const struct keeper_pipeline *kept, const struct settings *settings,
                   struct err *err);

/* Whether servers of this version wait, when a slot exports its first snapshot, until the commits
 * it shows are complete. */
bool check_has_snapshot_fix(int version);
