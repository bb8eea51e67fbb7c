# The service, as one image for everything: `docker run IMAGE` serves, `docker run IMAGE migrate up` migrates.
#
# The digest is of the index for all platforms, as the official tag had it on 2026-09-22. A release that takes a newer
# one gives it: docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# checkov:skip=CKV_DOCKER_7:it can not see that the argument is a tag with a digest; infra/checks/image.py does
FROM ${PYTHON_IMAGE} AS build
# The time that files in the wheel have, so that the same sources make the same one.
ARG SOURCE_DATE_EPOCH=1767225600
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements-build.lock requirements-service.lock ./
# Wheels only: nothing is compiled here, and no package's own build code runs.
RUN pip install --no-deps --require-hashes --only-binary :all: -r requirements-build.lock \
    && python -m venv --without-pip /opt/transactions \
    && pip --python /opt/transactions/bin/python install --no-deps --require-hashes --only-binary :all: -r requirements-service.lock
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY persistence persistence
COPY actors actors
COPY application application
COPY transport transport
COPY cli cli
COPY proto proto
COPY migrations migrations
COPY infra/__init__.py infra/
COPY infra/local infra/local
# Byte code whose validity is not asked for at run time: the file system is read-only then.
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && pip --python /opt/transactions/bin/python install --no-deps --no-index dist/*.whl \
    && /opt/transactions/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/transactions/lib \
    && mkdir var

FROM ${PYTHON_IMAGE}
# Nothing is installed from here on, and so nothing that installs is left.
RUN python -m pip uninstall --yes --root-user-action ignore setuptools wheel pip
COPY --from=build /opt/transactions /opt/transactions
# With SMTP_URL and TOKEN_SYMMETRIC_KEY nothing is ever written; without, mails and the development key are, here.
COPY --from=build --chown=10001:10001 /build/var /var/lib/transactions
ENV PATH=/opt/transactions/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    HTTP_SERVER_ADDRESS=0.0.0.0:8080 \
    GRPC_SERVER_ADDRESS=0.0.0.0:9090 \
    VAR_DIR=/var/lib/transactions
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="transactions" \
      org.opencontainers.image.description="A bank's transfer service over HTTP and gRPC" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["transactions", "smoke", "--ready"]
ENTRYPOINT ["transactions"]
CMD ["serve"]
