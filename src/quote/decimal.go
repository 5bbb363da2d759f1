package quote

import (
	"errors"
	"fmt"
	"strings"

	"github.com/govalues/decimal"
)

// ErrBadDecimal says that a decimal is malformed or does not fit in 19 digits.
var ErrBadDecimal = errors.New("bad decimal")

// Decimal is an exact decimal number of up to 19 digits that keeps the digits it was given.
// The zero Decimal is absent: it is left out of JSON, and it is not the number 0.
type Decimal struct {
	d   decimal.Decimal
	set bool
}

// ParseDecimal reads -?digits[.digits] without leading zeros, exponents or a sign of plus.
// Errors wrap [ErrBadDecimal]; nothing is ever rounded.
func ParseDecimal(s string) (Decimal, error) {
	frac, ok := scan(s)
	if !ok {
		return Decimal{}, fmt.Errorf("%w %q: want digits such as 27.30", ErrBadDecimal, clip(s))
	}
	d, err := decimal.Parse(s)
	// The library rounds what does not fit: a lost digit shows in the scale.
	if err != nil || d.Scale() != frac {
		return Decimal{}, fmt.Errorf("%w %q: more than %d digits", ErrBadDecimal, clip(s), decimal.MaxPrec)
	}
	return Decimal{d, true}, nil
}

// scan checks the syntax and counts the digits behind the point.
func scan(s string) (frac int, ok bool) {
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || (len(whole) > 1 && whole[0] == '0') || (point && fraction == "") {
		return 0, false
	}
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && c != '.' {
			return 0, false
		}
	}
	return len(fraction), strings.IndexByte(fraction, '.') < 0
}

// NewDecimal returns coef / 10^scale, for 0 <= scale <= 19. Errors wrap [ErrBadDecimal].
func NewDecimal(coef int64, scale int) (Decimal, error) {
	d, err := decimal.New(coef, scale)
	if err != nil {
		return Decimal{}, fmt.Errorf("%w: %d with scale %d", ErrBadDecimal, coef, scale)
	}
	return Decimal{d, true}, nil
}

// IsZero reports whether d is absent; it is what encoding/json's omitzero asks.
func (d Decimal) IsZero() bool { return !d.set }

// Sign returns -1, 0 or 1.
func (d Decimal) Sign() int { return d.d.Sign() }

// Cmp compares as numbers: "27.3" equals "27.30".
func (d Decimal) Cmp(e Decimal) int { return d.d.Cmp(e.d) }

// Parts returns the decimal as sign, coefficient below 10^19 and scale, 0 to 19: what a compact coding stores.
func (d Decimal) Parts() (neg bool, coef uint64, scale int) {
	return d.d.IsNeg(), d.d.Coef(), d.d.Scale()
}

// Mid returns the middle of two decimals with as many digits as it needs. It is an error if that does not fit.
func Mid(a, b Decimal) (Decimal, error) {
	scale := max(a.d.Scale(), b.d.Scale())
	sum, err := a.d.AddExact(b.d, scale)
	if err == nil {
		sum, err = sum.MulExact(decimal.MustNew(5, 1), scale+1)
	}
	if err != nil {
		return Decimal{}, fmt.Errorf("%w: middle of %s and %s", ErrBadDecimal, a, b)
	}
	return Decimal{sum.Trim(scale), true}, nil
}

// String returns the digits, or "" if d is absent.
func (d Decimal) String() string {
	if !d.set {
		return ""
	}
	return d.d.String()
}

// append adds the bare digits to b.
func (d Decimal) append(b []byte) []byte {
	b, _ = d.d.AppendText(b) // never fails: it only formats
	return b
}

// MarshalJSON writes a JSON string, or null if d is absent.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if !d.set {
		return []byte("null"), nil
	}
	return append(d.append([]byte{'"'}), '"'), nil
}

// UnmarshalJSON reads a JSON string or number by its digits; null means absent.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*d = Decimal{}
		return nil
	}
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' {
		b = b[1 : n-1]
	}
	v, err := ParseDecimal(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
