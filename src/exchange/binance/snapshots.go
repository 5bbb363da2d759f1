package binance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"quotes/src/quote"
)

// ErrBadSnapshot says that a line is no answer to a request for a book.
var ErrBadSnapshot = errors.New("bad snapshot")

// maxLine bounds one line of a file of snapshots, in bytes.
const maxLine = 64 << 20

// Snapshot is one REST answer: a symbol's book as it was after one update.
type Snapshot struct {
	At     quote.Time // when it was received
	Symbol quote.Symbol

	line       int
	lastID     uint64
	bids, asks [][2]string
}

// ReadSnapshots reads recorded REST answers, `<url> -> <unix time>: <body>` a line, and returns those to /depth by their
// times; empty lines and other requests are nothing. Times are read by the given function. Errors name the line, and wrap
// [ErrBadSnapshot] where the file is not of this kind.
func ReadSnapshots(r io.Reader, unix func(string) (quote.Time, error)) ([]Snapshot, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	var out []Snapshot
	number := 1
	for ; in.Scan(); number++ {
		line := in.Text()
		if strings.TrimSpace(line) == "" {
			continue
		}
		s, ok, err := readSnapshot(line, unix)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", number, ErrBadSnapshot, err)
		}
		if s.line = number; ok {
			out = append(out, s)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no line is an answer to /depth", ErrBadSnapshot)
	}
	slices.SortStableFunc(out, func(a, b Snapshot) int { return int(a.At - b.At) })
	return out, nil
}

// readSnapshot reads one line; ok is false where it answers another request.
func readSnapshot(line string, unix func(string) (quote.Time, error)) (s Snapshot, ok bool, err error) {
	asked, rest, found := strings.Cut(line, " -> ")
	stamp, body, split := strings.Cut(rest, ": ")
	if !found || !split {
		return s, false, fmt.Errorf("want <url> -> <unix time>: <body>, not %.40q", line)
	}
	u, err := url.Parse(asked)
	if err != nil {
		return s, false, fmt.Errorf("url %.60q is malformed", asked)
	}
	if !strings.HasSuffix(u.Path, "/depth") {
		return s, false, nil
	}
	if s.At, err = unix(stamp); err != nil {
		return s, false, err
	}
	if s.Symbol, err = quote.ParseSymbol(strings.ToUpper(u.Query().Get("symbol"))); err != nil {
		return s, false, err
	}
	var b struct {
		LastID json.RawMessage `json:"lastUpdateId"`
		Bids   [][2]string     `json:"bids"`
		Asks   [][2]string     `json:"asks"`
	}
	if err = json.Unmarshal([]byte(body), &b); err != nil {
		return s, false, fmt.Errorf("book of %s: %w", s.Symbol, err)
	}
	if s.lastID, err = number("lastUpdateId", b.LastID); err != nil {
		return s, false, fmt.Errorf("book of %s: %w", s.Symbol, err)
	}
	s.bids, s.asks = b.Bids, b.Asks
	return s, true, nil
}
