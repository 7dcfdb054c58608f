/* Noise of the bins of profiles, and what it makes of a width: width_noise.py in one pass over each profile while it is in
 * the cache, to the last bit the same.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "_compiled.h"

typedef struct {
    const double *profile, *variance, *per_count, *lines; /* (frames, bins), and one number per frame */
    const double *tables;                                 /* steepness, variance and correlation there, (3, knots) */
    int64_t frames, bins, knots;
    double least;
    double *out, *neighbours;
} BehindMedian;

#define MOST_KNOTS 16

/* As numpy.interp has it, of numbers from the first knot on; what is not a number stays one. */
CLONES static void between(const double *restrict at, const double *restrict x, const double *restrict y,
                           const double *restrict slope, int64_t knots, int64_t n, double *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = slope[0] * (at[i] - x[0]) + y[0];
    for (int64_t k = 1; k < knots - 1; k++)
        for (int64_t i = 0; i < n; i++) {
            double here = slope[k] * (at[i] - x[k]) + y[k];
            out[i] = at[i] >= x[k] ? here : out[i];
        }
    for (int64_t i = 0; i < n; i++) out[i] = at[i] >= x[knots - 1] ? y[knots - 1] : out[i];
}

typedef struct {
    const double *at, *x, *y, *slopes; /* numbers, not below the first knot; knots, and what there is to multiply by from each on */
    int64_t numbers, knots;
    double *out;
} Interpolated;

#define PART 512 /* of the numbers stay in the cache */

PUBLIC int xinsitu_interpolated(const Interpolated *p) {
    for (int64_t i = 0; i < p->numbers; i += PART)
        between(p->at + i, p->x, p->y, p->slopes, p->knots, MIN(PART, p->numbers - i), p->out + i);
    return 0;
}

CLONES static void steepness(const double *restrict p, const double *restrict variance, double per_count, double lines, int64_t n,
                             double *restrict counted, double *restrict steep) {
    for (int64_t i = 0; i < n; i++) counted[i] = variance[i] / per_count;
    for (int64_t i = 0; i < n; i++) steep[i] = sqrt(counted[i] * lines);
    for (int64_t i = 2; i < n - 2; i++) {
        double slope = fabs(p[i + 2] - p[i - 2]) / 4, steeper = slope / steep[i];
        steep[i] = steep[i] > 0 ? steeper : 0;
    }
    steep[0] = steep[1] = steep[n - 2] = steep[n - 1] = 0;
}

CLONES static void raised(const double *restrict factor, double least, int64_t n, double *restrict counted) {
    for (int64_t i = 0; i < n; i++) {
        double more = factor[i] > least ? factor[i] : least; /* what is not a number stays one */
        more = factor[i] != factor[i] ? factor[i] : more;
        counted[i] *= more;
    }
}

/* Fill variances and correlations; returns 0, or -1 where there is no memory. */
PUBLIC int xinsitu_behind_median(const BehindMedian *b) {
    int64_t n = b->bins, knots = b->knots;
    double slopes[2][MOST_KNOTS] = {{0}}, *steep = malloc(2 * (size_t)n * sizeof(double)), *factor = steep + n;
    if (!steep || knots > MOST_KNOTS || n < 5) return free(steep), -1;
    const double *x = b->tables, *y[2] = {x + knots, x + 2 * knots};
    for (int64_t table = 0; table < 2; table++)
        for (int64_t k = 0; k < knots - 1; k++) slopes[table][k] = (y[table][k + 1] - y[table][k]) / (x[k + 1] - x[k]);
    for (int64_t f = 0; f < b->frames; f++) {
        steepness(b->profile + f * n, b->variance + f * n, b->per_count[f], b->lines[f], n, b->out + f * n, steep);
        between(steep, x, y[0], slopes[0], knots, n, factor);
        between(steep, x, y[1], slopes[1], knots, n, b->neighbours + f * n);
        raised(factor, b->least * b->per_count[f], n, b->out + f * n);
    }
    free(steep);
    return 0;
}

typedef struct {
    const double *by_bin, *variance, *neighbours; /* (frames, bins); the last one or none */
    int64_t frames, bins;
    double *alone, *between;                      /* (frames), and of both distances */
} Correlated;

/* Products of bins some apart, each with the covariance of both: their correlation is the mean of what each says. */
CLONES static void products(const double *restrict w, const double *restrict v, const double *restrict c, int64_t lag, int64_t n,
                            double *restrict out) {
    for (int64_t i = lag; i < n; i++) {
        double mean = (c[i] + c[i - lag]) / 2, shared = lag == 1 ? mean : mean * mean;
        out[i - lag] = w[i] * w[i - lag] * (sqrt(v[i] * v[i - lag]) * shared);
    }
}
CLONES static void squares(const double *restrict w, const double *restrict v, int64_t n, double *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = w[i] * w[i] * v[i];
}

/* Add up what bins weigh, one after the other; returns 0, or -1 where there is no memory. */
PUBLIC int xinsitu_correlated(const Correlated *c) {
    int64_t n = c->bins;
    double *of_one = calloc(3 * (size_t)n, sizeof(double)), *of_two = of_one + n, *of_three = of_two + n;
    if (!of_one) return -1;
    for (int64_t f = 0; f < c->frames; f++) {
        const double *w = c->by_bin + f * n, *v = c->variance + f * n;
        double alone = 0, first = 0, second = 0;
        squares(w, v, n, of_one);
        if (c->neighbours) {
            products(w, v, c->neighbours + f * n, 1, n, of_two);
            products(w, v, c->neighbours + f * n, 2, n, of_three);
            for (int64_t i = 0; i < n; i++) alone += of_one[i], first += of_two[i], second += of_three[i];
        } else
            for (int64_t i = 0; i < n; i++) alone += of_one[i];
        c->alone[f] = alone, c->between[f] = 2 * first, c->between[c->frames + f] = 2 * second;
    }
    free(of_one);
    return 0;
}
