package wire

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// quick reads a frame as this package writes it, in one pass: encoding/json looks at every byte three times. Where
// anything is unusual (a field that it does not know, an escape in the envelope, a number that is not plain, a fault) it
// says so, and the frame goes the long way, whose word counts. line must be UTF-8.
func (p *parser) quick(line []byte, f *Frame) bool {
	c := cursor{b: line}
	return c.members(func(name []byte) bool { return p.field(&c, f, name) }) && f.Type != "" && f.BudgetMS >= 0
}

// field reads one value of the envelope.
func (p *parser) field(c *cursor, f *Frame, name []byte) (ok bool) {
	var raw []byte
	switch string(name) {
	case "type":
		raw, ok = c.plain()
		f.Type = typeOf(raw)
	case "topic":
		raw, ok = c.plain()
		f.Topic = p.topicOf(raw)
	case "why":
		f.Why, ok = c.text()
	case "source":
		f.Source, ok = c.text()
	case "id":
		f.ID, ok = c.number()
	case "epoch":
		f.Epoch, ok = c.number()
	case "seq":
		f.Seq, ok = c.number()
	case "prev_epoch":
		f.PrevEpoch, ok = c.number()
	case "skipped":
		f.Skipped, ok = c.number()
	case "feed_seq":
		f.FeedSeq, ok = c.number()
	case "prev":
		var n uint64
		n, ok = c.number()
		f.Prev = p.number(n)
	case "budget_ms", "held_ms":
		var n uint64
		n, ok = c.number()
		v := int64(n)
		if ok = ok && v >= 0; name[0] == 'b' {
			f.BudgetMS = v
		} else {
			f.HeldMS = &v
		}
	case "more":
		f.More, ok = c.flag()
	case "snapshot":
		f.Snapshot, ok = c.flag()
	case "untimed":
		f.Untimed, ok = c.flag()
	case "payload":
		from := c.i
		if ok = c.value(0); ok && string(c.b[from:c.i]) != "null" {
			f.Payload = p.payload(c.b[from:c.i])
		} else {
			f.Payload = nil
		}
	}
	return ok
}

// cursor validates JSON as it moves over it.
type cursor struct {
	b []byte
	i int
}

// members reads a whole object; each reads the value of one member.
func (c *cursor) members(each func(name []byte) bool) bool {
	c.space()
	if !c.take('{') {
		return false
	}
	for first := true; ; first = false {
		if c.space(); c.take('}') {
			c.space()
			return c.i == len(c.b)
		}
		if !first && (!c.take(',') || !c.skip()) {
			return false
		}
		name, plain := c.plain()
		if c.space(); !plain || !c.take(':') || !c.skip() || !each(name) {
			return false
		}
	}
}

// maxDepth is how deep values may nest before the long way is taken.
const maxDepth = 64

func (c *cursor) take(b byte) bool {
	if c.i < len(c.b) && c.b[c.i] == b {
		c.i++
		return true
	}
	return false
}

func (c *cursor) space() {
	for c.i < len(c.b) && (c.b[c.i] == ' ' || c.b[c.i] == '\t' || c.b[c.i] == '\r' || c.b[c.i] == '\n') {
		c.i++
	}
}

// skip is space, for conditions.
func (c *cursor) skip() bool {
	c.space()
	return true
}

