# A small image of the bot, without models, that does not run as root. See docs/operating.md.
#
#   docker build -t talkback .                        with the engines for local models
#   docker build -t talkback --build-arg FEATURES= .  without them: smaller, and built in a minute
#
# llama.cpp is built with AVX2 on x86-64 (processors since 2013) and for plain armv8-a on ARM.
# script/bare-debian image runs these steps without Docker. It understands FROM, ARG, ENV, WORKDIR, COPY
# and RUN in the simple forms used here.

FROM rust:1.94-slim-bookworm AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake g++ make libclang-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# "default" means the default features of Cargo.toml; empty means no local engines.
ARG FEATURES=default
# Build the dependencies first, with an empty program, so that they are rebuilt only when Cargo.lock
# changes. The sections for benches and tests are removed because they name files that are not here.
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
# Copied files keep their modification times, and cargo compares those.
RUN touch src/lib.rs src/main.rs crates/audio/src/lib.rs crates/net/src/lib.rs crates/voice-receive/src/lib.rs \
 && cargo build --release --locked --bin talkback --no-default-features --features "$FEATURES" \
 && cp target/release/talkback /usr/local/bin/talkback

FROM debian:bookworm-slim
# llama.cpp needs OpenMP. ONNX Runtime, which is downloaded with the models, needs the C++ library.
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
# The last variable keeps ONNX Runtime from reporting the machine to its makers.
ENV TALKBACK_DATA=/data TALKBACK_MODELS=/models TALKBACK_HTTP=127.0.0.1:9464 ORT_DISABLE_TELEMETRY=1
VOLUME ["/data", "/models"]
# As a number, so that Kubernetes can tell that it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["talkback", "health"]
ENTRYPOINT ["talkback"]
CMD ["run"]
