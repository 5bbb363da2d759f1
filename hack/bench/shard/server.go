package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
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
	topics  [writers]topic
	number  atomic.Uint64
	closed  sync.Once
}

// topic is one writer's.
type topic struct {
	name quote.Topic
	mu   sync.Mutex
	seq  uint64
}

func start(dir, engine string) (*server, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	return startAs(dir, engine, "shard-0", "shard-0="+addr)
}

// free returns an address that nobody listens on.
func free() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// startAs starts one of several shards.
func startAs(dir, engine, name, shards string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(self, "serve", dir, engine, name, shards), epoch: uint64(time.Now().UnixMilli())}
	for i := range s.topics {
		s.topics[i].name = quote.Topic(fmt.Sprintf("quotes.PETR%d", i))
	}
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
	return s, nil
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

// reaches returns when a metric has reached a value, for which it is asked once in every.
func (s *server) reaches(metric string, value int, every time.Duration) error {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(every) {
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
	return fmt.Errorf("%s did not reach %d within two minutes", metric, value)
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
func record(n uint64) []byte {
	return fmt.Appendf(nil, `{"symbol":"PETR0","price":"%d.%02d","bid":"%d.%02d","ask":"%d.%02d","bid_size":"%d00","ask_size":"%d00","timestamp":"2026-11-23T18:%02d:%02d.%06dZ","received":"2026-11-23T18:%02d:%02d.%06dZ","quality":{"state":"live"}}`,
		30+n%9, n%100, 30+n%9, n%100, 30+n%9, (n+4)%100, 1+n%47, 1+n%53, n/60_000_000%60, n/1_000_000%60, n%1_000_000, n/60_000_000%60, n/1_000_000%60, (n+186)%1_000_000)
}

// append sends the next records of a writer's topic in one APPEND, and returns when they are durable. Those of one topic may be
// sent before the earlier ones are acknowledged, as core does.
func (s *server) append(writer, count int) error {
	t := &s.topics[writer%writers]
	symbol := string(t.name.Symbol())
	t.mu.Lock()
	out := fmt.Appendf(make([]byte, 0, 320*count+64), `{"table_epoch":1,"epoch":%d,"records":[`, s.epoch)
	for i := range count {
		t.seq++
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"topic":"%s","seq":%d,"payload":`, t.name, t.seq)
		out = append(append(out, strings.Replace(string(record(s.number.Add(1))), "PETR0", symbol, 1)...), '}')
	}
	wait, err := s.session.Begin(wire.Frame{Type: wire.TypeAppend, BudgetMS: 10_000, Payload: append(out, `]}`...)})
	t.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = wait(ctx)
	return err
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
