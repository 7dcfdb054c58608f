/* Statistics of frames and of the ROIs in them: what physics/reduction/pixel_sums.py does in NumPy, in one pass over
 * each frame while it is in the processor's cache.  The NumPy way is the truth; a test holds both equal to the last bit.
 *
 * Sums have the order of kernels/sums.py: a row in sixteen lanes, a column from the first row to the last.  Compile without
 * -ffast-math and with -ffp-contract=off; then every processor and every number of threads gives the same bits.
 * Pixels are held as float (whole numbers up to 2^24 are exact; frames with larger ones are left to NumPy), and what is
 * computed from them as double.  A result that NumPy has in float32 is rounded to it after each step, which for
 * + - * / and sqrt gives what float32 arithmetic gives.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_compiled.h"

#define MED3(a, b, c) MAX(MIN(a, b), MIN(MAX(a, b), c))

enum { INT32, UINT32, UINT16, FLOAT32, FLOAT64 };
enum { PLAIN, MEDIAN, OUTLIERS };
enum { NOTHING, DIVIDE, SUBTRACT };
enum { SCALARS, VALUES_Y, VALUES_X, PIXELS_Y, PIXELS_X, WEIGHTED_Y, WEIGHTED_X, SQUARES_Y, SQUARES_X, EXCESS_Y, EXCESS_X,
       EDGE, MOMENTS_Y, MOMENTS_X, ROOM_Y, ROOM_X, OWN_EDGE, HIGH, WIDE, PLACES };
enum { TOP, ROW, COLUMN, SECOND, GAIN, RAW_MAXIMUM, SATURATED, SPARSE, FLAT };
enum { UNREAD, DARK, LEVEL_TOTAL, LEVEL_SQUARES, LEVEL_VARIANCE, LEVEL_PIXELS, LEVEL_EXCESS, LEVEL_COUNTS, LEVEL_FLAT };
#define POWERS 3

typedef struct { int32_t y0, y1, x0, x1; } Box;

/* The same fields in the same order stand in compiled.py. */
typedef struct {
    const void *raw;      /* frames, row by row; strides in pixels */
    int64_t frames, frame_stride, row_stride;
    const double *flat;   /* (rows, columns) or none; NaN where it cannot be used */
    const double *gain;   /* one over it, 0 where it cannot be used */
    const uint8_t *mask;  /* pixels that are never good, or none */
    const uint8_t *dead;  /* pixels that are bad where they hold dead_code or more, or none */
    const double *scale;  /* of each frame, or none */
    const int64_t *number;
    const Box *boxes;     /* ROIs, then regions of the frames' background */
    const int32_t *pairs; /* two numbers of boxes, and a column */
    const int64_t *places; /* PLACES of each ROI: columns, -1 where there are none */
    const double *const *moments; /* of each ROI without bad pixels, as they stand in a row, or none */
    const double *const *powers;  /* of each ROI: POWERS of the place of each row, then of each column, or none */
    double *out;
    uint8_t *left;        /* frames that are left to NumPy */
    int64_t columns;
    double threshold, shared, dead_code, code, cutoff; /* shared: what the level is divided by first, or 1 */
    int32_t type, height, width, filter, single, mode, as_counted;
    int32_t rois, levels, overlaps, negative_codes, whole;
    int32_t ask_excess, ask_flat, ask_sparse, ask_raw, ask_saturated, excess_one_in, flat_one_in, sparse_one_in, hot;
    float *corrected;     /* whole frames, where these are wanted, and the background of each */
    double *background;
    const Rows *files;    /* frames lie in these, and not in raw */
} Job;

typedef struct {
    const Job *job;
    float *pixels;      /* of one frame, 0 where one is bad */
    uint8_t *bad, *before;
    int32_t *near;      /* good pixels beside bad ones */
    int64_t n_near;
    int any_bad, near_known;
    const int64_t *spans; /* of a row as it is read: bytes before some of the columns, and of them */
    int64_t n_spans;
    Box needed;         /* all boxes, and a pixel around them: no other pixels are looked at */
    double *whole;      /* filtered frame */
    double *box;        /* filtered box */
    double *made;       /* what a median added to a box */
    float *sorted[3][3], *line; /* three rows: lowest, middle and highest of a pixel and those beside it */
    double *v, *w, *cols, *wcols, *scols, *tops;
} Work;

/* ---- sums -------------------------------------------------------------------------------------------------------- */

typedef float EightFloats __attribute__((vector_size(32)));
typedef EightFloats NearFloats __attribute__((aligned(4), may_alias));
typedef int32_t EightBits __attribute__((vector_size(32)));
#define LINE 64
#define SHORT 2048
#define STRIP 16 /* rows */

CLONES static double sum(const double *restrict v, int n) {
    Four lanes[QUARTERS] = {{0}};
    int x = 0;
    for (; x + LANES <= n; x += LANES)
        for (int q = 0; q < QUARTERS; q++) lanes[q] += AT(v + x + 4 * q);
    double rest[LANES] = {0};
    for (int i = 0; i < n - x; i++) rest[i] = v[x + i];
    for (int q = 0; q < QUARTERS; q++) lanes[q] += AT(rest + 4 * q);
    return together(lanes);
}

static double squeezed(double v, int single) { return single ? (double)(float)v : v; }

/* ---- one frame into floats, and its bad pixels --------------------------------------------------------------------- */

/* A row as floats; tells with 1 of bad pixels, with 2 of numbers that a float does not hold.  The second one marks bad
 * pixels and puts 0 in their places. */
