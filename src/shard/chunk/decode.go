package chunk

import (
	"errors"
	"strings"

	"github.com/klauspost/compress/zstd"

	"quotes/src/quote"
)

// Decoder reads chunks. It is for one goroutine; its zero value is ready.
type Decoder struct {
	lane  laneReader
	space []int64
	lanes [][]int64
	same  []bool
	texts []string
	zstd  *zstd.Decoder
}

// part is a piece of a payload: text, then the value of a lane, if any.
type part struct {
	text   []byte
	lane   int // 0 is none
	form   byte
	scale  uint8
	spells int // the lane of scales
	clock  *clock
}

// Decode adds a chunk's records to out, and their payloads to text, on which they then lie. Errors wrap [ErrBad].
func (d *Decoder) Decode(a Address, data []byte, out []Record, text []byte) ([]Record, []byte, error) {
	h, err := Open(a, data)
	if err != nil {
		return out, text, err
	}
	r := reader{b: h.body}
	d.lanes, d.same = d.lanes[:0], d.same[:0]
	if d.space == nil {
		d.space = make([]int64, (firstLane+2*maxColumns)*MaxRecords)
	}
	from := len(text)
	if cap(text)-from < h.payload {
		grown := make([]byte, from, from+h.payload)
		copy(grown, text)
		text = grown
	}
	start := len(out)
	switch r.byte() {
	case formColumns:
		out, text, err = d.columns(&h, a.Topic.Symbol(), &r, out, text)
	case formRaw:
		out, text, err = d.raw(&h, &r, out, text)
	default:
		err = errLane
	}
	if err != nil {
		return out[:start], text[:from], a.bad("%v", err)
	}
	if len(text)-from != h.payload {
		return out[:start], text[:from], a.bad("%d bytes of payloads instead of %d", len(text)-from, h.payload)
	}
	return out, text, nil
}

// next reads one more lane.
func (d *Decoder) next(h *Header, r *reader) error {
	i := len(d.lanes)
	values := d.space[i*MaxRecords:][:h.Count]
	same, err := d.lane.read(r, values, d.lanes)
	d.lanes, d.same = append(d.lanes, values), append(d.same, same)
	return err
}

func (d *Decoder) columns(h *Header, symbol quote.Symbol, r *reader, out []Record, text []byte) ([]Record, []byte, error) {
	shapes, err := d.templates(r, symbol)
	if err != nil {
		return out, text, err
	}
	n := int(r.byte())
	if n > maxColumns || n > len(r.b) {
		return out, text, errLane
	}
	forms := r.b[:n]
	r.b = r.b[n:]
	for range firstLane {
		if err := d.next(h, r); err != nil {
			return out, text, err
		}
	}
	columns := make([]part, n)
	for i, f := range forms {
		columns[i] = part{lane: len(d.lanes), form: f >> 5, scale: f & 31}
		if err := d.next(h, r); err != nil {
			return out, text, err
		}
		switch columns[i].form {
		case digitsSpelled:
			columns[i].spells = len(d.lanes)
			if err := d.next(h, r); err != nil {
				return out, text, err
			}
		case columnMoment:
			columns[i].clock = &clock{}
		}
		if columns[i].scale > maxDigits {
			return out, text, errLane
		}
	}
	compiled := make([][]part, len(shapes))
	for i, s := range shapes {
		if compiled[i], err = d.compile(s, columns); err != nil {
			return out, text, err
		}
	}
	return d.render(h, compiled, out, text)
}

// shape is a template as it is stored: texts, and the column behind each but the last.
type shape struct {
	texts   []string
	columns []byte
}

