/* The findings for people or as JSON. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "check/finding.h"

/* Errors first, each with what mends it; or one JSON document. */
void findings_print(const struct findings *findings, bool as_json, FILE *out);