#define LOADER(NAME, T, BAD, WRONG)                                                                                    \
    CLONES static int NAME(const T *restrict r, int n, double code, int negative, float *restrict p) {                 \
        int bad = 0, wrong = 0;                                                                                        \
        (void)code, (void)negative;                                                                                    \
        for (int x = 0; x < n; x++) {                                                                                  \
            T s = r[x];                                                                                                \
            float f = (float)s;                                                                                        \
            p[x] = f;                                                                                                  \
            bad |= (BAD);                                                                                              \
            wrong |= (WRONG);                                                                                          \
        }                                                                                                              \
        return bad | wrong << 1;                                                                                       \
    }                                                                                                                  \
    CLONES static int NAME##_marked(const T *restrict r, int n, double code, int negative, const uint8_t *restrict mask, \
                                    const uint8_t *restrict dead, double dead_code, float *restrict p,                 \
                                    uint8_t *restrict marks) {                                                         \
        int wrongs = 0;                                                                                                \
        (void)code, (void)negative;                                                                                    \
        for (int x = 0; x < n; x++) {                                                                                  \
            T s = r[x];                                                                                                \
            float f = (float)s;                                                                                        \
            int bad = (BAD);                                                                                           \
            if (mask) bad |= mask[x] != 0;                                                                             \
            if (dead) bad |= (dead[x] != 0) & ((double)s >= dead_code);                                                \
            wrongs |= (WRONG) & !bad;                                                                                  \
            p[x] = bad ? 0 : f;                                                                                        \
            marks[x] = (uint8_t)bad;                                                                                   \
        }                                                                                                              \
        return wrongs << 1;                                                                                            \
    }
LOADER(load_int32, int32_t, negative & (s < 0), (s > 16777216) | (s < -16777216))
LOADER(load_uint32, uint32_t, s >= (uint32_t)code, s > 16777216u)
LOADER(load_uint16, uint16_t, s >= code, 0)
LOADER(load_float32, float, (negative & (s < 0)) | (s >= code) | !(fabsf(s) <= 3.4028234e38f), 0)
LOADER(load_float64, double, (negative & (s < 0)) | (s >= code) | !(fabs(s) <= 1.7976931348623157e308), (double)f != s)

static void find_near(Work *k) {
    int h = k->job->height, w = k->job->width;
    uint8_t *beside = k->before; /* 1: bad, 2: beside it */
    k->n_near = 0;
    for (int y = 0; y < h; y++) {
        const uint8_t *row = k->bad + (int64_t)y * w, *at = row;
        while ((at = memchr(at, 1, row + w - at))) {
            int x = (int)(at++ - row);
            for (int b = MAX(y - 1, 0); b <= MIN(y + 1, h - 1); b++)
                for (int a = MAX(x - 1, 0); a <= MIN(x + 1, w - 1); a++)
                    if (!beside[(int64_t)b * w + a]) beside[(int64_t)b * w + a] = 2, k->near[k->n_near++] = b * w + a;
        }
    }
    for (int64_t i = 0; i < k->n_near; i++) beside[k->near[i]] = 0;
}

/* Returns whether the frame can be done here. */
static int load(Work *k, int64_t i) {
    const Job *j = k->job;
    static const int size[] = {4, 4, 2, 4, 8};
    const char *frame = (const char *)j->raw + i * j->frame_stride * size[j->type];
    int flags = 0, w = j->width, x0 = k->spans ? 0 : k->needed.x0;
    int64_t one_span[] = {(int64_t)x0 * size[j->type], (int64_t)(k->needed.x1 - x0) * size[j->type]};
    const int64_t *spans = k->spans ? k->spans : one_span, *behind = spans + (k->spans ? 2 * k->n_spans : 2);
    int64_t next = i + 1 < j->frames ? j->frame_stride * size[j->type] : 0; /* 0: none is in memory */
    k->any_bad = j->mask || j->dead;
    for (int turn = k->any_bad; turn < 2; turn++) {
        if (turn && !k->near_known) memset(k->bad, 0, (size_t)j->height * w);
        for (int y = k->needed.y0; y < k->needed.y1; y++) {
            const char *row = frame + (int64_t)y * j->row_stride * size[j->type];
            int64_t at = (int64_t)y * w + x0;
            /* rows of a small box are too short for the processor to see ahead: those of the next frame are called now */
            if (next && spans[1] <= SHORT)
                for (int b = 0; b < spans[1] + LINE; b += LINE) __builtin_prefetch(row + spans[0] + next + b, 0, 2);
            for (const int64_t *span = spans; span < behind; at += span[1] / size[j->type], span += 2) {
                const void *r = row + span[0];
                int n = (int)(span[1] / size[j->type]);
                float *p = k->pixels + at;
                uint8_t *marks = k->bad + at;
                const uint8_t *mask = j->mask ? j->mask + at : NULL, *dead = j->dead ? j->dead + at : NULL;
#define LOAD(NAME) flags |= turn ? NAME##_marked(r, n, j->code, j->negative_codes, mask, dead, j->dead_code, p, marks) \
                                 : NAME(r, n, j->code, j->negative_codes, p)
                switch (j->type) {
                case INT32: LOAD(load_int32); break;
                case UINT32: LOAD(load_uint32); break;
                case UINT16: LOAD(load_uint16); break;
                case FLOAT32: LOAD(load_float32); break;
                default: LOAD(load_float64);
                }
            }
        }
        if (turn) break;
        if (!flags) return 1;
        flags = 0, k->any_bad = 1;
    }
    if (flags) return 0;
    size_t pixels = (size_t)j->height * w;
    if (!k->near_known || memcmp(k->bad, k->before, pixels)) {
        memcpy(k->before, k->bad, pixels);
        find_near(k);
        k->near_known = 1;
    }
    return 1;
}

/* ---- filters ------------------------------------------------------------------------------------------------------ */

/* Loops over rows go on to the end of the lanes, which a processor takes at once: what they find there nobody uses. */
#define WHOLE(n) (((n) + LANES - 1) / LANES * LANES)

/* Each pixel of columns x0 to x1 of a row with those beside it, in order; beyond the border stand the pixels at it. */
INLINE void sorted_row(const float *restrict p, int w, int x0, int x1, float *restrict low, float *restrict middle,
                              float *restrict high) {
    int n = x1 - x0;
    const float *c = p + x0;
    for (int x = 0; x < WHOLE(n); x++) {
        float l = MIN(c[x - 1], c[x]), h = MAX(c[x - 1], c[x]), m = MIN(h, c[x + 1]);
        high[x] = MAX(h, c[x + 1]);
        low[x] = MIN(l, m);
        middle[x] = MAX(l, m);
    }
    for (int end = 0; end < 2; end++) {
        int x = end ? w - 1 : 0;
        if (x < x0 || x >= x1) continue;
        float own = p[x], other = p[MIN(MAX(end ? x - 1 : x + 1, 0), w - 1)];
        low[x - x0] = MIN(own, other), middle[x - x0] = own, high[x - x0] = MAX(own, other);
    }
}

