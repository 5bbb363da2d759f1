package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The formats of data.
const (
	formatTable  = "table"
	formatWide   = "wide"
	formatJSON   = "json"
	formatNDJSON = "ndjson"
)

func formats() []string { return []string{formatTable, formatWide, formatJSON, formatNDJSON} }

// errOutput says that it is the output that fails, and nobody else's connection.
var errOutput = errors.New("write the output")

// printer writes data in one of the formats.
type printer struct {
	w        io.Writer
	format   string
	terminal bool
	colour   bool
}

// newPrinter makes the printer of a command that knows further formats than all commands do.
func newPrinter(a *app, further ...string) (printer, error) {
	if all := append(formats(), further...); !slices.Contains(all, a.output) {
		return printer{}, usagef("-o %q: want %s", a.output, strings.Join(all, ", "))
	}
	plain := a.noColor || a.cfg.Getenv("NO_COLOR") != "" || a.cfg.Getenv("TERM") == "dumb"
	return printer{w: a.cfg.Out, format: a.output, terminal: a.cfg.Terminal, colour: a.cfg.Terminal && !plain}, nil
}

// tabular reports whether people read the output.
func (p *printer) tabular() bool { return p.format == formatTable || p.format == formatWide }

func (p *printer) wide() bool { return p.format == formatWide }

// linef writes one line as it is; what came from the network must have been cleaned.
func (p *printer) linef(format string, args ...any) error {
	return p.write(fmt.Appendf(nil, format+"\n", args...))
}

// json writes one JSON value: on a line of its own in ndjson, indented otherwise.
func (p *printer) json(raw []byte) error {
	var b bytes.Buffer
	var err error
	if p.format == formatNDJSON {
		err = json.Compact(&b, raw)
	} else {
		err = json.Indent(&b, bytes.TrimSpace(raw), "", "  ")
	}
	if err != nil {
		return fmt.Errorf("answer is no JSON: %w", err)
	}
	b.WriteByte('\n')
	if p.terminal {
		return p.write(cleanJSON(b.Bytes()))
	}
	return p.write(b.Bytes())
}

// items writes an answer that is either one object or several: in ndjson a line each, else the object or an array.
func (p *printer) items(all []json.RawMessage, one bool) error {
	if p.format == formatNDJSON || one {
		for _, raw := range all {
			if err := p.json(raw); err != nil {
				return err
			}
		}
		return nil
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("answer is no JSON: %w", err)
	}
	return p.json(raw)
}

func (p *printer) write(b []byte) error {
	if _, err := p.w.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
