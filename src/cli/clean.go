package cli

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// harmful reports whether a rune could move a terminal's cursor, change its colours or turn text around.
func harmful(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// clean returns s on one line without what is harmful; each such rune, and each byte that is no UTF-8, becomes '?'.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if harmful(r) {
			return '?'
		}
		return r
	}, s)
}

// cleanJSON escapes what is harmful in valid JSON text, where it can stand in strings only. Newlines stay.
func cleanJSON(b []byte) []byte {
	if bytes.IndexFunc(b, harmfulInJSON) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for _, r := range string(b) {
		switch {
		case !harmfulInJSON(r):
			out = utf8.AppendRune(out, r)
		case r > 0xFFFF:
			hi, lo := (r-0x10000)>>10+0xD800, (r-0x10000)&0x3FF+0xDC00
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func harmfulInJSON(r rune) bool { return r != '\n' && harmful(r) }
