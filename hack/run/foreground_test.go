package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// foreground runs a rig's processes and returns when all are ready.
func foreground(t *testing.T, r *runner) (stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- r.foreground(ctx) }()
	for _, p := range r.all {
		require.Eventually(t, func() bool { return notReady(t.Context(), p.admin) == "" }, time.Minute, 10*time.Millisecond)
	}
	return cancel, done
}

func TestForegroundEndsAllInOrder(t *testing.T) {
	r, out := rig(t, good, good, good)
	stop, ended := foreground(t, r)
	stop()
	require.NoError(t, <-ended)
	requireGone(t, r)
	var leaving []string
	for line := range strings.Lines(out.String()) {
		if name, found := strings.CutSuffix(line, " | leaving\n"); found {
			leaving = append(leaving, strings.TrimSpace(name))
		}
	}
	require.Equal(t, []string{"p2", "p1", "p0"}, leaving)
	require.Contains(t, out.String(), "p1         | line 7 of good\n")
	require.Contains(t, out.String(), "p2, p1, p0 ended\n")
}

func TestForegroundEndsAllWhenOneEnds(t *testing.T) {
	r, _ := rig(t, good, short, good)
	_, ended := foreground(t, r)
	resp, err := http.Get("http://" + r.all[1].admin + "/end")
	if err == nil { // it may be gone before it has answered
		require.NoError(t, resp.Body.Close())
	}
	require.ErrorContains(t, <-ended, "p1 has ended by itself")
	requireGone(t, r)
}

func TestForegroundIsEndedByDown(t *testing.T) {
	r, _ := rig(t, good, good)
	_, ended := foreground(t, r)
	require.NoError(t, r.down())
	require.ErrorContains(t, <-ended, "has ended")
	requireGone(t, r)
}

func TestForegroundBesideBackground(t *testing.T) {
	r, _ := rig(t, good, good)
	require.NoError(t, r.up(t.Context()))
	require.EqualError(t, r.foreground(t.Context()), "p0, p1 run already: make stop-all ends them")
	pidOf(t, r, r.all[0])
}

func TestConsoleShowsWholeLines(t *testing.T) {
	var out bytes.Buffer
	c := &console{w: &out}
	a, b := c.column("a"), c.column("shard-0")
	for _, write := range []struct {
		to   *column
		text string
	}{{a, "one\ntw"}, {b, "three\n\n"}, {a, "o\nrest"}} {
		n, err := write.to.Write([]byte(write.text))
		require.NoError(t, err)
		require.Equal(t, len(write.text), n)
	}
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	require.Equal(t, "a          | one\nshard-0    | three\nshard-0    | \na          | two\na          | rest\n", out.String())
}

func TestConsoleShowsALineWithoutEndInPieces(t *testing.T) {
	var out bytes.Buffer
	col := (&console{w: &out}).column("a")
	for range 10 {
		_, err := col.Write(bytes.Repeat([]byte("x"), maxLine/2))
		require.NoError(t, err)
		require.Less(t, len(col.rest), maxLine)
	}
	require.NoError(t, col.Close())
	require.Equal(t, 5*maxLine, strings.Count(out.String(), "x"))
}
