#!/usr/bin/env bash
# The whole test: formatting and vet, every package under the race detector, then the real-client scenarios. The last line
# is "N passed, N failed, N skipped"; under CI=true a skipped test fails the run.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

deploy/ci/setup.sh
lint=0
deploy/ci/lint.sh --quiet || lint=1

# The scenarios measure time and count requests, so they run one after the other and without the race detector: it
# would slow down the harness, while Winnow there is the program as it is shipped.
packages=$(go list ./...)
scenarios=$(grep '/deploy/' <<<"$packages")
units=$(grep -v '/deploy/' <<<"$packages")

# No -count=1: what has not changed since it passed need not run again. The scenarios read the machine, so they do.
{
	go test -race -json -timeout 10m $units || true
	go test -count=1 -json -p 1 -timeout 25m $scenarios || true
} | go run ./deploy/ci/summary -lint "$lint"
