# The worker: Node.js, Helm, and this project. On a C library of GNU's, which the Temporal SDK's native part needs.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG HELM_IMAGE=alpine/helm:4.2.4

FROM ${HELM_IMAGE} AS helm

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Without the packages that contain Node.js itself: the image has it.
RUN npm ci --omit=dev --no-audit --no-fund && rm -rf node_modules/node-linux-*
COPY cni-migrate cni-migrate
COPY model model
COPY temporal temporal
COPY activities activities
COPY workflows workflows
COPY client client
COPY worker worker
# Bundled at build time, so that the worker starts faster.
RUN node worker/bundle-main.ts /app/bundles

FROM ${NODE_IMAGE}
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
COPY --from=helm /usr/bin/helm /usr/local/bin/helm
COPY --from=build /app /app
RUN ln -s /app/cni-migrate /usr/local/bin/cni-migrate
WORKDIR /app
ENV NODE_ENV=production CNI_MIGRATION_BUNDLES=/app/bundles CNI_MIGRATION_LOG=json
USER node
ENTRYPOINT ["node", "/app/worker/main.ts"]
