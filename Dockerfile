# SPDX-License-Identifier: Apache-2.0
# The image of the operator and of the recorder's pods: build with `docker build .`, `buildah bud .` or the like.
# No stage names an architecture; what the last stage holds is what runs, and no compiler is among it.

FROM debian:trixie-slim AS toolchain
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates \
        cargo \
        g++ \
        libavcodec-dev \
        libavformat-dev \
        libavutil-dev \
        libclang-dev \
        libffi-dev \
        libswresample-dev \
        libswscale-dev \
        make \
        pkg-config \
        python3-dev \
        python3-pip \
        python3-setuptools \
    && rm -rf /var/lib/apt/lists/*
# Where HTTPS goes through an authority of its own: mount its certificates into the build, and say here where they are.
ARG CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
ENV CARGO_HTTP_CAINFO=$CA_BUNDLE PIP_CERT=$CA_BUNDLE
WORKDIR /source


FROM toolchain AS library
ENV CARGO_HOME=/var/cache/cargo CARGO_TARGET_DIR=/var/cache/cargo-target
COPY native native
# The mounted caches keep the dependencies, compiled, from build to build. Cargo tells by their time which of our own
# files changed since, and a checkout may set any time: so all of them count as new.
RUN --mount=type=cache,target=/var/cache/cargo --mount=type=cache,target=/var/cache/cargo-target \
    find native/core -type f -exec touch {} + \
    && make -C native install PREFIX=/usr/local DESTDIR=/installed


# LiveKit's client library, which is loaded when a room is recorded, for the architecture that is built on: the lock has the
# hash of each. The package has the notices of what is linked into it, but not the text of its own licence, which is ours, too.
FROM toolchain AS rooms
COPY LICENSE native/core/livekit/NOTICE requirements/livekit.lock ./
RUN pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes --target package --requirement livekit.lock \
    && resources=package/livekit/rtc/resources \
    && install -D --mode=644 $resources/liblivekit_ffi.so /installed/usr/local/lib/liblivekit_ffi.so \
    && install -D --mode=644 $resources/LICENSE.md /installed/usr/local/share/doc/livekit/NOTICES.md \
    && install --mode=644 LICENSE NOTICE /installed/usr/local/share/doc/livekit/


# pip and setuptools are Debian's, and stay behind with these stages.
FROM toolchain AS dependencies
COPY requirements/runtime.lock requirements/
RUN python3 -m venv --without-pip /opt/cloud-recording \
    && pip --python /opt/cloud-recording/bin/python install --no-cache-dir --no-deps --only-binary=:all: --require-hashes \
        --requirement requirements/runtime.lock


FROM dependencies AS package
COPY native/include native/include
COPY native/abi/shim native/abi/shim
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN export PYTHONPATH=/usr/lib/python3/dist-packages \
    && extension=$(/opt/cloud-recording/bin/python operator/cloud_recording/runner/recorder/native_build.py) \
    && pip --python /opt/cloud-recording/bin/python install --no-cache-dir --no-deps --no-build-isolation \
        --root /installed /source \
    && cp "$extension" /installed/opt/cloud-recording/lib/python3*/site-packages/cloud_recording/runner/recorder/


FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates \
        libavcodec61 \
        libavformat61 \
        libavutil59 \
        libswresample5 \
        libswscale8 \
        python3 \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=65532 --group=65532 /var/lib/cloud-recording
COPY --from=dependencies /opt/cloud-recording /opt/cloud-recording
COPY --from=rooms /installed/usr/local /usr/local
COPY --from=library /installed/usr/local/lib /usr/local/lib
COPY --from=package /installed/opt/cloud-recording /opt/cloud-recording
RUN ldconfig
ENV PATH=/opt/cloud-recording/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CLOUD_RECORDING_WORK_DIR=/var/lib/cloud-recording
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /
# What ends a pod that has just begun waits for the recorder: process 1 loses a signal that it has no handler for.
ENTRYPOINT ["env", "--block-signal=TERM", "--block-signal=INT", "cloud-recording"]
