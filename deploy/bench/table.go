package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A line is one measure against one bar. A value of 0 was not measured.
type line struct {
	measure                    string
	unit                       string
	winnow, distribution, bare float64
	compared                   string  // with what, "" where the bar is absolute
	ratio                      float64 // or the value itself
	bar                        float64 // the ratio may not exceed it
}

func (l line) holds() string {
	if l.ratio <= l.bar {
		return "yes"
	}
	return "NO"
}

type table []line

func (t *table) add(l line) { *t = append(*t, l) }

func (t table) print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "measure\twinnow\tdistribution\tbare\tratio\tbar\tholds")
	for _, l := range t {
		name, ratio, bar := l.measure+", "+l.unit, number(l.ratio), number(l.bar)
		if l.compared != "" {
			ratio, bar = ratio+" x "+l.compared, bar+" x"
		}
		row := []string{name, number(l.winnow), number(l.distribution), number(l.bare), ratio, "<= " + bar, l.holds()}
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	_ = out.Flush() // the terminal is gone; nobody is left to be told
}

// number writes three significant digits.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// median of values, of which there is at least one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratios divides round by round.
func ratios(of, by []float64) []float64 {
	out := make([]float64, len(of))
	for i := range of {
		out[i] = of[i] / by[i]
	}
	return out
}
