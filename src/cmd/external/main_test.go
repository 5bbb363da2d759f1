package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the command.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_EXTERNAL") != "" {
		main()
	}
	os.Exit(m.Run())
}

// execute runs the command to its end and returns its exit code and what stderr has beside log lines.
func execute(t *testing.T, args ...string) (code int, errors []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append(args, "--listen=127.0.0.1:0", "--admin=127.0.0.1:0")
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TEST_AS_EXTERNAL=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	_ = cmd.Run()
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, "time=") {
			errors = append(errors, strings.TrimSpace(line))
		}
	}
	return cmd.ProcessState.ExitCode(), errors
}

func TestACaptureThatCannotBePlayedIsOneLineAndExitCode1(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "is a directory",
		file("text", "hello\n"):    "line 1",
		file("nothing", ""):        "line 1 is empty",
		file("kraken", "wss://ws.kraken.com <-> 1.5\n"):                                "kraken",
		file("empty", "wss://ws-feed.pro.coinbase.com <-> 1.5\n\n\n"):                  "no quote",
		file("garbage", "wss://ws-feed.pro.coinbase.com <-> 1.5\n"+"\x00\x01 }{\n1: "): "no quote",
	} {
		code, errors := execute(t, "replay", "--chaos=calm", "--file", path)
		require.Equal(t, 1, code, path)
		require.Len(t, errors, 1)
		require.Contains(t, errors[0], want)
		require.Contains(t, errors[0], path)
	}
	code, errors := execute(t, "replay")
	require.Equal(t, 1, code)
	require.Equal(t, []string{"external: no capture to replay: say --file FILE"}, errors)
}

func TestWrongMarketsAndFaultsAreNamed(t *testing.T) {
	for arg, want := range map[string]string{
		"--symbols=a b": "bad symbol", "--rate=1000000": "at most 100000", "--rate=-1": "above 0", "--chaos=wild": "wild", "--cut=2": "cut",
	} {
		code, errors := execute(t, arg)
		require.Equal(t, 1, code, arg)
		require.Len(t, errors, 1)
		require.Contains(t, errors[0], want)
	}
}
