package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/hack/bench/bench"
	"quotes/src/quote"
	"quotes/src/wire"
)

const (
	growthTime = 25 * time.Minute // what was not reached by then is no row, and that is said
	batch      = 256
	inFlight   = 16
	asks       = 101 // questions that a point is the median of
)

// growth is what more history and more topics cost.
func growth(dir string) (rows []bench.Row, err error) {
	end := time.Now().Add(growthTime)
	rows, err = history(filepath.Join(dir, "history"), end)
	for _, n := range []int{1, 100, 1_000, 10_000, 100_000} {
		got, fault := topics(filepath.Join(dir, fmt.Sprintf("topics-%d", n)), n)
		rows, err = append(rows, got...), errors.Join(err, fault)
	}
	return rows, err
}

// history grows one shard's history, and stops at each size: what a record has cost since the last one, what 100 records cost to
// read, of the newest and of the middle, bytes on disk a record when all is sealed, memory, and how long a start takes.
func history(dir string, end time.Time) (rows []bench.Row, err error) {
	s, err := start(dir, "")
	if err != nil {
		return nil, err
	}
	defer func() { s.close() }()
	had, chunks := 0, 0 // at the last stop
	for _, size := range []int{100_000, 1_000_000, 10_000_000, 100_000_000} {
		began := time.Now()
		if err := s.fill(size, end); err != nil {
			return rows, fmt.Errorf("history of %d: %w", size, err)
		}
		add := func(what, unit string, v float64) {
			rows = append(rows, bench.Row{Name: fmt.Sprintf("curve-%s-%d", what, size), Unit: unit, Ours: v})
		}
		add("append", "ns/record", float64(time.Since(began).Nanoseconds())/float64(size-had))
		had = size
		complete := s.complete()
		if err := s.sealed(complete - chunks); err != nil {
			return rows, err
		}
		chunks = complete
		for what, at := range map[string]float64{"newest": 1, "middle": 0.5} {
			ms, err := s.ask(at)
			if err != nil {
				return rows, err
			}
			add(what, "ms", ms)
		}
		began = time.Now()
		again, err := s.again(dir)
		if err != nil {
			return rows, err
		}
		s = again
		add("open", "ms", float64(time.Since(began).Microseconds())/1000)
		memory, err := s.memory()
		if err != nil {
			return rows, err
		}
		add("memory", "MiB", memory)
		disk, err := diskUsage(dir)
		if err != nil {
			return rows, err
		}
		add("disk", "B/record", float64(disk)/float64(size))
		fmt.Fprintf(os.Stderr, "  history of %d\n", size)
	}
	return rows, nil
}

// fill appends until there are so many records.
func (s *server) fill(size int, end time.Time) error {
	var all errgroup.Group
	for range inFlight {
		all.Go(func() error {
			for {
				n := int(s.batches.Add(1))
				if n*batch > size {
					s.batches.Add(-1)
					return nil
				}
				if time.Now().After(end) {
					return fmt.Errorf("not reached within %v", growthTime)
				}
				if err := s.append(n, batch); err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

// again ends the shard and starts it on what it has, under the same core.
func (s *server) again(dir string) (*server, error) {
	s.close()
	next, err := startUnder(s.epoch, dir, "")
	if err != nil {
		return nil, err
	}
	next.topics = s.topics
	next.number.Store(s.number.Load())
	next.batches.Store(s.batches.Load())
	return next, nil
}

// ask reads 100 records of one topic after another, from a place between its first (0) and its newest (1), and returns the median time in ms.
func (s *server) ask(at float64) (float64, error) {
	limit := 100
	var took bench.Series
	for i := range asks {
		t := &s.topics[i%len(s.topics)]
		req := wire.ReqHist{Symbols: []quote.Symbol{quote.Symbol(t.symbol)}, Kinds: []quote.Kind{quote.Quotes}, Limit: &limit, Order: wire.Desc}
		if at < 1 {
			req.Before = map[quote.Topic]quote.Point{t.name: {Epoch: s.epoch, Seq: uint64(at * float64(t.seq))}}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		began := time.Now()
		f, err := s.session.Do(ctx, wire.Make(wire.TypeReqHist, req))
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		cancel()
		if err != nil {
			return 0, err
		}
		if n := strings.Count(string(f.Payload), `,"payload":{`); n == 0 {
			return 0, fmt.Errorf("no records of %s", t.name)
		}
	}
	return took.Median(), nil
}

// topics spreads records over so many topics: what a record costs in batches of many topics, what the newest of one cost to read, and
// memory.
func topics(dir string, n int) (rows []bench.Row, err error) {
	s, err := start(dir, "")
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.spread(n)
	before, err := s.memory()
	if err != nil {
		return nil, err
	}
	total := max(20*n, 20_000) / batch * batch
	began := time.Now()
	var waits []func() error
	for at := 0; at < total; at += batch {
		out := s.head(batch)
		for i := range batch {
			out = s.next(out, &s.topics[(at+i)%n])
		}
		wait, err := s.begin(out)
		if err != nil {
			return nil, err
		}
		if waits = append(waits, wait); len(waits) >= inFlight {
			if err := waits[0](); err != nil {
				return nil, err
			}
			waits = waits[1:]
		}
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			return nil, err
		}
	}
	cost := float64(time.Since(began).Nanoseconds()) / float64(total)
	newest, err := s.ask(1)
	if err != nil {
		return nil, err
	}
	after, err := s.memory()
	if err != nil {
		return nil, err
	}
	name := func(what string) string { return fmt.Sprintf("curve-topics-%s-%d", what, n) }
	return []bench.Row{
		{Name: name("append"), Unit: "ns/record", Ours: cost},
		{Name: name("newest"), Unit: "ms", Ours: newest},
		{Name: name("memory"), Unit: "MiB", Ours: max(after-before, 0.1)},
	}, nil
}

// memory returns the resident memory of the shard's process in MiB.
func (s *server) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	field, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.ParseFloat(field, 64)
	return kib / 1024, err
}
