package wire

import (
	"strconv"

	"quotes/src/quote"
)

// quicker is a payload that reads itself where it is as this package and its clients write it; where it says that it is not,
// nothing has changed, and encoding/json takes over: its word counts.
type quicker interface{ quick(raw []byte) bool }

// appender is a payload that writes itself; where it adds nothing encoding/json takes over.
type appender interface{ append(b []byte) []byte }

// readMembers reads an object into v, or changes nothing: member reads the value of each member.
func readMembers[T any](v *T, raw []byte, member func(c *cursor, out *T, name []byte) bool) bool {
	c := cursor{b: raw}
	var out T
	ok := c.members(func(name []byte) bool { return member(&c, &out, name) })
	if ok {
		*v = out
	}
	return ok
}

// quick reads a REQ_HIST without positions.
func (r *ReqHist) quick(raw []byte) bool {
	return readMembers(r, raw, func(c *cursor, out *ReqHist, name []byte) (ok bool) {
		switch string(name) {
		case "kinds":
			out.Kinds, ok = texts[quote.Kind](c)
		case "order":
			out.Order, ok = c.text()
		default:
			ok = c.asked(name, &out.Symbols, &out.From, &out.To, &out.Limit)
		}
		return ok
	})
}

// append adds a REQ_HIST without positions; of any other it adds nothing.
func (r ReqHist) append(b []byte) []byte {
	if r.After != nil || r.Before != nil {
		return b
	}
	from := len(b)
	b = appendTexts(b, `,"symbols":`, r.Symbols)
	b = appendTexts(b, `,"kinds":`, r.Kinds)
	b = appendAt(b, `,"from":"`, r.From)
	b = appendAt(b, `,"to":"`, r.To)
	if r.Order != "" {
		b = appendString(append(b, `,"order":`...), r.Order)
	}
	if r.Limit != nil {
		b = strconv.AppendInt(append(b, `,"limit":`...), int64(*r.Limit), 10)
	}
	if len(b) == from {
		return append(b, `{}`...)
	}
	b[from] = '{'
	return append(b, '}')
}

// quick reads a REQ_REPORT.
func (r *ReqReport) quick(raw []byte) bool {
	return readMembers(r, raw, func(c *cursor, out *ReqReport, name []byte) (ok bool) {
		switch string(name) {
		case "symbol":
			var s string
			s, ok = c.text()
			out.Symbol = quote.Symbol(s)
		case "max_age_ms":
			var n uint64
			n, ok = c.number()
			age := int64(n)
			out.MaxAgeMS = &age
		default:
			ok = c.asked(name, &out.Symbols, &out.From, &out.To, &out.Limit)
		}
		return ok
	})
}

// asked reads a member that both requests have.
func (c *cursor) asked(name []byte, symbols *[]quote.Symbol, from, to *quote.Time, limit **int) (ok bool) {
	switch string(name) {
	case "symbols":
		*symbols, ok = texts[quote.Symbol](c)
		return ok
	case "from":
		return c.time(from)
	case "to":
		return c.time(to)
	case "limit":
		n, ok := c.number()
		v := int(n)
		*limit = &v
		return ok
	}
	return false
}

// time reads a timestamp.
func (c *cursor) time(t *quote.Time) bool {
	s, ok := c.text()
	if !ok {
		return false
	}
	var err error
	*t, err = quote.ParseTime(s)
	return err == nil
}

// texts reads an array of plain strings.
func texts[S ~string](c *cursor) (out []S, ok bool) {
	if !c.take('[') {
		return nil, false
	}
	out = []S{}
	for first := true; ; first = false {
		if c.space(); c.take(']') {
			return out, true
		}
		if !first && (!c.take(',') || !c.skip()) {
			return nil, false
		}
		s, plain := c.text()
		if !plain {
			return nil, false
		}
		out = append(out, S(s))
	}
}

func appendTexts[S ~string](b []byte, name string, all []S) []byte {
	for i, s := range all {
		if i == 0 {
			b = append(append(b, name...), '[')
		} else {
			b = append(b, ',')
		}
		b = appendString(b, string(s))
	}
	if len(all) > 0 {
		b = append(b, ']')
	}
	return b
}

func appendAt(b []byte, name string, t quote.Time) []byte {
	if t.IsZero() {
		return b
	}
	return append(append(append(b, name...), t.String()...), '"')
}
