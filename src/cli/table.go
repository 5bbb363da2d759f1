package cli

import (
	"strings"
	"unicode/utf8"
)

// style is how a cell stands out where colour is allowed; the text alone says the same.
type style string

const (
	normal style = ""
	good   style = "\x1b[32m"
	warn   style = "\x1b[33m"
	bad    style = "\x1b[31m"
	bold   style = "\x1b[1m"
)

// cell is one field of a row. An empty one is shown as "-".
type cell struct {
	text  string
	style style
}

// text returns a cell with what came from the network.
func text[S ~string](s S) cell { return cell{text: clean(string(s))} }

// column is a column of a table.
type column struct {
	name  string
	right bool // lined up to the right
	wide  bool // shown in the wide format only
	width int  // least width
	fixed bool // a longer text shifts its own row, not all that follow
}

// table lines up rows. It may be flushed after each row: widths then only grow.
type table struct {
	p       *printer
	columns []column
	rows    [][]cell
}

// newTable returns a table whose header is its first row.
func (p *printer) newTable(columns ...column) *table {
	t := &table{p: p, columns: columns}
	header := make([]cell, len(columns))
	for i, c := range columns {
		header[i] = cell{c.name, bold}
	}
	t.add(header...)
	return t
}

// add appends a row with a cell for each column, wide ones too.
func (t *table) add(row ...cell) {
	for i := range row {
		if row[i].text == "" {
			row[i].text = "-"
		}
		if c := &t.columns[i]; !c.fixed {
			c.width = max(c.width, utf8.RuneCountInString(row[i].text))
		}
	}
	t.rows = append(t.rows, row)
}

// flush writes the rows that were added since the last flush.
func (t *table) flush() error {
	var b strings.Builder
	for _, row := range t.rows {
		t.line(&b, row)
	}
	t.rows = t.rows[:0]
	return t.p.write([]byte(b.String()))
}

func (t *table) line(b *strings.Builder, row []cell) {
	const gap = "  "
	pending := "" // blanks are written only when text follows
	for i, c := range t.columns {
		if c.wide && !t.p.wide() {
			continue
		}
		pad := strings.Repeat(" ", max(c.width-utf8.RuneCountInString(row[i].text), 0))
		b.WriteString(pending)
		if c.right {
			b.WriteString(pad)
			pad = ""
		}
		if t.p.colour && row[i].style != normal {
			b.WriteString(string(row[i].style) + row[i].text + "\x1b[0m")
		} else {
			b.WriteString(row[i].text)
		}
		pending = pad + gap
	}
	b.WriteByte('\n')
}