func (c *cursor) value(depth int) bool {
	if c.i >= len(c.b) || depth > maxDepth {
		return false
	}
	switch c.b[c.i] {
	case '{':
		return c.list('}', depth, true)
	case '[':
		return c.list(']', depth, false)
	case '"':
		return c.str()
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.num()
}

// list moves over an object or an array.
func (c *cursor) list(end byte, depth int, names bool) bool {
	c.i++
	c.space()
	if c.take(end) {
		return true
	}
	for {
		if names {
			if !c.str() {
				return false
			}
			c.space()
			if !c.take(':') {
				return false
			}
			c.space()
		}
		if !c.value(depth + 1) {
			return false
		}
		c.space()
		if c.take(end) {
			return true
		}
		if !c.take(',') {
			return false
		}
		c.space()
	}
}

// str moves over a string.
func (c *cursor) str() bool {
	if !c.take('"') {
		return false
	}
	for {
		c.i += clean(c.b[c.i:])
		switch {
		case c.i >= len(c.b) || c.b[c.i] < ' ':
			return false
		case c.b[c.i] == '"':
			c.i++
			return true
		case !c.escape():
			return false
		}
	}
}

// clean returns how many bytes go before the first quotation mark, backslash or control character, eight at a time. (x-1)&^x has its
// top bit set where a byte x is zero, and x-n where it is below n; a borrow spoils only the bytes behind the first one found. See
// «Bit Twiddling Hacks», S. E. Anderson, «Determine if a word has a zero byte». What is below '"'+1 is a quotation mark, a control
// character or, seldom in what we carry, a space or '!'.
func clean(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	rest := b
	for ; len(rest) >= 8; rest = rest[8:] {
		v := binary.LittleEndian.Uint64(rest)
		slash := v ^ ('\\' * ones)
		if ((v-('"'+1)*ones)&^v|(slash-ones)&^slash)&tops == 0 {
			continue
		}
		mark := v ^ ('"' * ones)
		if found := ((v-' '*ones)&^v | (mark-ones)&^mark | (slash-ones)&^slash) & tops; found != 0 {
			return len(b) - len(rest) + bits.TrailingZeros64(found)/8
		}
	}
	i := len(b) - len(rest)
	for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
	}
	return i
}

func (c *cursor) escape() bool {
	if c.i+1 >= len(c.b) {
		return false
	}
	switch c.b[c.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.i += 2
		return true
	case 'u':
		if c.i+6 > len(c.b) {
			return false
		}
		_, err := strconv.ParseUint(string(c.b[c.i+2:c.i+6]), 16, 16)
		c.i += 6
		return err == nil && c.b[c.i-4] != '+' && c.b[c.i-4] != '_'
	}
	return false
}

func (c *cursor) word(w string) bool {
	if len(c.b)-c.i < len(w) || string(c.b[c.i:c.i+len(w)]) != w {
		return false
	}
	c.i += len(w)
	return true
}

func (c *cursor) digits() bool {
	from := c.i
	for c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9' {
		c.i++
	}
	return c.i > from
}

// num moves over a number.
func (c *cursor) num() bool {
	c.take('-')
	if !c.take('0') && !c.digits() {
		return false
	}
	if c.take('.') && !c.digits() {
		return false
	}
	if c.take('e') || c.take('E') {
		if !c.take('+') {
			c.take('-')
		}
		return c.digits()
	}
	return true
}

// plain reads a string of printable ASCII without escapes.
func (c *cursor) plain() ([]byte, bool) {
	if !c.take('"') {
		return nil, false
	}
	for from := c.i; c.i < len(c.b); c.i++ {
		switch b := c.b[c.i]; {
		case b == '"':
			c.i++
			return c.b[from : c.i-1], true
		case b < ' ' || b > '~' || b == '\\':
			return nil, false
		}
	}
	return nil, false
}

func (c *cursor) text() (string, bool) {
	s, ok := c.plain()
	return string(s), ok
}

// number reads a whole number without a sign, of at most 18 digits.
func (c *cursor) number() (n uint64, ok bool) {
	from := c.i
	for ; c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9'; c.i++ {
		n = n*10 + uint64(c.b[c.i]-'0')
	}
	digits := c.i - from
	if digits == 0 || digits > 18 || digits > 1 && c.b[from] == '0' {
		return 0, false
	}
	return n, true
}

func (c *cursor) flag() (v, ok bool) {
	if c.word("true") {
		return true, true
	}
	return false, c.word("false")
}
