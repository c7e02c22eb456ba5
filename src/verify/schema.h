/* `trunkline verify --schema`: compares the definitions of two databases. Owner: one thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "conf/settings.h"
#include "verify/pair.h"
#include "verify/schema_script.h"

/* What the settings' patterns leave out is not compared, nor are extensions' members and keepers.
 * is_followed: an engine is at work, which brings sequences on from time to time. */
bool schema_compare(struct pair *pair, const struct settings *settings, bool is_followed,
                    struct script *ret_script, struct err *err) MUST_USE;
