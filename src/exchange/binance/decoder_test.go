package binance_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange"
	"quotes/src/exchange/binance"
	"quotes/src/quote"
)

const at = quote.Time(1_633_998_520_000_000)

// say applies frames and writes what comes out, a record a line.
func say(t *testing.T, d *binance.Decoder, frames ...string) string {
	t.Helper()
	var out []string
	for i, f := range frames {
		for _, r := range d.Apply(at+quote.Time(i), []byte(f)) {
			require.NoError(t, r.Refused, f)
			out = append(out, line(r))
		}
	}
	return strings.Join(out, "\n")
}

func line(r exchange.Record) string {
	mark := ""
	if r.Snapshot {
		mark += " snapshot"
	}
	if r.Untimed {
		mark += " untimed"
	}
	if r.Trade != nil {
		t := r.Trade
		return fmt.Sprintf("trade %s %s %s %s %s%s", t.ID, t.Price, t.Quantity, t.Side, clock(t.Timestamp), mark)
	}
	q := r.Quote
	return fmt.Sprintf("quote %s %sx%s %sx%s %s%s", q.Price, q.Bid, q.BidSize, q.Ask, q.AskSize, clock(q.Timestamp), mark)
}

// clock writes seconds and micros of a minute.
func clock(t quote.Time) string { return t.String()[17:26] }

func ticker(u int, bid, bidSize, ask, askSize string) string {
	return fmt.Sprintf(`{"stream":"ab@bookTicker","data":{"u":%d,"s":"AB","b":%q,"B":%q,"a":%q,"A":%q}}`, u, bid, bidSize, ask, askSize)
}

// update is a depthUpdate at a second of the minute.
func update(first, last, second int, bids, asks string) string {
	return fmt.Sprintf(`{"stream":"ab@depth","data":{"e":"depthUpdate","E":%d,"s":"AB","U":%d,"u":%d,"b":[%s],"a":[%s]}}`, 1633998480000+1000*second, first, last, bids, asks)
}

const (
	sold   = `{"stream":"ab@trade","data":{"e":"trade","E":1633998521500,"s":"AB","t":12345,"p":"10.04","q":"2.50","b":88,"a":50,"T":1633998521400,"m":true,"M":true}}`
	bought = `{"stream":"ab@aggTrade","data":{"e":"aggTrade","E":1633998521600,"s":"AB","a":777,"p":"10.06","q":"1","f":100,"l":105,"T":1633998521550,"m":false,"M":true}}`
)

// books are snapshots of AB, each received when the nth frame comes.
func books(t *testing.T, lines ...string) []binance.Snapshot {
	t.Helper()
	out, err := binance.ReadSnapshots(strings.NewReader(strings.Join(lines, "\n")), func(s string) (quote.Time, error) {
		n, err := strconv.Atoi(s)
		return at + quote.Time(n), err
	})
	require.NoError(t, err)
	return out
}

func bookAt(n, last int, bids, asks string) string {
	return fmt.Sprintf(`https://api.binance.com/api/v3/depth?symbol=ab&limit=1000 -> %d: {"lastUpdateId":%d,"bids":[%s],"asks":[%s]}`, n, last, bids, asks)
}

// Keys that differ in case alone must not be taken for one another, in whatever order they come.
func TestKeysThatDifferInCaseAreDifferent(t *testing.T) {
	for _, frame := range []string{
		`{"e":"trade","E":1633998521500,"s":"AB","t":1,"p":"10","q":"2","T":1633998521400,"m":true,"M":false,"P":"99","Q":"98","S":"XX"}`,
		`{"S":"XX","Q":"98","P":"99","M":false,"m":true,"T":1633998521400,"q":"2","p":"10","t":1,"s":"AB","E":1633998521500,"e":"trade"}`,
	} {
		require.Equal(t, "trade 1 10 2 sell 41.400000 snapshot", say(t, binance.NewDecoder(1, nil), frame), "bare streams too")
	}
	for _, data := range []string{
		`"u":7,"s":"AB","b":"10.00","B":"3","a":"10.10","A":"4","U":6`,
		`"U":6,"A":"4","a":"10.10","B":"3","b":"10.00","s":"AB","u":7`,
	} {
		require.Equal(t, "quote 10.05 10.00x3 10.10x4 40.000000 snapshot untimed", say(t, binance.NewDecoder(1, nil), `{"data":{`+data+`}}`))
	}
}

