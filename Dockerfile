# syntax=docker/dockerfile:1
FROM rust:1.90.0-bookworm AS build
# For librdkafka, which is compiled from source; of curl it wants the headers only. See dev/install.
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake libcurl4-openssl-dev libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches outlive this step, so the program is copied out of them. Its names of functions stay,
# for stack traces; line numbers are two thirds of its size.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked -p plaudit \
    && objcopy --strip-debug target/release/plaudit /plaudit

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent plaudit
COPY --from=build /plaudit /usr/local/bin/plaudit
# Where plaudit.toml and sources/ are looked for: mount them here.
WORKDIR /etc/plaudit
USER plaudit
# Inside a container 127.0.0.1 can't be reached from outside.
ENV PLAUDIT_HTTP_LISTEN=0.0.0.0:8080
EXPOSE 8080
# Bash can open a connection by itself. /livez and not /readyz: a broker that is down is no reason to
# replace this container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=40s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PLAUDIT_HTTP_LISTEN##*:} && printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["plaudit"]
CMD ["serve"]
