package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

// golden is each field of the envelope on the wire, as the protocol writes it.
var golden = map[string]struct {
	frame Frame
	line  string
}{
	"only a type": {Frame{Type: TypeHeartbeat}, `{"type":"HEARTBEAT"}`},
	"request": {
		Frame{Type: TypeReqQuote, ID: 7, Topic: "PETR4", BudgetMS: 250, Payload: json.RawMessage(`{"symbols":["*"]}`)},
		`{"type":"REQ_QUOTE","id":7,"topic":"PETR4","budget_ms":250,"payload":{"symbols":["*"]}}`,
	},
	"publish": {
		Frame{Type: TypePublish, Topic: "quotes.PETR4", Epoch: 1795419376123, Seq: 1042, Prev: new(uint64(1041)), Payload: json.RawMessage(`{"symbol":"PETR4"}`)},
		`{"type":"PUBLISH","topic":"quotes.PETR4","epoch":1795419376123,"seq":1042,"prev":1041,"payload":{"symbol":"PETR4"}}`,
	},
	"first of an epoch": {
		Frame{Type: TypePublish, Topic: "status.core", Epoch: 2, Seq: 1, Prev: new(uint64(0)), PrevEpoch: 1},
		`{"type":"PUBLISH","topic":"status.core","epoch":2,"seq":1,"prev":0,"prev_epoch":1}`,
	},
	"after a skip": {
		Frame{Type: TypePublish, Topic: "quotes.X", Epoch: 2, Seq: 9, Prev: new(uint64(5)), Skipped: 3, Why: "lag"},
		`{"type":"PUBLISH","topic":"quotes.X","epoch":2,"seq":9,"prev":5,"skipped":3,"why":"lag"}`,
	},
	"snapshot": {
		Frame{Type: TypePublish, Topic: "trades.X", Epoch: 2, Seq: 9, Snapshot: true, Source: SourceLost, HeldMS: new(int64(0))},
		`{"type":"PUBLISH","topic":"trades.X","epoch":2,"seq":9,"snapshot":true,"source":"lost","held_ms":0}`,
	},
	"from external": {
		Frame{Type: TypePublish, Topic: "trades.X", FeedSeq: 3, Untimed: true},
		`{"type":"PUBLISH","topic":"trades.X","feed_seq":3,"untimed":true}`,
	},
	"one of several replies": {Frame{Type: TypeWelcome, ID: 1<<64 - 1, More: true}, `{"type":"WELCOME","id":18446744073709551615,"more":true}`},
	"strings that need escaping": {
		Frame{Type: "A\"B\\\n\x7f", Topic: "é<>&"},
		"{\"type\":\"A\\\"B\\\\\\n\x7f\",\"topic\":\"é\\u003c\\u003e\\u0026\"}",
	},
}

func TestFramesOnTheWire(t *testing.T) {
	for name, tt := range golden {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.line+"\n", string(tt.frame.Append(nil)))
			got, err := ParseFrame([]byte(tt.line))
			require.NoError(t, err)
			require.Equal(t, tt.frame, got)
			inside, err := json.Marshal(map[string]Frame{"last": tt.frame})
			require.NoError(t, err)
			require.JSONEq(t, `{"last":`+tt.line+`}`, string(inside))
			require.Equal(t, "x"+tt.line+"\n", string(tt.frame.Append([]byte("x"))), "it adds")
		})
	}
}

func TestParseFrameForgivesWhatItMay(t *testing.T) {
	f, err := ParseFrame([]byte(" \t{\"payload\":null,\"prev\":null,\"nonsense\":[{}],\"type\":\"X\"}\r"))
	require.NoError(t, err)
	require.Equal(t, Frame{Type: "X"}, f)
}