func TestQuotesAreBookTickersWhereItIsThere(t *testing.T) {
	shots := books(t, bookAt(1, 10, `["10.00","3"]`, `["10.10","1"]`))
	require.Equal(t, strings.TrimSpace(`
quote 10.05 10.00x3 10.10x1 40.000001 snapshot untimed
quote 10.055 10.01x5 10.10x1 40.000002 untimed
quote 10.06 10.01x5 10.11x1 40.000005 untimed
trade 12345 10.04 2.50 sell 41.400000 snapshot
quote 10.04 10.01x5 10.11x1 41.400000`), say(t, binance.NewDecoder(1, shots),
		`{"result":null,"id":1}`,
		`{"stream":"ab@kline_1m","data":{"e":"kline","E":1,"s":"AB","k":{}}}`,
		ticker(20, "10.01", "5", "10.10", "1"),
		ticker(19, "1.00", "1", "99.00", "1"),   // older than the last
		update(11, 21, 43, `["10.05","2"]`, ``), // the book is not asked any more
		ticker(30, "10.01", "5", "10.11", "1"),  // ids are not contiguous
		sold,
		ticker(31, "10.01", "5", "10.11", "1"), // nothing new
	))
}

func TestABookTickerOlderThanTheBookIsLeftOut(t *testing.T) {
	shots := books(t, bookAt(0, 10, `["10.00","3"]`, `["10.10","1"]`))
	require.Equal(t, "quote 10.05 10.00x3 10.10x1 40.000000 snapshot untimed",
		say(t, binance.NewDecoder(1, shots), ticker(9, "1.00", "1", "99.00", "1")))
}

func TestAnEmptySideOfABookTickerIsLeftOut(t *testing.T) {
	d := binance.NewDecoder(1, nil)
	require.Empty(t, say(t, d, ticker(1, "0.00000000", "0.00000000", "10.10", "1")), "no price and no trade yet")
	require.Contains(t, say(t, d, sold), "quote 10.04 x 10.10x1 ")
}

func TestABookIsItsSnapshotAndTheUpdatesBehindIt(t *testing.T) {
	shots := books(t, bookAt(3, 10, `["10.00","3"],["9.00","1"]`, `["10.10","1"],["10.20","2"]`))
	require.Equal(t, strings.TrimSpace(`
quote 10.035 10.00x3 10.07x4 42.000000 snapshot
quote 10.05 10.00x3 10.10x1 43.000000
quote 9.55 9.00x1 10.10x1 44.000000`), say(t, binance.NewDecoder(1, shots),
		update(5, 8, 40, `["8.00","9"]`, `["8.50","9"]`),   // older than the snapshot
		update(9, 11, 41, ``, `["10.07","0"]`),             // straddles it
		update(12, 12, 42, ``, `["10.07","4"]`),            //
		update(13, 15, 43, ``, `["10.07","0.0"]`),          //
		update(14, 15, 43, `["10.09","1"]`, ``),            // again
		update(16, 16, 44, `["10.00","0"],["7","1"]`, ``)), //
		"quotes follow, and none before the snapshot")
}

