package quote

import (
	"encoding/json"
	"strconv"
)

// The hot frames are written by hand: these run for every tick, and encoding/json costs several times as much.

// AppendJSON adds the quote as one JSON object to b.
func (q *Quote) AppendJSON(b []byte) []byte {
	b = appendString(append(b, `{"symbol":`...), string(q.Symbol))
	b = appendDecimal(b, "price", q.Price)
	b = appendDecimal(b, "bid", q.Bid)
	b = appendDecimal(b, "ask", q.Ask)
	b = appendDecimal(b, "bid_size", q.BidSize)
	b = appendDecimal(b, "ask_size", q.AskSize)
	b = appendTime(b, "timestamp", q.Timestamp)
	b = appendTime(b, "received", q.Received)
	if !q.Quality.IsZero() {
		b = q.Quality.appendJSON(append(b, `,"quality":`...))
	}
	if q.Epoch != 0 {
		b = strconv.AppendUint(append(b, `,"epoch":`...), q.Epoch, 10)
	}
	if q.Seq != 0 {
		b = strconv.AppendUint(append(b, `,"seq":`...), q.Seq, 10)
	}
	return append(b, '}')
}

func (q *Quality) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"state":`...), string(q.State))
	if q.Reason != "" {
		b = appendString(append(b, `,"reason":`...), string(q.Reason))
	}
	if q.AgeMS != nil {
		b = strconv.AppendInt(append(b, `,"age_ms":`...), *q.AgeMS, 10)
	}
	return append(b, '}')
}

// AppendJSON adds the trade as one JSON object to b.
func (t *Trade) AppendJSON(b []byte) []byte {
	b = appendString(append(b, `{"id":`...), t.ID)
	b = appendString(append(b, `,"symbol":`...), string(t.Symbol))
	b = appendDecimal(b, "price", t.Price)
	b = appendDecimal(b, "quantity", t.Quantity)
	if t.Side != "" {
		b = appendString(append(b, `,"side":`...), string(t.Side))
	}
	b = appendTime(b, "timestamp", t.Timestamp)
	b = appendTime(b, "received", t.Received)
	return append(b, '}')
}

// appendDecimal adds a field, unless d is absent. Names need no escaping.
func appendDecimal(b []byte, name string, d Decimal) []byte {
	if d.IsZero() {
		return b
	}
	return append(d.append(appendName(b, name)), '"')
}

func appendTime(b []byte, name string, t Time) []byte {
	if t.IsZero() {
		return b
	}
	return append(t.append(appendName(b, name)), '"')
}

func appendName(b []byte, name string) []byte {
	return append(append(append(b, `,"`...), name...), `":"`...)
}

// appendString adds s as a JSON string. What needs no escaping, nearly everything, is copied.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			escaped, _ := json.Marshal(s) // never fails on a string
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
