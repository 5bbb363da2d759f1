package fault

import (
	"fmt"

	"github.com/spf13/pflag"
)

// Flags are a preset and what was said beside it.
type Flags struct {
	chaos string
	set   *pflag.FlagSet
	own   Config
}

// Bind adds the flags, with unstable as the preset.
func (f *Flags) Bind(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVar(&f.chaos, "chaos", Unstable, Unstable+" or "+Calm+"; the flags below override it")
	preset, _ := Preset(Unstable) // which exists
	defaults := preset.fields()
	for i, p := range f.own.fields() {
		if p.share != nil {
			fs.Float64Var(p.share, p.name, 0, fmt.Sprintf("probability, 0 to 1, %s (%s: %v)", p.usage, Unstable, *defaults[i].share))
		} else {
			fs.DurationVar(p.length, p.name, 0, fmt.Sprintf("%s (%s: %v)", p.usage, Unstable, *defaults[i].length))
		}
	}
}

// Config returns the preset with what the flags say otherwise.
func (f *Flags) Config() (Config, error) {
	c, err := Preset(f.chaos)
	if err != nil {
		return c, err
	}
	own := f.own.fields()
	for i, p := range c.fields() {
		switch {
		case !f.set.Changed(p.name):
		case p.share != nil:
			*p.share = *own[i].share
		default:
			*p.length = *own[i].length
		}
	}
	return c, c.Check()
}
