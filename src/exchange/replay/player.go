package replay

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"quotes/src/exchange"
	"quotes/src/quote"
)

// maxLine bounds one frame of a capture, in bytes; a book's snapshot can be large.
const maxLine = 64 << 20

// maxBurst bounds what is said at once, in records.
const maxBurst = 1 << 10

func scanner(r io.Reader) *bufio.Scanner {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	return in
}

// player is one pass on its way. Its clock starts when its first record was said and somebody listens; what comes before
// in the capture takes no time.
type player struct {
	dec      decoder
	put      func([]exchange.Record)
	speed    float64
	listened <-chan struct{}

	said  bool       // a quote or a trade
	began time.Time  // when the clock started
	zero  quote.Time // what it said in the capture
	burst []exchange.Record
}

// line plays one line when its time has come.
func (p *player) line(ctx context.Context, number int, line []byte) {
	at, frame, err := parse(line)
	switch {
	case err != nil:
		p.add(number, exchange.Record{Refused: err})
		return
	case frame == nil:
		return
	}
	if p.said && !p.until(ctx, at) {
		return
	}
	records := p.dec.Apply(at, frame)
	p.add(number, records...)
	if !p.said && slices.ContainsFunc(records, func(r exchange.Record) bool { return r.Refused == nil }) {
		p.start(ctx, at)
	}
}

// until waits for the time of a line; it is false when ctx ended first.
func (p *player) until(ctx context.Context, at quote.Time) bool {
	due := p.began.Add(time.Duration(float64(at-p.zero) * float64(time.Microsecond) / p.speed))
	if d := time.Until(due); d > time.Millisecond { // finer waits cost more than they give
		p.flush()
		wait(ctx, d)
	}
	return ctx.Err() == nil
}

// start says the first record and starts the clock when somebody listens.
func (p *player) start(ctx context.Context, at quote.Time) {
	p.said = true
	p.flush()
	select {
	case <-ctx.Done():
	case <-p.listened:
	}
	p.began, p.zero = time.Now(), at
}

// add takes what a line says; refusals get its number.
func (p *player) add(number int, records ...exchange.Record) {
	for i := range records {
		if err := records[i].Refused; err != nil {
			records[i].Refused = fmt.Errorf("line %d: %w", number, err)
		}
	}
	if p.burst = append(p.burst, records...); len(p.burst) >= maxBurst {
		p.flush()
	}
}

func (p *player) flush() {
	if len(p.burst) > 0 {
		p.put(p.burst)
		p.burst = nil
	}
}

// parse splits a line; frame is nil where it holds none of the venue's.
func parse(line []byte) (at quote.Time, frame []byte, err error) {
	stamp, frame, found := bytes.Cut(line, []byte(": "))
	if len(bytes.TrimSpace(line)) == 0 || bytes.Contains(stamp, []byte(" <-")) {
		return 0, nil, nil
	}
	if !found {
		return 0, nil, fmt.Errorf("%w: want <unix time>: <frame>, not %.40q", ErrForeign, line)
	}
	at, err = unixTime(string(stamp))
	return at, frame, err
}

// unixTime reads seconds with a fraction, exactly; finer than microseconds is cut off.
func unixTime(s string) (quote.Time, error) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseUint(whole, 10, 33)
	if err != nil {
		return 0, fmt.Errorf("%w: time %.40q", ErrForeign, s)
	}
	us, err := strconv.ParseUint((frac + "000000")[:6], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: time %.40q", ErrForeign, s)
	}
	return quote.Time(sec*1_000_000 + us), nil
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
