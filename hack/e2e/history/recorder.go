package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// DefaultMost bounds a Recorder that is given no bound: half an hour of a calm market's probes.
const DefaultMost = 500_000

// ErrFull says that more events came than the recorder takes: what it holds is not the whole truth any more.
var ErrFull = errors.New("history is full")

// Recorder keeps events. Its methods may be called from any goroutine.
type Recorder struct {
	out  io.Writer
	most int

	mu     sync.Mutex
	events []Event
	err    error
}

// NewRecorder returns a Recorder that also writes each event to out as a line, where out is not nil. It takes at most so
// many events; DefaultMost where 0.
func NewRecorder(out io.Writer, most int) *Recorder {
	if most == 0 {
		most = DefaultMost
	}
	return &Recorder{out: out, most: most}
}

// Add appends an event.
func (r *Recorder) Add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) >= r.most {
		r.fail(fmt.Errorf("%w: more than %d events", ErrFull, r.most))
		return
	}
	r.events = append(r.events, e)
	if r.out == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if err != nil {
		r.fail(fmt.Errorf("write history: %w", err))
	}
}

// fail keeps the first error.
func (r *Recorder) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Err returns what went wrong first: the bound reached, or a failed write.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Events returns what is known now, in the order of Add.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Read reads what a Recorder wrote.
func Read(in io.Reader) ([]Event, error) {
	var out []Event
	for d := json.NewDecoder(in); ; {
		var e Event
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, fmt.Errorf("read history behind event %d: %w", len(out), err)
		}
		out = append(out, e)
	}
}
