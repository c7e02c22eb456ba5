/* A stream that puts "-- " before each line and hands it on: for what must stand beside SQL. */
#pragma once

#include <stdio.h>

/* out stays the caller's and outlives the stream. */
FILE *comment_open(FILE *out);
void comment_close(FILE **comments); /* AUTO handler; NULL is let pass */
