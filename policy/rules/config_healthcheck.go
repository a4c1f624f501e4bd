package rules

import (
	"strings"

	"github.com/winnow-registry/winnow/policy"
)

func healthcheck() policy.Builtin {
	return plain(policy.Builtin{
		Name:  "config.healthcheck",
		Title: "Has a health check",
		Doc: "Reports images without HEALTHCHECK, or with HEALTHCHECK NONE. Kubernetes does not use it; Docker, Swarm " +
			"and Podman do.",
		Controls: []string{"CIS Docker 4.6", "CIS-DI-0006"},
		Advice:   "Add HEALTHCHECK with a command that fails when the service does not answer.",
		Severity: policy.SeverityInfo,
		Stage:    policy.StageConfig,
		Kinds:    images,
	}, func(in policy.Input) policy.Outcome {
		h := in.Contents.Image.Config.Healthcheck
		switch {
		case h == nil || len(h.Test) == 0:
			return broken("has no health check")
		case strings.EqualFold(h.Test[0], "NONE"):
			return broken("has no health check", "HEALTHCHECK is NONE")
		}
		return policy.Outcome{}
	})
}
