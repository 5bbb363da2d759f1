package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLinesOfManyGoroutinesStayWhole(t *testing.T) {
	a, b := memPair(100)
	w := newLineWriter(a, time.Minute, func(error) {})
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			for n := range 100 {
				line := fmt.Appendf(nil, "%d %d %s\n", g, n, strings.Repeat("x", 7*n%50))
				var err error
				switch g % 3 {
				case 0:
					err = w.write(func(b []byte) []byte { return append(b, line...) })
				case 1:
					err = w.writev(net.Buffers{bytes.Clone(line[:3]), line[3:]})
				default:
					err = w.queue(t.Context(), func(b []byte) []byte { return append(b, line...) })
				}
				require.NoError(t, err)
			}
		})
	}
	go func() {
		wg.Wait()
		_ = w.write(func(b []byte) []byte { return b }) // behind all that is queued
		_ = a.Close()
	}()
	all, err := io.ReadAll(b)
	require.NoError(t, err)
	next := map[int]int{}
	for line := range strings.Lines(string(all)) {
		var g, n int
		_, err := fmt.Sscanf(line, "%d %d", &g, &n)
		require.NoError(t, err, "%q", line)
		require.Equal(t, next[g], n, "each goroutine's lines stay in order")
		require.Equal(t, fmt.Sprintf("%d %d %s\n", g, n, strings.Repeat("x", 7*n%50)), line)
		next[g]++
	}
	require.Len(t, next, 12)
	for g, n := range next {
		require.Equal(t, 100, n, "goroutine %d", g)
	}
}

func TestWritesThatWaitGoOutTogetherButWritevAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := memPair(4)
		a.writes = make(chan int, 100)
		w := newLineWriter(a, time.Hour, func(error) {})
		line := []byte("12345\n")
		add := func(b []byte) []byte { return append(b, line...) }
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.write(add) })
		synctest.Wait() // it is stuck in its write
		for range 5 {
			wg.Go(func() { _ = w.write(add) })
		}
		synctest.Wait()
		wg.Go(func() { _ = w.writev(net.Buffers{[]byte("one write\n")}) })
		synctest.Wait()
		go func() { wg.Wait(); _ = a.Close() }()
		_, err := io.ReadAll(b)
		require.NoError(t, err)
		close(a.writes)
		var writes []int
		for n := range a.writes {
			writes = append(writes, n)
		}
		require.Equal(t, []int{6, 30, 10}, writes)
	})
}

func TestNobodyStaysToWriteTheLinesOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := memPair(4)
		w := newLineWriter(a, time.Hour, func(error) {})
		first := make(chan error, 1)
		go func() { first <- w.write(func(b []byte) []byte { return append(b, "12345\n"...) }) }()
		synctest.Wait()
		go func() { _ = w.write(func(b []byte) []byte { return append(b, "another\n"...) }) }()
		synctest.Wait()
		_, err := io.ReadFull(b, make([]byte, 6))
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, first, 1, "its line is out, the other's is not")
		_ = b.Close()
	})
}

func TestWriteOfNothingWaitsForWhatIsQueuedAndNoLonger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := memPair(4)
		w := newLineWriter(a, time.Hour, func(error) {})
		nothing := func(b []byte) []byte { return b }
		require.NoError(t, w.write(nothing), "nothing is queued")
		require.NoError(t, w.queue(t.Context(), func(b []byte) []byte { return append(b, "12345\n"...) }))
		synctest.Wait() // in work, and nothing behind it
		done := make(chan error, 1)
		go func() { done <- w.write(nothing) }()
		synctest.Wait()
		require.Empty(t, done)
		_, err := io.ReadFull(b, make([]byte, 6))
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, done, 1)
		_ = b.Close()
	})
}

func TestQueueWaitsOnlyAsLongAsItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := memPair(4)
		broken := make(chan error, 1)
		w := newLineWriter(a, time.Hour, func(err error) { broken <- err })
		add := func(b []byte) []byte { return append(b, make([]byte, maxPending)...) }
		require.NoError(t, w.queue(t.Context(), add))
		synctest.Wait() // in work
		require.NoError(t, w.queue(t.Context(), add), "one more may wait")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, w.queue(ctx, add), context.DeadlineExceeded)
		go func() { _, _ = io.CopyN(io.Discard, b, 2*maxPending) }()
		require.NoError(t, w.queue(t.Context(), add), "what was written makes room")
		require.ErrorIs(t, <-broken, os.ErrDeadlineExceeded)
		synctest.Wait()
		require.ErrorIs(t, w.queue(t.Context(), add), os.ErrDeadlineExceeded)
	})
}

func TestWriterGivesLargeBuffersBack(t *testing.T) {
	a, b := memPair(memRoom)
	go func() { _, _ = io.Copy(io.Discard, b) }()
	w := newLineWriter(a, time.Minute, func(error) {})
	for range 3 {
		require.NoError(t, w.write(func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }))
		require.NoError(t, w.write(func(b []byte) []byte { return append(b, '\n') }))
	}
	require.LessOrEqual(t, cap(w.buf)+cap(w.free), 2*keepBuffer)
	_ = a.Close()
}

// dead is a connection that the kernel has given up: the first write says so, later ones that it is gone.
type dead struct {
	net.Conn
	writes int
}

func (d *dead) Write([]byte) (int, error) {
	if d.writes++; d.writes > 1 {
		return 0, syscall.EPIPE
	}
	return 0, syscall.ETIMEDOUT
}

// What ended a connection is what is told: ETIMEDOUT is no deadline of ours, though it calls itself a timeout.
func TestAConnectionThatTheKernelGaveUpIsCalledThat(t *testing.T) {
	a, b := memPair(4)
	defer b.Close()
	broken := make(chan error, 1)
	w := newLineWriter(&dead{Conn: a}, time.Minute, func(err error) { broken <- err })
	require.ErrorIs(t, w.write(func(b []byte) []byte { return append(b, "{}\n"...) }), syscall.ETIMEDOUT)
	require.ErrorIs(t, <-broken, syscall.ETIMEDOUT)
}
