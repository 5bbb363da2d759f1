package fault_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"quotes/src/exchange/fault"
)

func unstable(t *testing.T) fault.Config {
	t.Helper()
	c, err := fault.Preset(fault.Unstable)
	require.NoError(t, err)
	return c
}

// trace is everything that a plan says about some sessions and requests.
func trace(p *fault.Plan) (out []any) {
	for session := range uint64(20) {
		for second := range uint64(300) {
			out = append(out, p.Session(session, second))
		}
		d, fails := p.Request(session)
		out = append(out, d, fails, p.Refused(session))
	}
	return out
}

func TestSameSeedSameFaults(t *testing.T) {
	c := unstable(t)
	first := trace(fault.NewPlan(c, 7))
	require.Equal(t, first, trace(fault.NewPlan(c, 7)))
	require.NotEqual(t, trace(fault.NewPlan(c, 7)), trace(fault.NewPlan(c, 8)))
}

func TestFaultsComeAsOftenAsAsked(t *testing.T) {
	p := fault.NewPlan(unstable(t), 1)
	const n = 100_000
	count := map[fault.Action]int{}
	failed, slow, refused := 0, 0, 0
	for i := range uint64(n) {
		count[p.Session(i, i%60)]++
		d, fails := p.Request(i)
		if fails {
			failed++
		}
		if d > 0 {
			slow++
		}
		if p.Refused(i) {
			refused++
		}
	}
	require.InDelta(t, 0.02*n, count[fault.CutSession]+count[fault.HangSession]+count[fault.SendGarbage], 0.002*n)
	require.InDelta(t, 0.05*n, count[fault.DelaySession], 0.004*n)
	require.InDelta(t, 0.02*n, failed, 0.002*n)
	require.InDelta(t, 0.05*n, slow, 0.004*n)
	require.Zero(t, refused, "outages apart, every connection is taken")
}

func TestTheLastSecondsOfEachMinuteAreAnOutage(t *testing.T) {
	p := fault.NewPlan(unstable(t), 1)
	from, to, ok := p.NextOutage(70 * time.Second)
	require.True(t, ok)
	require.Equal(t, []time.Duration{112 * time.Second, 2 * time.Minute}, []time.Duration{from, to})
	for at, want := range map[time.Duration]bool{0: false, 51 * time.Second: false, 52 * time.Second: true, 59 * time.Second: true, 60 * time.Second: false, 115 * time.Second: true} {
		require.Equal(t, want, p.Outage(at), "%v", at)
	}
	calm, err := fault.Preset(fault.Calm)
	require.NoError(t, err)
	for _, x := range trace(fault.NewPlan(calm, 1)) {
		require.Zero(t, x)
	}
	_, _, ok = fault.NewPlan(calm, 1).NextOutage(0)
	require.False(t, ok)
}

func TestFlagsOverrideThePreset(t *testing.T) {
	for args, want := range map[string]func(*fault.Config){
		"":                            func(*fault.Config) {},
		"--cut=0":                     func(c *fault.Config) { c.Cut = 0 },
		"--outage-for=1s --error=0.5": func(c *fault.Config) { c.OutageFor, c.Error = time.Second, 0.5 },
	} {
		var f fault.Flags
		fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
		f.Bind(fs)
		require.NoError(t, fs.Parse(strings.Fields(args)))
		c, err := f.Config()
		require.NoError(t, err)
		expect := unstable(t)
		want(&expect)
		require.Equal(t, expect, c, args)
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for args, want := range map[string]string{"--chaos=wild": "wild", "--cut=2": "cut", "--hang=-1": "hang", "--outage-for=2m": "outage-for", "--hang=NaN": "hang", "--hang-for=-1s": "hang-for", "--cut=0.6 --hang=0.6": "together"} {
		var f fault.Flags
		fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
		f.Bind(fs)
		require.NoError(t, fs.Parse(strings.Fields(args)))
		_, err := f.Config()
		require.ErrorContains(t, err, want)
	}
}
