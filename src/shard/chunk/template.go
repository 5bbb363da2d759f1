package chunk

import (
	"bytes"
	"math"
	"strings"

	"quotes/src/quote"
)

// A template is a payload's text with its numbers taken out: in their place stand markCol and the column's index. The
// topic's own symbol, in quotation marks, is markSymbol. Neither byte occurs in JSON.
const (
	markSymbol = 0
	markCol    = 1
	firstMark  = 2 // the first column's index, so that no index looks like a mark
)

// Bounds of what is shredded; what exceeds them is stored raw.
const (
	maxTemplates = 64
	maxColumns   = 48
	maxDigits    = 18
)

// timeLen is how long a time is as core writes it.
const timeLen = len("2026-11-23T14:00:00.000000Z")

type kind uint8

const (
	number kind = iota // digits[.digits], of a scale
	moment             // a time in microseconds
)

// column is the numbers that stand in one member of the records, as found.
type column struct {
	name   string
	nth    int // of the numbers in that member
	kind   kind
	values []int64 // one for each record; where it has none, the one before
	scales []uint8 // digits behind the point, likewise
	scale  uint8   // the highest
	used   int     // records through the last one that has a number of its own here
}

// shredder takes payloads apart.
type shredder struct {
	symbol    string // in its quotation marks
	columns   []*column
	templates []string
	ids       map[string]int
	which     []int64  // the template of each record
	steps     [][]step // of each template

	clock  clock
	text   []byte // the template in the making
	member []byte // the JSON member that we are in
	nth    int
	found  [maxColumns]struct {
		value int64
		scale uint8
	}
}

// step is a text of a template, with the symbol in its place, and the column behind it; that of the last one is none.
type step struct {
	text string
	col  *column
}

func newShredder(symbol quote.Symbol) *shredder {
	return &shredder{symbol: `"` + string(symbol) + `"`, ids: map[string]int{}}
}

// add takes a payload apart; it is false where the chunk must be stored raw.
func (s *shredder) add(p []byte) bool {
	for _, c := range s.columns {
		c.repeat()
	}
	if n := len(s.which); n > 0 && s.follows(s.steps[s.which[n-1]], p) {
		s.which = append(s.which, s.which[n-1])
		return true
	}
	s.text, s.member, s.nth = s.text[:0], nil, 0
	for i := 0; i < len(p); {
		switch c := p[i]; {
		case c == markSymbol || c == markCol:
			return false
		case c == '"':
			n, ok := s.str(p[i:])
			if !ok {
				return false
			}
			i += n
		case c >= '0' && c <= '9':
			n := 1
			for i+n < len(p) && (p[i+n] >= '0' && p[i+n] <= '9' || p[i+n] == '.') {
				n++
			}
			if !s.value(p[i : i+n]) {
				return false
			}
			i += n
		default:
			s.text = append(s.text, c)
			i++
		}
	}
	id, known := s.ids[string(s.text)]
	if !known {
		if id = len(s.templates); id == maxTemplates {
			return false
		}
		s.templates = append(s.templates, string(s.text))
		s.ids[string(s.text)] = id
		s.steps = append(s.steps, s.stepsOf(string(s.text)))
	}
	s.which = append(s.which, int64(id))
	return true
}

func (s *shredder) stepsOf(template string) (out []step) {
	for {
		text, rest, more := strings.Cut(template, string(rune(markCol)))
		one := step{text: strings.ReplaceAll(text, string(rune(markSymbol)), s.symbol)}
		if more {
			one.col = s.columns[rest[0]-firstMark]
		}
		if out = append(out, one); !more {
			return out
		}
		template = rest[1:]
	}
}

// follows takes a payload apart that has the same template as the one before, as nearly all have, and reports whether it does.
func (s *shredder) follows(steps []step, p []byte) bool {
	for i := range steps {
		t := &steps[i]
		if len(p) < len(t.text) || string(p[:len(t.text)]) != t.text {
			return false
		}
		if p = p[len(t.text):]; t.col == nil {
			break
		}
		n, ok := timeLen, false
		if t.col.kind == moment {
			if len(p) < timeLen {
				return false
			}
			s.found[i].value, ok = s.clock.parse(p[:n])
			s.found[i].scale = 0
		} else {
			for n = 0; n < len(p) && (p[n] >= '0' && p[n] <= '9' || p[n] == '.'); n++ {
			}
			s.found[i].value, s.found[i].scale, ok = parseNumber(p[:n])
		}
		if !ok {
			return false
		}
		p = p[n:]
	}
	if len(p) > 0 {
		return false
	}
	for i := range steps[:len(steps)-1] {
		c := steps[i].col
		c.used = len(s.which) + 1
		c.values[len(c.values)-1], c.scales[len(c.scales)-1] = s.found[i].value, s.found[i].scale
	}
	return true
}

