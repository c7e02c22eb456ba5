/* Inside src/status only: the steps of preview_read(). */
#pragma once

#include "conf/selection.h"
#include "keeper/keeper.h"
#include "pg/conn.h"
#include "pg/types.h"
#include "status/preview.h"

struct preview_reading {
    struct preview *preview;
    struct selection selection;
    struct conn *source;
    struct conn *target;
    struct table_list target_tables;
    struct keeper_tables kept; /* of this pipeline, when the keeper knows it */
    bool is_following;         /* it has copied and goes on */
    bool has_pipeline;
    bool *is_carried; /* owned: of preview->tables, by the user's publication; NULL: ours */
    struct types *types;
    int64_t block_bytes;
};

void preview_leave_out(struct preview *preview, char *take_name, char *take_why);
void preview_object(struct preview *preview, const char *server, const char *kind, const char *name,
                    bool is_present);

/* The selected tables, each with its parts; the others as left out. */
bool preview_look_tables(struct preview_reading *reading, struct err *err) MUST_USE;

/* Everything else that would be made, or left out. */
bool preview_look_objects(struct preview_reading *reading, struct err *err) MUST_USE;
