# Portcullis, and the sample services that docker-compose.yml puts around it.

FROM rust:1.95-bookworm AS build
WORKDIR /portcullis
COPY . .
RUN cargo build --release --locked -p portcullis -p portcullis-sample

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 portcullis && install -d -o portcullis -g portcullis /data
COPY --from=build /portcullis/target/release/portcullis /portcullis/target/release/portcullis-sample /usr/local/bin/
# The sample looks for its files where it was built.
WORKDIR /portcullis
COPY envoy envoy
COPY policies policies
COPY sample/portcullis.yaml sample/portcullis.yaml
USER 10001
ENTRYPOINT ["portcullis"]
