package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

var home = Address{Topic: "quotes.PETR4", Epoch: 1_795_470_602_937, Block: 3}

// market returns n quotes as core writes them.
func market(n int, seed uint64) []Record {
	rng := rand.New(rand.NewPCG(seed, 1))
	mid, at := int64(3820), quote.Time(1_795_470_602_903_895)
	state := []quote.Quality{{State: quote.Live}, {State: quote.Recovering}, {State: quote.Stale, Reason: quote.BreakerOpen}}
	out := make([]Record, n)
	dec := func(v int64, scale int) quote.Decimal {
		d, err := quote.NewDecimal(v, scale)
		if err != nil {
			panic(err)
		}
		return d
	}
	for i := range out {
		mid += rng.Int64N(5) - 2
		at += quote.Time(200_000 + rng.Int64N(900) - 450)
		half := 1 + rng.Int64N(3)
		q := quote.Quote{
			Symbol: "PETR4", Price: dec(mid, 2), Bid: dec(mid-half, 2), Ask: dec(mid+half, 2), BidSize: dec(100*(1+rng.Int64N(50)), 0),
			AskSize: dec(1+rng.Int64N(50_000), 4), Timestamp: at, Received: at + quote.Time(100+rng.Int64N(200)), Quality: state[max(0, rng.IntN(20)-17)],
		}
		out[i] = Record{Seq: uint64(3073 + i), Timestamp: q.Timestamp, Received: q.Received, Payload: q.AppendJSON(nil)}
	}
	return out
}

func pack(t require.TestingT, a Address, records []Record) []byte {
	var e Encoder
	b, err := e.Append([]byte("before"), a, records)
	require.NoError(t, err)
	require.Equal(t, "before", string(b[:6]))
	return b[6:]
}

// requireSame packs and unpacks records.
func requireSame(t require.TestingT, a Address, records []Record) []byte {
	b := pack(t, a, records)
	var d Decoder
	for range 2 { // the second time with what the first one left behind
		got, text, err := d.Decode(a, b, make([]Record, 1), []byte("text"))
		require.NoError(t, err)
		require.Equal(t, "text", string(text[:4]))
		require.Len(t, got, 1+len(records))
		for i, r := range records {
			require.Equal(t, string(r.Payload), string(got[i+1].Payload), "payload of %d", r.Seq)
			require.Equal(t, []any{r.Seq, r.Timestamp, r.Received}, []any{got[i+1].Seq, got[i+1].Timestamp, got[i+1].Received})
		}
	}
	return b
}

func TestWhatComesOutIsWhatWentIn(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 300, MaxRecords} {
		requireSame(t, home, market(n, uint64(n)))
	}
	b := requireSame(t, home, market(MaxRecords, 7))
	require.Less(t, len(b), 8*MaxRecords, "bytes of 1024 quotes")
}

