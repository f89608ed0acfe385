# The bot in an image: small, not root, without models. See docs/operating.md.
#
#   docker build -t talkback .                        with local models' engines
#   docker build -t talkback --build-arg FEATURES= .  without them: smaller, and built in a minute
#
# For x86-64 llama.cpp is built with AVX2 (processors since 2013), for ARM for plain armv8-a.
# script/bare-debian image runs these very steps without Docker. It knows FROM, ARG, ENV, WORKDIR,
# COPY and RUN in the plain forms used here.

FROM rust:1.94-slim-bookworm AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake g++ make libclang-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# "default" is what Cargo.toml has by default; empty is without the local engines.
ARG FEATURES=default
# First the libraries, with an empty program: they are built anew only when Cargo.lock changes. The
# manifest's sections of benches and tests name files that are not here.
COPY Cargo.toml Cargo.lock ./
COPY crates/audio/Cargo.toml crates/audio/
COPY crates/net/Cargo.toml crates/net/
COPY crates/sandbox/Cargo.toml crates/sandbox/
COPY crates/voice-receive/Cargo.toml crates/voice-receive/
RUN sed -i '/^\[\[bench\]\]/,/^$/d; /^\[\[test\]\]/,/^$/d' Cargo.toml \
 && mkdir -p src crates/audio/src crates/net/src crates/sandbox/src crates/voice-receive/src \
 && touch src/lib.rs crates/audio/src/lib.rs crates/net/src/lib.rs crates/sandbox/src/lib.rs crates/voice-receive/src/lib.rs \
 && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked --bin talkback --no-default-features --features "$FEATURES"
COPY migrations migrations
COPY crates crates
COPY src src
# Files that are copied keep their old times, and cargo goes by them.
RUN touch src/lib.rs src/main.rs crates/audio/src/lib.rs crates/net/src/lib.rs crates/voice-receive/src/lib.rs \
 && cargo build --release --locked --bin talkback --no-default-features --features "$FEATURES" \
 && cp target/release/talkback /usr/local/bin/talkback

FROM debian:bookworm-slim
# llama.cpp uses OpenMP, and ONNX Runtime, which is fetched with the models, the C++ library.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 talkback \
 && useradd --uid 10001 --gid talkback --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin talkback \
 && install -d -o talkback -g talkback -m 0700 /data \
 && install -d -o talkback -g talkback -m 0755 /models
COPY LICENSE PRIVACY.md /usr/share/doc/talkback/
COPY --from=builder /usr/local/bin/talkback /usr/local/bin/talkback
LABEL org.opencontainers.image.title="Talkback" \
      org.opencontainers.image.description="A Discord bot that listens to recordings and calls, and answers in text" \
      org.opencontainers.image.licenses="MIT"
# The last is for ONNX Runtime, which would tell its makers about the machine it runs on.
ENV TALKBACK_DATA=/data TALKBACK_MODELS=/models TALKBACK_HTTP=127.0.0.1:9464 ORT_DISABLE_TELEMETRY=1
VOLUME ["/data", "/models"]
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["talkback", "health"]
ENTRYPOINT ["talkback"]
CMD ["run"]
