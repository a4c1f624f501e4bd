#!/usr/bin/env bash
# gofmt, go vet, and golangci-lint where it is installed. Every finding is printed; the exit status says whether there are any.
set -eu
status=0

unformatted=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l 2>&1) || status=1
if [ -n "$unformatted" ]; then
	echo "lint: gofmt would change:" >&2
	echo "$unformatted" >&2
	status=1
fi
go vet ./... || status=1
if command -v golangci-lint >/dev/null 2>&1; then
	golangci-lint run ./... || status=1
elif [ "${1-}" != --quiet ]; then
	echo "lint: golangci-lint is not installed; gofmt and go vet ran" >&2
fi
exit "$status"
