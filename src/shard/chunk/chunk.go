package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"quotes/src/quote"
)

// Bounds of a chunk.
const (
	MaxRecords = 1024
	MaxPayload = 1 << 20 // bytes of all payloads together
)

// ErrBad says that bytes are not a chunk, or not the one that should stand there.
var ErrBad = errors.New("bad chunk")

// Errors of the callers of Append and Check.
var (
	errCount = errors.New("want 1 to 1024 records")
	errOrder = errors.New("seqs must ascend")
	errOther = errors.New("the header is not that of the records")
	errLarge = errors.New("payloads of more than 1 MiB")
)

// Address is where a chunk belongs: it is part of the checksum.
type Address struct {
	Topic quote.Topic
	Epoch uint64
	Block uint64
}

// String is how errors name the chunk.
func (a Address) String() string { return fmt.Sprintf("%s %d/%d", a.Topic, a.Epoch, a.Block) }

// Record is one record of a chunk.
type Record struct {
	Seq       uint64
	Timestamp quote.Time
	Received  quote.Time
	Payload   []byte
}

// Header is what a chunk says of itself.
type Header struct {
	Count                   int
	FirstSeq, LastSeq       uint64
	First, Last             quote.Time    // timestamps of the first and the last record
	Earliest, Latest        quote.Time    // of all timestamps
	FirstReceived, Received quote.Time    // of all times of reception, the lowest and the highest
	Low, High               quote.Decimal // of all prices; absent where a record has none
	payload                 int           // bytes of all payloads
	body                    []byte
}

// The forms of a body.
const (
	formColumns = 1
	formRaw     = 2 // columns of the addresses and times only; the payloads are compressed as they are
)

const sumBytes = 8

// sum is the checksum of a chunk at its address: xxhash64 over both.
func (a Address) sum(data []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	b := make([]byte, 0, 64)
	b = strconv.AppendUint(append(append(b, a.Topic...), 0), a.Epoch, 10)
	b = strconv.AppendUint(append(b, 0), a.Block, 10)
	_, _ = d.Write(append(b, 0)) // never fails
	_, _ = d.Write(data)
	return d.Sum64()
}

func (a Address) bad(format string, args ...any) error {
	return fmt.Errorf("chunk %s: %w: %s", a, ErrBad, fmt.Sprintf(format, args...))
}

// headerOf gathers what the records say together.
func headerOf(records []Record) (h Header, err error) {
	if len(records) == 0 || len(records) > MaxRecords {
		return h, fmt.Errorf("%d records: %w", len(records), errCount)
	}
	first, last := &records[0], &records[len(records)-1]
	h = Header{
		Count: len(records), FirstSeq: first.Seq, LastSeq: last.Seq, First: first.Timestamp, Last: last.Timestamp,
		Earliest: first.Timestamp, Latest: first.Timestamp, FirstReceived: first.Received, Received: first.Received,
	}
	for i := range records {
		r := &records[i]
		if i > 0 && r.Seq <= records[i-1].Seq {
			return h, fmt.Errorf("seq %d behind %d: %w", r.Seq, records[i-1].Seq, errOrder)
		}
		h.Earliest, h.Latest = min(h.Earliest, r.Timestamp), max(h.Latest, r.Timestamp)
		h.FirstReceived, h.Received = min(h.FirstReceived, r.Received), max(h.Received, r.Received)
		h.payload += len(r.Payload)
	}
	if h.payload > MaxPayload {
		return h, fmt.Errorf("%d bytes: %w", h.payload, errLarge)
	}
	return h, nil
}

// Check says where a header does not say what its chunk's records say, which [Decoder.Decode] does not look at: their number and order,
// their times and their size. The prices are not looked at.
func (h *Header) Check(records []Record) error {
	own, err := headerOf(records)
	if err != nil {
		return err
	}
	own.Low, own.High, own.body = h.Low, h.High, nil
	said := *h
	if said.body = nil; !reflect.DeepEqual(own, said) {
		return errOther
	}
	return nil
}

func (h *Header) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(h.Count))
	b = binary.AppendUvarint(b, h.FirstSeq)
	b = binary.AppendUvarint(b, h.LastSeq-h.FirstSeq)
	b = binary.AppendVarint(b, int64(h.Earliest))
	b = binary.AppendUvarint(b, uint64(h.Latest)-uint64(h.Earliest))
	b = binary.AppendUvarint(b, uint64(h.First)-uint64(h.Earliest))
	b = binary.AppendUvarint(b, uint64(h.Latest)-uint64(h.Last))
	b = binary.AppendVarint(b, int64(h.FirstReceived)-int64(h.Earliest))
	b = binary.AppendUvarint(b, uint64(h.Received)-uint64(h.FirstReceived))
	b = binary.AppendUvarint(b, uint64(h.payload))
	return appendDecimal(appendDecimal(b, h.Low), h.High)
}

// appendDecimal writes scale + 1 and twice the coefficient, one more where it is negative; 0 alone is no decimal.
func appendDecimal(b []byte, d quote.Decimal) []byte {
	neg, coef, scale := d.Parts()
	if d.IsZero() || coef > 1<<62 {
		return append(b, 0)
	}
	b = append(b, byte(scale+1))
	coef <<= 1
	if neg {
		coef++
	}
	return binary.AppendUvarint(b, coef)
}

// Open reads a chunk's header and checks its sum; the header keeps data. Errors wrap [ErrBad].
func Open(a Address, data []byte) (h Header, err error) {
	if len(data) < sumBytes+1 {
		return h, a.bad("%d bytes", len(data))
	}
	rest, sum := data[:len(data)-sumBytes], binary.BigEndian.Uint64(data[len(data)-sumBytes:])
	if a.sum(rest) != sum {
		return h, a.bad("checksum does not match: its bytes are not those that were written")
	}
	r := reader{b: rest}
	count, first, length := r.uvarint(), r.uvarint(), r.uvarint()
	earliest := r.varint()
	latest := earliest + int64(r.uvarint())
	h = Header{
		Count: int(min(count, MaxRecords+1)), FirstSeq: first, LastSeq: first + length,
		Earliest: quote.Time(earliest), Latest: quote.Time(latest),
	}
	h.First = quote.Time(earliest + int64(r.uvarint()))
	h.Last = quote.Time(latest - int64(r.uvarint()))
	h.FirstReceived = quote.Time(earliest + r.varint())
	h.Received = h.FirstReceived + quote.Time(r.uvarint())
	h.payload = int(min(r.uvarint(), MaxPayload+1))
	h.Low, h.High = r.decimal(), r.decimal()
	h.body = r.b
	switch {
	case r.failed:
		return h, a.bad("its header ends early")
	case h.Count == 0 || h.Count > MaxRecords || h.payload > MaxPayload:
		return h, a.bad("%d records of %d bytes", h.Count, h.payload)
	}
	return h, nil
}

// reader takes numbers off a slice; once one is not there, all are 0 and failed is set.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.failed = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// bytes takes as many as a length before them says.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) decimal() quote.Decimal {
	scale := r.byte()
	if scale == 0 {
		return quote.Decimal{}
	}
	coef := r.uvarint()
	v := int64(coef >> 1)
	if coef&1 == 1 {
		v = -v
	}
	d, err := quote.NewDecimal(v, int(scale)-1)
	if err != nil {
		r.failed = true
	}
	return d
}
