package judge

import (
	"fmt"
	"slices"
	"time"

	"quotes/hack/e2e/history"
)

// Prompt fails where less than share of the reports that were due in the window were answered within bound. share is 0 to 1:
// below 1 it forgives a machine that stands still now and then.
func Prompt(events []history.Event, w history.Window, bound time.Duration, share float64, least int) error {
	what := fmt.Sprintf("%.0f %% of reports are answered within %v", share*100, bound)
	judged := reports(events, w)
	if err := floor(what, len(judged), least); err != nil {
		return err
	}
	prompt := 0
	for _, e := range judged {
		if e.Class == "" && e.LatencyMS <= float64(bound.Milliseconds()) {
			prompt++
		}
	}
	if float64(prompt) < share*float64(len(judged)) {
		return fmt.Errorf("%s: %d of %d: %s", what, prompt, len(judged), Latency(events, w))
	}
	return nil
}

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
