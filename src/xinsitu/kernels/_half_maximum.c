/* Width of noisy profiles at half their height: what half_maximum.py does in NumPy, profile by profile.  The names, the
 * formulae and the order of every sum are those over there; only exp and pow are each library's own, so that the last
 * digit may differ.  What a window leaves out adds nothing to a sum, and is not looked at here.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_compiled.h"

#define HEIGHT 0.27
#define SIDES 0.2
#define SMOOTH 0.28
#define CLEAR 22.0
#define FALLS 0.6
#define FLANK 0.7
#define BESIDE 0.4
#define BENT 0.05
#define STRAIGHTENED 1.3
#define MOST 0.25
#define ASTRAY 3.0
#define VALLEY 3.0
#define ROUNDS 5
#define NARROW 4.0
#define LEAST_BINS 9
#define FAR 700.0
#define GAUSSIAN (8 * 0.69314718055994530942)

typedef struct { int64_t first, behind; } Sides;
typedef union { Four quarters[QUARTERS]; double lane[LANES]; } Lanes;

static int64_t clip(int64_t v, int64_t low, int64_t high) { return MIN(MAX(v, low), high); }
static double within(double v, double low, double high) { return MIN(MAX(v, low), high); }
static int64_t whole(double number) { return (int64_t)floor(number + 0.5); }

/* Running mean over an odd number of bins from the sums of the first bins; returns the place of the highest one. */
CLONES static int64_t running_mean(const double *restrict net, const double *restrict sums, int64_t n, int64_t bins,
                                   double *restrict soft) {
    int64_t reach = bins / 2, peak = 0;
    if (bins <= 1) memcpy(soft, net, (size_t)n * sizeof(double));
    else {
        int64_t low = MIN(reach, n), high = MAX(n - reach, low);
        for (int64_t i = 0; i < low; i++) {
            int64_t behind = MIN(i + reach + 1, n);
            soft[i] = sums[behind] / (double)behind;
        }
        double size = (double)bins;
        for (int64_t i = low; i < high; i++) soft[i] = (sums[i + reach + 1] - sums[i - reach]) / size;
        for (int64_t i = high; i < n; i++) soft[i] = (sums[n] - sums[i - reach]) / (double)(n - i + reach);
    }
    double top = soft[0];
    Four tops[2] = {{top, top, top, top}, {top, top, top, top}};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        HIGHER(AT(soft + i), tops[0], Four, FourBits);
        HIGHER(AT(soft + i + 4), tops[1], Four, FourBits);
    }
    HIGHER(tops[1], tops[0], Four, FourBits);
    for (int lane = 0; lane < 4; lane++) top = tops[0][lane] > top ? tops[0][lane] : top;
    for (; i < n; i++) top = soft[i] > top ? soft[i] : top;
    while (peak < n - 1 && !(soft[peak] == top)) peak++;
    return peak;
}

/* First bins at or below a level outwards from the peak; -1 and the number of bins where there are none. */
static Sides beyond(const double *profile, int64_t n, double level, int64_t peak) {
    Sides s = {-1, n};
    if (!(level > 0)) return s;
    for (int64_t i = peak - 1; i >= 0; i--)
        if (profile[i] <= level) { s.first = i; break; }
    for (int64_t i = peak + 1; i < n; i++)
        if (profile[i] <= level) { s.behind = i; break; }
    return s;
}

/* Noise of a bin around the peak, from fourth differences. */
static double noise_of(const double *net, int64_t n, int64_t peak, double width) {
    Lanes s = {{{0}}};
    double reach = MAX(0.75 * width, 4);
    int64_t number = 0, first = MAX(peak - 2 - (int64_t)floor(reach), 0), last = MIN(peak - 2 + (int64_t)floor(reach), n - 5);
    for (int64_t i = first; i <= last; i++, number++) {
        const double *v = net + i;
        double a = v[1] - v[0], b = v[2] - v[1], c = v[3] - v[2], d = v[4] - v[3];
        double ab = b - a, bc = c - b, cd = d - c, fourth = (cd - bc) - (bc - ab);
        s.lane[i & (LANES - 1)] += fourth * fourth;
    }
    return sqrt(together(s.quarters) / (double)(70 * MAX(number, 1)));
}

