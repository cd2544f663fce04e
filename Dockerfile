# For closed networks, a base of one's own: --build-arg BASE=registry.example.com/python:3.13-slim
# Renewed by the tag that is to be, and the digest that this prints of it:
#   docker buildx imagetools inspect python:3.13-slim --format '{{.Manifest.Digest}}'
ARG BASE=python:3.13.14-slim@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6

# The interpreter and the packages of the lock file, compiled; no compiler, no git, no root.
FROM ${BASE} AS build

# For closed networks; unset, pip asks its default index and trusts the usual authorities:
#   --build-arg PIP_INDEX_URL=https://… --build-arg PIP_CERT=/run/secrets/ca --secret id=ca,src=ca.pem
ARG PIP_INDEX_URL
ARG PIP_CERT
WORKDIR /app
COPY requirements.lock .
RUN --mount=type=secret,id=ca \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --disable-pip-version-check --no-cache-dir \
        --require-hashes --only-binary :all: --no-compile --requirement requirements.lock
COPY LICENSE .
COPY github_worker github_worker
# Nothing changes a file of the image, so Python need not look whether its bytecode is stale. What a compiler writes
# depends on what it wrote before, so there is one, for the same bytes in every build.
RUN PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib github_worker \
    && rm requirements.lock


FROM ${BASE}

# Given by scripts/release: useradd writes down the day, and an image is the same on every one.
ARG SOURCE_DATE_EPOCH
# Swarm cannot set no-new-privileges, so nothing in the image may raise them.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin worker \
    && install --directory --owner worker --mode 0700 /scratch

COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

ARG BASE
ARG BUILD_COMMIT_SHA=unknown
ARG BUILD_TIMESTAMP=unknown
ARG BUILD_IMAGE_TAG=unknown
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TMP_DIR=/scratch \
    TMPDIR=/scratch \
    BUILD_COMMIT_SHA=$BUILD_COMMIT_SHA \
    BUILD_TIMESTAMP=$BUILD_TIMESTAMP \
    BUILD_IMAGE_TAG=$BUILD_IMAGE_TAG

LABEL org.opencontainers.image.title="GitHub Worker" \
    org.opencontainers.image.description="Does the git work of AI coding sessions, each job in a process of its own" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version=$BUILD_IMAGE_TAG \
    org.opencontainers.image.revision=$BUILD_COMMIT_SHA \
    org.opencontainers.image.created=$BUILD_TIMESTAMP \
    org.opencontainers.image.base.name=$BASE

WORKDIR /app
USER worker
EXPOSE 5002
STOPSIGNAL SIGTERM
# A task gets requests once it is healthy, so a new one is asked often.
HEALTHCHECK --interval=10s --timeout=10s --retries=6 --start-period=30s --start-interval=200ms \
    CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', os.environ.get('PORT', '5002'), timeout=9); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "github_worker", "serve"]
