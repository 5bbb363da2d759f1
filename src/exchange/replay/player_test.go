package replay

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange/coinbase"
	"quotes/src/quote"
)

func TestTimesAreExact(t *testing.T) {
	for text, want := range map[string]quote.Time{
		"1618677817": 1618677817_000000, "1618677817.5": 1618677817_500000, "1618677817.0208309": 1618677817_020830, "0.000001": 1,
	} {
		got, err := unixTime(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "-1", "+1", "1e9", "1.-5", "1.+5", "99999999999", "1.5x", "NaN"} {
		_, err := unixTime(text)
		require.ErrorIs(t, err, ErrForeign, "%q", text)
	}
}

// FuzzLine takes two lines of a capture, one after the other.
func FuzzLine(f *testing.F) {
	f.Add([]byte(`1618677817.1: {"type":"snapshot","product_id":"A-B","asks":[["10.10","1"]],"bids":[["10.00","3"]]}`),
		[]byte(`1618677817.1234567: {"type":"match","trade_id":8,"side":"sell","size":"0.5","price":"10.06","product_id":"A-B"}`))
	f.Add([]byte("wss://ws-feed.pro.coinbase.com <- 1.5: {}"), []byte(": "))
	f.Add([]byte("-1.5: {}"), []byte("1: x"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		dec := coinbase.NewDecoder(2)
		for _, line := range [][]byte{a, b} {
			at, frame, err := parse(line)
			if err != nil {
				require.ErrorIs(t, err, ErrForeign)
				require.Less(t, len(err.Error()), 400, "an error repeats only little of foreign input")
				continue
			}
			require.GreaterOrEqual(t, at, quote.Time(0))
			require.True(t, bytes.HasSuffix(line, frame))
			if frame != nil {
				dec.Apply(at, frame)
			}
		}
	})
}
