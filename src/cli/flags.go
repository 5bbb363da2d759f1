package cli

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"quotes/src/quote"
)

// usageTemplate is cobra's with the examples first.
const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND

Commands:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}

Flags fall back to QUOTES_<FLAG>, such as QUOTES_BROKER. Exit codes: 0 ok, 1 error, 2 usage, 3 partial, 4 stale.{{if .HasAvailableSubCommands}}
More on one: {{.CommandPath}} COMMAND --help{{end}}
`

// fromEnv sets each flag that was not given from QUOTES_<FLAG>.
func fromEnv(fs *pflag.FlagSet, getenv func(string) string) error {
	var err error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || err != nil {
			return
		}
		name := "QUOTES_" + upper(strings.ReplaceAll(f.Name, "-", "_"))
		if v := getenv(name); v != "" {
			if e := fs.Set(f.Name, v); e != nil {
				err = usagef("%s=%q: %w", name, v, e)
			}
		}
	})
	return err
}

func upper(s string) string { return strings.ToUpper(s) }

// moment is a flag that takes a time, or a duration that means so long ago.
type moment struct{ at quote.Time }

// String returns the time, or "" where none was given.
func (m *moment) String() string { return m.at.String() }

// Type names the value in help texts.
func (m *moment) Type() string { return "TIME" }

// Set reads RFC 3339 or a duration such as 15m.
func (m *moment) Set(s string) error {
	if d, err := time.ParseDuration(s); err == nil {
		m.at = quote.TimeOf(time.Now().Add(-d.Abs()))
		return nil
	}
	at, err := quote.ParseTime(s)
	if err != nil {
		return usagef("%w, or how long ago such as 15m", err)
	}
	m.at = at
	return nil
}
