package quote

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrBadTime says that a time is malformed or outside the years 0 to 9999.
var ErrBadTime = errors.New("bad time")

// layout is RFC 3339 with exactly six digits of a second.
const layout = "2006-01-02T15:04:05.000000Z"

// Time is a point of time in UTC microseconds since 1970. The zero Time is absent and is left out of JSON.
type Time int64

// TimeOf returns t cut to microseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// ParseTime reads RFC 3339 with any zone and any number of digits; finer than microseconds is cut off.
// Errors wrap [ErrBadTime].
func ParseTime(s string) (Time, error) {
	if t, ok := parsePlain(s); ok {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%w %q: want RFC 3339 such as 2026-11-23T14:00:00.000000Z", ErrBadTime, strings.Clone(clip(s)))
	}
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return 0, fmt.Errorf("%w %q: year %d in UTC", ErrBadTime, strings.Clone(clip(s)), y) // s itself may stay on the caller's stack
	}
	return TimeOf(t), nil
}

// parsePlain reads what String writes, and says of anything else that it isn't so.
func parsePlain(s string) (Time, bool) {
	if len(s) != len(layout) || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[26] != 'Z' {
		return 0, false
	}
	year, month, day := plainNumber(s[:4]), plainNumber(s[5:7]), plainNumber(s[8:10])
	hour, minute, second, micros := plainNumber(s[11:13]), plainNumber(s[14:16]), plainNumber(s[17:19]), plainNumber(s[20:26])
	if min(year, month-1, day-1, hour, minute, second, micros) < 0 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 1000*micros, time.UTC)
	return TimeOf(t), t.Day() == day // a 31st of June is a 1st of July
}

// plainNumber reads decimal digits; -1 where there is something else.
func plainNumber(s string) (n int) {
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return -1
		}
		n = 10*n + int(d)
	}
	return n
}

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// IsZero reports whether t is absent.
func (t Time) IsZero() bool { return t == 0 }

// String returns t as RFC 3339 with six digits, or "" if t is absent.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return string(t.append(nil))
}

func (t Time) append(b []byte) []byte { return t.Std().AppendFormat(b, layout) }

// MarshalJSON writes a JSON string, or null if t is absent.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return append(t.append([]byte{'"'}), '"'), nil
}

// UnmarshalJSON reads a JSON string; null means absent.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' {
		v, err := ParseTime(string(b[1 : n-1]))
		*t = v
		return err
	}
	return fmt.Errorf("%w %s: want a string", ErrBadTime, clip(string(b)))
}
