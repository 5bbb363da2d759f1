package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/cluster"
	"quotes/src/wire"
)

// benchFlags are the bench command's own.
type benchFlags struct {
	clients, rate, size, topics int
	lasting                     time.Duration
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "How fast a broker of this build distributes on this machine",
		Long: `Starts a broker of its own in this process, on a free port of 127.0.0.1, publishes to it at a fixed rate and subscribes to
everything with so many clients over TCP. Latency counts from when a frame was due, however late it was sent, so that a stall is seen
in all that it held up. Loss is what a client did not get, or was told was skipped. The aggregate is the last row. Brokers that run
already are not touched: only core may publish there.`,
		Example: "  quotectl bench\n  quotectl bench --clients 100 --rate 5000 --size 300 --duration 30s\n  quotectl bench -o json | jq '.[-1].p99_ms'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.IntVar(&f.clients, "clients", 10, "subscribers, 1 to 5000")
	fs.IntVar(&f.rate, "rate", 1000, "frames a second, 1 to 200000")
	fs.IntVar(&f.size, "size", 128, "bytes of a payload, 32 to 32768")
	fs.IntVar(&f.topics, "topics", 1, "topics that take turns, 1 to 10000")
	fs.DurationVar(&f.lasting, "duration", 10*time.Second, "how long it publishes, 1s to 10m")
	return cmd
}

func (f *benchFlags) check() error {
	for _, v := range []struct {
		name            string
		is, least, most int
	}{{"clients", f.clients, 1, 5000}, {"rate", f.rate, 1, 200_000}, {"size", f.size, 32, 32 << 10}, {"topics", f.topics, 1, 10_000}} {
		if v.is < v.least || v.is > v.most {
			return usagef("--%s %d: want %d to %d", v.name, v.is, v.least, v.most)
		}
	}
	if f.lasting < time.Second || f.lasting > 10*time.Minute {
		return usagef("--duration %v: want 1s to 10m", f.lasting)
	}
	return nil
}

