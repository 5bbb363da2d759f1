package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// curve is what the rows named curve-WHAT-SIZE say: a cost against a size.
type curve struct {
	what, unit string
	points     []point
}

// point is one row of a curve; theirs is 0 where no peer was measured.
type point struct{ size, ours, theirs float64 }

// curves gathers the curves among the rows, in the order of their first rows, each by size.
func curves(rows []row) (out []*curve) {
	for _, r := range rows {
		rest, ok := strings.CutPrefix(r.Name, "curve-")
		dash := strings.LastIndexByte(rest, '-')
		if !ok || dash < 0 {
			continue
		}
		size, err := strconv.ParseFloat(rest[dash+1:], 64)
		if err != nil || size <= 0 || r.Ours <= 0 {
			continue
		}
		at := slices.IndexFunc(out, func(c *curve) bool { return c.what == rest[:dash] })
		if at < 0 {
			at = len(out)
			out = append(out, &curve{what: rest[:dash], unit: r.Unit})
		}
		p := point{size: size, ours: r.Ours}
		if r.Theirs != nil {
			p.theirs = *r.Theirs
		}
		out[at].points = append(out[at].points, p)
	}
	for _, c := range out {
		slices.SortFunc(c.points, func(a, b point) int { return int(a.size - b.size) })
	}
	return out
}

// knee says from which size on the cost is more than twice that of the smallest.
func (c *curve) knee() string {
	for _, p := range c.points {
		if p.ours > 2*c.points[0].ours {
			return fmt.Sprintf("more than twice that of the smallest from %g on", p.size)
		}
	}
	return "never twice that of the smallest"
}

// Sizes of a drawing, in its own units.
const (
	width, height               = 560, 300
	left, right, top, bottom    = 70, 20, 30, 45
	plotWidth, plotHeight       = width - left - right, height - top - bottom
	oursInk, theirsInk, lineInk = "#1f77b4", "#d62728", "#888888"
)

// draw writes the curve as SVG, both axes logarithmic.
func (c *curve) draw(bench string) []byte {
	lowX, highX := math.Log10(c.points[0].size), math.Log10(c.points[len(c.points)-1].size)
	lowY, highY := math.Inf(1), math.Inf(-1)
	for _, p := range c.points {
		for _, v := range []float64{p.ours, p.theirs} {
			if v > 0 {
				lowY, highY = min(lowY, math.Floor(math.Log10(v))), max(highY, math.Ceil(math.Log10(v)))
			}
		}
	}
	highX, highY = max(highX, lowX+1e-9), max(highY, lowY+1)
	x := func(v float64) float64 { return left + plotWidth*(math.Log10(v)-lowX)/(highX-lowX) }
	y := func(v float64) float64 { return top + plotHeight*(highY-math.Log10(v))/(highY-lowY) }

	var b bytes.Buffer
	text := func(atX, atY float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="12" fill="%s">%s</text>`+"\n", atX, atY, anchor, lineInk, s)
	}
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.4"/>`+"\n", x1, y1, x2, y2, lineInk)
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" role="img" aria-label="%s: %s against %s">`+"\n",
		width, height, bench, c.unit, c.what)
	text(left, 18, "start", fmt.Sprintf("bench-%s: %s against %s", bench, c.unit, c.what))
	for e := lowY; e <= highY; e++ {
		v := math.Pow(10, e)
		line(left, y(v), width-right, y(v))
		text(left-6, y(v)+4, "end", fmt.Sprintf("%g", v))
	}
	for _, p := range c.points {
		line(x(p.size), top, x(p.size), height-bottom)
		text(x(p.size), height-bottom+16, "middle", fmt.Sprintf("%g", p.size))
	}
	c.line(&b, oursInk, func(p point) (float64, float64) { return x(p.size), y(p.ours) }, func(p point) bool { return true })
	c.line(&b, theirsInk, func(p point) (float64, float64) { return x(p.size), y(p.theirs) }, func(p point) bool { return p.theirs > 0 })
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// line draws one side's points and what joins them.
func (c *curve) line(b *bytes.Buffer, ink string, at func(point) (float64, float64), has func(point) bool) {
	var joined strings.Builder
	for _, p := range c.points {
		if has(p) {
			px, py := at(p)
			fmt.Fprintf(&joined, "%.1f,%.1f ", px, py)
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px, py, ink)
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.TrimSpace(joined.String()), ink)
}

// plot writes the benchmark's curves beside the document, and into it where they are.
func plot(out *bytes.Buffer, folder, bench string, rows []row) error {
	for _, c := range curves(rows) {
		if len(c.points) < 2 {
			continue
		}
		name := fmt.Sprintf("bench-%s-%s.svg", bench, c.what)
		if err := os.WriteFile(filepath.Join(folder, name), c.draw(bench), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "\n![%s against %s](%s)\n\n%s against %s: %s.\n", c.unit, c.what, name, c.unit, c.what, c.knee())
	}
	return nil
}
