package aggregator

import (
	"context"
	"net/http"

	"golang.org/x/sync/semaphore"

	"quotes/src/wire"
)

// Bounds of what all clients together may keep in memory.
const (
	workRecords = 100_000  // that may be asked for at the same time: some 30 MB an owner; who wants more waits
	workEach    = 100      // counted for a question beside its records
	unreadBytes = 64 << 20 // of answers by HTTP that wait for their readers
	unreadFrom  = 16 << 10 // smaller ones always go out
)

// work waits until so many more records may be gathered, at most until ctx ends.
func (a *Aggregator) work(ctx context.Context, records int) (done func(), err error) {
	n := int64(min(records+workEach, workRecords))
	if a.working.Acquire(ctx, n) != nil {
		return nil, wire.Errorf(wire.DeadlineExceeded, "too many questions at the same time: ask for fewer records, or again later")
	}
	return func() { a.working.Release(n) }, nil
}

// unread counts a large answer until it is written; where too many are, it is refused.
func (w *web) unread(rw http.ResponseWriter, size int) (done func(), ok bool) {
	if size < unreadFrom {
		return func() {}, true
	}
	if !w.waiting.TryAcquire(int64(size)) {
		problem(rw, http.StatusServiceUnavailable, &wire.Error{Code: wire.Unavailable, RetryAfterMS: 1000, Message: "too many answers wait for slow readers: ask for less, or again later"})
		return nil, false
	}
	return func() { w.waiting.Release(int64(size)) }, true
}

func newWork() *semaphore.Weighted   { return semaphore.NewWeighted(workRecords) }
func newUnread() *semaphore.Weighted { return semaphore.NewWeighted(unreadBytes) }
