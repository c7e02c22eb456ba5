/* Names of settings in the environment and in .env files: TRUNKLINE_SLOT, and those that pgstream
 * has, behind either prefix: PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME. */
#pragma once

#include <stddef.h>

#include "base/macros.h"
#include "conf/setting.h"

/* Index of the setting that this variable sets, or -1. */
int setting_by_env(const char *name);

/* What stands behind PGSTREAM_ or TRUNKLINE_; NULL for names that begin otherwise. */
const char *env_rest(const char *name);

/* The name nearest to a mistyped one, owned by the caller. NULL: none is near. */
char *nearest_env(const char *name) MUST_USE;

/* The name to recommend to a user of that program. Owned by the caller. */
char *setting_env_of(const struct setting *setting, const char *program) MUST_USE;
