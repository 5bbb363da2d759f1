package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"quotes/hack/bench/bench"
)

// The work of latency-1000: 250 messages a second to 1,000 readers.
const (
	latencyReaders = 1000
	burstSize      = 10
	burstEvery     = 40 * time.Millisecond
	latencyBursts  = 100 // that count; a quarter as many go before
)

// latencies is the p99 from the intended time of sending.
func latencies() ([]bench.Row, error) {
	var p99 [2]bench.Series
	for range rounds {
		for i, s := range both() {
			all, err := latency(s)
			if err != nil {
				return nil, err
			}
			at := func(p float64) float64 { return float64(all[int(p*float64(len(all)-1))]) / 1e6 }
			say("  %s: p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f ms", s.name, at(0.5), at(0.99), at(0.999), at(1))
			p99[i] = append(p99[i], at(0.99))
		}
	}
	return []bench.Row{row("latency-1000", "ms, p99", "<=0.8", p99)}, nil
}

// latency returns all latencies of one run, sorted.
func latency(s *system) ([]int64, error) {
	one := names(1)
	server, err := s.run()
	if err != nil {
		return nil, err
	}
	defer server.close()
	pub, err := s.publish(server.addr, one)
	if err != nil {
		return nil, err
	}
	defer pub.close()
	const warm = latencyBursts / 4
	base := time.Now()
	took := make([][]int64, latencyReaders)
	var got atomic.Int64
	for i := range took {
		took[i] = make([]int64, 0, burstSize*(latencyBursts+warm))
		r, err := s.subscribe(server.addr, one, func(payload []byte) {
			sent, err := strconv.ParseInt(strings.TrimLeft(string(payload[1:20]), "0"), 10, 64)
			if err == nil {
				took[i] = append(took[i], int64(time.Since(base))-sent)
			}
			got.Add(1)
		})
		if err != nil {
			return nil, err
		}
		defer r.close()
	}
	pad := strings.Repeat("x", 128-21)
	begin := time.Since(base) + burstEvery
	for k := range latencyBursts + warm {
		due := begin + time.Duration(k)*burstEvery
		time.Sleep(due - time.Since(base))
		for range burstSize {
			if err := pub.publish(0, fmt.Appendf(nil, `"%019d%s"`, int64(due), pad)); err != nil {
				return nil, err
			}
		}
		if err := pub.flush(); err != nil {
			return nil, err
		}
	}
	const want = latencyReaders * burstSize * (latencyBursts + warm)
	for began := time.Now(); got.Load() < want; time.Sleep(time.Millisecond) {
		if time.Since(began) > stuck {
			return nil, fmt.Errorf("%s: %d of %d messages arrived", s.name, got.Load(), want)
		}
	}
	var all []int64
	for _, t := range took {
		all = append(all, t[burstSize*warm:]...)
	}
	slices.Sort(all)
	return all, nil
}
