package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"quotes/src/wire"
)

// ask sends one request to p and returns the payloads of all its answers. Errors say what to do next and still carry
// what p said.
func (a *app) ask(ctx context.Context, p peer, f wire.Frame) ([]json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: p.addr, DialTimeout: a.timeout})
	if err != nil {
		return nil, a.explain(p, err)
	}
	defer s.Close()
	f.BudgetMS = budget(ctx, f.BudgetMS)
	var out []json.RawMessage
	err = s.Stream(ctx, f, func(r wire.Frame) error {
		out = append(out, r.Payload)
		return nil
	})
	return out, a.explain(p, err)
}

// budget returns the milliseconds that the server gets of what ctx leaves, at most most where that is not 0:
// an answer given in the last moment must still arrive in time.
func budget(ctx context.Context, most int64) int64 {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	left -= min(left/10, 100*time.Millisecond)
	ms := max(left.Milliseconds(), 1)
	if most > 0 {
		return min(most, ms)
	}
	return ms
}

// split returns the elements of the arrays among raws, and what is no array as it is.
func split(raws []json.RawMessage) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for _, raw := range raws {
		raw = bytes.TrimSpace(raw)
		if len(raw) == 0 || raw[0] != '[' {
			out = append(out, raw)
			continue
		}
		var several []json.RawMessage
		if err := json.Unmarshal(raw, &several); err != nil {
			return nil, fmt.Errorf("answer can't be read: %w", err)
		}
		out = append(out, several...)
	}
	return out, nil
}

// askFor asks the aggregator and reads its answers as Ts.
func askFor[T any](ctx context.Context, a *app, req wire.Frame) ([]T, error) {
	raws, err := a.ask(ctx, a.aggregatorPeer(), req)
	if err != nil {
		return nil, err
	}
	return decode[T](raws)
}

// decode reads each raw value as a T.
func decode[T any](raws []json.RawMessage) ([]T, error) {
	out := make([]T, len(raws))
	for i, raw := range raws {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("answer can't be read: %w", err)
		}
	}
	return out, nil
}