func TestOddPayloadsComeOutToTheByte(t *testing.T) {
	payloads := []string{
		``, `{}`, `0`, `007`, `1.50`, `1.5`, `.5`, `5.`, `1..2`, `-0.5`, `"-12"`, `"1e9"`, `"v1.2.30"`, `"99999999999999999999"`, `"0.000000000000000001"`,
		`{"id":"run-17","symbol":"PETR4","n":[1,2,3,10],"price":"1.25"}`, `{"symbol":"PETR44","price":"1.20"}`, `{"a":"PETR4"}`,
		`{"timestamp":"2026-11-23T14:00:00.000000Z","x":"2026-11-23T14:00:00Z","y":"2026-02-31T14:00:00.000000Z","z":"1969-12-31T23:59:59.999999Z"}`,
		`{"esc":"a\"b\\","u":"\u0041é"}`, "{\n \"a\" : 1.10 }", `"never closed`, `"\`, "a\x00b", "\"a\x01\"", `{"a":{"a":{"a":"1"}}}`,
		strings.Repeat(`1,`, 200), `"` + strings.Repeat("9", 30) + `"`, "\xff\xfe", `{"price":"123456789012345678.5"}`,
	}
	records := func(p ...string) (out []Record) {
		for i, s := range p {
			out = append(out, Record{Seq: uint64(2*i + 1), Timestamp: quote.Time(math.MinInt64 + int64(i)), Received: quote.Time(-5 * i), Payload: []byte(s)})
		}
		return out
	}
	for _, p := range payloads {
		requireSame(t, home, records(p))
		requireSame(t, home, records(p, p, p))
		requireSame(t, home, records(payloads[15], p, payloads[15], p))
	}
	requireSame(t, home, records(payloads...))
	requireSame(t, home, records(`{"a":1,"a":2}`, `{"a":1,"b":{"a":3}}`, `{"a":{"a":7},"a":[4,5]}`))
	many := market(200, 1)
	for i := range many { // a shape of its own each: they are stored raw
		many[i].Payload = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("ab", i))
	}
	requireSame(t, home, many)
}

func TestRandomRecordsComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		seq := rng.Uint64N(1 << 50)
		records := make([]Record, 1+rng.IntN(100))
		for i := range records {
			seq += 1 + rng.Uint64N(4)
			wild := func() int64 { return int64(rng.Uint64()) >> rng.UintN(64) }
			p := fmt.Appendf(nil, `{"a":"%d.%0*d","b":%d,"t":%q}`, rng.Uint64N(1<<rng.UintN(50)), 1+rng.IntN(7), rng.IntN(100), wild(), quote.Time(wild()/1000))
			records[i] = Record{Seq: seq, Timestamp: quote.Time(wild()), Received: quote.Time(wild()), Payload: p}
		}
		requireSame(t, home, records)
	}
}

func TestTheHeaderTellsWithoutDecoding(t *testing.T) {
	records := market(500, 3)
	records[7].Timestamp -= 10_000_000
	b := pack(t, home, records)
	h, err := Open(home, b)
	require.NoError(t, err)
	require.Equal(t, []any{500, uint64(3073), uint64(3572)}, []any{h.Count, h.FirstSeq, h.LastSeq})
	require.Equal(t, []quote.Time{records[0].Timestamp, records[499].Timestamp, records[7].Timestamp, records[499].Timestamp},
		[]quote.Time{h.First, h.Last, h.Earliest, h.Latest})
	require.Equal(t, []quote.Time{records[0].Received, records[499].Received}, []quote.Time{h.FirstReceived, h.Received})
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range records {
		var price float64
		_, err := fmt.Sscanf(string(r.Payload), `{"symbol":"PETR4","price":"%f`, &price)
		require.NoError(t, err)
		low, high = min(low, price), max(high, price)
	}
	require.Equal(t, fmt.Sprintf("%.2f %.2f", low, high), h.Low.String()+" "+h.High.String())
	records[3].Payload = []byte(`{"bid":"1"}`)
	h, err = Open(home, pack(t, home, records))
	require.NoError(t, err)
	require.True(t, h.Low.IsZero() && h.High.IsZero(), "one record has no price")
}

// A header that says something else than the records is a lie: nobody would find them by it.
func TestAHeaderIsCheckedAgainstTheRecords(t *testing.T) {
	records := market(200, 3)
	h, err := Open(home, pack(t, home, records))
	require.NoError(t, err)
	require.NoError(t, h.Check(records))
	for name, lie := range map[string]func(*Header){
		"count": func(h *Header) { h.Count-- }, "seqs": func(h *Header) { h.LastSeq++ }, "times": func(h *Header) { h.Latest++ }, "received": func(h *Header) { h.FirstReceived = 0 },
	} {
		said := h
		lie(&said)
		require.Error(t, said.Check(records), name)
	}
	require.Error(t, h.Check(append(records[:100:100], records[99:199]...)), "a seq stands twice")
	require.Error(t, h.Check(nil))
}

func TestEveryFlippedOrTornByteIsRefusedByName(t *testing.T) {
	b := pack(t, home, market(40, 1))
	var d Decoder
	refused := func(a Address, data []byte) {
		out, _, err := d.Decode(a, data, nil, nil)
		require.ErrorIs(t, err, ErrBad)
		require.ErrorContains(t, err, a.String())
		require.Empty(t, out)
	}
	for i := range b {
		bad := append([]byte{}, b...)
		bad[i] ^= 1 << (i % 8)
		refused(home, bad)
		refused(home, b[:i])
	}
	refused(home, append(b, 0))
	refused(Address{home.Topic, home.Epoch, home.Block + 1}, b)
	refused(Address{home.Topic, home.Epoch + 1, home.Block}, b)
	refused(Address{"trades.PETR4", home.Epoch, home.Block}, b)
	require.Contains(t, home.String(), "quotes.PETR4")
}

func TestWhatIsNoChunkIsRefusedBefore(t *testing.T) {
	var e Encoder
	refused := func(want error, records []Record) {
		b, err := e.Append([]byte("x"), home, records)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, home.String())
		require.Equal(t, "x", string(b))
	}
	refused(errCount, nil)
	refused(errCount, make([]Record, MaxRecords+1))
	refused(errOrder, []Record{{Seq: 2}, {Seq: 2}})
	refused(errLarge, []Record{{Seq: 1, Payload: make([]byte, MaxPayload)}, {Seq: 2, Payload: []byte{1}}})
}

