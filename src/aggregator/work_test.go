package aggregator

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/wire"
)

// What clients do not read, and what they ask for at the same time, is bounded over all of them.
func TestUnreadAnswersAndQuestionsInWorkAreBounded(t *testing.T) {
	w := &web{waiting: newUnread(), zips: newZips()}
	r := httptest.NewRequest("GET", "/", nil)
	var held []func()
	for range unreadBytes / answerBytes {
		done, ok := w.unread(httptest.NewRecorder(), answerBytes)
		require.True(t, ok)
		held = append(held, done)
	}
	refused := httptest.NewRecorder()
	w.send(refused, r, 200, make([]byte, answerBytes), fresh)
	require.Equal(t, 503, refused.Code)
	require.Equal(t, "1", refused.Header().Get("Retry-After"))
	small := httptest.NewRecorder()
	w.send(small, r, 200, []byte("{}"), fresh)
	require.Equal(t, 200, small.Code, "small ones always go out")
	held[0]()
	again := httptest.NewRecorder()
	w.send(again, r, 200, make([]byte, answerBytes), fresh)
	require.Equal(t, 200, again.Code)

	a := &Aggregator{working: newWork()}
	done, err := a.work(t.Context(), workRecords)
	require.NoError(t, err)
	_, err = a.work(wire.GivenUp(), 1)
	require.Equal(t, wire.DeadlineExceeded, wire.CodeOf(err))
	done()
	_, err = a.work(context.Background(), 1)
	require.NoError(t, err)
}
