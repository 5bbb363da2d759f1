package judge

import (
	"fmt"
	"slices"
)

// Cycle fails where a breaker's transitions, each FROM>TO, do not end in a whole cycle: closed>open, later open>half-open and
// at once half-open>closed. Trials that failed may stand between, and what begins anew after it.
func Cycle(transitions []string) error {
	last := len(transitions) - 1
	for last >= 0 && transitions[last] != "half-open>closed" {
		last--
	}
	if last < 2 || transitions[last-1] != "open>half-open" || !slices.Contains(transitions[:last-1], "closed>open") {
		return fmt.Errorf("no whole cycle of the breaker in %v", transitions)
	}
	return nil
}