// TestOlderChunksStayReadable reads what the first version wrote.
func TestOlderChunksStayReadable(t *testing.T) {
	for _, name := range []string{"columns", "raw"} {
		records := market(64, 11)
		if name == "raw" {
			records[5].Payload = []byte("a\x00b")
		}
		path := filepath.Join("testdata", name+".1")
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(path, pack(t, home, records), 0o600))
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		var d Decoder
		got, _, err := d.Decode(home, b, nil, nil)
		require.NoError(t, err)
		require.Len(t, got, len(records))
		for i := range got {
			require.Equal(t, string(records[i].Payload), string(got[i].Payload))
		}
	}
}

// FuzzDecode gives the decoder what passes the checksum and is no chunk all the same.
func FuzzDecode(f *testing.F) {
	for _, n := range []int{1, 3, 50} {
		b := pack(f, home, market(n, 2))
		f.Add(b[:len(b)-sumBytes])
	}
	odd := pack(f, home, []Record{{Seq: 1, Payload: []byte("a\x00b")}, {Seq: 9, Payload: []byte("1.50")}})
	f.Add(odd[:len(odd)-sumBytes])
	var d Decoder
	f.Fuzz(func(t *testing.T, body []byte) {
		b := binary.BigEndian.AppendUint64(append([]byte{}, body...), home.sum(body))
		records, text, err := d.Decode(home, b, nil, nil)
		require.LessOrEqual(t, len(records), MaxRecords)
		require.LessOrEqual(t, len(text), MaxPayload)
		if err != nil {
			require.ErrorIs(t, err, ErrBad)
		}
	})
}

// FuzzRoundTrip packs any two payloads, apart and among others.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(`{"symbol":"PETR4","price":"1.50"}`), []byte(`{"symbol":"PETR4","price":"1.5"}`), int64(5), int64(-7))
	f.Add([]byte("a\x00b"), []byte(`"\`), int64(math.MinInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, p, q []byte, at, received int64) {
		records := market(6, 1)
		records[2].Payload, records[2].Timestamp = p, quote.Time(at)
		records[4].Payload, records[4].Received = q, quote.Time(received)
		if len(p)+len(q) <= MaxPayload/2 {
			requireSame(t, home, records)
			requireSame(t, home, records[2:3])
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	records := market(MaxRecords, 1)
	var e Encoder
	var out []byte
	for b.Loop() {
		out, _ = e.Append(out[:0], home, records)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxRecords), "ns/record")
	b.ReportMetric(float64(len(out))/MaxRecords, "B/record")
}

func BenchmarkDecode(b *testing.B) {
	data := pack(b, home, market(MaxRecords, 1))
	var d Decoder
	var out []Record
	var text []byte
	for b.Loop() {
		out, text, _ = d.Decode(home, data, out[:0], text[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxRecords), "ns/record")
}