// benchRow is what one client saw, or all.
type benchRow struct {
	Client string  `json:"client"` // a number, or "all"
	Frames uint64  `json:"frames"`
	Rate   float64 `json:"frames_per_s"`
	Lost   uint64  `json:"lost"`
	P50    float64 `json:"p50_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
	P999   float64 `json:"p999_ms"`
	Max    float64 `json:"max_ms"`
}

// benchClient is one subscriber. Its session's reading goroutine alone counts; done is closed when it has everything.
type benchClient struct {
	base    time.Time
	want    uint64
	session *wire.Session
	done    chan struct{}
	seen    histogram
	skipped uint64
	err     error
}

// take counts a frame. The payload begins with when it was due, in nanoseconds since base.
func (c *benchClient) take(f wire.Frame) {
	switch f.Type {
	case wire.TypePublish:
		due, err := strconv.ParseInt(strings.TrimLeft(string(f.Payload[1:1+dueDigits]), "0"), 10, 64)
		if err != nil {
			c.err = fmt.Errorf("payload of %d is not one of ours: %w", f.Seq, err)
		}
		c.seen.add(time.Since(c.base) - time.Duration(due))
		c.skipped += f.Skipped
	case wire.TypeLost:
		var l wire.Lost
		if c.err = f.Decode(&l); c.err == nil && l.Count != nil {
			c.skipped += *l.Count
		}
	default:
		return
	}
	if c.seen.total+c.skipped == c.want {
		close(c.done)
	}
}

func (c *benchClient) row(name string, seen *histogram, lost uint64, took time.Duration) benchRow {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return benchRow{
		name, seen.total, float64(seen.total) / took.Seconds(), lost, ms(seen.percentile(0.5)), ms(seen.percentile(0.9)),
		ms(seen.percentile(0.99)), ms(seen.percentile(0.999)), ms(seen.most),
	}
}

const (
	dueDigits  = 16
	benchPause = time.Millisecond // between two bursts of frames that are due
	benchDrain = 10 * time.Second // the longest wait for what is on its way
)

func (a *app) bench(ctx context.Context, f benchFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quotes-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := cluster.New(cluster.Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := c.Start(cluster.Broker); err != nil {
		return err
	}
	rows, err := f.run(ctx, c.Addr(cluster.Broker))
	if stopped := c.Stop(cluster.Broker); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	return a.benchRows(rows)
}

// run publishes and returns a row a client, and one of all.
func (f *benchFlags) run(ctx context.Context, addr string) ([]benchRow, error) {
	pub, err := newBenchPublisher(ctx, addr, f)
	if err != nil {
		return nil, err
	}
	defer pub.session.Close()
	base, want := time.Now(), uint64(float64(f.rate)*f.lasting.Seconds())
	clients := make([]*benchClient, f.clients)
	for i := range clients {
		c := &benchClient{base: base, want: want, done: make(chan struct{})}
		if c.session, err = wire.Dial(ctx, wire.DialConfig{Addr: addr, Borrow: true, OnFrame: c.take}); err != nil {
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		defer c.session.Close()
		sub := wire.Make(wire.TypeSubscribe, wire.Subscribe{Mode: wire.ModeAll})
		sub.Topic = "*"
		if _, err := c.session.Do(ctx, sub); err != nil {
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		clients[i] = c
	}
	began := time.Now()
	if err := pub.run(ctx, base, want); err != nil {
		return nil, err
	}
	drained, cancel := context.WithTimeout(ctx, benchDrain)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			select {
			case <-c.done:
			case <-c.session.Done():
			case <-drained.Done():
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, c := range clients {
		c.session.Close() // from here on nobody counts
	}
	return f.rows(clients, took)
}

func (f *benchFlags) rows(clients []*benchClient, took time.Duration) (rows []benchRow, err error) {
	var all histogram
	var lost uint64
	for i, c := range clients {
		<-c.session.Drained()
		err = errors.Join(err, c.err)
		missed := c.want - min(c.want, c.seen.total)
		lost += missed
		all.join(&c.seen)
		rows = append(rows, c.row(strconv.Itoa(i+1), &c.seen, missed, took))
	}
	return append(rows, clients[0].row("all", &all, lost, took)), err
}

func (a *app) benchRows(rows []benchRow) error {
	if !a.out.tabular() {
		raws := make([]json.RawMessage, len(rows))
		for i, r := range rows {
			raw, err := json.Marshal(r)
			if err != nil {
				return err
			}
			raws[i] = raw
		}
		return a.out.items(raws, false)
	}
	t := a.out.newTable(column{name: "CLIENT", right: true}, column{name: "FRAMES", right: true}, column{name: "FRAMES/S", right: true}, column{name: "LOST", right: true},
		column{name: "P50 MS", right: true}, column{name: "P90", right: true}, column{name: "P99", right: true}, column{name: "P99.9", right: true}, column{name: "MAX", right: true})
	for _, r := range rows {
		row := []cell{{text: r.Client}, number(r.Frames), {text: fmt.Sprintf("%.0f", r.Rate)}, number(r.Lost)}
		for _, v := range []float64{r.P50, r.P90, r.P99, r.P999, r.Max} {
			row = append(row, cell{text: fmt.Sprintf("%.3f", v)})
		}
		t.add(row...)
	}
	return t.flush()
}

// benchPublisher is core's side of the broker.
type benchPublisher struct {
	*benchFlags
	session *wire.Session
	epoch   uint64
	seqs    []uint64
	names   []string
	payload []byte
	buf     []byte
}

func newBenchPublisher(ctx context.Context, addr string, f *benchFlags) (*benchPublisher, error) {
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: addr})
	if err != nil {
		return nil, err
	}
	p := &benchPublisher{benchFlags: f, session: s, epoch: uint64(time.Now().UnixMilli()), seqs: make([]uint64, f.topics)}
	for i := range f.topics {
		p.names = append(p.names, fmt.Sprintf("trades.BENCH%d", i))
	}
	p.payload = []byte(`"` + strings.Repeat("0", f.size-2) + `"`)
	instance := binary.BigEndian.AppendUint64(nil, p.epoch)
	if _, err = s.Do(ctx, wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: p.epoch, Instance: fmt.Sprintf("%x", instance)})); err != nil {
		s.Close()
		return nil, err
	}
	return p, nil
}

// run publishes so many frames, each when it is due, or at once where that has passed.
func (p *benchPublisher) run(ctx context.Context, base time.Time, want uint64) error {
	start := time.Since(base)
	tick := time.NewTicker(benchPause)
	defer tick.Stop()
	for sent := uint64(0); sent < want; {
		due := min(want, uint64((time.Since(base)-start).Seconds()*float64(p.rate)))
		for ; sent < due; sent++ {
			p.add(int(sent%uint64(p.topics)), start+time.Duration(float64(sent)/float64(p.rate)*float64(time.Second)))
		}
		if len(p.buf) > 0 {
			if err := p.session.Write(p.buf); err != nil {
				return err
			}
			p.buf = p.buf[:0]
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (p *benchPublisher) add(topic int, due time.Duration) {
	copy(p.payload[1:], fmt.Appendf(nil, "%0*d", dueDigits, int64(due)))
	prev := p.seqs[topic]
	p.seqs[topic]++
	f := wire.Frame{Type: wire.TypePublish, Topic: p.names[topic], Epoch: p.epoch, Seq: prev + 1, Prev: &prev, Payload: p.payload}
	p.buf = f.Append(p.buf)
}
