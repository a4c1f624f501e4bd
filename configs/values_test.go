package configs_test

import (
	"testing"
	"time"

	"github.com/winnow-registry/winnow/configs"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0s": 0, "0": 0, "60s": time.Minute, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d1s": 24*time.Hour + time.Second, "1.5h": 90 * time.Minute,
	} {
		var d configs.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q is %v, %v", text, time.Duration(d), err)
		}
		var back configs.Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%v prints as %q, which reads as %v, %v", d, d.String(), back, err)
		}
	}
	for _, text := range []string{"", "7", "d", "-1s", "-1d", "1d-2h", "1w", "99999d", "65535d2000000h", "1dd", "60 s", "+1d"} {
		var d configs.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, d)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", time.Minute: "1m", 90 * time.Second: "1m30s", 0: "0s", 10 * time.Second: "10s", 100 * time.Minute: "1h40m"} {
		if got := configs.Duration(d).String(); got != want {
			t.Errorf("%v prints as %s, want %s", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]configs.Size{
		"0": 0, "512": 512, "512B": 512, "1kB": 1000, "20GB": 20e9, "50GiB": 50 << 30, "1.5KiB": 1536, "2 TiB": 2 << 40, "3MiB": 3 << 20, "4MB": 4e6,
	} {
		var z, back configs.Size
		if err := z.UnmarshalText([]byte(text)); err != nil || z != want {
			t.Errorf("%q is %d, %v", text, int64(z), err)
		}
		if err := back.UnmarshalText([]byte(z.String())); err != nil || back != z {
			t.Errorf("%d prints as %q, which reads as %d, %v", int64(z), z.String(), int64(back), err)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1e9", "Inf", "NaN", "0x10", "1.2.3GB", "5 potatoes", "99999999TiB", "1G i B", "."} {
		var z configs.Size
		if err := z.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %d", text, int64(z))
		}
	}
}