/* Median over 3 x 3 pixels, of three rows that are in order. */
INLINE void median_row(const float *const *a, const float *const *b, const float *const *c, int n, float *restrict out) {
    const float *la = a[0], *ma = a[1], *ha = a[2], *lb = b[0], *mb = b[1], *hb = b[2], *lc = c[0], *mc = c[1], *hc = c[2];
    for (int x = 0; x < WHOLE(n); x++) {
        float u = MAX(MAX(la[x], lb[x]), lc[x]), t = MIN(MIN(ha[x], hb[x]), hc[x]), v = MED3(ma[x], mb[x], mc[x]);
        out[x] = MED3(u, v, t);
    }
}

/* Good neighbours of a pixel in ascending order; beyond the border stand the pixels at it, or none.  Returns how many. */
static int neighbours(const Work *k, int y, int x, int own, int mirrored, int single, double *v) {
    const Job *j = k->job;
    int n = 0;
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) {
            int b = y + dy, a = x + dx;
            if (!dy && !dx && !own) continue;
            if (mirrored) b = MIN(MAX(b, 0), j->height - 1), a = MIN(MAX(a, 0), j->width - 1);
            if (b < 0 || a < 0 || b >= j->height || a >= j->width) continue;
            int64_t at = (int64_t)b * j->width + a;
            if (k->any_bad && k->bad[at]) continue;
            double s = squeezed(k->pixels[at], single);
            int place = n++;
            while (place && v[place - 1] > s) v[place] = v[place - 1], place--;
            v[place] = s;
        }
    return n;
}

/* Whether a pixel is an outlier, as kernels.stands_out has it; `level` is single, and `work`: so are the neighbours. */
static int stands_out(const double *v, int n, double own, double level, double threshold, int single, int work) {
    double scatter = squeezed(sqrt(squeezed(MAX(level, 0.0) + 1, single)), single);
    double allowed = 0;
    if (n) {
        double slope = squeezed(v[MAX(n - 2, 0)] - v[MIN(1, n - 1)], work);
        double more = squeezed(slope - squeezed(2 * scatter, single), work);
        allowed = more > 0 ? more : 0;
    }
    double limit = squeezed(squeezed(threshold * scatter, single) + squeezed(3 * allowed, work), work);
    return squeezed(fabs(own - level), work) > limit;
}

CLONES static void divided(double *restrict d, const double *restrict f, int n) {
    for (int x = 0; x < n; x++) d[x] /= f[x];
}
CLONES static void divided_single(double *restrict d, const double *restrict f, int n) {
    for (int x = 0; x < n; x++) d[x] = (double)(float)(d[x] / f[x]);
}
INLINE void widened(const float *restrict p, double *restrict d, int n) {
    for (int x = 0; x < WHOLE(n); x++) d[x] = (double)p[x];
}
INLINE void widened_divided(const float *restrict p, const double *restrict f, double *restrict d, int n) {
    for (int x = 0; x < WHOLE(n); x++) d[x] = (double)p[x] / f[x];
}
INLINE void widened_divided_single(const float *restrict p, const double *restrict f, double *restrict d, int n) {
    for (int x = 0; x < WHOLE(n); x++) d[x] = (double)(float)((double)p[x] / f[x]);
}
CLONES static int unusual(const float *restrict p, const float *restrict m, int n, float least) {
    int any = 0; /* a little earlier than the rule says: who is unusual is asked exactly */
    for (int x = 0; x < n; x++) {
        float d = p[x] - m[x], s = (m[x] > 0 ? m[x] : 0) + 1;
        any |= d * d > least * s;
    }
    return any;
}

/* Pixels as double, over the flat field if there is one. */
INLINE void filled(const float *p, const double *f, int single, double *out, int n) {
    if (!f) widened(p, out, n);
    else if (single) widened_divided_single(p, f, out, n);
    else widened_divided(p, f, out, n);
}

/* Median or outliers, and flat field, of a box into `out`; NaN where a pixel says nothing. */
CLONES static void filter_box(Work *k, Box b, double *out, int pitch) {
    const Job *j = k->job;
    int w = j->width, n = b.x1 - b.x0;
    float least = (float)(j->threshold * j->threshold * 0.999);
    for (int y = b.y0; y < b.y1; y++) {
        const float *row = k->pixels + (int64_t)y * w;
        double *o = out + (int64_t)(y - b.y0) * pitch;
        const double *f = j->flat && !k->any_bad ? j->flat + (int64_t)y * w + b.x0 : NULL;
        if (j->filter == PLAIN) {
            filled(row + b.x0, f, j->single, o, n);
            continue;
        }
        int before = MAX(y - 1, 0), behind = MIN(y + 1, j->height - 1);
        for (int r = y == b.y0 ? before : behind; r <= behind; r++) {
            float **to = k->sorted[r % 3];
            sorted_row(k->pixels + (int64_t)r * w, w, b.x0, b.x1, to[0], to[1], to[2]);
        }
        median_row((const float *const *)k->sorted[before % 3], (const float *const *)k->sorted[y % 3],
                   (const float *const *)k->sorted[behind % 3], n, k->line);
        if (j->filter == MEDIAN || !unusual(row + b.x0, k->line, n, least)) {
            filled(j->filter == MEDIAN ? k->line : row + b.x0, f, j->single, o, n);
            continue;
        }
        widened(row + b.x0, o, n);
        for (int x = 0; x < n; x++) {
            double v[9], own = row[b.x0 + x], m = k->line[x];
            if (k->any_bad) { /* medians beside bad pixels follow below */
                int beside = 0;
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++)
                        beside |= k->bad[(int64_t)MIN(MAX(y + dy, 0), j->height - 1) * w + MIN(MAX(b.x0 + x + dx, 0), w - 1)];
                if (beside) continue;
            }
            double noise = squeezed(sqrt(squeezed(MAX(m, 0.0) + 1, j->single)), j->single);
            if (!(fabs(squeezed(own - m, j->single)) > squeezed(j->threshold * noise, j->single))) continue;
            int number = neighbours(k, y, b.x0 + x, 0, 0, j->single, v);
            if (stands_out(v, number, own, m, j->threshold, j->single, j->single)) o[x] = m;
        }
        if (f) (j->single ? divided_single : divided)(o, f, n);
    }
    if (k->any_bad) {
        for (int64_t i = 0; j->filter != PLAIN && i < k->n_near; i++) {
            int y = k->near[i] / w, x = k->near[i] % w;
            if (y < b.y0 || y >= b.y1 || x < b.x0 || x >= b.x1) continue;
            double v[9], *o = out + (int64_t)(y - b.y0) * pitch + x - b.x0;
            int number = neighbours(k, y, x, 1, 1, 0, v);
            double m = squeezed(0.5 * (v[(number - 1) / 2] + v[number / 2]), j->single);
            if (j->filter == OUTLIERS) {
                double own = k->pixels[k->near[i]], noise = squeezed(sqrt(squeezed(MAX(m, 0.0) + 1, j->single)), j->single);
                *o = own;
                if (!(fabs(squeezed(own - m, j->single)) > squeezed(j->threshold * noise, j->single))) continue;
                number = neighbours(k, y, x, 0, 0, j->single, v);
                if (!stands_out(v, number, own, m, j->threshold, j->single, j->single)) continue;
            }
            *o = m;
        }
        for (int y = b.y0; y < b.y1; y++)
            for (int x = b.x0; x < b.x1; x++)
                if (k->bad[(int64_t)y * w + x]) out[(int64_t)(y - b.y0) * pitch + x - b.x0] = NAN;
        for (int y = b.y0; j->flat && y < b.y1; y++)
            (j->single ? divided_single : divided)(out + (int64_t)(y - b.y0) * pitch, j->flat + (int64_t)y * w + b.x0, n);
    }
}

