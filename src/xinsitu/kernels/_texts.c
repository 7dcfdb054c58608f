/* Rows of a table as text: floating point numbers as Python writes them, with the fewest digits that give them back.
 *
 * R. Giulietti, The Schubfach way to render doubles (2020): of the decimals with the fewest digits inside the interval
 * that rounds to a number, the closest one.
 */
#include <stdint.h>
#include <string.h>

#include "_compiled.h"

typedef struct {
    const char *kinds; /* of each column: f, i, or another letter for texts */
    const void *const *cells;
    const int64_t *const *ends; /* of texts: where each ends in the bytes of all */
    const uint64_t *powers;     /* high and low half of each power of ten from 10^-292 on, rounded up to 128 bits */
    int64_t rows, columns;
    char *out;
    int64_t length;
} Table;

#ifndef __SIZEOF_INT128__
PUBLIC int xinsitu_texts(Table *t) { return (void)t, -1; }
#else
#define LEAST (-292)

typedef unsigned __int128 Wide;

static int floor_log2_of_10(int power) { return (power * 1741647) >> 19; }

/* High part of power * number, its last bit set where anything is lost: enough to compare. */
static uint64_t product(const uint64_t *power, uint64_t number) {
    Wide low = (Wide)power[1] * number, high = (Wide)power[0] * number + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* Digits of a finite number above zero, which is digits * 10^exponent. */
static uint64_t digits_of(uint64_t bits, const uint64_t *powers, int *exponent) {
    uint64_t fraction = bits & ((1ULL << 52) - 1), c = fraction;
    int field = (int)(bits >> 52) & 0x7ff, q = -1074;
    if (field) {
        c |= 1ULL << 52, q = field - 1075;
        if (q <= 0 && q > -53 && !(c & ((1ULL << -q) - 1))) return *exponent = 0, c >> -q;
    }
    int near = !fraction && field > 1, odd = c & 1; /* the next number below is half as far */
    int k = (q * 1262611 - (near ? 524031 : 0)) >> 22, shift = q + floor_log2_of_10(-k) + 1;
    const uint64_t *power = powers + 2 * (-k - LEAST);
    uint64_t low = product(power, (4 * c - 2 + near) << shift) + odd, high = product(power, (4 * c + 2) << shift) - odd;
    uint64_t value = product(power, (4 * c) << shift), whole = value / 4, tens = whole / 10;
    if (whole >= 10) {
        int below = low <= 40 * tens, above = 40 * tens + 40 <= high;
        if (below != above) return *exponent = k + 1, tens + above;
    }
    *exponent = k;
    int below = low <= 4 * whole, above = 4 * whole + 4 <= high;
    if (below != above) return whole + above;
    uint64_t middle = 4 * whole + 2;
    return whole + (value > middle || (value == middle && (whole & 1)));
}

static int write_digits(char *out, uint64_t number) {
    char text[20];
    int n = 0;
    do text[n++] = (char)('0' + number % 10);
    while (number /= 10);
    for (int i = 0; i < n; i++) out[i] = text[n - 1 - i];
    return n;
}

static char *write_whole(char *out, int64_t number) {
    if (number < 0) *out++ = '-';
    return out + write_digits(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static char *write_float(char *out, double number, const uint64_t *powers) {
    uint64_t bits;
    memcpy(&bits, &number, 8);
    if (number != number) return out; /* nothing stands for NaN */
    if (bits >> 63) *out++ = '-';
    bits &= ~(1ULL << 63);
    if (bits == 0x7ffULL << 52) return memcpy(out, "inf", 3), out + 3;
    if (!bits) return memcpy(out, "0.0", 3), out + 3;
    char digits[20];
    int exponent, n = write_digits(digits, digits_of(bits, powers, &exponent)), point = n + exponent;
    while (n > 1 && digits[n - 1] == '0') n--;
    if (point <= -4 || point > 16) {
        *out++ = digits[0];
        if (n > 1) *out++ = '.', memcpy(out, digits + 1, (size_t)n - 1), out += n - 1;
        *out++ = 'e', *out++ = point > 0 ? '+' : '-';
        int power = point > 0 ? point - 1 : 1 - point;
        if (power < 10) *out++ = '0';
        return out + write_digits(out, (uint64_t)power);
    }
    if (point <= 0) {
        memcpy(out, "0.000", 5), out += 2 - point;
        return memcpy(out, digits, (size_t)n), out + n;
    }
    int before = MIN(n, point);
    memcpy(out, digits, (size_t)before), out += before;
    for (; before < point; before++) *out++ = '0';
    *out++ = '.';
    if (n <= point) return *out++ = '0', out;
    return memcpy(out, digits + point, (size_t)(n - point)), out + (n - point);
}

PUBLIC int xinsitu_texts(Table *t) {
    char *out = t->out;
    for (int64_t row = 0; row < t->rows; row++) {
        for (int64_t column = 0; column < t->columns; column++) {
            const void *cells = t->cells[column];
            if (column) *out++ = ',';
            if (t->kinds[column] == 'f') out = write_float(out, ((const double *)cells)[row], t->powers);
            else if (t->kinds[column] == 'i') out = write_whole(out, ((const int64_t *)cells)[row]);
            else {
                int64_t begin = row ? t->ends[column][row - 1] : 0, length = t->ends[column][row] - begin;
                memcpy(out, (const char *)cells + begin, (size_t)length), out += length;
            }
        }
        *out++ = '\n';
    }
    t->length = out - t->out;
    return 0;
}
#endif
