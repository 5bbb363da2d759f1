package chunk

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"quotes/src/quote"
)

// The lanes that every chunk has, before those of its columns.
const (
	laneSeq = iota
	laneTimestamp
	laneReceived
	laneShape // the template; in a raw chunk the length of the payload
	firstLane
)

// How a number's digits behind the point are known.
const (
	digitsFixed   = 0 // always the column's scale
	digitsLeast   = 1 // as few as show the number
	digitsSpelled = 2 // the lane behind the number's says
	columnMoment  = 3 // it is a time
)

// Encoder makes chunks. It is for one goroutine; its zero value is ready.
type Encoder struct {
	coder laneCoder
	zstd  *zstd.Encoder
}

// yieldEvery is after how many records the encoder lets others run: what answers somebody must not wait for a whole chunk.
const yieldEvery = 64

// Append adds the chunk of records, in ascending order of seq, to b. The error is the caller's: too many, in disorder, or too
// large.
func (e *Encoder) Append(b []byte, a Address, records []Record) ([]byte, error) {
	h, err := headerOf(records)
	if err != nil {
		return b, fmt.Errorf("chunk %s: %w", a, err)
	}
	start := len(b)
	lanes := make([][]int64, laneShape, firstLane+maxColumns)
	for i := range lanes {
		lanes[i] = make([]int64, len(records))
	}
	s := newShredder(a.Topic.Symbol())
	shredded := true
	for i := range records {
		r := &records[i]
		lanes[laneSeq][i], lanes[laneTimestamp][i], lanes[laneReceived][i] = int64(r.Seq), int64(r.Timestamp), int64(r.Received)
		shredded = shredded && s.add(r.Payload)
		if i%yieldEvery == 0 {
			runtime.Gosched()
		}
	}
	for _, c := range s.columns {
		shredded = shredded && c.align()
	}
	if !shredded {
		return e.raw(b, start, a, h, lanes, records)
	}
	h.Low, h.High = s.prices()
	b = append(h.append(b), formColumns)
	b = s.appendTemplates(b)
	lanes = append(lanes, s.which)
	near := []int{laneTimestamp, laneReceived}
	b = append(b, byte(len(s.columns)))
	for _, c := range s.columns {
		b = c.appendForm(b)
	}
	for i, lane := range lanes {
		runtime.Gosched()
		b = e.coder.append(b, lane, lanes[:i], near[:min(max(i-1, 0), len(near))])
	}
	for _, c := range s.columns {
		runtime.Gosched()
		b = e.coder.append(b, c.values, lanes, near)
		near = append(near, len(lanes))
		lanes = append(lanes, c.values)
		if c.form() == digitsSpelled {
			scales := make([]int64, len(c.scales))
			for i, scale := range c.scales {
				scales[i] = int64(scale)
			}
			b = e.coder.append(b, scales, lanes, near)
			lanes = append(lanes, scales)
		}
	}
	return binary.BigEndian.AppendUint64(b, a.sum(b[start:])), nil
}

// raw stores the payloads as they are, compressed.
func (e *Encoder) raw(b []byte, start int, a Address, h Header, lanes [][]int64, records []Record) ([]byte, error) {
	all := make([]byte, 0, h.payload)
	lengths := make([]int64, len(records))
	for i := range records {
		all = append(all, records[i].Payload...)
		lengths[i] = int64(len(records[i].Payload))
	}
	b = append(h.append(b), formRaw)
	for i, lane := range append(lanes, lengths) {
		b = e.coder.append(b, lane, lanes[:min(i, len(lanes))], nil)
	}
	if e.zstd == nil {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return nil, err
		}
		e.zstd = z
	}
	b = e.zstd.EncodeAll(all, b)
	return binary.BigEndian.AppendUint64(b, a.sum(b[start:])), nil
}

// form says how the digits of a column are known; all values are aligned.
func (c *column) form() byte {
	if c.kind == moment {
		return columnMoment
	}
	fixed, least := true, true
	for i, scale := range c.scales {
		fixed = fixed && scale == c.scale
		_, want := trim(uint64(c.values[i]), c.scale)
		least = least && scale == want
	}
	switch {
	case fixed:
		return digitsFixed
	case least:
		return digitsLeast
	}
	return digitsSpelled
}

func (c *column) appendForm(b []byte) []byte { return append(b, c.form()<<5|c.scale) }

// trim takes zeros off the end of a number.
func trim(v uint64, scale uint8) (uint64, uint8) {
	for scale > 0 && v%10 == 0 {
		v /= 10
		scale--
	}
	return v, scale
}

// prices returns the lowest and highest value of the member price, where all records have it.
func (s *shredder) prices() (low, high quote.Decimal) {
	i := slices.IndexFunc(s.columns, func(c *column) bool { return c.name == "price" && c.nth == 1 && c.kind == number })
	if i < 0 {
		return low, high
	}
	for _, t := range s.templates {
		if !strings.Contains(t, `"price":"`+string([]byte{markCol, firstMark + byte(i)})+`"`) {
			return low, high
		}
	}
	c := s.columns[i]
	low, err := quote.NewDecimal(slices.Min(c.values), int(c.scale))
	if err != nil {
		return quote.Decimal{}, quote.Decimal{}
	}
	if high, err = quote.NewDecimal(slices.Max(c.values), int(c.scale)); err != nil {
		return quote.Decimal{}, quote.Decimal{}
	}
	return low, high
}

// phrases are the texts between the numbers of what core writes; a template names them by their place here, counted from 1.
// The list may grow at its end.
func phrases() []string {
	return []string{
		`{"symbol":` + "\x00" + `,"price":"`, `","bid":"`, `","ask":"`, `","bid_size":"`, `","ask_size":"`, `","timestamp":"`, `","received":"`,
		`","quality":{"state":"live"}}`, `","quality":{"state":"recovering"}}`, `","quality":{"state":"stale","reason":"breaker_open"}}`,
		`","quality":{"state":"stale","reason":"feed_silent"}}`, `","quality":{"state":"stale","reason":"starting"}}`,
		`{"id":"`, `","symbol":` + "\x00" + `,"price":"`, `","quantity":"`, `","side":"buy","timestamp":"`, `","side":"sell","timestamp":"`, `"}`,
	}
}

// appendTemplates writes how many templates there are; of each how many texts it has, then each text, by its phrase or, behind
// a 0, as it is, and the column behind all texts but the last.
func (s *shredder) appendTemplates(b []byte) []byte {
	known := phrases()
	b = append(b, byte(len(s.templates)))
	for _, t := range s.templates {
		b = append(b, byte(strings.Count(t, string(rune(markCol)))+1))
		for {
			i := strings.IndexByte(t, markCol)
			text := t
			if i >= 0 {
				text = t[:i]
			}
			phrase := slices.Index(known, text) + 1
			if b = append(b, byte(phrase)); phrase == 0 {
				b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
			}
			if i < 0 {
				break
			}
			b = append(b, t[i+1]-firstMark)
			t = t[i+2:]
		}
	}
	return b
}
