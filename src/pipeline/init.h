/* What is made on the source before an engine runs, and its removal. Each connects by itself, says
 * what it did, and can be repeated. Main thread. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "conf/settings.h"

/* The keeper's schema, the publications, then the slot. */
bool pipeline_init(const struct settings *settings, struct err *err);

/* The pipeline's state on the target (when settings name one), slot, publications, replica
 * identities, the keeper's schema. Schemas without our mark stay. */
bool pipeline_tear_down(const struct settings *settings, FILE *out, struct err *err);
