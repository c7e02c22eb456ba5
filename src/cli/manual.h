/* The manual page and the completion of bash, made from the tables. */
#pragma once

#include <stdio.h>

void manual_print(FILE *out);
void completion_print(FILE *out);
