package binance_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange/binance"
	"quotes/src/quote"
)

// The venue's own bookTicker says what best bid and ask are after an update; the book that we build of snapshots and
// depthUpdate must say the same.
func TestTheBookAgreesWithTheVenuesBookTicker(t *testing.T) {
	dir := os.Getenv("QUOTES_VENUES")
	if dir == "" {
		dir = "../../../../shared/data/venues"
	}
	text, err := os.ReadFile(filepath.Join(dir, "BINANCE.ws.1.0"))
	if err != nil {
		t.Skipf("no real capture here: %v", err)
	}
	rest, err := os.Open(filepath.Join(dir, "BINANCE.http.0.0"))
	require.NoError(t, err)
	defer rest.Close()
	shots, err := binance.ReadSnapshots(rest, seconds)
	require.NoError(t, err)
	require.Len(t, shots, 4)

	type top struct{ bid, bidSize, ask, askSize string }
	tickers, tops := map[string]top{}, map[string]top{} // by symbol and update
	d := binance.NewDecoder(1, shots)
	said := map[string]top{}
	for line := range bytes.Lines(text) {
		stamp, frame, _ := bytes.Cut(line, []byte(": "))
		if !json.Valid(frame) {
			continue
		}
		var f struct {
			Data struct {
				E      string          `json:"e"`
				Time   json.RawMessage `json:"E"`
				Symbol string          `json:"s"`
				First  uint64          `json:"U"`
				Last   uint64          `json:"u"`
				B      json.RawMessage `json:"b"`
				BS     json.RawMessage `json:"B"`
				A      json.RawMessage `json:"a"`
				AS     json.RawMessage `json:"A"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal(frame, &f))
		key := f.Data.Symbol + strconv.FormatUint(f.Data.Last, 10)
		if f.Data.E == "" {
			unquoted := func(raw json.RawMessage) string { return string(bytes.Trim(raw, `"`)) }
			tickers[key] = top{unquoted(f.Data.B), unquoted(f.Data.BS), unquoted(f.Data.A), unquoted(f.Data.AS)}
			continue // our book must do without
		}
		at, err := seconds(string(stamp))
		require.NoError(t, err)
		for _, r := range d.Apply(at, frame) {
			require.NoError(t, r.Refused)
			if q := r.Quote; q != nil {
				said[string(q.Symbol)] = top{q.Bid.String(), q.BidSize.String(), q.Ask.String(), q.AskSize.String()}
			}
		}
		if q, known := said[f.Data.Symbol]; known && f.Data.E == "depthUpdate" {
			tops[key] = q
		}
	}
	compared := 0
	for key, want := range tickers {
		if got, both := tops[key]; both {
			compared++
			require.Equal(t, want, got, key)
		}
	}
	require.Greater(t, compared, 20)
}

// seconds reads a capture's time to the millisecond.
func seconds(s string) (quote.Time, error) {
	f, err := strconv.ParseFloat(s, 64)
	return quote.Time(int64(f*1000) * 1000), err
}