func TestAMissingUpdateEndsTheBookUntilAnotherSnapshot(t *testing.T) {
	shots := books(t, bookAt(0, 10, `["10.00","3"]`, `["10.10","1"]`), bookAt(3, 21, `["9.00","3"]`, `["9.10","1"]`), bookAt(4, 21, `["1","1"]`, `["2","1"]`))
	d := binance.NewDecoder(1, shots)
	require.Equal(t, "quote 10.05 10.00x3 10.10x1 40.000000 snapshot untimed\nquote 10.06 10.02x1 10.10x1 41.000000", say(t, d, update(11, 11, 41, `["10.02","1"]`, ``)))
	records := d.Apply(at+1, []byte(update(20, 22, 42, `["9.05","1"]`, ``)))
	require.Len(t, records, 1)
	require.ErrorIs(t, records[0].Refused, binance.ErrBadFrame)
	require.ErrorContains(t, records[0].Refused, "AB: updates 12 to 19 are missing")
	require.Equal(t, quote.Symbol("AB"), records[0].Unsure, "what was said of it is over, too")
	require.Equal(t, "trade 12345 10.04 2.50 sell 41.400000 snapshot", line(d.Apply(at+2, []byte(sold))[0]), "trades go on")
	require.Equal(t, "quote 10.04 9.05x1 9.10x1 42.000000 snapshot", line(d.Apply(at+3, []byte(`{}`))[0]))
	require.Empty(t, d.Apply(at+4, []byte(`{}`)), "a snapshot that is older than the book is nothing")
}

// The market forgets a quote behind which the book had a hole: it is said again, though it be the same.
func TestANewBookSaysItsQuoteAgain(t *testing.T) {
	shots := books(t, bookAt(0, 10, `["10.00","3"]`, `["10.10","1"]`), bookAt(3, 21, `["10.00","3"]`, `["10.10","1"]`))
	d := binance.NewDecoder(1, shots)
	require.NotEmpty(t, say(t, d, update(10, 10, 41, ``, ``)))
	require.Equal(t, quote.Symbol("AB"), d.Apply(at+1, []byte(update(20, 20, 42, ``, ``)))[0].Unsure)
	require.Equal(t, "quote 10.05 10.00x3 10.10x1 40.000003 snapshot untimed", line(d.Apply(at+3, []byte(`{}`))[0]))
}

func TestASnapshotThatTheUpdatesDontReachIsRefused(t *testing.T) {
	d := binance.NewDecoder(1, books(t, bookAt(1, 10, `["10.00","3"]`, `["10.10","1"]`)))
	require.Empty(t, d.Apply(at, []byte(update(15, 16, 41, `["10.02","1"]`, ``))))
	records := d.Apply(at+1, []byte(update(17, 18, 41, `["10.02","1"]`, ``)))
	require.Len(t, records, 1)
	require.ErrorContains(t, records[0].Refused, "snapshot (line 1 of its file) of AB: updates 11 to 14 are missing")
}

func TestTradesComeFromOneStreamWithTheTakersSide(t *testing.T) {
	require.Equal(t, "trade 12345 10.04 2.50 sell 41.400000 snapshot", say(t, binance.NewDecoder(1, nil), sold, bought))
	require.Equal(t, "trade 777-2 10.06 1 buy 41.550000 snapshot", say(t, binance.NewDecoder(2, nil), bought, sold))
}

func TestTimesMayBeMicroseconds(t *testing.T) {
	fine := strings.Replace(sold, `"T":1633998521400`, `"T":1633998521400123`, 1)
	require.Contains(t, say(t, binance.NewDecoder(1, nil), fine), "41.400123")
}

