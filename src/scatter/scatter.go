package scatter

import (
	"context"
	"errors"
	"time"

	"quotes/src/breaker"
)

// ErrOutrun says that an answer was not waited for: others had covered the node's keys by then.
var ErrOutrun = errors.New("outrun by its twin")

// State is what became of a node.
type State uint8

// The states of a node.
const (
	OK      State = iota // it answered completely
	Stale                // it answered, but not completely for every key
	Failed               // it answered with an error, or not in time
	Skipped              // its breaker let no call through, or its answer was not waited for
)

// Query is one question. Keys[i] lists the nodes that own key i, each at most once, 32 at most.
type Query[R any] struct {
	Keys [][]int
	// Call asks a node for some of the keys, by their indices. It must end soon after its context does. Beside an error it
	// may return what Answered says.
	Call func(ctx context.Context, node int, keys []int) (R, error)
	// Answered says whether what came with an error answers a key all the same: then it counts, and only the other keys
	// are asked of others. nil: an error comes alone.
	Answered func(r R, key int) bool
	// Complete says whether an answer is all there is of a key; where not, the other owners are asked too. nil: always.
	Complete func(r R, key int) bool
	// Fault says whether an error is the node's own fault, which counts at its breaker and is worth asking its twin, rather
	// than the question's, which ends the gathering. Every error is where nil.
	Fault func(error) bool
	// Again says whether a node that was skipped or failed is worth one more call past its breaker, where keys are not
	// covered without it: it may have come back this very moment. At most 4 such calls are under way at a node, and none
	// past a breaker that was forced open. nil: none is.
	Again func(node int, err error) bool
}

// Bounds of the calls that Again allows.
const (
	secondChance  = 100 * time.Millisecond
	secondChances = 4 // at the same time, of one node: a node that is overloaded must get rid of its load
)

// Answer is what a node said to one call.
type Answer[R any] struct {
	Keys  []int
	Value R
}

// Row is a node's account.
type Row[R any] struct {
	Node    int
	Name    string
	State   State
	Asked   []int         // the keys it was asked for, or would have been
	Answers []Answer[R]   // where Failed, what came before, or with the error
	Err     error         // why not OK or Stale; ErrOutrun and what wraps breaker.ErrOpen where Skipped
	Took    time.Duration // of the latest call
	Hedged  bool          // it was asked because another was slow
}

// Result is what Gather returns: the rows in the order in which nodes were first asked or skipped, and which keys are
// covered.
type Result[R any] struct {
	Rows    []Row[R]
	Covered []bool
}

// Coverage is the share of keys that are covered; 1 where there are none.
func (r *Result[R]) Coverage() float64 {
	if len(r.Covered) == 0 {
		return 1
	}
	n := 0
	for _, c := range r.Covered {
		if c {
			n++
		}
	}
	return float64(n) / float64(len(r.Covered))
}

// Gather asks for all keys of the query.
func Gather[R any](ctx context.Context, e *Engine, q Query[R]) Result[R] {
	room := 0
	for _, owners := range q.Keys {
		room += len(owners)
	}
	g := gathering[R]{
		Query: q, engine: e, ctx: ctx, keys: make([]key, len(q.Keys)), open: len(q.Keys),
		answers: make(chan *call[R], 2*room), // each call has a key that its node was not asked before, or is a second chance
	}
	g.res.Covered = make([]bool, len(q.Keys))
	if deadline, ok := ctx.Deadline(); ok {
		now := e.now()
		g.resort = now + (deadline.Sub(e.start)-now)/2
	}
	g.skipOpen()
	g.assign(g.all(), first)
	g.wait(ctx)
	if g.open > 0 && ctx.Err() == nil && !g.ended && q.Again != nil {
		late, cancel := context.WithTimeout(ctx, secondChance)
		defer cancel()
		g.ctx = late
		g.again()
		g.wait(late)
	}
	g.close(ctx)
	return g.res
}

// One asks a single node, through its breaker, without hedging.
func One[R any](ctx context.Context, b *breaker.Breaker, fault func(error) bool, ask func(context.Context) (R, error)) (R, State, error) {
	permit, err := b.Acquire()
	if err != nil {
		var none R
		return none, Skipped, err
	}
	hasty := isHasty(ctx)
	r, err := ask(ctx)
	permit.DoneErr(outcome(ctx, hasty, err, fault), err)
	if err != nil {
		return r, Failed, err
	}
	return r, OK, nil
}

// hastyBelow is how much time a call must have been given for its failure to say anything of the node.
const hastyBelow = 100 * time.Millisecond

// isHasty reports whether a caller leaves too little time for a call that begins now.
func isHasty(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < hastyBelow
}

// outcome is what a breaker learns of a call; a hasty one's failure is its caller's affair.
func outcome(ctx context.Context, hasty bool, err error, fault func(error) bool) breaker.Outcome {
	switch {
	case err == nil:
		return breaker.Success
	case hasty, errors.Is(ctx.Err(), context.Canceled):
		return breaker.Ignored
	case fault != nil && !fault(err):
		return breaker.Success
	}
	return breaker.Failure
}