func TestParsedFrameIsItsOwn(t *testing.T) {
	line := []byte(`{"type":"TYPE","topic":"TOPIC","payload":{"a":"b"}}`)
	f, err := ParseFrame(line)
	require.NoError(t, err)
	clear(line)
	require.Equal(t, Frame{Type: "TYPE", Topic: "TOPIC", Payload: json.RawMessage(`{"a":"b"}`)}, f)
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for name, tt := range map[string]struct{ payload, says string }{
		"no payload": {``, "REQ_QUOTE needs a payload"},
		"wrong kind": {`[]`, "payload of REQ_QUOTE"},
		"wrong type": {`{"symbols":"PETR4"}`, "symbols"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Frame{Type: TypeReqQuote, Payload: json.RawMessage(tt.payload)}
			var req ReqQuote
			err := f.Decode(&req)
			require.ErrorIs(t, err, &Error{Code: BadRequest})
			require.ErrorContains(t, err, tt.says)
		})
	}
}

func TestMakeSaysWhatItCannotEncode(t *testing.T) {
	require.Equal(t, Frame{Type: "X"}, Make("X", nil))
	require.Equal(t, Frame{Type: "X", Payload: json.RawMessage(`{"retry_after_ms":5}`)}, Make("X", Goaway{5}))
	f := Make("X", func() {})
	require.Equal(t, TypeError, f.Type)
	require.ErrorIs(t, ErrorOf(f), &Error{Code: Internal})
}

func TestErrorsHaveCodes(t *testing.T) {
	_, badSymbol := quote.ParseSymbol("petr4")
	_, badTopic := quote.ParseTopic("nope")
	_, badTime := quote.ParseTime("now")
	_, badDecimal := quote.ParseDecimal("1e5")
	for want, errs := range map[Code][]error{
		"":               {nil},
		Moved:            {Errorf(Moved, "x"), fmt.Errorf("a: %w", Errorf(Moved, "x"))},
		DeadlineExceeded: {context.DeadlineExceeded},
		Unavailable:      {context.Canceled, ErrClosed, fmt.Errorf("%w: x", ErrDown)},
		BadSymbol:        {badSymbol, badTopic},
		BadRequest:       {badTime, badDecimal},
		Internal:         {errors.New("x")},
	} {
		for _, err := range errs {
			require.Equal(t, want, CodeOf(err), "%v", err)
		}
	}
	require.NotErrorIs(t, Errorf(Moved, "x"), &Error{Code: Internal})
	require.NotErrorIs(t, Errorf(Moved, "x"), Errorf(Moved, "y"))
}

func TestErrorFramesAreBounded(t *testing.T) {
	f := ErrorFrame(errors.New(strings.Repeat("é", 1<<20)))
	require.Less(t, len(f.Payload), 2*maxMessage)
	require.ErrorIs(t, ErrorOf(f), &Error{Code: Internal})
	sent := Errorf(TooLarge, "%s", strings.Repeat("x", 2*maxMessage))
	ErrorFrame(sent)
	require.Len(t, sent.Message, 2*maxMessage, "the caller's error stays as it was")
}

func TestAWrongPayloadIsNamedInWordsOfTheProtocol(t *testing.T) {
	for payload, want := range map[string]string{
		`{"interval_ms":"soon"}`: "payload of SUBSCRIBE: interval_ms: a JSON string does not belong there",
		`[1]`:                    "payload of SUBSCRIBE: a JSON array does not belong there",
	} {
		f := Frame{Type: TypeSubscribe, Payload: []byte(payload)}
		var s Subscribe
		err := f.Decode(&s)
		require.Equal(t, BadRequest, CodeOf(err))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "Go ")
	}
}

func TestWhatAnErrorAsksForIsBounded(t *testing.T) {
	for ms, want := range map[int64]time.Duration{0: 0, -5: 0, 250: 250 * time.Millisecond, 1 << 62: time.Minute} {
		require.Equal(t, want, (&Error{RetryAfterMS: ms}).RetryAfter(), "%d ms", ms)
	}
}

// An empty map of positions is not none: it asks for the order of positions.
func TestEmptyPositionsCross(t *testing.T) {
	for _, req := range []ReqHist{{}, {After: map[quote.Topic]quote.Point{}}, {Before: map[quote.Topic]quote.Point{}}} {
		var got ReqHist
		f := Make(TypeReqHist, req)
		require.NoError(t, f.Decode(&got))
		require.Equal(t, req, got)
	}
}
