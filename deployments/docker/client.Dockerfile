# A client's image: the library and its command, without Prefect (docs/containers.md). It is built
# from the repository's root: docker build -f deployments/docker/client.Dockerfile .
FROM python:3.12-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src src
# The lock's versions without its hashes: pip takes no hashes for a folder.
RUN sed -e 's/ *\\$//' -e '/^ *--hash=/d' requirements.lock > constraints.txt \
    && python -m venv tools \
    && tools/bin/pip install --no-cache-dir --constraint constraints.txt hatchling \
    && tools/bin/python -m hatchling build -t wheel -d dist \
    && python -m venv /opt/hyperfed \
    && /opt/hyperfed/bin/pip install --no-cache-dir --constraint constraints.txt dist/*.whl

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 hyperfed \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin hyperfed \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/hyperfed
COPY --from=build /opt/hyperfed /opt/hyperfed
COPY --chmod=0555 deployments/docker/client.sh /usr/local/bin/hyperfed-client
# "container" tells Hyperfed that a key on a read-only mount is the container's own (R-20).
ENV PATH=/opt/hyperfed/bin:/usr/local/bin:/usr/bin:/bin \
    container=oci \
    HYPERFED_CONFIG=/etc/hyperfed/hyperfed.toml \
    HYPERFED_STATE=/var/lib/hyperfed/state \
    HYPERFED_CACHE=/var/lib/hyperfed/cache \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/hyperfed
ENTRYPOINT ["/usr/local/bin/hyperfed-client"]
CMD ["status"]