func (d *Decoder) templates(r *reader, symbol quote.Symbol) ([]shape, error) {
	if d.texts == nil {
		d.texts = phrases()
	}
	n := int(r.byte())
	if n == 0 || n > maxTemplates {
		return nil, errLane
	}
	shapes := make([]shape, n)
	quoted := `"` + string(symbol) + `"`
	for i := range shapes {
		s := &shapes[i]
		for parts := int(r.byte()); parts > 0; parts-- {
			var text string
			switch phrase := int(r.byte()); {
			case phrase == 0:
				text = string(r.bytes())
			case phrase <= len(d.texts):
				text = d.texts[phrase-1]
			default:
				return nil, errLane
			}
			s.texts = append(s.texts, strings.ReplaceAll(text, string(rune(markSymbol)), quoted))
			if parts > 1 {
				s.columns = append(s.columns, r.byte())
			}
			if r.failed {
				return nil, errLane
			}
		}
	}
	return shapes, nil
}

// compile puts what is the same in all records into the text.
func (d *Decoder) compile(s shape, columns []part) ([]part, error) {
	var out []part
	var text []byte
	for i, t := range s.texts {
		text = append(text, t...)
		if i == len(s.columns) {
			break
		}
		if int(s.columns[i]) >= len(columns) {
			return nil, errLane
		}
		p := columns[s.columns[i]]
		if d.same[p.lane] && (p.spells == 0 || d.same[p.spells]) {
			text = d.value(&p, 0, text)
			continue
		}
		p.text, text = text, nil
		out = append(out, p)
	}
	return append(out, part{text: text}), nil
}

// value adds a number or a time of the i-th record.
func (d *Decoder) value(p *part, i int, b []byte) []byte {
	v := d.lanes[p.lane][i]
	scale := p.scale
	switch p.form {
	case digitsFixed:
	case columnMoment:
		return p.clock.append(b, v)
	case digitsLeast:
		u, least := trim(uint64(v), scale)
		return appendNumber(b, u, least)
	default:
		u := uint64(v)
		for spelled := d.lanes[p.spells][i]; int64(scale) > spelled && scale > 0; scale-- {
			u /= 10
		}
		return appendNumber(b, u, scale)
	}
	return appendNumber(b, uint64(v), scale)
}

var errText = errors.New("payloads longer than it says")

func (d *Decoder) render(h *Header, shapes [][]part, out []Record, text []byte) ([]Record, []byte, error) {
	most := len(text) + h.payload
	which := d.lanes[laneShape]
	for i := range h.Count {
		if w := which[i]; w < 0 || w >= int64(len(shapes)) {
			return out, text, errLane
		}
		from := len(text)
		parts := shapes[which[i]]
		for j := range parts {
			p := &parts[j]
			text = append(text, p.text...)
			if p.lane > 0 {
				text = d.value(p, i, text)
			}
		}
		if len(text) > most {
			return out, text, errText
		}
		out = d.record(out, i, text[from:len(text):len(text)])
	}
	return out, text, nil
}

func (d *Decoder) record(out []Record, i int, payload []byte) []Record {
	return append(out, Record{
		Seq: uint64(d.lanes[laneSeq][i]), Timestamp: quote.Time(d.lanes[laneTimestamp][i]), Received: quote.Time(d.lanes[laneReceived][i]), Payload: payload,
	})
}

func (d *Decoder) raw(h *Header, r *reader, out []Record, text []byte) ([]Record, []byte, error) {
	for range firstLane {
		if err := d.next(h, r); err != nil {
			return out, text, err
		}
	}
	if d.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*MaxPayload))
		if err != nil {
			return out, text, err
		}
		d.zstd = z
	}
	all, err := d.zstd.DecodeAll(r.b, make([]byte, 0, h.payload))
	if err != nil {
		return out, text, errLane
	}
	for i, n := range d.lanes[laneShape] {
		if n < 0 || n > int64(len(all)) {
			return out, text, errLane
		}
		from := len(text)
		text = append(text, all[:n]...)
		all = all[n:]
		out = d.record(out, i, text[from:len(text):len(text)])
	}
	if len(all) > 0 {
		return out, text, errLane
	}
	return out, text, nil
}
