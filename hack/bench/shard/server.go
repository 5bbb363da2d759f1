package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"quotes/src/quote"
	"quotes/src/shard"
	"quotes/src/wire"
)

// serve runs a shard that owns everything, until a signal.
func serve(dir string) error {
	s, err := shard.New(shard.Config{
		Name: "shard-0", Listen: "127.0.0.1:0", Data: dir, Shards: "shard-0=127.0.0.1:9001", Copies: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // until our starter closes its end
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return s.Run(ctx)
}

// server is a shard in a process of its own, and core's session to it.
type server struct {
	cmd     *exec.Cmd
	stdin   io.Closer
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

func start(dir string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(self, "serve", dir), epoch: uint64(time.Now().UnixMilli())}
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
	addr, err := bufio.NewReader(out).ReadString('\n')
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

// diskUsage returns the bytes of all files in a folder.
func diskUsage(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// quiet is a logger of pebble's that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
