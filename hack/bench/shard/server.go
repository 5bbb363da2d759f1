package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quotes/src/quote"
	"quotes/src/shard"
	"quotes/src/shard/chunk"
	"quotes/src/wire"
)

// serve runs one of the shards, of which each owns everything where there are two at most, until its starter closes its end.
func serve(dir, engine, name, shards string) error {
	debug.SetGCPercent(50) // as that of a process of its own, by service.Spec.Keeps
	_, addr, _ := strings.Cut(shards, name+"=")
	addr, _, _ = strings.Cut(addr, ",")
	cfg := shard.Config{
		Name: name, Listen: addr, Data: dir, Shards: shards, Copies: min(2, strings.Count(shards, "=")), ScrubEvery: time.Hour, Log: slog.New(slog.DiscardHandler),
	}
	if engine == "bbolt" {
		cfg.Engine = openBolt
	}
	registry := prometheus.NewRegistry()
	cfg.Metrics = registry
	s, err := shard.New(cfg)
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // until our starter closes its end; each line asks for a metric by its name
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			fmt.Println(counted(registry, lines.Text()))
		}
		cancel()
	}()
	return s.Run(ctx)
}

// counted returns a counter's value.
func counted(registry *prometheus.Registry, name string) int {
	families, err := registry.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return 0
}

// server is a shard in a process of its own, and core's session to it.
type server struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	session *wire.Session
	epoch   uint64
	topics  []topic
	number  atomic.Uint64 // records made
	batches atomic.Int64  // of fill
	closed  sync.Once
}

// topic is one writer's.
type topic struct {
	name   quote.Topic
	symbol string
	mu     sync.Mutex
	seq    uint64
}

func start(dir, engine string) (*server, error) {
	return startUnder(now(), dir, engine)
}

// now is the epoch of a core that starts now.
func now() uint64 { return uint64(time.Now().UnixMilli()) }

// startUnder starts a shard under the core of an epoch.
func startUnder(epoch uint64, dir, engine string) (*server, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	return startAs(dir, engine, "shard-0", "shard-0="+addr, epoch)
}

// free returns an address that nobody listens on.
func free() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// startAs starts one of several shards, and announces a core of the epoch to it.
func startAs(dir, engine, name, shards string, epoch uint64) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(self, "serve", dir, engine, name, shards), epoch: epoch}
	s.spread(writers)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.stdout = bufio.NewReader(out)
	addr, err := s.stdout.ReadString('\n')
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if s.session, err = wire.Dial(ctx, wire.DialConfig{Addr: strings.TrimSpace(addr)}); err == nil {
			_, err = s.session.Do(ctx, wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: s.epoch, Instance: "bench"}))
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("shard did not start: %w", err)
	}
	go s.beat()
	return s, nil
}

// beat says once a second that core is there, as core does: sealing is waited for without another word, and a silent connection ends.
func (s *server) beat() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.session.Send(wire.Frame{Type: wire.TypeHeartbeat}) != nil {
				return
			}
		case <-s.session.Done():
			return
		}
	}
}

// spread says over how many topics records are spread.
func (s *server) spread(topics int) {
	s.topics = make([]topic, topics)
	for i := range s.topics {
		s.topics[i].symbol = fmt.Sprintf("PETR%d", i)
		s.topics[i].name = quote.Topic("quotes." + s.topics[i].symbol)
	}
}

// close ends the shard as a signal would: what it has is on disk then.
func (s *server) close() {
	s.closed.Do(func() {
		if s.session != nil {
			s.session.Close()
		}
		_ = s.stdin.Close()
		_ = s.cmd.Wait()
	})
}

// newer announces a newer core: what the older one has appended is closed then.
func (s *server) newer() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.epoch++
	_, err := s.session.Do(ctx, wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: s.epoch, Instance: "bench"}))
	return err
}

// sealed returns when so many chunks were sealed, which is asked for once in 50 ms.
func (s *server) sealed(chunks int) error {
	return s.reaches("quotes_shard_sealed_chunks_total", chunks, 50*time.Millisecond)
}

// complete returns how many chunks there will be once everything is sealed that can be.
func (s *server) complete() (chunks int) {
	for i := range s.topics {
		chunks += int(s.topics[i].seq / 1024)
	}
	return chunks
}

// reachTime is how long a value is waited for: sealing is held to a quarter of a core, and a hundred million records are a lot.
const reachTime = 30 * time.Minute

// reaches returns when a metric has reached a value, for which it is asked once in every.
func (s *server) reaches(metric string, value int, every time.Duration) error {
	for end := time.Now().Add(reachTime); time.Now().Before(end); time.Sleep(every) {
		if _, err := fmt.Fprintln(s.stdin, metric); err != nil {
			return err
		}
		line, err := s.stdout.ReadString('\n')
		if err != nil {
			return err
		}
		if n, _ := strconv.Atoi(strings.TrimSpace(line)); n >= value {
			return nil
		}
	}
	return fmt.Errorf("%s did not reach %d within %v", metric, value, reachTime)
}

