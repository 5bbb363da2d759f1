//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
)

// scenario breaks something and judges what was seen.
type scenario struct {
	name string
	run  func(*testing.T, *suite)
}

func scenarios() []scenario {
	return []scenario{
		{"helm-test", helmTest},
		{"exchange-gone-and-back", exchangeGoneAndBack},
		{"shards-deleted-gracefully", func(t *testing.T, s *suite) { shardsDeleted(t, s, false) }},
		{"shards-deleted-by-force", func(t *testing.T, s *suite) { shardsDeleted(t, s, true) }},
		{"shards-rolled", shardsRolled},
		{"two-shards-held-down", twoShardsHeldDown},
		{"core-gone-and-back", coreGoneAndBack},
		{"core-rolled", coreRolled},
		{"broker-rolled", brokerRolled},
		{"aggregator-rolled", aggregatorRolled},
		{"upgrade", upgrade},
		{"upgrade-refused", upgradeRefused},
		{"forbidden-connection", forbiddenConnection},
		{"worker-drained", workerDrained},
		{"unstable-exchange", unstableExchange},
	}
}

// budget is what a report may take where nobody asks for another: it holds whatever is broken.
const budget = time.Second

// leastFrames is how many frames the shortest scenario must have brought: the market sends more than 35 a second.
const leastFrames = 20

// chosen returns the scenario that RUN names, or all.
func chosen(name string) (out []scenario, err error) {
	var names []string
	for _, sc := range scenarios() {
		if name == "" || name == sc.name {
			out = append(out, sc)
		}
		names = append(names, sc.name)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no scenario %q: there are %s", name, strings.Join(names, ", "))
	}
	return out, nil
}

func TestE2E(t *testing.T) {
	list, err := chosen(os.Getenv("RUN"))
	require.NoError(t, err)
	s := newSuite(t)
	for _, sc := range list {
		t.Run(sc.name, func(t *testing.T) { s.play(t, sc) })
	}
}

// play runs a scenario between two calms.
func (s *suite) play(t *testing.T, sc scenario) {
	t.Helper()
	s.interrupted(t)
	t.Cleanup(func() { s.restore(t) })
	t.Cleanup(func() { s.dumpIfFailed(t, sc.name) }) // first
	s.settled(t)
	s.concerned = map[string]bool{}
	before, components := s.identities(t), s.components(t)
	began := s.mark(sc.name + " begins")
	sc.run(t, s)
	s.settled(t)
	s.bystanders(t, before, components)
	ended := s.mark(sc.name + " ends")
	events, w := s.seen.Events(), history.Window{From: s.judged, To: ended}
	s.judged = ended
	require.NoError(t, judge.Contiguous(events, w, leastFrames), "the subscriber, since the scenario before")
	require.NoError(t, judge.Ordered(events, w, leastFrames))
	w.From = began
	require.NoError(t, judge.Prompt(events, w, budget, 0.9, rate))
	t.Logf("%d reports: %s", judge.Count(events, w), judge.Latency(events, w))
	t.Logf("%s took %v", sc.name, ended.Sub(began).Round(100*time.Millisecond))
}
