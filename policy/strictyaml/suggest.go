package strictyaml

import "strings"

// maxSuggestLength bounds the words that are compared: the edit distance costs the product of both lengths, and no key
// that anybody would mean is longer.
const maxSuggestLength = 64

// Suggest returns the word of known that word was most likely meant to be, or "" when none is near: equal but for
// case, or no more edits away than a third of its length.
func Suggest(word string, known []string) string {
	if len(word) > maxSuggestLength {
		return ""
	}
	best, distance := "", len(word)/3+1
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
		if len(k) > maxSuggestLength {
			continue
		}
		if d := edits(strings.ToLower(word), strings.ToLower(k)); d < distance || (d == distance && best == "") {
			best, distance = k, d
		}
	}
	return best
}

// edits counts the insertions, deletions, replacements and swaps of neighbours between a and b (optimal string
// alignment).
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
