package judge

import (
	"fmt"
	"slices"

	"quotes/hack/e2e/history"
)

// Count returns how many reports were due in a window.
func Count(events []history.Event, w history.Window) int { return len(reports(events, w)) }

// Latency says in words how long the answers of a window took: the middle one, one of a hundred and the longest. It judges
// nothing: e2e's machine is shared.
func Latency(events []history.Event, w history.Window) string {
	var ms []float64
	for _, e := range reports(events, w) {
		if e.Class == "" {
			ms = append(ms, e.LatencyMS)
		}
	}
	if len(ms) == 0 {
		return "no answers"
	}
	slices.Sort(ms)
	return fmt.Sprintf("latency p50 %.1f ms, p99 %.1f ms, max %.1f ms", ms[len(ms)/2], ms[len(ms)*99/100], ms[len(ms)-1])
}