func TestWhatCannotBeTakenIsRefusedByName(t *testing.T) {
	for frame, want := range map[string]string{
		`no json`:                                                           "bad binance frame",
		`{"stream":"ab@depth","data":"x"}`:                                  "ab@depth",
		strings.Replace(sold, `"AB"`, `"a b"`, 1):                           "a b",
		strings.Replace(sold, `12345`, `"x"`, 1):                            "trade of AB: id",
		strings.Replace(sold, `"10.04"`, `"1e1"`, 1):                        "trade of AB: price",
		strings.Replace(sold, `"10.04"`, `"-1"`, 1):                         "below zero",
		strings.Replace(sold, `,"p":"10.04"`, ``, 1):                        "price",
		strings.Replace(sold, `"2.50"`, `null`, 1):                          "quantity",
		strings.Replace(sold, `"m":true,`, ``, 1):                           "maker",
		strings.Replace(sold, `"T":1633998521400`, `"T":-1`, 1):             "time",
		strings.Replace(sold, `"T":1633998521400`, `"T":null`, 1):           "time",
		strings.Replace(sold, `21400`, `21400000000000`, 1):                 "time",
		ticker(45, "12345678901234567890", "1", "2", "3"):                   "bookTicker of AB: bid",
		ticker(45, "1", "1", "2", "x"):                                      "ask size",
		update(11, 12, 41, `["1","x"]`, ``):                                 "depthUpdate of AB",
		update(11, 12, 41, `["1","-1"]`, ``):                                "size",
		update(11, 12, 41, `["1"]`, ``):                                     "AB",
		update(11, 12, 41, `7`, ``):                                         "bids",
		update(11, 12, 41, ``, `7`):                                         "asks",
		update(12, 11, 41, ``, ``):                                          "updates 12 to 11",
		strings.Replace(update(11, 12, 41, ``, ``), `"U":11`, `"U":1.5`, 1): "first update id",
		strings.Replace(update(11, 12, 41, ``, ``), `"u":12`, `"u":-5`, 1):  "last update id",
	} {
		d := binance.NewDecoder(1, books(t, bookAt(0, 10, `["10.00","3"]`, `["10.10","1"]`)))
		say(t, d, `{}`)
		records := d.Apply(at, []byte(frame))
		require.Len(t, records, 1, frame)
		require.ErrorIs(t, records[0].Refused, binance.ErrBadFrame)
		require.ErrorContains(t, records[0].Refused, want)
		require.Contains(t, say(t, d, ticker(50, "10.01", "5", "10.10", "1")), "10.01x5", "the rest goes on")
	}
}

func TestOtherFramesAreNothing(t *testing.T) {
	for _, frame := range []string{
		`{"result":null,"id":1}`, `{}`, `{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}`,
		`{"stream":"ab@ticker","data":{"e":"24hrTicker","E":1,"s":"AB","p":"1","P":"2","b":"1","B":"1","a":"2","A":"2"}}`,
	} {
		require.Empty(t, binance.NewDecoder(1, nil).Apply(at, []byte(frame)), frame)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(sold), []byte(bought))
	f.Add([]byte(ticker(5, "1", "2", "3", "4")), []byte(update(11, 12, 41, `["10.01","1"]`, `["10.02","0"]`)))
	f.Add([]byte(update(9, 11, 41, ``, ``)), []byte(update(20, 22, 41, `["1","2"]`, ``)))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := binance.NewDecoder(1, books(t, bookAt(1, 10, `["10.00","3"]`, `["10.10","1"]`)))
		for i, frame := range [][]byte{a, b, a} {
			for _, r := range d.Apply(at+quote.Time(i), frame) {
				switch {
				case r.Refused != nil:
					require.ErrorIs(t, r.Refused, binance.ErrBadFrame)
					require.Nil(t, r.Quote)
					require.Nil(t, r.Trade)
				case r.Trade != nil:
					require.NotEmpty(t, r.Trade.ID)
					require.Positive(t, r.Trade.Timestamp)
				default:
					require.False(t, r.Quote.Price.IsZero())
				}
			}
		}
	})
}

func FuzzSnapshots(f *testing.F) {
	f.Add(bookAt(1, 10, `["10.00","3"]`, `["10.10","1"]`))
	f.Add("https://x/time -> 1: {}\n" + bookAt(3, 9, ``, ``))
	f.Fuzz(func(t *testing.T, text string) {
		shots, err := binance.ReadSnapshots(strings.NewReader(text), quote.ParseTime)
		if err != nil {
			require.Less(t, len(err.Error()), 600, "an error repeats only little of foreign input")
			return
		}
		require.NotEmpty(t, shots)
	})
}
