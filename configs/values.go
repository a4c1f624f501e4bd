package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration is written with units: 60s, 1h30m, 7d. It is never negative.
type Duration time.Duration

// day is the unit that time.ParseDuration does not know.
const day = 24 * time.Hour

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	var whole time.Duration
	rest := s
	if days, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errDuration(s)
		}
		whole, rest = time.Duration(n)*day, after
	}
	if rest != "" {
		t, err := time.ParseDuration(rest)
		if err != nil || t < 0 || whole > math.MaxInt64-t {
			return errDuration(s)
		}
		whole += t
	} else if s == "" {
		return errDuration(s)
	}
	*d = Duration(whole)
	return nil
}

func errDuration(s string) error {
	return fmt.Errorf("wants a duration such as 60s, 24h or 7d, not %q", s)
}

// String returns the shortest form that is read back as d.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// A Size counts bytes and is written with units: 50GiB, 20GB, 512. It is never negative.
type Size int64

const gibibyte Size = 1 << 30

// sizeUnit is a unit of sizes.
type sizeUnit struct {
	name  string
	bytes float64
}

// sizeUnits has the binary units first, largest first: String takes the first that divides evenly.
func sizeUnits() []sizeUnit {
	return []sizeUnit{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
	}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	number, unit := s, 1.0
	for _, u := range sizeUnits() {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimRight(n, " "), u.bytes
			break
		}
	}
	if strings.Trim(number, "0123456789.") != "" {
		return errSize(s)
	}
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return errSize(s)
	case err != nil || n*unit >= math.MaxInt64:
		return fmt.Errorf("%q is more than any disk holds", s)
	}
	*z = Size(n * unit)
	return nil
}

func errSize(s string) error {
	return fmt.Errorf("wants a size such as 50GiB, 20GB or 1048576, not %q", s)
}

// String returns a form that is read back as z.
func (z Size) String() string {
	for _, u := range sizeUnits()[:4] {
		if z != 0 && z%Size(u.bytes) == 0 {
			return strconv.FormatInt(int64(z/Size(u.bytes)), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(z), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }
