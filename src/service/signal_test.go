package service

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// modeVariable makes the test binary the process under test.
const modeVariable = "SERVICE_TEST_MODE"

// TestProcess is the process that the tests below send signals to.
func TestProcess(t *testing.T) {
	mode := os.Getenv(modeVariable)
	if mode == "" {
		t.Skip("a process of the tests below")
	}
	os.Args = []string{"p", "--admin=127.0.0.1:0"}
	os.Exit(Main(Spec{Name: "p", Run: func(ctx context.Context, _ *Env) error {
		fmt.Println("up")
		<-ctx.Done()
		if mode == "hang" {
			select {}
		}
		return nil
	}}))
}

// spawn starts the process and returns it when it is up, and its end.
func spawn(t *testing.T, mode string) (*exec.Cmd, <-chan error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), modeVariable+"="+mode)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return cmd, done
}

func TestSignalEndsTheProcessCleanly(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, done := spawn(t, "clean")
		require.NoError(t, cmd.Process.Signal(sig))
		require.NoError(t, <-done, "%v", sig)
	}
}

func TestSecondSignalEndsAProcessThatHangs(t *testing.T) {
	cmd, done := spawn(t, "hang")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-again.C: // the first may be in work still
			_ = cmd.Process.Signal(syscall.SIGTERM)
		case err := <-done:
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
			return
		}
	}
}
