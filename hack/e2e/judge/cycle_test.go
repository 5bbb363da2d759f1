package judge_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/judge"
)

func TestCycle(t *testing.T) {
	for _, whole := range []string{
		"closed>open open>half-open half-open>closed",
		"closed>open open>half-open half-open>open open>half-open half-open>closed",
		"half-open>closed closed>open open>half-open half-open>closed closed>open",
	} {
		require.NoError(t, judge.Cycle(strings.Fields(whole)), whole)
	}
	for _, broken := range []string{
		"", "closed>open", "closed>open open>half-open", "open>half-open half-open>closed", "half-open>closed",
		"closed>open half-open>closed", "closed>open open>half-open half-open>open",
	} {
		require.Error(t, judge.Cycle(strings.Fields(broken)), broken)
	}
}
