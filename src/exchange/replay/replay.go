package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"quotes/src/exchange"
	"quotes/src/exchange/coinbase"
	"quotes/src/quote"
)

// ErrForeign says that a file is no capture that can be replayed.
var ErrForeign = errors.New("not a known capture")

// maxLine bounds one frame of a capture, in bytes; a book's snapshot can be large.
const maxLine = 64 << 20

// Config says what to replay.
type Config struct {
	File  string
	Speed float64 // times the recorded pace; 1 where 0
	Loop  bool    // begin again at the end
	Log   *slog.Logger
}

// Flags binds what a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.File, "file", "", "the capture")
	fs.Float64Var(&c.Speed, "speed", 1, "times the recorded pace")
	fs.BoolVar(&c.Loop, "loop", false, "begin again at the end")
}

// decoder reads one pass of a venue's frames.
type decoder interface {
	Apply(at quote.Time, frame []byte) ([]exchange.Record, error)
}

// Replay is an [exchange.Generator].
type Replay struct {
	cfg     Config
	decoder func(pass int) decoder
}

// New opens the file and finds out its venue. Errors name the file, and wrap [ErrForeign] where it is no capture.
func New(cfg Config) (*Replay, error) {
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if !(cfg.Speed > 0) {
		return nil, fmt.Errorf("speed %v: want above 0", cfg.Speed)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	f, err := os.Open(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("open the capture: %w", err)
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the capture %s: %w", cfg.File, err)
	}
	first, _, _ := strings.Cut(string(head[:n]), "\n")
	url, _, opened := strings.Cut(first, " <-> ")
	switch {
	case opened && strings.Contains(url, "coinbase"):
		return &Replay{cfg, func(pass int) decoder { return coinbase.NewDecoder(pass) }}, nil
	case opened:
		return nil, fmt.Errorf("%w: %s is of %.60q; what can be replayed is a Coinbase session", ErrForeign, cfg.File, url)
	}
	return nil, fmt.Errorf("%w: %s: line 1 names no connection (URL <-> time)", ErrForeign, cfg.File)
}

// Run implements [exchange.Generator].
func (r *Replay) Run(ctx context.Context, listened <-chan struct{}, put func([]exchange.Record)) error {
	select {
	case <-ctx.Done():
		return nil
	case <-listened:
	}
	for pass := 1; ; pass++ {
		began := time.Now()
		if err := r.pass(ctx, pass, put); err != nil {
			return err
		}
		if !r.cfg.Loop || ctx.Err() != nil {
			return nil
		}
		r.cfg.Log.Info("replay begins again", "file", r.cfg.File, "pass", pass+1)
		wait(ctx, time.Second-time.Since(began)) // a tiny capture must not spin
	}
}

// pass plays the file once.
func (r *Replay) pass(ctx context.Context, pass int, put func([]exchange.Record)) error {
	f, err := os.Open(r.cfg.File)
	if err != nil {
		return fmt.Errorf("open the capture: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 64<<10), maxLine)
	p := player{Replay: r, dec: r.decoder(pass), put: put, began: time.Now()}
	for number := 1; in.Scan() && ctx.Err() == nil; number++ {
		if err := p.line(ctx, in.Bytes()); err != nil {
			p.complain(number, err)
		}
	}
	p.flush()
	if err := in.Err(); err != nil {
		return fmt.Errorf("read the capture %s: %w", r.cfg.File, err)
	}
	return nil
}

// player is one pass on its way.
type player struct {
	*Replay
	dec        decoder
	put        func([]exchange.Record)
	began      time.Time
	zero       quote.Time // time of the first frame
	burst      []exchange.Record
	bad        int
	complained time.Time
}

// line plays one line when its time has come.
func (p *player) line(ctx context.Context, line []byte) error {
	stamp, frame, found := bytes.Cut(line, []byte(": "))
	if len(bytes.TrimSpace(line)) == 0 || bytes.Contains(stamp, []byte(" <-")) {
		return nil
	}
	if !found {
		return fmt.Errorf("%w: no <unix time>: <frame>", ErrForeign)
	}
	at, err := unixTime(string(stamp))
	if err != nil {
		return err
	}
	if p.zero == 0 {
		p.zero = at
	}
	due := p.began.Add(time.Duration(float64(at-p.zero) * float64(time.Microsecond) / p.cfg.Speed))
	if d := time.Until(due); d > time.Millisecond { // finer waits cost more than they give
		p.flush()
		if wait(ctx, d); ctx.Err() != nil {
			return nil
		}
	}
	records, err := p.dec.Apply(at, frame)
	p.burst = append(p.burst, records...)
	return err
}

func (p *player) flush() {
	if len(p.burst) > 0 {
		p.put(p.burst)
		p.burst = nil
	}
}

// complain names a bad line, at most once a second.
func (p *player) complain(number int, err error) {
	p.bad++
	if time.Since(p.complained) < time.Second {
		return
	}
	p.complained = time.Now()
	p.cfg.Log.Warn("line refused", "file", p.cfg.File, "line", number, "err", err, "refused_so_far", p.bad)
}

// unixTime reads seconds with a fraction, exactly.
func unixTime(s string) (quote.Time, error) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < 0 || sec > 1<<33 {
		return 0, fmt.Errorf("%w: time %.40q", ErrForeign, s)
	}
	us, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
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