/* Sum over bins of exp(-(top - p)^2 / 4 noise^2), at least 1. */
static double rivals(const double *profile, int64_t n, double top, double noise) {
    if (!(noise > 0)) return 1;
    Lanes s = {{{0}}};
    double square = 4 * (noise * noise);
    for (int64_t i = 0; i < n; i++) {
        double away = top - profile[i], far = away * away / square;
        if (!(far >= FAR)) s.lane[i & (LANES - 1)] += exp(-far);
    }
    return fmax(together(s.quarters), 1);
}

/* Height of the peak and its derivative by each bin (0 before): vertex of a parabola over 2 reach + 1 bins, or one bin. */
static double height_of(const double *net, int64_t n, int64_t peak, int64_t reach, double *by_bin) {
    reach = MIN(reach, MIN(peak, n - 1 - peak));
    if (reach < 2) {
        by_bin[peak] = 1;
        return net[peak];
    }
    double r = (double)reach, many = 2.0 * r + 1, square = MAX((double)(reach * (reach + 1)) * many / 3, 1.0);
    double fourth = square * (double)(3 * reach * reach + 3 * reach - 1) / 5, spread = many * fourth - square * square;
    Lanes slopes = {{{0}}}, bends = {{{0}}}, heights = {{{0}}};
    double vertex = 0;
    for (int64_t i = peak - reach; i <= peak + reach; i++) {
        double away = (double)(i - peak);
        slopes.lane[i & (LANES - 1)] += away / square * net[i];
        bends.lane[i & (LANES - 1)] += (many * (away * away) - square) / spread * net[i];
    }
    double slope = together(slopes.quarters), bend = together(bends.quarters);
    if (bend < 0) vertex = within(-slope / (2 * bend), -0.5 * r, 0.5 * r);
    for (int64_t i = peak - reach; i <= peak + reach; i++) {
        double away = (double)(i - peak), level = (fourth - square * (away * away)) / spread;
        by_bin[i] = level + vertex * (away / square) + vertex * vertex * ((many * (away * away) - square) / spread);
        heights.lane[i & (LANES - 1)] += by_bin[i] * net[i];
    }
    return together(heights.quarters);
}

/* Place where a line through 2 reach bins crosses the level; adds what each bin has of the width there. */
static double crossing(const double *net, int64_t n, double level, double half, int64_t outer, int side, int64_t reach,
                       const double *height_by_bin, double *width_by_bin, double *steep) {
    int crossed = outer >= 0 && outer < n;
    int64_t inner = clip(outer - side, 0, n - 1), low = clip(MIN(outer, inner), 0, n - 2), first = 0, last = 0;
    double place = 0, slope = 0, square = 0, number = 0, middle = 0;
    int falls = 0;
    for (int again = 2; again >= 0; again--) {
        Lanes squares = {{{0}}}, means = {{{0}}}, slopes = {{{0}}};
        first = MAX(low - reach + 1, 0), last = MIN(low + reach, n - 1);
        number = (double)(last - first) + 1.0, middle = 0.5 * (double)(first + last);
        for (int64_t i = first; i <= last; i++) {
            double away = (double)i - middle;
            squares.lane[i & (LANES - 1)] += away * away;
            means.lane[i & (LANES - 1)] += net[i];
            slopes.lane[i & (LANES - 1)] += away * net[i];
        }
        square = fmax(together(squares.quarters), 0.5);
        slope = together(slopes.quarters) / square;
        falls = crossed && slope * side < 0;
        place = within(falls ? middle + (half - together(means.quarters) / number) / slope : middle, (double)first, (double)last);
        int64_t next = falls && reach > 1 ? clip((int64_t)floor(place), 0, n - 2) : low;
        if (next == low) break; /* the line stays */
        if (again) low = next;
    }
    if (!falls) {
        for (int64_t i = 0; i < n; i++) width_by_bin[i] = NAN;
        return NAN;
    }
    for (int64_t i = 0; i < n; i++) {
        double inside = i >= first && i <= last;
        if (!inside && height_by_bin[i] == 0) continue;
        double away = inside ? (double)i - middle : 0, own = inside / number + (place - middle) * away / square;
        width_by_bin[i] += side * (level * height_by_bin[i] - own) / slope;
    }
    *steep = slope;
    return place;
}

/* Mean of three bins about a place. */
static double around(const double *net, int64_t at, double part) {
    return (net[at] + net[at + 1] + (1 - part) * net[at - 1] + part * net[at + 2]) / 3;
}

