package coinbase_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange/coinbase"
	"quotes/src/quote"
)

// The venue's own ticker says what best bid and ask are; the book that we build must say the same. A product's first
// ticker is older than its book.
func TestTheBookAgreesWithTheVenuesTicker(t *testing.T) {
	dir := os.Getenv("QUOTES_VENUES")
	if dir == "" {
		dir = "../../../../shared/data/venues"
	}
	text, err := os.ReadFile(filepath.Join(dir, "COINBASE.ws.28.0"))
	if err != nil {
		t.Skipf("no real capture here: %v", err)
	}
	d := coinbase.NewDecoder(1)
	said := map[string]*quote.Quote{}
	opened := map[string]bool{}
	compared := 0
	for line := range bytes.Lines(text) {
		_, frame, _ := bytes.Cut(line, []byte(": "))
		if !json.Valid(frame) {
			continue
		}
		for _, r := range d.Apply(at, frame) {
			require.NoError(t, r.Refused)
			if r.Quote != nil {
				said[string(r.Quote.Symbol)] = r.Quote
			}
		}
		var f struct {
			Type    string        `json:"type"`
			Product string        `json:"product_id"`
			Bid     quote.Decimal `json:"best_bid"`
			Ask     quote.Decimal `json:"best_ask"`
			Price   quote.Decimal `json:"price"`
		}
		require.NoError(t, json.Unmarshal(frame, &f))
		if f.Type != "ticker" {
			continue
		}
		q := said[f.Product]
		require.Equal(t, f.Price, q.Price)
		if opened[f.Product] {
			compared++
			require.Equal(t, []quote.Decimal{f.Bid, f.Ask}, []quote.Decimal{q.Bid, q.Ask}, "%s at %s", f.Product, q.Timestamp)
		}
		opened[f.Product] = true
	}
	require.Equal(t, 107-10, compared)
}
