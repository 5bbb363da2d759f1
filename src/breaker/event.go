package breaker

import (
	"encoding/json"
	"time"
)

// Counts is what a breaker has seen since its last transition. Calls, Failures and Slow are of its window.
type Counts struct {
	Calls               uint64 `json:"calls"`
	Failures            uint64 `json:"failures"`
	Slow                uint64 `json:"slow"`
	ConsecutiveFailures uint64 `json:"consecutive_failures"`
	Ignored             uint64 `json:"ignored,omitempty"`
	Late                uint64 `json:"late,omitempty"`
	Expired             uint64 `json:"expired,omitempty"`
	Refused             uint64 `json:"refused,omitempty"`
}

// Totals count since the breaker was made. They never shrink: they are what metrics are made of.
type Totals struct {
	Successes     uint64 `json:"successes"`
	Failures      uint64 `json:"failures"`
	Slow          uint64 `json:"slow"` // successes and failures
	Ignored       uint64 `json:"ignored"`
	Late          uint64 `json:"late"`
	Expired       uint64 `json:"expired"`
	Refused       uint64 `json:"refused"`
	Probes        uint64 `json:"probes"`
	ProbeFailures uint64 `json:"probe_failures"`
	Opened        uint64 `json:"opened"` // transitions to Open
}

// Transition is one change of state: the rule that fired and the counts that it fired on.
type Transition struct {
	Breaker    string
	From, To   State
	Rule       string // see doc.go
	At         time.Time
	Generation uint64 // of the new state
	Counts     Counts // before they were cleared
	// P50 and P99 are how long calls took, in whole microseconds; 0 where there were none. They are of a sample: each of the
	// first 64 calls since the last transition, from then on one in four, the latest 64.
	P50, P99 time.Duration
	OpenFor  time.Duration // how long it will stay open at least; 0 where To is not Open
}

// MarshalJSON writes the transition as it goes out on status.core.
func (t Transition) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Breaker    string  `json:"breaker"`
		From       State   `json:"from"`
		To         State   `json:"to"`
		Rule       string  `json:"rule"`
		Counts     Counts  `json:"counts"`
		At         string  `json:"at"`
		Generation uint64  `json:"generation"`
		P50        float64 `json:"p50_ms,omitempty"`
		P99        float64 `json:"p99_ms,omitempty"`
		OpenFor    float64 `json:"open_for_ms,omitempty"`
	}{t.Breaker, t.From, t.To, t.Rule, t.Counts, stamp(t.At), t.Generation, millis(t.P50), millis(t.P99), millis(t.OpenFor)})
}

// Attrs returns the whole story as keys and values of one log line, with the keys of the JSON.
func (t Transition) Attrs() []any {
	return []any{
		"breaker", t.Breaker, "from", t.From, "to", t.To, "rule", t.Rule, "generation", t.Generation,
		"calls", t.Counts.Calls, "failures", t.Counts.Failures, "slow", t.Counts.Slow, "consecutive_failures", t.Counts.ConsecutiveFailures,
		"ignored", t.Counts.Ignored, "late", t.Counts.Late, "expired", t.Counts.Expired, "refused", t.Counts.Refused, "p50_ms", millis(t.P50), "p99_ms", millis(t.P99), "open_for_ms", millis(t.OpenFor),
	}
}

// stamp writes a time as RFC 3339 in UTC with six digits.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Snapshot is a breaker as it is now.
type Snapshot struct {
	Name        string
	State       State
	Since       time.Time
	Generation  uint64
	Counts      Counts
	Totals      Totals
	Limit       int          // half-open: how many calls it lets through at the same time; else 0
	ProbeError  string       // the latest probe's; empty where it passed
	Transitions []Transition // the latest 16, newest last
}

// MarshalJSON writes the snapshot as status shows it.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name        string       `json:"name"`
		State       State        `json:"state"`
		Since       string       `json:"since"`
		Generation  uint64       `json:"generation"`
		Counts      Counts       `json:"counts"`
		Totals      Totals       `json:"totals"`
		Limit       int          `json:"limit,omitempty"`
		ProbeError  string       `json:"probe_error,omitempty"`
		Transitions []Transition `json:"transitions,omitempty"`
	}{s.Name, s.State, stamp(s.Since), s.Generation, s.Counts, s.Totals, s.Limit, s.ProbeError, s.Transitions})
}
