package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUpAndDownTwiceInARow(t *testing.T) {
	r, out := rig(t, good, good, good)
	for range 2 {
		require.NoError(t, r.up(t.Context()))
		for _, p := range r.all {
			require.Empty(t, notReady(t.Context(), p.admin), "up returns when all are ready")
			pidOf(t, r, p)
		}
		require.NoError(t, r.down())
		requireGone(t, r)
	}
	require.Contains(t, out.String(), "p0, p1, p2 started and ready\np2, p1, p0 ended\n")
}

func TestUpOutlivesItsSession(t *testing.T) {
	r, _ := rig(t, good)
	require.NoError(t, r.up(t.Context()))
	pid := pidOf(t, r, r.all[0])
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	require.Equal(t, pid, group, "signals of the terminal do not reach it")
}

func TestUpWhereAllRunAlready(t *testing.T) {
	r, _ := rig(t, good, good)
	require.NoError(t, r.up(t.Context()))
	before := pidOf(t, r, r.all[0])
	require.ErrorContains(t, r.up(t.Context()), "make stop-all ends them")
	require.Equal(t, before, pidOf(t, r, r.all[0]))
}

func TestUpAfterAKillStartsWhatIsMissing(t *testing.T) {
	r, out := rig(t, good, good, good)
	require.NoError(t, r.up(t.Context()))
	first, second := pidOf(t, r, r.all[0]), pidOf(t, r, r.all[1])
	require.NoError(t, syscall.Kill(second, syscall.SIGKILL))
	require.Eventually(t, func() bool { running, err := alive(r.pidFile(r.all[1])); return err == nil && !running }, time.Minute, time.Millisecond)
	require.NoError(t, r.up(t.Context()))
	require.Equal(t, first, pidOf(t, r, r.all[0]))
	require.NotEqual(t, second, pidOf(t, r, r.all[1]))
	require.Contains(t, out.String(), "p0, p2 ran already, as started then\np1 started and ready\n")
}

func TestDownAfterAKill(t *testing.T) {
	r, out := rig(t, good, good)
	require.NoError(t, r.up(t.Context()))
	require.NoError(t, syscall.Kill(pidOf(t, r, r.all[0]), syscall.SIGKILL))
	require.Eventually(t, func() bool { running, err := alive(r.pidFile(r.all[0])); return err == nil && !running }, time.Minute, time.Millisecond)
	require.NoError(t, r.down())
	requireGone(t, r)
	require.Contains(t, out.String(), "\np1 ended\n")
}

func TestUpNamesAPortInUse(t *testing.T) {
	for _, which := range []string{"data", "admin"} {
		t.Run(which, func(t *testing.T) {
			r, _ := rig(t, good, good)
			addr := map[string]string{"data": r.all[1].data, "admin": r.all[1].admin}[which]
			ln, err := net.Listen("tcp", addr)
			require.NoError(t, err)
			err = r.up(t.Context())
			require.ErrorContains(t, err, addr+", which p1 needs, is in use")
			require.NotContains(t, err.Error(), "\n")
			require.NoError(t, ln.Close())
			requireGone(t, r)
		})
	}
}

func TestUpWithOneThatFailsLeavesNothing(t *testing.T) {
	for mode, want := range map[string][]string{
		dying: {"p0 has ended: exit status 3", "\n  line 19 of dying\n  no such file: x.capture"},
		sick:  {"p0 is not ready after 2s: 503 Service Unavailable: no epoch yet", "\n  line 19 of sick"},
	} {
		t.Run(mode, func(t *testing.T) {
			r, _ := rig(t, mode, good, good)
			r.readyWait = 2 * time.Second
			err := r.up(t.Context())
			for _, s := range want {
				require.ErrorContains(t, err, s)
			}
			require.NotContains(t, err.Error(), "line 5 of", "only the end of the log")
			requireGone(t, r)
		})
	}
}

func TestUpWithoutExecutableLeavesNothing(t *testing.T) {
	r, _ := rig(t, good, good)
	r.all[1].exe = "/nowhere/p1"
	require.ErrorContains(t, r.up(t.Context()), "start p1: fork/exec /nowhere/p1")
	requireGone(t, r)
}

func TestUpThatFailsKeepsWhatRanBefore(t *testing.T) {
	r, _ := rig(t, good, dying)
	both := r.all
	r.all = both[:1]
	require.NoError(t, r.up(t.Context()))
	before := pidOf(t, r, both[0])
	r.all = both
	require.ErrorContains(t, r.up(t.Context()), "p1 has ended")
	require.Equal(t, before, pidOf(t, r, both[0]))
}

func TestUpInterrupted(t *testing.T) {
	r, _ := rig(t, good, sick)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- r.up(ctx) }()
	require.Eventually(t, func() bool { running, err := alive(r.pidFile(r.all[1])); return err == nil && running }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorContains(t, <-failed, "interrupted")
	requireGone(t, r)
}

func TestDownWhereNothingRuns(t *testing.T) {
	r, out := rig(t, good)
	require.NoError(t, r.down())
	require.Equal(t, "nothing was running\n", out.String())
}

func TestDownKillsTheStubborn(t *testing.T) {
	r, out := rig(t, good, stubborn)
	require.NoError(t, r.up(t.Context()))
	r.leaveWait = time.Second
	require.NoError(t, r.down())
	requireGone(t, r)
	require.Contains(t, out.String(), "p1 did not leave within 1s and was killed\n")
}

func TestDownSparesARecycledPid(t *testing.T) {
	r, out := rig(t, good)
	stranger := exec.Command("sleep", "600")
	require.NoError(t, stranger.Start())
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	require.NoError(t, os.MkdirAll(r.dir, 0o755))
	require.NoError(t, os.WriteFile(r.pidFile(r.all[0]), []byte(strconv.Itoa(stranger.Process.Pid)+"\n"), 0o644))
	require.NoError(t, r.down())
	requireGone(t, r)
	require.Equal(t, "nothing was running\n", out.String())
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(stranger.Process.Pid, &status, syscall.WNOHANG, nil)
	require.NoError(t, err)
	require.Zero(t, pid, "the stranger lives")
}

func TestDownRefusesToGuessAPid(t *testing.T) {
	r, _ := rig(t, good, good)
	require.NoError(t, r.up(t.Context()))
	pid := pidOf(t, r, r.all[0])
	require.NoError(t, os.WriteFile(r.pidFile(r.all[0]), []byte("1\n"), 0o644))
	require.ErrorContains(t, r.down(), "is no pid, though a process holds the file")
	running, missing, err := r.look()
	require.NoError(t, err)
	require.Equal(t, []string{"p0", "p1"}, []string{names(running), names(missing)}, "the others were ended all the same")
	require.NoError(t, os.WriteFile(r.pidFile(r.all[0]), []byte(strconv.Itoa(pid)+"\n"), 0o644))
}

func TestOneProcessAPidFile(t *testing.T) {
	r, _ := rig(t, good)
	require.NoError(t, r.up(t.Context()))
	_, err := lockPid(r.pidFile(r.all[0]))
	require.ErrorContains(t, err, "it runs already")
}
