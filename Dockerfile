# Winnow as an image: one static program, no shell, no package manager, not root.
# Pin both to digests where builds must be repeatable: --build-arg GO_IMAGE=golang:1.26-bookworm@sha256:…
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOCACHE=/go/build-cache
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=devel
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/winnow ./cmd/winnow
# The folders that Winnow writes to, owned by its user: a scratch image has no chown.
RUN mkdir -p /out/data /out/tmp && chmod 0700 /out/data && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /out/winnow /winnow
COPY deploy/container/winnow.yaml /etc/winnow/winnow.yaml
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/data /data
ARG VERSION=devel
ARG REVISION=
LABEL org.opencontainers.image.title="Winnow" \
      org.opencontainers.image.description="A pull-through registry that serves only images that comply with policy" \
      org.opencontainers.image.source="https://github.com/winnow-registry/winnow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
# The defaults keep their data in ./data, which is /data here.
WORKDIR /
VOLUME /data
EXPOSE 5000 5001
ENTRYPOINT ["/winnow"]
CMD ["serve", "--config", "/etc/winnow/winnow.yaml"]
