// Command shard measures one shard: a process by itself, on this machine's disk, through TCP: make bench-shard. Beside it stands a bare
// pebble in this process, with the same records and the same durability, and the same shard with bbolt as its storage. Then come the
// curves: what more history and more topics cost. With words as arguments only those parts run: appends, batches, acks, engine, bytes,
// rebuild, growth.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"quotes/hack/bench/bench"
)

const (
	rounds  = 5
	length  = 2 * time.Second // of one run
	writers = 64
)

func main() {
	var err error
	if len(os.Args) == 6 && os.Args[1] == "serve" {
		err = serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	} else {
		var rows []bench.Row
		rows, err = measure()
		if len(rows) > 0 {
			err = errors.Join(err, bench.Print(os.Stdout, "shard", rows))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench shard:", err)
		os.Exit(1)
	}
}

func measure() (rows []bench.Row, err error) {
	dir, err := os.MkdirTemp("", "quotes-bench-shard-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, part := range []struct {
		name string
		run  func(dir string) ([]bench.Row, error)
	}{{"appends", appends}, {"batches", batches}, {"acks", acks}, {"engine", scanEngine}, {"bytes", bytesOf}, {"rebuild", rebuild}, {"growth", growth}} {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], part.name) {
			continue
		}
		got, fault := part.run(dir)
		if fault != nil { // the others are measured all the same
			err = errors.Join(err, fault)
		}
		for _, r := range got {
			fmt.Fprintf(os.Stderr, "  %s: %.3f %s\n", r.Name, r.Ours, r.Unit)
		}
		rows = append(rows, got...)
	}
	return rows, err
}

// during runs fn again and again from so many goroutines for one run's length, and returns how often a second all together did.
func during(n int, fn func(worker int) error) (float64, error) {
	var done atomic.Int64
	var first error
	var once sync.Once
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for time.Since(began) < length {
				if err := fn(i); err != nil {
					once.Do(func() { first = err })
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), first
}

// appends are single records, each durable before its writer goes on.
func appends(dir string) ([]bench.Row, error) {
	s, err := start(filepath.Join(dir, "append"), "")
	if err != nil {
		return nil, err
	}
	defer s.close()
	db, err := pebble.Open(filepath.Join(dir, "bare"), &pebble.Options{Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	other, err := start(filepath.Join(dir, "bolt"), "bbolt")
	if err != nil {
		return nil, err
	}
	defer other.close()
	var bare atomic.Uint64
	var fault error
	got := bench.Interleave(rounds, func() float64 {
		rate, err := during(writers, func(w int) error { return s.append(w, 1) })
		fault = errors.Join(fault, err)
		return rate
	}, func() float64 {
		rate, err := during(writers, func(w int) error {
			return db.Set(fmt.Appendf(nil, "r%02d%016x", w, bare.Add(1)), record(bare.Load()), pebble.Sync)
		})
		fault = errors.Join(fault, err)
		return rate
	}, func() float64 {
		rate, err := during(writers, func(w int) error { return other.append(w, 1) })
		fault = errors.Join(fault, err)
		return rate
	})
	return []bench.Row{{
		Name: "append-64-bbolt", Unit: "appends/s", Goal: ">=2.0", Ours: got[0].Median(), Theirs: got[2].Median(), Peer: "bbolt v1.5.0", Spread: got[0].Spread(),
	}, {
		Name: "append-64", Unit: "appends/s", Goal: ">=0.4", Ours: got[0].Median(), Theirs: got[1].Median(), Peer: "bare pebble", Spread: got[0].Spread(),
	}}, fault
}

// batches are 256 records at once, sixteen batches on their way; then, when it is sealed, all of it is read again.
func batches(dir string) ([]bench.Row, error) {
	s, err := start(filepath.Join(dir, "batch"), "")
	if err != nil {
		return nil, err
	}
	defer s.close()
	var fault error
	got := bench.Interleave(rounds, func() float64 {
		rate, err := during(16, func(w int) error { return s.append(w, 256) })
		fault = errors.Join(fault, err)
		return 256 * rate
	})
	if fault != nil {
		return nil, fault
	}
	if err := s.sealed(s.complete()); err != nil {
		return nil, err
	}
	var scans bench.Series
	for range rounds {
		began := time.Now()
		n, err := s.scan()
		if err != nil {
			return nil, err
		}
		scans = append(scans, float64(n)/time.Since(began).Seconds())
	}
	return []bench.Row{
		{Name: "batch-256", Unit: "records/s", Goal: ">=200000", Ours: got[0].Median(), Spread: got[0].Spread()},
		{Name: "scan-tcp", Unit: "records/s", Goal: ">=400000", Ours: scans.Median(), Spread: scans.Spread()},
	}, nil
}

// acks is how long batches wait for their answer at 20,000 records a second, beside what the disk takes, at the same pace and in turns
// with it, to sync as many bytes.
func acks(dir string) ([]bench.Row, error) {
	const records, batches, every = 100, 400, 5 * time.Millisecond // of a batch, of a round
	fmt.Printf("NOTE ack-p99: one batch of %d records of one topic each %v.\n", records, every)
	s, err := start(filepath.Join(dir, "ack"), "")
	if err != nil {
		return nil, err
	}
	defer s.close()
	file, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var mu sync.Mutex
	var took, disk bench.Series
	var fault error
	note := func(to *bench.Series, since time.Time, err error) {
		mu.Lock()
		defer mu.Unlock()
		fault = errors.Join(fault, err)
		*to = append(*to, float64(time.Since(since).Microseconds())/1000)
	}
	block := make([]byte, records*len(record(1)))
	for range rounds {
		var wg sync.WaitGroup
		pace(batches, every, func(i int, due time.Time) {
			wg.Go(func() { err := s.append(i%writers, records); note(&took, due, err) })
		})
		wg.Wait()
		pace(batches, every, func(int, time.Time) {
			began := time.Now()
			_, err := file.Write(block)
			note(&disk, began, errors.Join(err, file.Sync()))
		})
	}
	most := 3*disk.Percentile(0.99) + 2
	fmt.Fprintf(os.Stderr, "  ack p50 %.2f, p99 %.2f ms; fsync p50 %.2f, p99 %.2f ms\n", took.Median(), took.Percentile(0.99), disk.Median(), disk.Percentile(0.99))
	return []bench.Row{{Name: "ack-p99", Unit: "ms", Goal: fmt.Sprintf("<=%.2f", most), Ours: took.Percentile(0.99)}}, fault
}

// pace calls fn when it is due, so many times, on a thread of its own: Go's timers may be a millisecond late.
func pace(times int, every time.Duration, fn func(i int, due time.Time)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for i := range times {
		due := began.Add(time.Duration(i) * every)
		for left := time.Until(due); left > 0; left = time.Until(due) {
			wait := syscall.NsecToTimespec(left.Nanoseconds())
			_ = syscall.Nanosleep(&wait, nil) // a signal may wake it early
		}
		fn(i, due)
	}
}
