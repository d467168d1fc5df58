# Elastic Agent with this cloud-defend. Images of 9.3 and newer have another one already; program and specification are
# replaced together, because two specifications for one input keep the agent from starting. The agent starts no program
# that others than its owner may write to. The link is for people: kubectl exec POD -- cloud-defend disarm …
#
#   go tool mage dist
#   docker buildx build --platform linux/amd64,linux/arm64 -f deploy/images/agent.Dockerfile \
#     --build-arg AGENT=9.3.4 -t REGISTRY/cloud-defend-agent:2.0.0 build/dist
ARG AGENT
FROM --platform=$BUILDPLATFORM busybox:1.36 AS unpack
ARG TARGETARCH
COPY cloud-defend-*.tar.gz /dist/
RUN case $TARGETARCH in amd64) arch=x86_64 ;; *) arch=$TARGETARCH ;; esac && \
    mkdir /component && tar -xzf /dist/cloud-defend-*-linux-$arch.tar.gz -C /component --strip-components=1 && \
    chmod 0755 /component/components/cloud-defend && chmod 0644 /component/components/cloud-defend.spec.yml

FROM docker.elastic.co/elastic-agent/elastic-agent:${AGENT}
USER root
COPY --from=unpack /component/components/ /tmp/components/
RUN set -e; for home in /usr/share/elastic-agent/data/elastic-agent-*; do \
      install -o root -g root -m 0755 /tmp/components/cloud-defend "$home/components/cloud-defend"; \
      install -o root -g root -m 0644 /tmp/components/cloud-defend.spec.yml "$home/components/cloud-defend.spec.yml"; \
      ln -sf "$home/components/cloud-defend" /usr/local/bin/cloud-defend; \
    done; rm -r /tmp/components
COPY --from=unpack /component/LICENSE.txt /component/NOTICE.txt /usr/share/doc/cloud-defend/
