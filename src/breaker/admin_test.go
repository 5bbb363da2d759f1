package breaker_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

func TestAnOperatorListsAndOverrules(t *testing.T) {
	a, err := breaker.New(breaker.Config{Name: "exchange"})
	require.NoError(t, err)
	b, err := breaker.New(breaker.Config{Name: "shard-0"})
	require.NoError(t, err)
	mux := http.NewServeMux()
	breaker.Admin{a, b}.Handle(mux)
	do := func(method, path string) (int, string) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec.Code, rec.Body.String()
	}

	code, body := do("GET", "/breakers")
	require.Equal(t, http.StatusOK, code)
	var list []struct{ Name, State string }
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Equal(t, []struct{ Name, State string }{{"exchange", "closed"}, {"shard-0", "closed"}}, list)

	for _, step := range []struct {
		word string
		want breaker.State
	}{{"trip", breaker.ForcedOpen}, {"disable", breaker.Disabled}, {"reset", breaker.Closed}} {
		code, body = do("POST", "/-/breaker/shard-0/"+step.word)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, body, `"state":"`+step.want.String()+`"`, "the answer is the snapshot after it")
		require.Equal(t, step.want, b.State())
		require.Equal(t, breaker.Closed, a.State(), "the other one is left alone")
	}

	code, body = do("POST", "/-/breaker/nobody/trip")
	require.Equal(t, http.StatusNotFound, code)
	require.Contains(t, body, `there are ["exchange" "shard-0"]`)
	code, body = do("POST", "/-/breaker/exchange/explode")
	require.Equal(t, http.StatusNotFound, code)
	require.Contains(t, body, "want trip, disable or reset")
	code, _ = do("GET", "/-/breaker/exchange/trip")
	require.Equal(t, http.StatusMethodNotAllowed, code, "a GET changes nothing")
	require.Equal(t, breaker.Closed, a.State())
}