// send appends records of one topic.
func (s *server) send(t quote.Topic, records []chunk.Record) error {
	out := fmt.Appendf(nil, `{"table_epoch":1,"epoch":%d,"records":[`, s.epoch)
	for i, r := range records {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(fmt.Appendf(out, `{"topic":"%s","seq":%d,"payload":`, t, r.Seq), r.Payload...), '}')
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.session.Do(ctx, wire.Frame{Type: wire.TypeAppend, Payload: append(out, `]}`...)})
	return err
}

// record is a quote, no two alike.
func record(n uint64) []byte { return appendRecord(nil, "PETR0", n) }

// appendRecord appends a record of a symbol, by hand: what the load costs is taken from the shard, on two processors.
func appendRecord(b []byte, symbol string, n uint64) []byte {
	b = append(append(append(b, `{"symbol":"`...), symbol...), `","price":"`...)
	b = appendCents(b, 30+n%9, n%100)
	b = appendCents(append(b, `","bid":"`...), 30+n%9, n%100)
	b = appendCents(append(b, `","ask":"`...), 30+n%9, (n+4)%100)
	b = strconv.AppendUint(append(b, `","bid_size":"`...), 1+n%47, 10)
	b = strconv.AppendUint(append(b, `00","ask_size":"`...), 1+n%53, 10)
	b = appendClock(append(b, `00","timestamp":"`...), n)
	b = appendClock(append(b, `","received":"`...), n+186)
	return append(b, `","quality":{"state":"live"}}`...)
}

func appendCents(b []byte, whole, cents uint64) []byte {
	b = append(strconv.AppendUint(b, whole, 10), '.')
	return appendDigits(b, cents, 2)
}

// appendClock appends the time so many microseconds after 18:00.
func appendClock(b []byte, n uint64) []byte {
	b = appendDigits(append(b, "2026-11-23T"...), 18+n/3_600_000_000%6, 2)
	b = appendDigits(append(b, ':'), n/60_000_000%60, 2)
	b = appendDigits(append(b, ':'), n/1_000_000%60, 2)
	return append(appendDigits(append(b, '.'), n%1_000_000, 6), 'Z')
}

func appendDigits(b []byte, n uint64, width int) []byte {
	for unit := uint64(math.Pow10(width - 1)); unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

// append sends the next records of a writer's topic in one APPEND, and returns when they are durable. Those of one topic may be
// sent before the earlier ones are acknowledged, as core does.
func (s *server) append(writer, count int) error {
	t := &s.topics[writer%len(s.topics)]
	t.mu.Lock()
	out := s.head(count)
	for range count {
		out = s.next(out, t)
	}
	wait, err := s.begin(out)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return wait()
}

// head begins an APPEND of so many records.
func (s *server) head(count int) []byte {
	return fmt.Appendf(make([]byte, 0, 320*count+64), `{"table_epoch":1,"epoch":%d,"records":[`, s.epoch)
}

// next appends a topic's next record to an APPEND; the topic is locked.
func (s *server) next(out []byte, t *topic) []byte {
	t.seq++
	if out[len(out)-1] == '}' {
		out = append(out, ',')
	}
	out = append(append(append(out, `{"topic":"`...), t.name...), `","seq":`...)
	out = append(strconv.AppendUint(out, t.seq, 10), `,"payload":`...)
	return append(appendRecord(out, t.symbol, s.number.Add(1)), '}')
}

// patience is how long an append is waited for: at a quarter of a million a second, storage makes writers wait for its compactions.
const patience = time.Minute

// begin sends an APPEND; what it returns waits until it is durable.
func (s *server) begin(out []byte) (wait func() error, err error) {
	answer, err := s.session.Begin(context.Background(), wire.Frame{Type: wire.TypeAppend, BudgetMS: patience.Milliseconds(), Payload: append(out, `]}`...)})
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := answer(ctx)
		return err
	}, err
}

// scan reads everything by position, in pages, and returns how many records there are.
func (s *server) scan() (n int, err error) {
	limit := 10_000
	for i := range s.topics {
		t := &s.topics[i]
		after := quote.Point{}
		for after.Seq < t.seq {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			var page int
			err := s.session.Stream(ctx, wire.Make(wire.TypeReqHist, wire.ReqHist{
				Symbols: []quote.Symbol{t.name.Symbol()}, Kinds: []quote.Kind{quote.Quotes}, After: map[quote.Topic]quote.Point{t.name: after}, Limit: &limit,
			}), func(f wire.Frame) error {
				page += strings.Count(string(f.Payload), `,"payload":{`) // decoding is the reader's business
				return nil
			})
			cancel()
			if err != nil {
				return n, err
			}
			if page == 0 {
				return n, errors.New("an empty page before the end")
			}
			n += page
			after = quote.Point{Epoch: s.epoch, Seq: after.Seq + uint64(page)}
		}
	}
	return n, nil
}

// quiet is a logger of pebble's that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
