package aggregator

import (
	"encoding/json"
	"strconv"

	"quotes/src/wire"
)

// encode writes the reports as JSON: one bare, several as an array. Records and prices go out byte by byte as they came.
func encode(reports []report, single bool) json.RawMessage {
	size := 2
	for i := range reports {
		size += weigh(&reports[i])
	}
	b := make([]byte, 0, size)
	if single {
		return reports[0].append(b)
	}
	b = append(b, '[')
	for i := range reports {
		if i > 0 {
			b = append(b, ',')
		}
		b = reports[i].append(b)
	}
	return append(b, ']')
}

// append adds the report as JSON, with the fields of wire.Report.
func (r *report) append(b []byte) []byte {
	b = append(b, '{')
	if r.CurrentPrice != nil {
		b = append(append(append(b, `"current_price":`...), r.price...), ',')
	}
	b = append(b, `"history":[`...)
	for i, t := range r.history {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, t...)
	}
	b = append(b, ']')
	if len(r.Errors) > 0 {
		b = rest(b, "errors", r.Errors)
	}
	b = strconv.AppendFloat(append(b, `,"coverage":`...), r.Coverage, 'g', -1, 64)
	if len(r.Missing) > 0 {
		b = rest(b, "missing", r.Missing)
	}
	b = append(b, `,"sources":[`...)
	for i := range r.Sources {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSource(b, &r.Sources[i])
	}
	b = append(b, ']')
	for _, n := range [...]struct {
		name string
		n    int
	}{{"total", r.Total}, {"ok", r.OK}, {"stale", r.Stale}, {"failed", r.Failed}, {"skipped", r.Skipped}} {
		b = strconv.AppendInt(append(append(append(b, `,"`...), n.name...), `":`...), int64(n.n), 10)
	}
	b = strconv.AppendBool(append(b, `,"more":`...), r.More)
	return append(strconv.AppendFloat(append(b, `,"took_ms":`...), r.TookMS, 'g', -1, 64), '}')
}

// appendSource adds a row. Names are ours and need no escaping; a reason may be a peer's word.
func appendSource(b []byte, s *wire.Source) []byte {
	b = append(append(b, `{"name":"`...), s.Name...)
	b = append(append(append(b, `","state":"`...), s.State...), '"')
	if s.Reason != "" {
		b = rest(b, "reason", s.Reason)
	}
	b = strconv.AppendFloat(append(b, `,"ms":`...), s.MS, 'g', -1, 64)
	return append(strconv.AppendBool(append(b, `,"hedged":`...), s.Hedged), '}')
}

// rest adds what is rare.
func rest(b []byte, name string, v any) []byte {
	raw, _ := json.Marshal(v) // never fails: strings and numbers
	return append(append(append(append(b, `,"`...), name...), `":`...), raw...)
}

// pieces cuts an array that is longer than most into several, each of whole elements.
func pieces(raw json.RawMessage, most int) (out []json.RawMessage) {
	var elements []json.RawMessage
	if len(raw) <= most || json.Unmarshal(raw, &elements) != nil {
		return []json.RawMessage{raw}
	}
	part := json.RawMessage{'['}
	for _, e := range elements {
		if len(part) > 1 && len(part)+len(e)+2 > most {
			out = append(out, append(part, ']'))
			part = json.RawMessage{'['}
		}
		if len(part) > 1 {
			part = append(part, ',')
		}
		part = append(part, e...)
	}
	return append(out, append(part, ']'))
}
