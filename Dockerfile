# SPDX-License-Identifier: Apache-2.0
# One build, three small images without a shell:
#
#   docker build --target controller -t tulle/controller:0.1.0 .
#
# or all three with scripts/images, which can also make the base image itself. How
# apt gets through to packages is the machine's business, and stays there: give its
# configuration as build secrets (docs/install.md, "Building the images").

FROM debian:trixie-slim AS tools
RUN --mount=type=secret,id=apt_conf,target=/etc/apt/apt.conf.d/95build \
    --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/build.sources \
    apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev cmake ninja-build pkg-config ccache \
        libuv1-dev libssl-dev libnghttp2-dev libcjson-dev libyaml-dev \
        libcurl4-openssl-dev nftables

FROM tools AS build
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY lib lib
COPY proxy proxy
COPY controller controller
COPY injector injector
RUN --mount=type=cache,id=tulle-ccache,target=/ccache \
    export CCACHE_DIR=/ccache && \
    cmake --preset release -DTULLE_ONLY_PROGRAMS=ON && \
    cmake --build --preset release && \
    cmake --install build/release --prefix /usr --strip
COPY scripts/image-root scripts/image-root

# tulle-init (and nft, which it runs) is in the proxy's image: a pod pulls one.
FROM build AS proxy-root
RUN scripts/image-root /image tulle:2102 /usr/bin/tulle-proxy /usr/bin/tulle-init /usr/sbin/nft

FROM scratch AS proxy
LABEL org.opencontainers.image.title="Tulle proxy" \
      org.opencontainers.image.description="The sidecar of the Tulle service mesh, and what sets its packet rules" \
      org.opencontainers.image.licenses="Apache-2.0"
# tulle-init looks for nft.
ENV PATH=/usr/sbin:/usr/bin
COPY --from=proxy-root /image /
COPY LICENSE /usr/share/doc/tulle/copyright
USER 2102:2102
ENTRYPOINT ["/usr/bin/tulle-proxy"]

FROM build AS controller-root
RUN scripts/image-root /image tulle:65532 /usr/bin/tulle-controller

FROM scratch AS controller
LABEL org.opencontainers.image.title="Tulle controller" \
      org.opencontainers.image.description="Tells the proxies of the Tulle service mesh what they need, and who they are" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=controller-root /image /
COPY LICENSE /usr/share/doc/tulle/copyright
USER 65532:65532
ENTRYPOINT ["/usr/bin/tulle-controller"]

FROM build AS injector-root
RUN scripts/image-root /image tulle:65532 /usr/bin/tulle-injector

FROM scratch AS injector
LABEL org.opencontainers.image.title="Tulle injector" \
      org.opencontainers.image.description="Gives pods of the Tulle service mesh their proxy" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=injector-root /image /
COPY LICENSE /usr/share/doc/tulle/copyright
USER 65532:65532
ENTRYPOINT ["/usr/bin/tulle-injector"]
