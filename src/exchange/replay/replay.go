package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"quotes/src/exchange"
	"quotes/src/exchange/binance"
	"quotes/src/exchange/coinbase"
	"quotes/src/quote"
)

// ErrForeign says that a file is no capture that can be replayed.
var ErrForeign = errors.New("not a known capture")

// The slowest and the fastest replay.
const (
	minSpeed = 0.001
	maxSpeed = 1_000_000
)

// headBytes bounds the first line: a combined stream's address names each of its streams.
const headBytes = 64 << 10

// Config says what to replay. The zero value of a field is the default that its comment names.
type Config struct {
	File      string       // required
	Snapshots string       // recorded REST answers beside a Binance session: the books that its updates begin with; none
	Speed     float64      // times the recorded pace, 0.001 to 1,000,000; 1
	Loop      bool         // begin again at the end; no
	Log       *slog.Logger // slog.Default()
}

// Flags binds the fields that a user sets.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.File, "file", "", "recorded session of Coinbase or Binance")
	fs.StringVar(&c.Snapshots, "snapshots", "", "recorded REST answers of Binance: the books that depthUpdate begins with")
	fs.Float64Var(&c.Speed, "speed", 1, "times the recorded pace")
	fs.BoolVar(&c.Loop, "loop", false, "begin again at the end")
}

// decoder reads one pass of a venue's frames.
type decoder interface {
	Apply(at quote.Time, frame []byte) []exchange.Record
}

// Replay is an [exchange.Generator].
type Replay struct {
	cfg     Config
	decoder func(pass int) decoder
	hint    string // what may be missing where the capture says nothing
}

// New opens the file and finds out its venue. Errors name the file, and wrap [ErrForeign] where it is no capture.
func New(cfg Config) (*Replay, error) {
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	switch {
	case !(cfg.Speed >= minSpeed && cfg.Speed <= maxSpeed):
		return nil, fmt.Errorf("speed %v: want %v to %v", cfg.Speed, minSpeed, maxSpeed)
	case cfg.File == "":
		return nil, errors.New("no capture to replay: say --file FILE")
	}
	first, err := head(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("read the capture: %w", err)
	}
	url, _, opened := strings.Cut(first, " <-> ")
	switch {
	case first == "":
		return nil, fmt.Errorf("%w: %s: line 1 is empty", ErrForeign, cfg.File)
	case strings.Contains(first, " -> "):
		return nil, fmt.Errorf("%w: %s: line 1 is a REST answer: a session goes to --file, its snapshots to --snapshots", ErrForeign, cfg.File)
	case !opened:
		return nil, fmt.Errorf("%w: %s: line 1 names no connection (URL <-> time)", ErrForeign, cfg.File)
	}
	r := &Replay{cfg: cfg}
	if err := r.venue(url); err != nil {
		return nil, err
	}
	return r, nil
}

// venue chooses the decoder by the address of the connection.
func (r *Replay) venue(url string) error {
	switch host, _, _ := strings.Cut(strings.TrimPrefix(url, "wss://"), "/"); {
	case strings.Contains(host, "coinbase"):
		if r.cfg.Snapshots != "" {
			return fmt.Errorf("%s is a Coinbase session, which has its snapshots in it: leave --snapshots out", r.cfg.File)
		}
		r.decoder = func(pass int) decoder { return coinbase.NewDecoder(pass) }
		return nil
	case strings.Contains(host, "binance"):
		shots, err := snapshots(r.cfg.Snapshots)
		r.decoder = func(pass int) decoder { return binance.NewDecoder(pass, shots) }
		if r.cfg.Snapshots == "" {
			r.hint = "; where it has depthUpdate alone, give the books that these begin with by --snapshots"
		}
		return err
	}
	return fmt.Errorf("%w: %s is of %.60q; what can be replayed is a session of Coinbase or Binance", ErrForeign, r.cfg.File, url)
}

// snapshots reads the file of snapshots, if there is one.
func snapshots(path string) ([]binance.Snapshot, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the snapshots: %w", err)
	}
	defer f.Close()
	out, err := binance.ReadSnapshots(f, unixTime)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrForeign, path, err)
	}
	return out, nil
}

// head returns the first line, or what of it is in the first bytes.
func head(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, headBytes)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return line, nil
}

// Run implements [exchange.Generator]. A capture that says nothing is an error that wraps [ErrForeign].
func (r *Replay) Run(ctx context.Context, listened <-chan struct{}, put func([]exchange.Record)) error {
	for pass := 1; ; pass++ {
		began := time.Now()
		p := &player{dec: r.decoder(pass), put: put, speed: r.cfg.Speed, listened: listened}
		if err := r.play(ctx, p); err != nil {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case !p.said:
			return fmt.Errorf("%w: %s has no quote and no trade%s", ErrForeign, r.cfg.File, r.hint)
		case !r.cfg.Loop:
			return nil
		}
		r.cfg.Log.Info("replay begins again", "file", r.cfg.File, "pass", pass+1)
		wait(ctx, time.Second-time.Since(began)) // a tiny capture must not spin
	}
}

// play plays the file once.
func (r *Replay) play(ctx context.Context, p *player) error {
	f, err := os.Open(r.cfg.File)
	if err != nil {
		return fmt.Errorf("read the capture: %w", err)
	}
	defer f.Close()
	in := scanner(f)
	for number := 1; in.Scan() && ctx.Err() == nil; number++ {
		p.line(ctx, number, in.Bytes())
	}
	p.flush()
	if err := in.Err(); err != nil {
		return fmt.Errorf("read the capture %s: %w", r.cfg.File, err)
	}
	return nil
}
