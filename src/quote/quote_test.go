package quote_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

func TestDecimalKeepsTheDigitsItWasGiven(t *testing.T) {
	for _, s := range []string{"0", "0.00", "27.30", "-27.30", "1234567890123456789", "0.1234567890123456789", "9999999999999999999"} {
		d, err := quote.ParseDecimal(s)
		require.NoError(t, err, s)
		require.Equal(t, s, d.String())
		j, err := json.Marshal(d)
		require.NoError(t, err)
		require.Equal(t, `"`+s+`"`, string(j))
	}
}

func TestDecimalRefusesWhatItCannotKeep(t *testing.T) {
	for _, s := range []string{
		"", "-", "+1", ".5", "5.", "1e3", "1.2.3", "01", "-00.1", " 1", "1 ", "NaN", "0x1", "1_000",
		"12345678901234567890", "0.12345678901234567890", "1234567890.1234567890", strings.Repeat("9", 500),
	} {
		_, err := quote.ParseDecimal(s)
		require.ErrorIs(t, err, quote.ErrBadDecimal, "%q", s)
		require.Less(t, len(err.Error()), 160, "an error repeats only little of foreign input")
	}
}

func TestDecimalReadsJSONNumbersByTheirDigits(t *testing.T) {
	var d quote.Decimal
	require.NoError(t, json.Unmarshal([]byte(`329.06250000`), &d))
	require.Equal(t, "329.06250000", d.String())
	require.NoError(t, json.Unmarshal([]byte(`null`), &d))
	require.True(t, d.IsZero(), "null is absent")
}

func TestMidIsExact(t *testing.T) {
	for _, c := range [][3]string{{"27.30", "27.32", "27.31"}, {"27.30", "27.31", "27.305"}, {"1", "2", "1.5"}, {"-1", "1", "0"}} {
		m, err := quote.Mid(dec(t, c[0]), dec(t, c[1]))
		require.NoError(t, err)
		require.Equal(t, 0, m.Cmp(dec(t, c[2])), "%s of %v", m, c)
	}
	_, err := quote.Mid(dec(t, "9999999999999999999"), dec(t, "9999999999999999998"))
	require.ErrorIs(t, err, quote.ErrBadDecimal, "too many digits are an error, not a rounded price")
}

func TestTimeIsWholeMicroseconds(t *testing.T) {
	at, err := quote.ParseTime("2021-04-17T20:41:30.123456789-03:00")
	require.NoError(t, err)
	require.Equal(t, "2021-04-17T23:41:30.123456Z", at.String())
	require.Equal(t, at, quote.TimeOf(at.Std()))
	require.Equal(t, "2021-04-17T23:41:30.000000Z", quote.TimeOf(at.Std().Truncate(time.Second)).String())
	for _, s := range []string{"", "2021-04-17", "yesterday", "9999-12-31T23:59:59-10:00"} {
		_, err := quote.ParseTime(s)
		require.ErrorIs(t, err, quote.ErrBadTime, "%q", s)
	}
}

func TestSymbolsAndTopics(t *testing.T) {
	for _, s := range []string{"PETR4", "BTC-USD", "BRK.B", "EUR/USD", "0A", strings.Repeat("A", quote.MaxSymbol)} {
		sym, err := quote.ParseSymbol(s)
		require.NoError(t, err, s)
		topic, err := quote.ParseTopic("trades." + s)
		require.NoError(t, err)
		require.Equal(t, quote.Trades, topic.Kind())
		require.Equal(t, sym, topic.Symbol())
		require.Equal(t, topic, quote.TopicOf(quote.Trades, sym))
	}
	for _, s := range []string{"", "petr4", ".A", "-A", "/A", "A B", "A\n", "Ä", strings.Repeat("A", quote.MaxSymbol+1)} {
		_, err := quote.ParseSymbol(s)
		require.ErrorIs(t, err, quote.ErrBadSymbol, "%q", s)
		_, err = quote.ParseTopic("quotes." + s)
		require.ErrorIs(t, err, quote.ErrBadTopic, "%q", s)
	}
	require.Equal(t, quote.Symbol(""), quote.StatusCore.Symbol())
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		topic   quote.Topic
		match   bool
	}{
		{"*", "quotes.A", true},
		{"*", quote.StatusCore, true},
		{"quotes.*", "quotes.A", true},
		{"quotes.*", "trades.A", false},
		{"trades.*", quote.StatusCore, false},
		{"quotes.A", "quotes.A", true},
		{"quotes.A", "quotes.AB", false},
	} {
		p, err := quote.ParsePattern(c.pattern)
		require.NoError(t, err)
		require.Equal(t, c.match, p.Match(c.topic), "%s on %s", c.pattern, c.topic)
	}
	for _, s := range []string{"", "PETR4", "quotes.", "quotes.A*", "*.A", "status.*", "**"} {
		_, err := quote.ParsePattern(s)
		require.ErrorIs(t, err, quote.ErrBadTopic, "%q", s)
	}
}

