package faults_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/hack/bench/breaker/faults"
)

func TestOursPassesAll(t *testing.T) {
	for _, s := range faults.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, s.Run(faults.Ours()))
		})
	}
}