/* The crossing of a line where the profile itself crosses, if its flank bends more than a Gaussian's. */
static double on_bent_flank(const double *net, int64_t n, double place, double slope, double height, int64_t reach, int64_t far) {
    if (reach < 2) return place;
    int64_t at = (int64_t)floor(place);
    double part = place - (double)at, wide = (double)reach, away = (double)far;
    if (at - far < 1 || at + far + 2 >= n) return place;
    double bend = around(net, at - far, part) - 2 * around(net, at, part) + around(net, at + far, part) - BENT * height;
    double spread = (4.0 * (wide * wide) - 1) / 12;
    double below = STRAIGHTENED * 0.5 * spread * fmax(bend, 0) / (away * away);
    return place + within(below / slope, -MOST * wide, MOST * wide);
}

typedef struct {
    const double *values, *base; /* (frames, bins), and one number per frame */
    int64_t frames, bins;
    double level;
    double *left, *right, *height, *width_by_bin, *height_by_bin, *profile; /* none of them where only peaks are asked */
    int64_t *peak, *smooth;
} Widths;

/* A profile above its base, as numpy.nan_to_num has it, and the sums of its first bins. */
CLONES static void above_base(const double *restrict v, double base, int64_t n, double *restrict net) {
    for (int64_t i = 0; i < n; i++) {
        double one = v[i] - base;
        one = one > DBL_MAX ? DBL_MAX : one;
        one = one < -DBL_MAX ? -DBL_MAX : one;
        net[i] = one != one ? 0 : one;
    }
}

/* Bins of the running mean and where its peak is; fills `soft`, and tells of a first width, its part and the noise. */
static int64_t windows(const double *net, const double *sums, int64_t n, double level, double *soft, int64_t *peak,
                       double *width, double *part, double *noise) {
    int wide = n >= LEAST_BINS, news = 1;
    int64_t smooth = wide ? (n / 4) | 1 : 1, seen_by = 0;
    double top = 1;
    *peak = 0, *width = 1, *part = wide, *noise = 0;
    for (int turn = 0; turn < (wide ? ROUNDS : 0); turn++) {
        if (news) {
            *peak = running_mean(net, sums, n, smooth, soft), seen_by = smooth;
            top = soft[*peak];
            Sides edge = beyond(soft, n, level * top, *peak);
            double seen = (double)(MIN(edge.behind, n - 1) - MAX(edge.first, 0)) - 1.0;
            *width = sqrt(MAX(seen * seen - GAUSSIAN * (double)(smooth * smooth - 1) / 12, 1));
        }
        if (turn == ROUNDS - 2 || (turn > ROUNDS - 2 && news)) {
            *noise = noise_of(net, n, *peak, *width);
            *part = fmin(1, pow(CLEAR * *noise / MAX(top, 1e-300), FALLS));
        }
        int64_t before = smooth;
        smooth = MIN(smooth, 2 * (int64_t)floor(SMOOTH * *part * *width / 2) + 1);
        news = smooth != before;
    }
    if (smooth != seen_by) *peak = running_mean(net, sums, n, smooth, soft);
    return smooth;
}

