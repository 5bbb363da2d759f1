package chunk

import (
	"bytes"
	"strconv"
	"time"

	"quotes/src/quote"
)

// clock writes times; it remembers the minute that it wrote last.
type clock struct {
	minute int64 // since 1970
	text   [len("2026-11-23T14:00:")]byte
	known  bool
}

const perMinute = 60_000_000

// append adds a time in microseconds since 1970 as core writes it.
func (c *clock) append(b []byte, at int64) []byte {
	minute, rest := at/perMinute, at%perMinute
	if rest < 0 {
		minute, rest = minute-1, rest+perMinute
	}
	if !c.known || minute != c.minute {
		time.UnixMicro(minute*perMinute).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:")
		c.minute, c.known = minute, true
	}
	b = append(b, c.text[:]...)
	seconds, micros := uint32(rest/1_000_000), uint32(rest%1_000_000)
	hi, lo := micros/1000, micros%1000
	return append(b, byte('0'+seconds/10), byte('0'+seconds%10), '.',
		byte('0'+hi/100), byte('0'+hi/10%10), byte('0'+hi%10),
		byte('0'+lo/100), byte('0'+lo/10%10), byte('0'+lo%10), 'Z')
}

// parse reads a time of exactly the form that append writes.
func (c *clock) parse(v []byte) (int64, bool) {
	if len(v) != timeLen || v[4] != '-' || v[10] != 'T' || v[19] != '.' || v[26] != 'Z' {
		return 0, false
	}
	at, err := quote.ParseTime(string(v))
	if err != nil {
		return 0, false
	}
	var b [timeLen]byte
	return int64(at), bytes.Equal(c.append(b[:0], int64(at)), v)
}

// appendNumber adds v / 10^scale with scale digits behind the point; scale is at most maxDigits.
func appendNumber(b []byte, v uint64, scale uint8) []byte {
	if scale == 0 {
		return strconv.AppendUint(b, v, 10)
	}
	var text [24]byte // 20 digits and the point
	i, behind := len(text), int(scale)
	for ; behind >= 2; behind -= 2 {
		rest := v / 100
		pair := byte(v - 100*rest)
		i -= 2
		text[i], text[i+1] = '0'+pair/10, '0'+pair%10
		v = rest
	}
	if behind == 1 {
		i--
		text[i] = '0' + byte(v%10)
		v /= 10
	}
	i--
	text[i] = '.'
	for ; v >= 10; v /= 10 {
		i--
		text[i] = '0' + byte(v%10)
	}
	i--
	text[i] = '0' + byte(v)
	return append(b, text[i:]...)
}
