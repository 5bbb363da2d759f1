package breaker_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

// made returns a breaker with its defaults, in the state that the outcomes lead to.
func made(b *testing.B, cfg breaker.Config, outcomes ...breaker.Outcome) *breaker.Breaker {
	b.Helper()
	cfg.Name = "b"
	br, err := breaker.New(cfg)
	require.NoError(b, err)
	for _, o := range outcomes {
		p, err := br.Acquire()
		require.NoError(b, err)
		p.Done(o)
	}
	return br
}

func well(context.Context) error { return nil }

func BenchmarkClosed(b *testing.B) {
	br := made(b, breaker.Config{})
	b.ReportAllocs()
	for b.Loop() {
		_ = breaker.Do(b.Context(), br, well)
	}
}

func BenchmarkClosedPermit(b *testing.B) {
	br := made(b, breaker.Config{})
	b.ReportAllocs()
	for b.Loop() {
		if p, err := br.Acquire(); err == nil {
			p.Done(breaker.Success)
		}
	}
}

func BenchmarkClosedTimeWindow(b *testing.B) {
	br := made(b, breaker.Config{WindowTime: 10 * time.Second})
	b.ReportAllocs()
	for b.Loop() {
		_ = breaker.Do(b.Context(), br, well)
	}
}

func BenchmarkClosedParallel(b *testing.B) {
	br := made(b, breaker.Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = breaker.Do(b.Context(), br, well)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	br := made(b, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Hour}, breaker.Failure)
	b.ReportAllocs()
	for b.Loop() {
		_ = breaker.Do(b.Context(), br, well)
	}
	require.Equal(b, breaker.Open, br.State())
}

func BenchmarkHalfOpen(b *testing.B) {
	br := made(b, breaker.Config{ConsecutiveFailures: 1, OpenFor: 1}, breaker.Failure)
	for br.State() != breaker.HalfOpen {
		_, _ = br.Acquire() // and never gives it back
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = breaker.Do(b.Context(), br, well)
	}
	require.Equal(b, breaker.HalfOpen, br.State())
}

// BenchmarkMemory says how much one idle breaker with its defaults takes.
func BenchmarkMemory(b *testing.B) {
	const n = 1000
	for b.Loop() {
		var before, after runtime.MemStats
		all := make([]*breaker.Breaker, 0, n)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			all = append(all, made(b, breaker.Config{}))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(all)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes")
	}
}
