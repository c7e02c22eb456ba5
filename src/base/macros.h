/* The few macros the whole program uses: attributes, automatic clean-up, ownership hand-over. */
#pragma once

#define MUST_USE         __attribute__((warn_unused_result))
#define PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define NORETURN         __attribute__((noreturn))
#define UNUSED           __attribute__((unused))

/* Runs fn(&variable) when the variable leaves scope. The variable is initialised where declared. */
#define AUTO(fn) __attribute__((cleanup(fn)))

/* Hands the pointer onward: yields its value and clears the variable. */
#define TAKE(p)                     \
    __extension__({                 \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MIN_OF(a, b)    ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)    ((a) > (b) ? (a) : (b))
