# syntax=docker/dockerfile:1
#
# An image of the server: docker build -t inkstone .
#
# Without DATABASE_URL it runs on the embedded Postgres under /data; compose.yaml runs it on servers.
# Built by hand, not in CI.

FROM rust:1.95-slim-trixie AS builder
WORKDIR /build
COPY . .
# The target folder is a cache and not part of the layer: the binary has to be copied out of it.
RUN --mount=type=cache,id=inkstone-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=inkstone-target,target=/build/target,sharing=locked \
    cargo build --release --locked --bin inkstone \
    && install -D -m 755 target/release/inkstone /out/inkstone

# The same Debian as the builder's, because the binary links its C library.
FROM debian:trixie-slim
# For TLS to the database and to Redis.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin inkstone \
    && install -d -o inkstone -g inkstone -m 750 /data
COPY --from=builder /out/inkstone /usr/local/bin/inkstone
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/inkstone/

USER inkstone
WORKDIR /data
VOLUME /data
# The embedded Postgres unpacks about 50 MB into the cache.
ENV INKSTONE_LISTEN=0.0.0.0:4000 \
    INKSTONE_DATA_DIR=/data \
    XDG_CACHE_HOME=/data/cache
EXPOSE 4000

# There is no curl in the image, and bash can ask as well.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/4000 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["inkstone"]
CMD ["serve"]
