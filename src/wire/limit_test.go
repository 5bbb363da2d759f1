package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

func TestAStatusFitsIntoAFrameHoweverManyTopicsThereAre(t *testing.T) {
	s := Status{Process: "core", Durable: map[quote.Topic]Durable{}, Topics: map[quote.Topic]TopicInfo{}}
	for i := range 30_000 {
		name := quote.Topic(fmt.Sprintf("quotes.SYMBOL%05d", i))
		s.Durable[name] = Durable{Epoch: 1795419376123, Both: 1 << 40, One: 1 << 40}
		s.Topics[name] = TopicInfo{Epoch: 1795419376123, First: 1 << 40, Next: 1 << 40, Bytes: 1 << 20}
		s.Subscribers = append(s.Subscribers, SubscriberStatus{Addr: "127.0.0.1:40000", Topics: 1, Lag: 1 << 20})
	}
	f := s.Frame()
	require.Less(t, len(f.Append(nil)), DefaultMaxLine)
	require.Greater(t, len(f.Payload), statusBytes/2, "no more is left out than must be")
	var got Status
	require.NoError(t, f.Decode(&got))
	require.Equal(t, 90_000, len(got.Durable)+len(got.Topics)+len(got.Subscribers)+got.Omitted)
	require.Contains(t, got.Durable, quote.Topic("quotes.SYMBOL00000"), "the first by name")
	require.Contains(t, got.Topics, quote.Topic("quotes.SYMBOL00001"))
	require.Len(t, s.Durable, 30_000, "what was given stays as it is")

	one := Status{Process: "broker", Topics: map[quote.Topic]TopicInfo{"quotes.A": {}}}
	f = one.Frame()
	got = Status{}
	require.NoError(t, f.Decode(&got))
	require.Equal(t, one, got)
}

// An answer that is longer than a line would end the client's session, with all that it has under way.
func TestAnAnswerLongerThanALineIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			if f.Type == "LONG" {
				c.Queue(f, Frame{Type: "X", Payload: []byte(`"` + strings.Repeat("x", DefaultMaxLine) + `"`)})
				return
			}
			pong(c, f)
		}})
		p := r.connect()
		p.say(`{"type":"LONG","id":7}` + "\n")
		require.EqualValues(t, 7, p.refused(TooLarge).ID)
		p.alive()
	})
}

// What a parser keeps of a connection is bounded, whatever topics are named.
func TestAParserKeepsNoLongNames(t *testing.T) {
	var p parser
	for i := range 100 {
		for _, size := range []int{keptName, 100_000} {
			name := fmt.Sprintf("quotes.%0*d", size-7, i)
			line := fmt.Appendf(nil, `{"type":"PUBLISH","topic":%q,"epoch":1,"seq":%d,"prev":1,"payload":1}`, name, i+1)
			for range 3 { // the third time its head is known
				var f Frame
				require.NoError(t, p.parse(line, &f))
				require.Equal(t, name, f.Topic)
				require.EqualValues(t, i+1, f.Seq)
			}
		}
	}
	kept := len(p.topic) + len(p.head)
	for name := range p.topics {
		kept += len(name)
	}
	require.Less(t, kept, 110*keptName+len(p.head))
	require.Less(t, len(p.head), 2*keptName)
}

// Where a part of an answer is refused, who sends it is told, and the answer ends with that.
func TestARefusedPartEndsItsAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			if f.Type == "PING" {
				pong(c, f)
				return
			}
			c.Answer(f, func(context.Context) (Frame, error) {
				err := c.Reply(f, Frame{Type: "X", More: true, Payload: []byte(`"` + strings.Repeat("x", DefaultMaxLine) + `"`)})
				return Frame{Type: "X"}, err
			})
		}})
		p := r.connect()
		p.say(`{"type":"LONG","id":7}` + "\n")
		require.EqualValues(t, 7, p.refused(TooLarge).ID)
		p.alive()
	})
}
