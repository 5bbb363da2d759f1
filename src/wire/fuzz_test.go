package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

// FuzzFrame holds that what can be parsed comes back the same after a trip over the wire.
func FuzzFrame(f *testing.F) {
	for _, tt := range golden {
		f.Add([]byte(tt.line))
	}
	for _, line := range []string{
		``, `{`, `null`, `[]`, `{"type":1}`, `{"type":"X","id":-1}`, `{"type":"X","budget_ms":-9223372036854775808}`,
		`{"TYPE":"X","Prev":3,"prev":null}`, `{"type":"X","payload":  {"a" : [1, 2e400]} }`, `{"type":"\ud800"}`, "\f{ }", "\u00a0{\"type\":\"X\"}",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return // no line
		}
		before := bytes.Clone(line)
		first, err := ParseFrame(line)
		require.Equal(t, before, line)
		if err != nil {
			object := json.Valid(line) && bytes.HasPrefix(bytes.TrimLeft(line, " \t\r"), []byte("{"))
			if object == errors.Is(err, ErrNotObject) {
				require.ErrorContains(t, err, "UTF-8")
			} else if object {
				require.Equal(t, BadRequest, CodeOf(err))
			}
			require.Less(t, len(err.Error()), 300)
			return
		}
		wire := first.Append(nil)
		require.Equal(t, len(wire)-1, bytes.IndexByte(wire, '\n'))
		second, err := ParseFrame(wire[:len(wire)-1])
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

// payloads makes one of each payload type.
var payloads = map[string]func() any{
	"hello":      func() any { return new(Hello) },
	"welcome":    func() any { return new(Welcome) },
	"subscribe":  func() any { return new(Subscribe) },
	"subscribed": func() any { return new(Subscribed) },
	"heartbeat":  func() any { return new(Heartbeat) },
	"lost":       func() any { return new(Lost) },
	"goaway":     func() any { return new(Goaway) },
	"req_quote":  func() any { return new(ReqQuote) },
	"append":     func() any { return new(Append) },
	"appended":   func() any { return new(Appended) },
	"req_hist":   func() any { return new(ReqHist) },
	"resp_hist":  func() any { return new(RespHist) },
	"req_report": func() any { return new(ReqReport) },
	"report":     func() any { return new(Report) },
	"status":     func() any { return new(Status) },
	"error":      func() any { return new(Error) },
	"quote":      func() any { return new(quote.Quote) },
	"trade":      func() any { return new(quote.Trade) },
}

// samples are payloads as they come.
var samples = []string{
	`{}`, `null`, `[]`, `{"more":1}`,
	`{"role":"publisher","epoch":5,"instance":"ab","topics":[{"topic":"quotes.PETR4","next":7,"last":{"type":"PUBLISH","topic":"quotes.PETR4","epoch":4,"seq":6,"payload":{"price":"27.30"}}}],"more":true}`,
	`{"highest_epoch":5,"topics":[{"topic":"trades.X","last":{"epoch":5,"seq":6,"payload":{"id":"1"}}}],"more":false}`,
	`{"mode":"sampled","interval_ms":250,"from":{"quotes.PETR4":{"epoch":1,"seq":2}},"snapshot":false}`,
	`{"topic":"quotes.*","mode":"latest"}`,
	`{"topics":{"quotes.PETR4":{"epoch":1,"next":2,"lag":3,"skipped":4}},"source":"lost","since_ms":1200}`,
	`{"topic":"quotes.PETR4","after":{"epoch":1,"seq":2},"before":{"epoch":1,"seq":9},"count":6}`,
	`{"retry_after_ms":500}`, `{"symbols":["PETR4","*"]}`,
	`{"table_epoch":1,"epoch":5,"records":[{"topic":"quotes.PETR4","seq":1,"payload":{"a":"<&>"}}],"lost":[{"topic":"quotes.PETR4","first":2,"last":3}]}`,
	`{"positions":{"quotes.PETR4":{"epoch":5,"seq":9}}}`,
	`{"symbols":["PETR4"],"kinds":["trades"],"from":"2026-11-23T14:00:00Z","to":"2026-11-23T14:00:00.123456+02:00","after":{"trades.PETR4":{"epoch":1,"seq":2}},"before":{},"order":"desc","limit":0}`,
	`{"records":[{"topic":"trades.X","epoch":1,"seq":2,"payload":{}}],"more":true,"ranges":{"trades.X":[{"epoch":1,"first":1,"last":2}]},"in_sync":{"17":true},"coverage":0.5,"missing":[{"slot":17,"symbols":["X"]}]}`,
	`{"symbol":"PETR4","symbols":["X"],"limit":100,"min_coverage":0.5,"max_age_ms":1000}`,
	`{"current_price":{"symbol":"PETR4","price":"27.31","timestamp":"2026-11-23T14:00:00Z","quality":{"state":"live"}},"history":[{"id":"1","symbol":"PETR4","price":"1","quantity":"2"}],"errors":["x"],"coverage":1,"sources":[{"name":"shard-0","state":"ok","ms":1.8,"hedged":true}],"total":1,"ok":1,"more":true,"took_ms":2.4}`,
	`{"process":"core","version":"dev","since":"2026-11-23T14:00:00Z","epoch":5,"peers":[{"name":"a","addr":"b","state":"up"}],"breakers":[{"name":"x","state":"open","transitions":[{"from":"closed"}]}],"subscribers":[{"addr":"a","topics":1,"lag":2,"skipped":3}],"slots":[{"slot":1,"in_sync":true}],"durable":{"quotes.X":{"epoch":5,"both":1,"one":2,"lost":[]}},"topics":{"quotes.X":{"epoch":1,"first":1,"next":3,"bytes":9}}}`,
	`{"code":"low_coverage","message":"x","retry_after_ms":5,"report":{"coverage":0.5}}`,
}

// FuzzPayload holds for every payload type that decoding refuses with an ERROR or gives what encodes to the same again.
func FuzzPayload(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for name, make := range payloads {
			v := make()
			if err := (&Frame{Type: "X", Payload: payload}).Decode(v); err != nil {
				require.Equal(t, BadRequest, CodeOf(err), name)
				continue
			}
			first := Make("X", v)
			require.Equal(t, "X", first.Type, "%s: %s", name, first.Payload)
			again := make()
			require.NoError(t, first.Decode(again), name)
			require.Equal(t, string(first.Payload), string(Make("X", again).Payload), name)
		}
	})
}

