# The image of a geodynamo region, and of the WAN emulator that links regions for trying out.
#
#   docker build -t geodynamo .                       builds everything inside
#   docker build -t geodynamo --target prebuilt .     takes geodynamo, geodynamo-wan, geodynamo-loadgen from ./dist
#
# BUILDER and BASE can be images of a registry of one's own; BASE must be of the same Debian release as BUILDER, or a newer one. No
# `syntax` line: it would fetch a frontend from Docker Hub, whatever they are. BuildKit's own (Docker 23 or newer) knows all of this.
ARG BUILDER=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends g++ libclang-dev python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
ARG GEODYNAMO_COMMIT=unknown
ARG GEODYNAMO_BUILD_DATE=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/cache \
    export GEODYNAMO_CACHE=/cache CARGO_TARGET_DIR=/cache/target ROCKSDB_STATIC=1 \
    && export ROCKSDB_LIB_DIR="$(python3 scripts/rocksdb.py)" \
    && cargo build --locked --release -p geodynamo -p geodynamo-wan -p geodynamo-loadgen --bins \
    && mkdir /dist \
    && cp /cache/target/release/geodynamo /cache/target/release/geodynamo-wan /cache/target/release/geodynamo-loadgen /dist/

FROM ${BASE} AS runtime
# Whom HTTPS servers must be vouched for by: the load generator, and a region's clients of functions, key services and identity
# providers, read this file unless another is named. A BASE that has it needs no package mirror.
RUN if [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then \
        apt-get update -q \
        && apt-get install -y -q --no-install-recommends ca-certificates \
        && rm -rf /var/lib/apt/lists/*; \
    fi
RUN useradd --system --uid 10001 --home-dir /var/lib/geodynamo --create-home geodynamo \
    && install -d -o geodynamo -g geodynamo /etc/geodynamo /var/lib/geodynamo
USER geodynamo
WORKDIR /var/lib/geodynamo
VOLUME /var/lib/geodynamo
# Clients; operators (health, metrics); peers.
EXPOSE 8000/tcp 8001/tcp 8002/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s CMD ["geodynamo", "health"]
ENTRYPOINT ["geodynamo"]
CMD ["serve", "--config", "/etc/geodynamo/region.toml"]

FROM runtime AS prebuilt
COPY dist/geodynamo dist/geodynamo-wan dist/geodynamo-loadgen /usr/local/bin/

FROM runtime AS geodynamo
COPY --from=build /dist/ /usr/local/bin/