// str takes a JSON string and returns its length with the quotation marks: a member's name, or a value.
func (s *shredder) str(p []byte) (n int, ok bool) {
	if bytes.HasPrefix(p, []byte(s.symbol)) {
		s.text = append(s.text, markSymbol)
		return len(s.symbol), true
	}
	n = 1
	for n < len(p) && p[n] != '"' {
		if p[n] == '\\' {
			n++
		}
		n++
	}
	if n >= len(p) {
		return 0, false
	}
	inner := p[1:n]
	n++
	if bytes.IndexByte(inner, markSymbol) >= 0 || bytes.IndexByte(inner, markCol) >= 0 {
		return 0, false
	}
	s.text = append(s.text, '"')
	if n < len(p) && p[n] == ':' {
		s.text = append(s.text, inner...)
		s.member, s.nth = inner, 0
	} else if !s.value(inner) {
		return 0, false
	}
	s.text = append(s.text, '"')
	return n, true
}

// value takes text that may be a time, or end in a number. It is false where there are too many columns.
func (s *shredder) value(v []byte) bool {
	if at, ok := s.clock.parse(v); ok {
		return s.put(moment, at, 0)
	}
	from := numberIn(v)
	coef, scale, ok := parseNumber(v[from:])
	if !ok {
		s.text = append(s.text, v...)
		return true
	}
	s.text = append(s.text, v[:from]...)
	return s.put(number, coef, scale)
}

// put puts a number into its column, which it makes where there is none yet.
func (s *shredder) put(k kind, v int64, scale uint8) bool {
	s.nth++
	i := 0
	for i < len(s.columns) && !s.columns[i].fits(s, k) {
		i++
	}
	if i == len(s.columns) {
		if i == maxColumns {
			return false
		}
		c := &column{name: string(s.member), nth: s.nth, kind: k, values: make([]int64, 0, MaxRecords), scales: make([]uint8, 0, MaxRecords)}
		for range len(s.which) + 1 { // the records before had none: what they have there is never looked at
			c.values, c.scales = append(c.values, v), append(c.scales, scale)
		}
		s.columns = append(s.columns, c)
	}
	c := s.columns[i]
	c.used = len(s.which) + 1
	c.values[len(c.values)-1], c.scales[len(c.scales)-1] = v, scale
	s.text = append(s.text, markCol, firstMark+byte(i))
	return true
}

// fits reports whether the next number of the member that s is in belongs here; a record has one number in each column.
func (c *column) fits(s *shredder, k kind) bool {
	return c.nth == s.nth && c.kind == k && c.used <= len(s.which) && c.name == string(s.member)
}

// repeat makes room for a record: it has the value before until it says its own.
func (c *column) repeat() {
	n := len(c.values)
	c.values, c.scales = append(c.values, c.values[n-1]), append(c.scales, c.scales[n-1])
}

// align brings all values to the highest scale; it is false where they don't fit.
func (c *column) align() bool {
	for _, scale := range c.scales {
		c.scale = max(c.scale, scale)
	}
	for i, scale := range c.scales {
		for ; scale < c.scale; scale++ {
			if c.values[i] > math.MaxInt64/10 {
				return false
			}
			c.values[i] *= 10
		}
	}
	return true
}

// numberIn returns where the number begins that a text ends with: its length where there is none.
func numberIn(v []byte) int {
	i, point := len(v), false
	for i > 0 && (v[i-1] >= '0' && v[i-1] <= '9' || v[i-1] == '.' && !point && i < len(v)) {
		point = point || v[i-1] == '.'
		i--
	}
	if i < len(v) && v[i] == '.' {
		i++
	}
	for i+1 < len(v) && v[i] == '0' && v[i+1] != '.' { // leading zeros are text
		i++
	}
	return i
}

// parseNumber reads digits[.digits] without leading zeros, of at most maxDigits digits.
func parseNumber(v []byte) (coef int64, scale uint8, ok bool) {
	if len(v) == 0 || len(v) > maxDigits {
		return 0, 0, false
	}
	if v[0] == '0' && len(v) > 1 && v[1] != '.' || v[0] == '.' || v[len(v)-1] == '.' {
		return 0, 0, false
	}
	point := false
	for _, c := range v {
		switch {
		case c == '.' && !point:
			point = true
		case c < '0' || c > '9':
			return 0, 0, false
		default:
			coef = 10*coef + int64(c-'0')
			if point {
				scale++
			}
		}
	}
	return coef, scale, true
}
