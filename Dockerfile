# Kairan as one binary, its migrations inside, on an image without a shell.
#   docker build -t kairan .
#   docker run -e DATABASE_URL=postgres://… -e JWT_SECRET=… -p 3000:3000 kairan

FROM oven/bun:1.4.5-slim AS build
WORKDIR /kairan
COPY package.json bun.lock ./
COPY patches ./patches
RUN bun install --frozen-lockfile
COPY tsconfig.json ./
COPY src ./src
RUN bun run build

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Kairan" \
      org.opencontainers.image.description="Insert a row in Postgres, and it reaches the right browsers over Server-Sent Events." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /kairan/dist/kairan /usr/local/bin/kairan
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
STOPSIGNAL SIGTERM
# Give it longer to stop than DRAIN_MS: docker stop --time 20.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/local/bin/kairan", "healthcheck"]
# nonroot, as a number: Kubernetes' runAsNonRoot refuses a name.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kairan"]
CMD ["start"]
