/* "Did you mean": how far two words are apart. */
#pragma once

#include <stddef.h>

/* Insertions, deletions, changes and swaps of neighbours that make b out of a; for words of more
 * than 63 bytes: that they differ. */
size_t word_distance(const char *a, const char *b);

/* The greatest distance at which a word is still taken for a mistyped one of this length. */
size_t word_tolerance(size_t len);
