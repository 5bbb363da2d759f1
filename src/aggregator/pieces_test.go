package aggregator

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPiecesAreWholeAndSmallEnough(t *testing.T) {
	for _, array := range []string{`[]`, `[1]`, `[{"a":[1,2]},"],[",3,4,5,6,7,8,9]`, `["` + strings.Repeat("x", 200) + `",1,2]`, `{"a":1}`} {
		var want, got []json.RawMessage
		for _, p := range pieces(json.RawMessage(array), 20) {
			require.True(t, json.Valid(p), string(p))
			var part []json.RawMessage
			if json.Unmarshal(p, &part) == nil {
				got = append(got, part...)
				require.True(t, len(p) <= 20 || len(part) == 1, string(p))
			}
		}
		_ = json.Unmarshal([]byte(array), &want)
		require.ElementsMatch(t, want, got, array)
	}
}