static const double *filtered(Work *k, Box b, int *pitch) {
    if (k->job->whole) {
        *pitch = k->job->width;
        return k->whole + (int64_t)b.y0 * k->job->width + b.x0;
    }
    *pitch = WHOLE(b.x1 - b.x0);
    filter_box(k, b, k->box, *pitch);
    return k->box;
}

/* ---- what a median added ------------------------------------------------------------------------------------------- */

/* Filtered pixels less the raw ones; returns whether one may be a spike. */
CLONES static int made(const double *restrict o, const float *restrict p, const double *restrict f, int single,
                       double *restrict d, int n) {
    int any = 0;
    (void)f;
    for (int x = 0; x < n; x++) {
        d[x] = (double)(float)(o[x] - (double)p[x]);
        double allowed = single ? (double)((float)(o[x] + 1) * 25) : (o[x] + 1) * 25;
        any |= (double)(float)(d[x] * d[x]) > allowed;
    }
    return any;
}
CLONES static int made_over(const double *restrict o, const float *restrict p, const double *restrict f, int single,
                            double *restrict d, int n) {
    int any = 0;
    for (int x = 0; x < n; x++) {
        d[x] = (double)(float)(o[x] - (double)(float)((double)p[x] / f[x]));
        double allowed = single ? (double)((float)(o[x] + 1) * 25) : (o[x] + 1) * 25;
        any |= (double)(float)(d[x] * d[x]) > allowed;
    }
    return any;
}

/* Filtered pixels of a box less the raw ones, spikes aside, summed to profiles; `edge`: less their mean at the edge. */
static void excess(Work *k, Box b, const double *own, int pitch, int edge, int high, int wide, double *along_y, double *along_x) {
    const Job *j = k->job;
    int ny = b.y1 - b.y0, nx = b.x1 - b.x0;
    for (int y = 0; y < ny; y++) {
        int64_t at = (int64_t)(y + b.y0) * j->width + b.x0;
        const double *o = own + (int64_t)y * pitch, *f = j->flat ? j->flat + at : NULL;
        double *d = k->made + (int64_t)y * nx;
        if (!(f ? made_over : made)(o, k->pixels + at, f, j->single, d, nx)) continue;
        for (int x = 0; x < nx; x++) {
            if (!((double)(float)(d[x] * d[x]) > squeezed(squeezed(o[x] + 1, j->single) * 25, j->single))) continue;
            double v[9];
            int n = neighbours(k, y + b.y0, x + b.x0, 0, 1, 0, v);
            if (stands_out(v, n, k->pixels[at + x], o[x], 5.0, j->single, 0)) d[x] = 0;
        }
    }
    double mean = 0;
    if (edge) {
        int inner = ny > 2 * high && nx > 2 * wide;
        int64_t number = 0;
        memset(k->cols, 0, nx * sizeof(double));
        for (int y = 0; y < ny; y++)
            for (int x = 0; x < nx; x++) {
                if (inner && y >= high && y < ny - high && x >= wide && x < nx - wide) continue;
                double d = k->made[(int64_t)y * nx + x];
                if (isfinite(d)) k->cols[x] += d, number++;
            }
        mean = sum(k->cols, nx) / (double)MAX(number, 1);
    }
    memset(along_x, 0, nx * sizeof(double));
    for (int y = 0; y < ny; y++) {
        double *d = k->made + (int64_t)y * nx;
        for (int x = 0; x < nx; x++) d[x] = isfinite(d[x]) ? d[x] - mean : 0.0;
        along_y[y] = sum(d, nx);
        for (int x = 0; x < nx; x++) along_x[x] += d[x];
    }
}

/* ---- sums of boxes -------------------------------------------------------------------------------------------------- */

CLONES static void add_level(const double *restrict n, const double *restrict g, int nx, double *restrict a, double *restrict s,
                             double *restrict v) {
    for (int x = 0; x < nx; x++) {
        a[x] += n[x];
        s[x] += n[x] * n[x];
        v[x] += g ? n[x] * g[x] : n[x];
    }
}

