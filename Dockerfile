# Flex Template launcher and Beam worker in one image, so that both run the same code.
#
#   docker build --build-arg IMAGE=europe-docker.pkg.dev/PROJECT/dropcast/dropcast:0.1.0 --build-arg REVISION=$(git rev-parse HEAD) .

# checkov:skip=CKV_DOCKER_2:Dataflow monitors its containers itself
# checkov:skip=CKV_DOCKER_3:Dataflow starts launcher and worker as root, see the last comment
# checkov:skip=CKV_DOCKER_7:a release names the base images by digest, see below
# Tags, for a build by hand. A release (cloudbuild.yaml) gives their digests of that day, and the label dropcast.bases
# keeps them: the launcher is a current one, and an image can be built again from the same bases.
ARG PYTHON=python:3.11.13-slim-bookworm
ARG BEAM=apache/beam_python3.11_sdk:2.77.0
ARG LAUNCHER=gcr.io/dataflow-templates-base/python311-template-launcher-base:latest

FROM ${LAUNCHER} AS launcher
FROM ${BEAM} AS beam

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/dropcast
ENV PATH=/opt/dropcast/bin:$PATH
WORKDIR /src
COPY requirements-build.lock requirements-dataflow.lock ./
# Only wheels, so that no compiler is needed, except for google-apitools, which has no wheel but nothing to compile
# either. The tools that build it and this package are pinned by hash too: --no-build-isolation uses these, instead of
# downloading others.
RUN pip install --no-compile --require-hashes --no-deps --only-binary=:all: -r requirements-build.lock \
    && pip install --no-compile --no-build-isolation --require-hashes --no-deps --only-binary=:all: \
      --no-binary=google-apitools -r requirements-dataflow.lock \
    && pip check
COPY pyproject.toml setup.py dropcast.py README.md LICENSE ./
COPY pipeline pipeline
COPY templates templates
RUN pip install --no-compile --no-build-isolation --no-deps .
# Removes packages' own tests, and setuptools, which nothing uses; pip stays, since Beam calls it at launch and when a
# worker starts. The byte code is not checked against file times: image layers round these, so Python would otherwise
# compile most files again at each start.
RUN pip uninstall --yes setuptools \
    && find /opt/dropcast/lib -type d -name tests -prune -exec rm -r {} + \
    && python -m compileall -q -f -j 0 --invalidation-mode=unchecked-hash /opt/dropcast/lib
# The kernels, compiled now for a CPU level that every machine type has, so that nothing is compiled at start.
# Not in /src: its `pipeline` would be compiled instead of the installed one.
WORKDIR /
ENV NUMBA_CPU_NAME=x86-64-v2 NUMBA_CPU_FEATURES=
RUN python -m pipeline.core.compile_kernels \
    && python -c "import cmdstanpy, prophet; prophet.Prophet()" \
    && pip check

FROM ${PYTHON}
ARG IMAGE=dropcast
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG BASES=
LABEL org.opencontainers.image.title=dropcast \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.licenses=Apache-2.0 \
      dropcast.bases="${BASES}"
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=build /opt/dropcast /opt/dropcast
COPY templates/flex_main.py /template/flex_main.py
# DROPCAST_IMAGE: the workers' image, in case the container spec's is not honoured.
# RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT: the worker runs in the environment above, not in a copy of it.
ENV PATH=/opt/dropcast/bin:$PATH \
    DROPCAST_IMAGE=${IMAGE} \
    FLEX_TEMPLATE_PYTHON_PY_FILE=/template/flex_main.py \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    NUMBA_CPU_NAME=x86-64-v2 \
    NUMBA_CPU_FEATURES= \
    PYTHONUNBUFFERED=1
# Dataflow starts launcher and worker as root and mounts files that only root may read, so there is no USER here.
ENTRYPOINT ["/opt/apache/beam/boot"]
