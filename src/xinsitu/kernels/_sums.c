/* Sums of what numbers weigh: sums.py in one pass over each row while it is in the cache, to the last bit the same. */
#include <stdint.h>

#include "_compiled.h"

#define LANES 16

typedef struct {
    const double *values, *terms; /* (rows, length) and (n_terms, length) */
    int64_t rows, length, n_terms;
    double *out;                  /* (rows, n_terms) */
} Weighted;

CLONES static double weighted(const double *restrict v, const double *restrict t, int64_t n) {
    double s[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) s[l] += v[i + l] * t[i + l];
    for (int l = 0; i + l < n; l++) s[l] += v[i + l] * t[i + l];
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    return s[0];
}

/* Sum each row with each of the terms; cannot fail. */
PUBLIC int xinsitu_weighted_sums(const Weighted *w) {
    for (int64_t row = 0; row < w->rows; row++)
        for (int64_t term = 0; term < w->n_terms; term++)
            w->out[row * w->n_terms + term] = weighted(w->values + row * w->length, w->terms + term * w->length, w->length);
    return 0;
}
