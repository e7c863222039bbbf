# The operator's image. Any base with Python 3.11 or newer and its venv module will do; pin yours by digest:
#   --build-arg BASE=docker.io/library/python:3.13-slim-trixie@sha256:...
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/uv.txt requirements/runtime.txt requirements/
# Every package is named with its hash in the lock; nothing else is installed.
ENV UV_SYSTEM_CERTS=1
RUN python3 -m venv --without-pip /opt/operator \
 && python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/uv.txt \
 && /opt/tools/bin/uv pip install --quiet --no-cache --python /opt/operator/bin/python3 --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
# Built with the locked tools.
RUN /opt/tools/bin/uv build --quiet --wheel --no-build-isolation --python /opt/tools/bin/python3 --out-dir /opt/wheel . \
 && /opt/tools/bin/uv pip install --quiet --no-cache --python /opt/operator/bin/python3 --no-deps /opt/wheel/*.whl \
 && rm -f /opt/operator/.lock
# Compiled here, because nothing can be written where it runs; without times, so that files copied with new times are not
# compiled again at each start. What a pod does not load is not compiled: the generated classes of the official client,
# and Pygments' languages.
RUN /opt/operator/bin/python3 -m compileall -q --invalidation-mode unchecked-hash \
      -x '/site-packages/(kubernetes/(aio/)?client/(api|models)/[a-z]|pygments/(lexers|styles|formatters)/)' /opt/operator/lib

FROM ${BASE}
# What the labels say: the operator's version, the base, and, where you give them, the commit and the repository.
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="dora-operator" \
      org.opencontainers.image.description="Marks failed changes for Datadog DORA Metrics from Kubernetes resources and Argo Rollouts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/operator /opt/operator
ENV PATH=/opt/operator/bin:$PATH \
    HOME=/ \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["dora-operator"]
CMD ["run"]
