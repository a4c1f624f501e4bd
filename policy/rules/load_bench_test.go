package rules_test

import (
	"os"
	"testing"

	"github.com/winnow-registry/winnow/policy"
	"github.com/winnow-registry/winnow/policy/rules"
)

// BenchmarkLoad is what a start pays for its policies: baseline has no expression, standard has one.
func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"baseline", "standard"} {
		data, err := os.ReadFile("../../configs/policies/" + name + ".yaml")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := policy.Load([]policy.File{{Name: name, Data: data}}, rules.All()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
