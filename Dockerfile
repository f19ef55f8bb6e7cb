# Sluice in server mode. Set DATABASE_URL, API_KEY and the credentials of the object store. See compose.yaml.
FROM node:24.21.0-slim AS console
WORKDIR /sluice
COPY package.json package-lock.json .npmrc schema.graphql ./
COPY console ./console
COPY docs ./docs
COPY scripts ./scripts
RUN npm ci --workspace console --ignore-scripts && node scripts/build-console.ts

FROM node:24.21.0-slim AS packages
WORKDIR /sluice
COPY package.json package-lock.json .npmrc ./
# The base image has Node, and the PostgreSQL of local mode (an optional package) is not needed.
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24.21.0-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=4000 MALLOC_ARENA_MAX=1
WORKDIR /sluice
COPY --from=packages /sluice/node_modules ./node_modules
COPY package.json LICENSE ./
COPY src ./src
COPY --from=console /sluice/console/dist ./console/dist
USER node
EXPOSE 4000
# Liveness: the process is healthy even if its database is unavailable. Proxies use /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# The command of `npm start`, without npm, which would not forward SIGTERM.
CMD ["node", "--max-semi-space-size=16", "--heap-growing-percent=100", "src/main.ts"]
