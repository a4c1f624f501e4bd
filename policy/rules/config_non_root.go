package rules

import (
	"strconv"
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

func nonRoot() policy.Builtin {
	return plain(policy.Builtin{
		Name:  "config.non-root",
		Title: "Does not run as root",
		Doc: "Refuses images whose configuration starts the container as user 0: no user at all, root, or any way to write " +
			"zero. Any other name counts as an ordinary user, since only the image's /etc/passwd could say that it is 0.",
		Controls: []string{"NIST SP 800-190 4.1.2", "CIS Docker 4.1", "CIS-DI-0001", "DISA CCI-002235"},
		Advice:   "Set USER to an unprivileged user, best as a number, or run the variant of the image that does.",
		Severity: policy.SeverityHigh,
		Stage:    policy.StageConfig,
		Kinds:    images,
		Mends:    true,
	}, func(in policy.Input) policy.Outcome {
		user := in.Contents.Image.Config.User
		if !isRoot(user) {
			return policy.Outcome{}
		}
		if strings.TrimSpace(user) == "" {
			return broken("runs as root", "no user is configured, and the default is root")
		}
		return broken("runs as root", "user is "+strconv.Quote(user))
	})
}

// isRoot reports whether a configured user, user[:group], is user 0. Runtimes read numbers with strconv.Atoi, which
// takes signs and leading zeros, and some trim space. What overflows a 32-bit uid may wrap around to 0.
func isRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	name = strings.TrimSpace(name)
	if name == "" || strings.EqualFold(name, "root") {
		return true
	}
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		digits := strings.TrimLeft(name, "+-")
		return digits != "" && strings.Trim(digits, "0123456789") == "" // a number beyond 64 bits
	}
	return n <= 0 || n > 1<<31-1
}