static void level_sums(Work *k, Box b, int64_t number, double *out) {
    const Job *j = k->job;
    int pitch, nx = b.x1 - b.x0, ny = b.y1 - b.y0;
    const double *values = filtered(k, b, &pitch);
    double *a = k->cols, *s = k->wcols, *v = k->scols, *raw = k->w, *flat = k->tops;
    size_t bytes = nx * sizeof(double);
    if (j->ask_excess) {
        if (number % j->excess_one_in == 0) {
            excess(k, b, values, pitch, 0, 0, 0, k->w, k->v); /* w has room for the longer side */
            out[LEVEL_EXCESS] += sum(k->w, ny);
        } else
            out[LEVEL_EXCESS] = NAN;
    }
    memset(a, 0, bytes), memset(s, 0, bytes), memset(v, 0, bytes), memset(raw, 0, bytes), memset(flat, 0, bytes);
    int asked = j->ask_flat && number % j->flat_one_in == 0;
    int64_t good = 0;
    for (int y = 0; y < ny; y++) {
        const double *n = values + (int64_t)y * pitch;
        const double *g = j->gain ? j->gain + (int64_t)(y + b.y0) * j->width + b.x0 : NULL;
        const float *p = k->pixels + (int64_t)(y + b.y0) * j->width + b.x0;
        if (!isfinite(sum(n, nx))) {
            for (int x = 0; x < nx; x++) k->v[x] = isfinite(n[x]) ? (good++, n[x]) : 0.0;
            n = k->v;
        } else
            good += nx;
        add_level(n, g, nx, a, s, v);
        for (int x = 0; x < nx; x++) raw[x] += p[x];
        if (asked)
            for (int x = 0; x < nx; x++) flat[x] += n[x] * n[x] * (g ? g[x] : 1.0);
    }
    out[LEVEL_TOTAL] += sum(a, nx);
    out[LEVEL_SQUARES] += sum(s, nx);
    out[LEVEL_VARIANCE] += sum(v, nx);
    out[LEVEL_PIXELS] += (double)good;
    out[LEVEL_COUNTS] += sum(raw, nx);
    if (asked) out[LEVEL_FLAT] += sum(flat, nx);
}

/* Sum of filtered pixels of a box over the flat field, and of the squares of that. */
static void overlap(Work *k, Box b, double *out) {
    int pitch, nx = b.x1 - b.x0;
    const double *values = filtered(k, b, &pitch), *gain = k->job->gain;
    memset(k->cols, 0, nx * sizeof(double)), memset(k->scols, 0, nx * sizeof(double));
    for (int y = b.y0; y < b.y1; y++)
        for (int x = 0; x < nx; x++) {
            double n = values[(int64_t)(y - b.y0) * pitch + x];
            n = (isfinite(n) ? n : 0.0) * (gain ? gain[(int64_t)y * k->job->width + b.x0 + x] : 1.0);
            k->cols[x] += n;
            k->scols[x] += n * n;
        }
    out[0] = sum(k->cols, nx), out[1] = sum(k->scols, nx);
}

INLINE void subtracted(const double *restrict n, double level, int nx, double *restrict v) {
    for (int x = 0; x < WHOLE(nx); x++) v[x] = (double)(float)(n[x] - level);
}
INLINE void over_level(const double *restrict n, double level, int nx, double *restrict v) {
    for (int x = 0; x < WHOLE(nx); x++) v[x] = (double)(float)(n[x] / level);
}
INLINE void scaled(double *restrict v, double factor, int nx) {
    for (int x = 0; x < WHOLE(nx); x++) v[x] = (double)(float)(v[x] * factor);
}
/* Filtered pixels of a row less, or over, the background, times the factor; in `v`, or as they are. */
INLINE const double *finished(const Job *j, const double *n, double level, double divisor, double factor, int nx, double *v) {
    if (j->mode == SUBTRACT) subtracted(n, level, nx, v);
    else if (j->mode == DIVIDE) over_level(n, divisor, nx, v);
    else if (!j->scale) return n;
    else memcpy(v, n, nx * sizeof(double));
    if (j->scale) scaled(v, factor, nx);
    return v;
}

typedef struct { double values, weighted, squares; } Row;