// chunks is a connection that gives its bytes in pieces of the sizes that it is told, then ends.
type chunks struct {
	net.Conn
	text  []byte
	sizes []byte
	n     int
}

func (c *chunks) SetReadDeadline(time.Time) error { return nil }

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	size := 1
	if len(c.sizes) > 0 {
		size += int(c.sizes[c.n%len(c.sizes)]) * 40
		c.n++
	}
	n := copy(b, c.text[:min(size, len(c.text))])
	c.text = c.text[n:]
	return n, nil
}

// FuzzLines holds that lines are what bufio says they are, however they are cut to pieces, and that none passes the limit.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), []byte{0}, uint16(10))
	f.Add([]byte(strings.Repeat("x", 9000)+"\n"+strings.Repeat("y\n", 9000)), []byte{255, 0, 3}, uint16(9001))
	for _, width := range []int{1, 600, 5000} {
		var text []byte
		for n := range 100_000 / (width + 5) {
			text = fmt.Appendf(text, "%*d\n", width, n)
		}
		f.Add(text, []byte{255}, uint16(5000))
		f.Add(text, []byte{99, 1}, uint16(60_000))
	}
	f.Add([]byte("exact\nlonger\nx\n"), []byte{}, uint16(6))
	f.Fuzz(func(t *testing.T, text, sizes []byte, limit uint16) {
		most := int(limit) + 2
		in := lineReader{conn: &chunks{text: bytes.Clone(text), sizes: sizes}, max: most, idle: func() time.Duration { return 0 }}
		want := bufio.NewReader(bytes.NewReader(text))
		for {
			line, err := in.next()
			expected, end := want.ReadBytes('\n')
			whole := bytes.TrimSuffix(expected, []byte("\n"))
			switch {
			case len(expected) > most, end != nil && len(expected) == most:
				require.ErrorIs(t, err, errTooLong)
				require.LessOrEqual(t, len(in.buf), 2*most+readMost+readChunk, "what is too long is not kept")
				return
			case end != nil && len(expected) == 0:
				require.ErrorIs(t, err, io.EOF)
				return
			}
			require.NoError(t, err)
			require.Equal(t, string(whole), string(line))
		}
	})
}