/* Fill the widths of all profiles, or only where their peaks are; returns 0, or -1 where there is no memory. */
PUBLIC int xinsitu_half_maximum(const Widths *w) {
    int64_t n = w->bins;
    double *sums = malloc((size_t)(3 * n + 1) * sizeof(double)), *net = sums + n + 1, *room = net + n, level = w->level;
    if (!sums) return -1;
    for (int64_t f = 0; f < w->frames; f++) {
        double *soft = w->profile ? w->profile + f * n : room;
        double width, part, noise;
        int64_t peak;
        above_base(w->values + f * n, w->base[f], n, net);
        sums[0] = 0;
        for (int64_t i = 0; i < n; i++) sums[i + 1] = sums[i] + net[i];
        int64_t smooth = windows(net, sums, n, level, soft, &peak, &width, &part, &noise);
        w->peak[f] = peak;
        if (!w->profile) continue;
        w->smooth[f] = smooth;
        double *height_by_bin = w->height_by_bin + f * n, *width_by_bin = w->width_by_bin + f * n;
        memset(height_by_bin, 0, (size_t)n * sizeof(double));
        memset(width_by_bin, 0, (size_t)n * sizeof(double));
        Sides flank = beyond(soft, n, FLANK * soft[peak], peak);
        int64_t reach = whole(HEIGHT * part * width - 0.25);
        reach = MIN(reach, MIN(peak - flank.first, flank.behind - peak));
        double height = height_of(net, n, peak, reach, height_by_bin);
        if (reach < 2 || MIN(peak, n - 1 - peak) < 2)
            if (width > NARROW) height -= 0.56 * noise * fmin(rivals(net, n, height, noise) - 1, 1.5);
        w->height[f] = height;
        double half = level * height;
        Sides edge = beyond(soft, n, half, peak);
        reach = whole(SIDES * part * width), reach = MAX(reach, 1);
        int64_t far = whole(BESIDE * width);
        far = MAX(far, 2);
        for (int side = -1; side <= 1; side += 2) {
            double steep = 0, place = crossing(net, n, level, half, side < 0 ? edge.first : edge.behind, side, reach,
                                               height_by_bin, width_by_bin, &steep);
            if (!isnan(place)) place = on_bent_flank(net, n, place, steep, height, reach, far);
            *(side < 0 ? &w->left[f] : &w->right[f]) = place;
        }
    }
    free(sums);
    return 0;
}

typedef struct {
    const double *profile, *variance, *height_by_bin, *left, *right, *height;
    const int64_t *peak, *smooth;
    int64_t frames, bins;
    double level;
    uint8_t *doubtful;
} Doubts;

/* Whether a crossing may as well be another one: as far as the level can move by the noise, the profile crosses it. */
static int may_cross_elsewhere(const Doubts *d, const double *profile, const double *variance, int64_t f, double place, int side) {
    if (!isfinite(place)) return 0;
    int64_t n = d->bins, at = clip((int64_t)place, 0, n - 1);
    double half = d->level * d->height[f], noise = sqrt(variance[at] / (double)d->smooth[f]);
    if (isnan(noise)) return 0;
    Sides high = beyond(profile, n, fmax(half + ASTRAY * noise, 1e-300), d->peak[f]);
    Sides low = beyond(profile, n, fmax(half - ASTRAY * noise, 1e-300), d->peak[f]);
    double away = fabs((double)(side < 0 ? low.first - high.first : low.behind - high.behind));
    double steep = fabs(profile[clip(at + 1, 0, n - 1)] - profile[at]);
    return away > 2.5 * 2 * ASTRAY * noise / MAX(steep, 1e-300) + 2;
}

/* Whether the profile rises again from a valley that the windows fill, on its way from the peak down to a crossing. */
static int rises_again(const Doubts *d, const double *profile, double noise, int64_t f, double place, int side) {
    if (!isfinite(place) || d->smooth[f] <= 1) return 0;
    double later = -INFINITY, rise = 0;
    for (int64_t i = side < 0 ? (int64_t)ceil(place) : (int64_t)floor(place); i * side >= d->peak[f] * side; i -= side) {
        later = MAX(profile[i], later);
        rise = MAX(later - profile[i], rise);
    }
    return rise > VALLEY * noise;
}

/* Which profiles have another crossing, or another peak, that may be the one. */
PUBLIC int xinsitu_ambiguous(const Doubts *d) {
    int64_t n = d->bins;
    for (int64_t f = 0; f < d->frames; f++) {
        const double *profile = d->profile + f * n, *variance = d->variance + f * n, *by_bin = d->height_by_bin + f * n;
        Lanes s = {{{0}}};
        double rival = -INFINITY, top = profile[0];
        for (int64_t i = 0; i < n; i++) {
            s.lane[i & (LANES - 1)] += by_bin[i] * by_bin[i] * variance[i];
            top = MAX(profile[i], top);
            if ((double)i < d->left[f] - 1 || (double)i > d->right[f] + 1) rival = MAX(profile[i], rival);
        }
        double noise = sqrt(variance[d->peak[f]] / (double)d->smooth[f]);
        d->doubtful[f] = rival > top - 3 * sqrt(together(s.quarters));
        for (int side = -1; side <= 1; side += 2) {
            double place = side < 0 ? d->left[f] : d->right[f];
            d->doubtful[f] |= may_cross_elsewhere(d, profile, variance, f, place, side) || rises_again(d, profile, noise, f, place, side);
        }
    }
    return 0;
}