static const int64_t MASKS[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

typedef double Eight __attribute__((vector_size(64))); /* only to calculate with: see Four */
typedef Eight NearEight __attribute__((aligned(8), may_alias));
typedef int64_t EightLongs __attribute__((vector_size(64)));
typedef EightLongs NearLongs __attribute__((aligned(8), may_alias));
#define HALVES 2 /* of the lanes, eight in each */
#define OF8(p) (*(const NearEight *)(p))

INLINE double halves_together(const Eight *lanes) {
    Eight all = lanes[0] + lanes[1];
    double four[4];
    for (int i = 0; i < 4; i++) four[i] = all[i] + all[4 + i];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* Highest pixel of a row; the last four are looked at together, whatever was before. */
INLINE double highest(const double *v, int nx) {
    double top = v[0], four[4];
    if (nx < 4) {
        for (int x = 1; x < nx; x++) top = MAX(top, v[x]);
        return top;
    }
    Four tops[QUARTERS] = {AT(v), AT(v), AT(v), AT(v + nx - 4)};
    int x = 0;
    for (; x + LANES <= nx; x += LANES)
        for (int q = 0; q < QUARTERS; q++) HIGHER(AT(v + x + 4 * q), tops[q], Four, FourBits);
    for (int q = 0; q < QUARTERS; q++)
        if (x + 4 * q + 4 <= nx) HIGHER(AT(v + x + 4 * q), tops[q], Four, FourBits);
    HIGHER(tops[1], tops[0], Four, FourBits);
    HIGHER(tops[3], tops[2], Four, FourBits);
    HIGHER(tops[2], tops[0], Four, FourBits);
    memcpy(four, tops, sizeof four);
    return MAX(MAX(four[0], four[1]), MAX(four[2], four[3]));
}

/* Sums of a row and along columns; `weighs`: of what was counted, over the flat field, and of the squares of that, too. */
INLINE Row row_sums(const double *v, const double *counted, const double *gain, int nx, int weighs, double *restrict cols,
                    double *restrict wcols, double *restrict scols) {
    Eight lanes[HALVES] = {{0}}, weighted[HALVES] = {{0}}, squares[HALVES] = {{0}};
    for (int x = 0; x < nx; x += LANES)
        for (int h = 0; h < HALVES; h++) {
            int at = x + 8 * h;
            EightLongs here = *(const NearLongs *)(MASKS + MAX(x + LANES - nx, 0) + 8 * h); /* behind the end: nothing */
            Eight one = (Eight)((EightLongs)OF8(v + at) & here);
            lanes[h] += one;
            *(NearEight *)(cols + at) += one;
            if (!weighs) continue;
            one = (Eight)((EightLongs)OF8(counted + at) & here);
            if (gain) one *= OF8(gain + at);
            weighted[h] += one;
            *(NearEight *)(wcols + at) += one;
            one *= one;
            squares[h] += one;
            *(NearEight *)(scols + at) += one;
        }
    return (Row){halves_together(lanes), halves_together(weighted), halves_together(squares)};
}
/* Whether each number of a row is one. */
INLINE int all_finite(const double *v, int n) {
    int wrong = 0;
    for (int x = 0; x < n; x++) wrong |= !(fabs(v[x]) <= 1.7976931348623157e308);
    return !wrong;
}

/* Highest pixel of a box; the last eight of each row are looked at together, whatever was before. */
CLONES static float raw_highest(const float *restrict p, int64_t stride, int ny, int nx) {
    float most = p[0];
    if (nx < 8) {
        for (int y = 0; y < ny; y++)
            for (int x = 0; x < nx; x++) most = MAX(most, p[y * stride + x]);
        return most;
    }
    EightFloats even = *(const NearFloats *)p, odd = even;
    for (int y = 0; y < ny; y++, p += stride) {
        int x = 0;
        for (; x + 16 <= nx; x += 16) {
            HIGHER(*(const NearFloats *)(p + x), even, EightFloats, EightBits);
            HIGHER(*(const NearFloats *)(p + x + 8), odd, EightFloats, EightBits);
        }
        if (x + 8 <= nx) HIGHER(*(const NearFloats *)(p + x), even, EightFloats, EightBits);
        HIGHER(*(const NearFloats *)(p + nx - 8), odd, EightFloats, EightBits);
    }
    HIGHER(odd, even, EightFloats, EightBits);
    for (int i = 0; i < 8; i++) most = MAX(most, even[i]);
    return most;
}

static void raw_sums(Work *k, Box b, int64_t number, double *scalars) {
    const Job *j = k->job;
    int nx = b.x1 - b.x0;
    if (j->ask_raw) {
        float top = raw_highest(k->pixels + (int64_t)b.y0 * j->width + b.x0, j->width, b.y1 - b.y0, nx);
        scalars[RAW_MAXIMUM] = top;
        if (j->ask_saturated) {
            int64_t full = 0;
            for (int y = b.y0; top >= j->cutoff && y < b.y1; y++)
                for (int x = b.x0; x < b.x1; x++) full += k->pixels[(int64_t)y * j->width + x] >= j->cutoff;
            scalars[SATURATED] = (double)full;
        }
    }
    if (j->ask_sparse && number % j->sparse_one_in == 0) {
        memset(k->cols, 0, nx * sizeof(double));
        for (int y = b.y0; y < b.y1; y++)
            for (int x = 0; x < nx; x++) k->cols[x] += MIN(MAX(k->pixels[(int64_t)y * j->width + b.x0 + x], 0), j->hot);
        scalars[SPARSE] = sum(k->cols, nx) / ((double)nx * (b.y1 - b.y0));
    }
}

static void bad_moments(Work *k, int roi, int ny, int nx, const uint8_t *good, double *out) {
    const int64_t *at = k->job->places + (int64_t)roi * PLACES;
    const double *y_powers = k->job->powers[2 * roi], *x_powers = k->job->powers[2 * roi + 1];
    for (int p = 0; p < POWERS; p++) {
        double *along_x = out + at[MOMENTS_X] + p * at[ROOM_X], *along_y = out + at[MOMENTS_Y] + p * at[ROOM_Y];
        memset(along_x, 0, nx * sizeof(double));
        for (int y = 0; y < ny; y++) {
            for (int x = 0; x < nx; x++) {
                double is = good[(int64_t)y * nx + x];
                k->v[x] = is * x_powers[p * nx + x];
                along_x[x] += is * y_powers[p * ny + y];
            }
            along_y[y] = sum(k->v, nx);
        }
    }
}

/* Where a row is no number: 0 there, in what was counted, too; returns how many, and the highest of the others. */
static int without_bad(const double *own, const double *counted, int nx, double *v, double *w, double *pixels_x, uint8_t *good,
                       double *best) {
    int bads = 0;
    *best = -INFINITY;
    for (int x = 0; x < nx; x++) {
        int is = isfinite(own[x]);
        w[x] = is ? counted[x] : 0.0;
        v[x] = is ? own[x] : 0.0;
        if (is) *best = v[x] > *best ? v[x] : *best;
        else bads++, pixels_x[x]--, good[x] = 0;
    }
    return bads;
}

CLONES static void roi_sums(Work *k, int roi, int64_t i, double level, double *out) {
    const Job *j = k->job;
    const int64_t *at = j->places + (int64_t)roi * PLACES;
    Box b = j->boxes[roi];
    int pitch, ny = b.y1 - b.y0, nx = b.x1 - b.x0;
    int64_t number = j->number[i];
    size_t bytes = nx * sizeof(double);
    double *scalars = out + at[SCALARS];
    int ask_excess = at[EXCESS_Y] >= 0 && number % j->excess_one_in == 0, ask_flat = j->ask_flat && number % j->flat_one_in == 0;
    /* a few rows stay in the cache; all at once where there is more to do with them */
    int step = j->whole || k->any_bad || ask_excess || ask_flat ? ny : MAX(STRIP / 2, 2048 / nx);
    const double *n = filtered(k, (Box){b.y0, MIN(b.y0 + step, b.y1), b.x0, b.x1}, &pitch), *first = n;
    if (ask_excess)
        excess(k, b, n, pitch, (int)at[OWN_EDGE], (int)at[HIGH], (int)at[WIDE], out + at[EXCESS_Y], out + at[EXCESS_X]);
    raw_sums(k, b, number, scalars);
    if (ask_flat) {
        memset(k->cols, 0, bytes);
        for (int y = 0; y < ny; y++) {
            const double *g = j->gain ? j->gain + (int64_t)(y + b.y0) * j->width + b.x0 : NULL;
            for (int x = 0; x < nx; x++) {
                double own = n[(int64_t)y * pitch + x];
                if (isfinite(own)) k->cols[x] += own * own * (g ? g[x] : 1.0);
            }
        }
        scalars[FLAT] = sum(k->cols, nx);
    }
    double divisor = j->mode == DIVIDE ? level / j->shared : 0;
    divisor = divisor > 0 ? (double)(float)divisor : NAN;
    double factor = j->scale ? (double)(float)j->scale[i] : 1;
    double *pixels_x = out + at[PIXELS_X];
    int weighs = at[WEIGHTED_X] >= 0 || at[SQUARES_X] >= 0, careful = k->any_bad;
again:
    for (int x = 0; x < nx; x++) pixels_x[x] = ny, k->cols[x] = k->wcols[x] = k->scols[x] = 0;
    double *edge = at[EDGE] >= 0 ? out + at[EDGE] : NULL;
    int inner = ny > 2 * at[HIGH] && nx > 2 * at[WIDE], any = 0;
    double top = -INFINITY, second = -INFINITY;
    int top_row = -1;
    uint8_t *good = (uint8_t *)k->made; /* only where something is bad */
    for (int y = 0; y < ny; y++, n += pitch) {
        const double *g = j->gain ? j->gain + (int64_t)(y + b.y0) * j->width + b.x0 : NULL;
        double bads = 0, best = 0;
        if (y && y % step == 0) n = filtered(k, (Box){b.y0 + y, MIN(b.y0 + y + step, b.y1), b.x0, b.x1}, &pitch);
        const double *v = finished(j, n, level, divisor, factor, nx, k->v);
        if (edge) {
            int all = !inner || y < at[HIGH] || y >= ny - at[HIGH];
            for (int x = 0; x < nx; x++) {
                if (!all && x == at[WIDE]) x = nx - (int)at[WIDE];
                *edge++ = isfinite(v[x]) ? v[x] : NAN;
            }
        }
        const double *counted = j->as_counted ? v : n;
        int wrong = careful && !all_finite(v, nx);
        if (wrong) {
            if (!any) memset(good, 1, (size_t)ny * nx);
            any = 1;
            bads = without_bad(v, counted, nx, k->v, k->w, pixels_x, good + (int64_t)y * nx, &best);
            v = k->v, counted = k->w;
        }
        Row row = row_sums(v, counted, g, nx, weighs, k->cols, k->wcols, k->scols);
        if (!careful && !isfinite(row.values)) { /* no pixel is bad, but what comes of it */
            careful = 1;
            n = step < ny ? filtered(k, (Box){b.y0, b.y0 + step, b.x0, b.x1}, &pitch) : first;
            goto again;
        }
        k->tops[y] = wrong ? best : highest(v, nx);
        if (k->tops[y] > top) top = k->tops[y], top_row = y;
        out[at[VALUES_Y] + y] = row.values;
        out[at[PIXELS_Y] + y] = nx - bads;
        if (at[WEIGHTED_Y] >= 0) out[at[WEIGHTED_Y] + y] = row.weighted;
        if (at[SQUARES_Y] >= 0) out[at[SQUARES_Y] + y] = row.squares;
    }
    memcpy(out + at[VALUES_X], k->cols, bytes);
    if (at[WEIGHTED_X] >= 0) memcpy(out + at[WEIGHTED_X], k->wcols, bytes);
    if (at[SQUARES_X] >= 0) memcpy(out + at[SQUARES_X], k->scols, bytes);
    scalars[TOP] = scalars[ROW] = scalars[COLUMN] = NAN;
    int64_t corner = (int64_t)b.y0 * j->width + b.x0;
    if (top_row >= 0) { /* the first of the highest pixels, and the highest of all others */
        if (step < ny) n = filtered(k, (Box){b.y0 + top_row, b.y0 + top_row + 1, b.x0, b.x1}, &pitch);
        else n = first + (int64_t)top_row * pitch;
        const double *v = finished(j, n, level, divisor, factor, nx, k->v);
        int column = -1;
        for (int x = 0; x < nx; x++) {
            if (column < 0 && v[x] == top) column = x;
            else if (isfinite(v[x]) && v[x] > second) second = v[x];
        }
        for (int y = 0; y < ny; y++)
            if (y != top_row && k->tops[y] > second) second = k->tops[y];
        scalars[TOP] = top, scalars[ROW] = top_row, scalars[COLUMN] = column;
        corner += (int64_t)top_row * j->width + column;
    }
    scalars[SECOND] = second;
    scalars[GAIN] = j->gain ? j->gain[corner] : 1.0;
    if (at[MOMENTS_Y] >= 0) {
        if (any) bad_moments(k, roi, ny, nx, good, out);
        else {
            for (int p = 0; p < POWERS; p++) {
                memcpy(out + at[MOMENTS_Y] + p * at[ROOM_Y], j->moments[2 * roi] + p * ny, ny * sizeof(double));
                memcpy(out + at[MOMENTS_X] + p * at[ROOM_X], j->moments[2 * roi + 1] + p * nx, bytes);
            }
        }
    }
}

/* ---- frames --------------------------------------------------------------------------------------------------------- */

static int common(Box a, Box b, Box *both) {
    both->y0 = MAX(a.y0, b.y0), both->y1 = MIN(a.y1, b.y1), both->x0 = MAX(a.x0, b.x0), both->x1 = MIN(a.x1, b.x1);
    return both->y0 < both->y1 && both->x0 < both->x1;
}

static void one_frame(Work *k, int64_t i) {
    const Job *j = k->job;
    double *out = j->out + i * j->columns;
    if (!load(k, i)) {
        j->left[i] = 1;
        return;
    }
    Box all = {0, j->height, 0, j->width}, both;
    if (j->whole) filter_box(k, all, k->whole, j->width);
    double level = 0;
    if (j->levels) {
        for (int c = LEVEL_TOTAL; c <= LEVEL_FLAT; c++) out[c] = 0;
        for (int b = 0; b < j->levels; b++) level_sums(k, j->boxes[j->rois + b], j->number[i], out);
        level = out[LEVEL_PIXELS] > 0 ? out[LEVEL_TOTAL] / out[LEVEL_PIXELS] : NAN;
    }
    for (int p = 0; p < j->overlaps; p++) {
        double *sums = out + j->pairs[3 * p + 2];
        sums[0] = sums[1] = 0;
        if (common(j->boxes[j->pairs[3 * p]], j->boxes[j->pairs[3 * p + 1]], &both)) overlap(k, both, sums);
    }
    for (int roi = 0; roi < j->rois; roi++) roi_sums(k, roi, i, level, out);
}

/* ---- corrected frames ----------------------------------------------------------------------------------------------- */

CLONES static void stored(const double *restrict n, double level, double divisor, double factor, int mode, int scales, int nx,
                          float *restrict out) {
    if (mode == SUBTRACT)
        for (int x = 0; x < nx; x++) out[x] = (float)(n[x] - level);
    else if (mode == DIVIDE)
        for (int x = 0; x < nx; x++) out[x] = (float)(n[x] / divisor);
    else
        for (int x = 0; x < nx; x++) out[x] = (float)n[x];
    for (int x = 0; scales && x < nx; x++) out[x] = (float)((double)out[x] * factor);
}

static void corrected_frame(Work *k, int64_t i) {
    const Job *j = k->job;
    double sums[LEVEL_FLAT + 1] = {0}, level = NAN, divisor = 0, factor = j->scale ? (double)(float)j->scale[i] : 1;
    if (!load(k, i)) {
        j->left[i] = 1;
        return;
    }
    for (int b = 0; b < j->levels; b++) level_sums(k, j->boxes[b], j->number[i], sums);
    if (sums[LEVEL_PIXELS] > 0) level = sums[LEVEL_TOTAL] / sums[LEVEL_PIXELS];
    j->background[i] = level;
    if (j->mode == DIVIDE) divisor = level / j->shared, divisor = divisor > 0 ? (double)(float)divisor : NAN;
    int step = k->any_bad ? j->height : STRIP; /* a few rows stay in the cache; bad pixels are looked for in all at once */
    for (int y = 0; y < j->height; y += step) {
        Box strip = {y, MIN(y + step, j->height), 0, j->width};
        filter_box(k, strip, k->box, j->width);
        for (int row = y; row < strip.y1; row++)
            stored(k->box + (int64_t)(row - y) * j->width, level, divisor, factor, j->mode, j->scale != NULL, j->width,
                   j->corrected + (i * j->height + row) * j->width);
    }
}

/* ---- what is called -------------------------------------------------------------------------------------------------- */

/* Of what the library was built: one of other sources is not used. */
PUBLIC const char *xinsitu_sources(void) { return SOURCES; }

/* Fill the rows of all frames, or correct them; returns 0, or -1 where there is no memory.  Touches nothing of Python's. */
PUBLIC int xinsitu_statistics(const Job *j) {
    size_t n = (size_t)j->height * j->width, most = j->corrected ? n : 1, longest = 1;
    Box needed = {j->height, 0, j->width, 0};
    for (int b = 0; b < j->rois + j->levels; b++) {
        size_t ny = j->boxes[b].y1 - j->boxes[b].y0, nx = j->boxes[b].x1 - j->boxes[b].x0;
        most = MAX(most, ny * WHOLE(nx)), longest = MAX(longest, MAX(ny, nx));
        needed.y0 = MIN(needed.y0, MAX(j->boxes[b].y0 - 1, 0)), needed.y1 = MAX(needed.y1, MIN(j->boxes[b].y1 + 1, j->height));
        needed.x0 = MIN(needed.x0, MAX(j->boxes[b].x0 - 1, 0)), needed.x1 = MAX(needed.x1, MIN(j->boxes[b].x1 + 1, j->width));
    }
    if (j->whole || j->corrected) needed = (Box){0, j->height, 0, j->width};
    Job job = *j;
    Reader reader;
    if (j->files && reader_begin(&reader, j->files)) return -1;
    size_t side = (MAX(longest, (size_t)j->width) + 2 + 15) & ~(size_t)15; /* a row and a pixel on each side */
    size_t frame = j->files ? n : 0, doubles = frame + (j->whole ? n : 0) + 2 * most + 6 * side + 64, floats = n + 10 * side + 64;
    frame = (frame + 7) / 8 * 8, most = (most + 7) / 8 * 8;
    char *block = malloc(doubles * sizeof(double) + floats * sizeof(float) + n * (2 + sizeof(int32_t)) + 64 + LINE);
    if (!block) {
        if (j->files) reader_end(&reader);
        return -1;
    }
    char *memory = block + (LINE - (uintptr_t)block % LINE); /* rows of boxes begin with a line of the cache */
    Work k = {.job = &job, .needed = needed};
    double *d = (double *)memory + frame;
    if (j->files) {
        const Rows *r = j->files;
        job.raw = memory, job.frame_stride = 0;
        if (reader.whole) { /* rows are read whole, and what is wanted is picked as it is converted */
            job.raw = reader.whole, job.row_stride = r->row / (r->kept / j->width);
            k.spans = r->spans, k.n_spans = r->n_spans;
        }
    }
    k.v = d, k.w = k.v + side, k.cols = k.w + side, k.wcols = k.cols + side, k.scols = k.wcols + side;
    k.tops = k.scols + side, k.box = k.tops + side, k.made = k.box + most, k.whole = k.made + most;
    float *f = (float *)((double *)memory + doubles);
    for (int r = 0; r < 9; r++) k.sorted[r / 3][r % 3] = f + r * side;
    k.line = f + 9 * side, k.pixels = k.line + side;
    k.near = (int32_t *)(f + floats);
    k.bad = (uint8_t *)(k.near + n), k.before = k.bad + n;
    for (int64_t i = 0; i < j->frames; i++) {
        if (j->files && !reader_next(&reader, (char *)job.raw)) j->left[i] = 1;
        else (j->corrected ? corrected_frame : one_frame)(&k, i);
    }
    if (j->files) reader_end(&reader);
    free(block);
    return 0;
}
