package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/wire"
)

// evil tries to clear the screen, to colour, to turn text around, and with single bytes that old terminals obey.
const evil = "a\x1b[2J\u009b31m\u202eb\rc\x07\x9bd"

func TestNothingFromTheNetworkMovesATerminal(t *testing.T) {
	require.Equal(t, "a?[2J?31m?b?c??d", clean(evil))
	name, err := json.Marshal(evil)
	require.NoError(t, err)
	// The encoder escapes little of it: what stands raw in JSON must be caught too.
	raw := `{"symbol":"PETR4","price":"1","quality":{"state":` + string(name) + `,"reason":"` + "\u009b\u202e\x7f" + `"}}`
	for _, format := range []string{"table", "wide", "json", "ndjson"} {
		for _, payload := range []string{raw, `ERROR {"code":"internal","message":` + string(name) + `}`} {
			s := newSession(t, nil, answers(t, map[string][]string{wire.TypeReqQuote: {payload}}))
			s.cfg.Terminal = true
			s.run(t, "get PETR4 --no-color -o "+format)
			for _, r := range s.out.String() + s.err.String() {
				require.False(t, r != '\n' && harmful(r), "%U in %s of %s", r, format, payload)
			}
		}
	}
}

func TestNothingFromTheNetworkMovesATerminalInCSV(t *testing.T) {
	name, err := json.Marshal(evil)
	require.NoError(t, err)
	s := newSession(t, nil, answers(t, map[string][]string{wire.TypeReqHist: {
		`{"records":[{"topic":"trades.PETR4","epoch":1,"seq":1,"payload":{"id":` + string(name) + `,"symbol":"PETR4"}}],"more":false,"coverage":1}`,
	}}))
	s.cfg.Terminal = true
	require.Equal(t, ExitOK, s.run(t, "history PETR4 -o csv"), s.err.String())
	require.Contains(t, s.out.String(), "trades.PETR4,1,1,")
	for _, r := range s.out.String() {
		require.False(t, r != '\n' && harmful(r), "%U in %s", r, s.out.String())
	}
}

func TestJSONOffATerminalIsAsItCame(t *testing.T) {
	raw := `{"symbol":"PETR4","price":"1","quality":{"state":"live"},"x":"` + "\u202e" + `"}`
	s := newSession(t, nil, answers(t, map[string][]string{wire.TypeReqQuote: {raw}}))
	require.Equal(t, ExitOK, s.run(t, "get PETR4 -o ndjson"))
	require.Equal(t, raw+"\n", s.out.String())
}

func TestColourOnlyWhereItIsWelcome(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		line     string
		env      map[string]string
		want     bool
	}{
		{"on a terminal", true, "get PETR4", nil, true},
		{"in a pipe", false, "get PETR4", nil, false},
		{"with NO_COLOR", true, "get PETR4", map[string]string{"NO_COLOR": "1"}, false},
		{"with an empty NO_COLOR", true, "get PETR4", map[string]string{"NO_COLOR": ""}, true},
		{"on a dumb terminal", true, "get PETR4", map[string]string{"TERM": "dumb"}, false},
		{"with --no-color", true, "get PETR4 --no-color", nil, false},
		{"with QUOTES_NO_COLOR", true, "get PETR4", map[string]string{"QUOTES_NO_COLOR": "true"}, false},
		{"in JSON", true, "get PETR4 -o json", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(t, nil, answers(t, map[string][]string{wire.TypeReqQuote: {petr4}}))
			s.cfg.Terminal = tt.terminal
			maps.Copy(s.env, tt.env)
			require.Equal(t, ExitOK, s.run(t, tt.line))
			require.Equal(t, tt.want, bytes.ContainsRune([]byte(s.out.String()), '\x1b'))
			if tt.want {
				require.Contains(t, s.out.String(), "\x1b[32mlive\x1b[0m")
			}
		})
	}
}

func TestCoverageIsNeverRoundedUpToOne(t *testing.T) {
	require.Equal(t, "0.9999", share(0.99999999))
	require.Equal(t, "0.6666", share(2.0/3))
	require.Equal(t, "1", share(1))
}

func FuzzCleanJSONKeepsTheMeaning(f *testing.F) {
	f.Add("plain")
	f.Add(evil)
	f.Add("\U000e0041\u2028\ufffd\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		require.NoError(t, enc.Encode(s))
		cleaned := cleanJSON(b.Bytes())
		for _, r := range string(cleaned) {
			require.False(t, harmfulInJSON(r), "%U", r)
		}
		var before, after string
		require.NoError(t, json.Unmarshal(b.Bytes(), &before))
		require.NoError(t, json.Unmarshal(cleaned, &after))
		require.Equal(t, before, after)
	})
}
