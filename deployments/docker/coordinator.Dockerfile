# The coordinator's image, for Prefect's server, the worker and SeaweedFS (docs/containers.md). It is
# built from the repository's root: docker build -f deployments/docker/coordinator.Dockerfile .
FROM python:3.12-slim-bookworm AS build
WORKDIR /opt/hyperfed
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src src
COPY flows flows
COPY tasks tasks
COPY blocks blocks
COPY deployments/prefect.yaml deployments/automations.yaml deployments/
# The lock's versions without its hashes: pip takes no hashes for a folder.
RUN sed -e 's/ *\\$//' -e '/^ *--hash=/d' requirements.lock > /tmp/constraints.txt \
    && python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --constraint /tmp/constraints.txt hatchling \
    && .venv/bin/pip install --no-cache-dir --constraint /tmp/constraints.txt \
        --no-build-isolation --editable '.[coordinator,compiled,privacy]'

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 hyperfed \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin hyperfed \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/hyperfed
COPY --from=build /opt/hyperfed /opt/hyperfed
COPY --chmod=0555 deployments/docker/coordinator.sh /usr/local/bin/hyperfed-coordinator
# "container" tells Hyperfed that a key on a read-only mount is the container's own (R-20).
ENV PATH=/opt/hyperfed/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    container=oci \
    DO_NOT_TRACK=1 \
    HYPERFED_CONFIG=/etc/hyperfed/hyperfed.toml \
    HYPERFED_STATE=/var/lib/hyperfed/state \
    HYPERFED_CACHE=/var/lib/hyperfed/cache \
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30 \
    PREFECT_HOME=/var/lib/hyperfed/prefect \
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/hyperfed
ENTRYPOINT ["/usr/local/bin/hyperfed-coordinator"]
CMD ["worker"]