func TestPointsAreOrderedByEpochThenSeq(t *testing.T) {
	require.Negative(t, quote.Point{Epoch: 1, Seq: 9}.Compare(quote.Point{Epoch: 2, Seq: 1}))
	require.Positive(t, quote.Point{Epoch: 2, Seq: 2}.Compare(quote.Point{Epoch: 2, Seq: 1}))
	require.Zero(t, quote.Point{Epoch: 2, Seq: 2}.Compare(quote.Point{Epoch: 2, Seq: 2}))
}

func TestValidateNamesTheFault(t *testing.T) {
	good := quote.Trade{ID: "1", Symbol: "A", Price: dec(t, "1"), Quantity: dec(t, "2"), Side: quote.Buy, Timestamp: 1}
	require.NoError(t, good.Validate())
	for fault, spoil := range map[string]func(*quote.Trade){
		"id": func(tr *quote.Trade) { tr.ID = "" }, "price": func(tr *quote.Trade) { tr.Price = quote.Decimal{} },
		"negative": func(tr *quote.Trade) { tr.Quantity = dec(t, "-1") }, "side": func(tr *quote.Trade) { tr.Side = "x" },
		"timestamp": func(tr *quote.Trade) { tr.Timestamp = 0 },
	} {
		bad := good
		spoil(&bad)
		require.ErrorIs(t, bad.Validate(), quote.ErrBadRecord)
		require.ErrorContains(t, bad.Validate(), fault)
	}
	q := quote.Quote{Symbol: "A", Timestamp: 1}
	require.ErrorContains(t, q.Validate(), "price")
	q.Price, q.Symbol = dec(t, "1"), "a"
	require.ErrorIs(t, q.Validate(), quote.ErrBadSymbol)
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"27.30", "-0", "0.0000000000000000001", "99999999999999999999", "1e5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := quote.ParseDecimal(s)
		if err != nil {
			require.ErrorIs(t, err, quote.ErrBadDecimal)
			return
		}
		if d.Sign() != 0 { // minus zero loses its sign
			require.Equal(t, s, d.String())
		}
		again, err := quote.ParseDecimal(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte(`{"symbol":"PETR4","price":"27.31","bid":"27.30","ask":"27.32","bid_size":"1200","timestamp":"2026-11-23T14:00:00.000001Z","quality":{"state":"stale","reason":"feed_silent","age_ms":7},"epoch":3,"seq":1}`))
	f.Add([]byte(`{"symbol":"a\u0000\"","price":-1.50}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q, again quote.Quote
		if json.Unmarshal(b, &q) != nil {
			return
		}
		_ = q.Validate()
		require.NoError(t, json.Unmarshal(q.AppendJSON(nil), &again), "%s", q.AppendJSON(nil))
		require.Equal(t, string(q.AppendJSON(nil)), string(again.AppendJSON(nil)))
		std, err := json.Marshal(q)
		require.NoError(t, err)
		require.JSONEq(t, string(std), string(q.AppendJSON(nil)), "by hand as encoding/json writes it")
	})
}

func FuzzTrade(f *testing.F) {
	f.Add([]byte(`{"id":"881613","symbol":"BAND-GBP","price":"14.7775","quantity":"1.8","side":"buy","timestamp":"2021-04-17T23:41:30.1Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tr, again quote.Trade
		if json.Unmarshal(b, &tr) != nil || tr.Validate() != nil {
			return
		}
		require.NoError(t, json.Unmarshal(tr.AppendJSON(nil), &again))
		require.Equal(t, tr, again)
	})
}

func dec(t *testing.T, s string) quote.Decimal {
	t.Helper()
	d, err := quote.ParseDecimal(s)
	require.NoError(t, err)
	return d
}

func FuzzPlainTimesAreReadAsPackageTimeReadsThem(f *testing.F) {
	for _, s := range []string{
		"2026-11-23T14:00:00.000001Z", "2024-02-29T23:59:59.999999Z", "2023-02-29T00:00:00.000000Z", "0000-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z",
		"2026-11-31T14:00:00.000001Z", "2026-00-10T14:00:00.000001Z", "2026-11-00T14:00:00.000001Z", "2026-11-23T24:00:00.000000Z", "2026-11-23T14:00:60.000000Z", "2026-11-23T14:00:00.00000xZ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, fault := time.Parse(time.RFC3339Nano, s)
		got, err := quote.ParseTime(s)
		if fault != nil {
			require.ErrorIs(t, err, quote.ErrBadTime)
		} else if err == nil {
			require.Equal(t, quote.TimeOf(want), got)
		}
	})
}
