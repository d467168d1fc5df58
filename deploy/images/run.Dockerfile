# cloud-defend alone, for "run" and the other verbs. It is a static program, so the image has nothing else in it.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -f deploy/images/run.Dockerfile -t REGISTRY/cloud-defend:2.0.0 .
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /cloud-defend ./cmd/cloud-defend

FROM gcr.io/distroless/static-debian12
COPY --from=build --chmod=0755 /cloud-defend /usr/local/bin/cloud-defend
COPY LICENSE NOTICE.txt /usr/share/doc/cloud-defend/
# It loads BPF programs: root in the container, with the capabilities of deploy/kubernetes/run.yml, not privileged.
USER 0
ENTRYPOINT ["/usr/local/bin/cloud-defend"]
CMD ["doctor"]
